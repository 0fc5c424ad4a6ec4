# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is run in a guest that has /bin/sh: short programs in plain ASCII, for any shell of the Bourne family.

A job is one command with its files, in a directory that only root can read. What the agent itself writes can be read
by everybody (qga/commands-posix.c, DEFAULT_NEW_FILE_MODE), so that the directory comes first.
Each user of the guest sees the names of these directories in /proc before they exist: one that somebody else has made
is neither used nor removed.
"""

from __future__ import annotations

import shlex
import typing as t

from .calls import MOST_INPUT
from .guest_shell import PLAIN, WAIT, Attributes

JOBS = "/tmp/.pve-agent-"  # noqa: S108 - nobody can foresee the rest of the name
# So many seconds the files of a job, or of an upload, are kept for a controller that does not ask for them any more.
# One that needs longer makes the file wait now and then.
KEPT_SECONDS = 60
# So much longer the directory is kept, without its files: a request that comes late, or once more, finds it.
CLAIMED_SECONDS = 600
# After so many minutes what nobody takes care of any more is removed after another command: the guest, or its agent
# with all that it had started, has ended in the middle.
_STALE_MINUTES = 10

# Of one word Linux takes 128 KiB, and PVE of a request 512 KiB.
_MOST_SCRIPT = 32 * 1024
_BLOCK = 1024 * 1024

# Whether a directory belongs to whoever runs this, who alone can enter it; not each shell has [ -O ].
_OWN = """own() { set -- $(ls -ldn "$1" 2>/dev/null)
case $1 in drwx------*) [ "$3" = "$(id -u)" ] ;; *) false ;; esac; }
"""
_REFUSE = 'echo "somebody else has made the directory of this job: nothing was run" >&2; exit 125'
# For a directory $d that could not be made.
_OURS = f"""{_OWN}ours() {{ own "$d" || {{ [ -e "$d" ] || [ -L "$d" ] || {{ mkdir "$d"; exit 125; }}
{_REFUSE}; }}; }}
"""
# An unfinished file is in a directory of its own, and has its name: nothing else is removed if somebody replaces that.
_DROP = 'rm -f "$p/${p##*/}"; rmdir "$p" 2>/dev/null'
# Remove the files of the directory $1, and later itself; pid says that the command has been run.
_EXPIRE = f"""own "$1" || exit; for x in "$1"/*; do [ "$x" = "$1/pid" ] || rm -rf "$x"; done
sleep {CLAIMED_SECONDS}; ! own "$1" || rm -rf "$1\""""

# A shell of its own: a subshell of the pdksh family, as OpenBSD has it, keeps the output open that it was begun with.
_ALONE = "</dev/null >/dev/null 2>&1 &"
# It removes the files, and an unfinished one elsewhere, when nothing has changed there for a while. A command that has
# begun sees to that itself.
_WATCH = f"""/bin/sh -c '{_OWN}p=$2; o=; n=0; while sleep 1 && [ -d "$1" ] && [ ! -f "$1/pid" ]; do
n=$((n + 1)); [ ! -f "$1/{WAIT}" ] || {{ rm -f "$1/{WAIT}"; n=0; }}
[ "$n" -ge {KEPT_SECONDS} ] || continue
c=$(ls -ln "$@" 2>/dev/null); if [ "$c" = "$o" ]; then
[ -z "$p" ] || {{ {_DROP}; }}
{_EXPIRE}; exit; fi; o=$c; n=0; done' sh "$d" "$@" {_ALONE}
"""
_PREPARE = f"""{_OURS}d=$1; shift; umask 077; mkdir "$d" 2>/dev/null || {{ ours; exit 0; }}
{_WATCH}"""
# One of several pieces of a command's input, which is its own input.
_PIECE = f"""{_OURS}d=$1; n=$2; shift 2; umask 077
if mkdir "$d" 2>/dev/null; then
{_WATCH}else ours; fi
cat >"$d/piece.$$" && mv -f "$d/piece.$$" "$d/in.$n"
"""
# Directories of others than root are theirs, whatever they are called.
_SWEEP = f"""for x in {JOBS}*; do
[ -d "$x" ] && [ ! -L "$x" ] && [ -O "$x" ] || continue
[ -n "$(find "$x" -prune -mmin +{_STALE_MINUTES} 2>/dev/null)" ] || continue
if [ -f "$x/pid" ]; then kill -0 "$(cat "$x/pid")" 2>/dev/null || rm -rf "$x"
elif [ -f "$x/part" ]; then p=$(cat "$x/part"); {_DROP}; rm -rf "$x"; fi; done"""
# Whoever makes the file pid is the one that runs the command, however often it was sent.
_RUN = f"""{_OURS}d=$1; most=$2; from=$3; c=$4; shift 4
u=$(umask); umask 077
for x in "$@"; do ! own "$x" || rm -rf "$x"; done
mkdir "$d" 2>/dev/null || ours
( set -C; echo $$ >"$d/pid" ) 2>/dev/null || {{ sleep 1; echo "again $(cat "$d/pid")"; exit 0; }}
[ -n "$HOME" ] || HOME=$(eval echo "~$(id -un)")
case $HOME in /*) ;; *) HOME=/ ;; esac
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME PATH
[ -n "$c" ] || [ -f "$d/script" ] || {{ echo "it came too late: its files were removed" >&2; rm -rf "$d"; exit 125; }}
run() {{ umask "$u"; if [ -n "$c" ]; then /bin/sh -c "$c"; else /bin/sh "$d/script"; fi; }}
if [ "$from" != none ] && [ "$from" != 0 ]; then
n=0; set -- "$d"/in.*
until [ -f "$1" ] && [ "$#" -ge "$from" ]; do
[ "$n" -lt {KEPT_SECONDS}00 ] || {{ echo "its input has not arrived" >&2; rm -rf "$d"; exit 125; }}
if sleep 0.02 2>/dev/null; then n=$((n + 2)); else sleep 1; n=$((n + 100)); fi
set -- "$d"/in.*
done
cat "$@" - >"$d/stdin"; rm -f "$@"; exec <"$d/stdin"
fi
case $from in
none) ( run ) </dev/null ;;
*) ( run ) ;;
esac >"$d/out" 2>"$d/err"
s=$?
rm -f "$d/stdin" "$d/script"
o=$(wc -c <"$d/out"); e=$(wc -c <"$d/err"); o=$((o)); e=$((e))
echo "$s $o $e" >"$d/ended" && mv -f "$d/ended" "$d/done"
echo "$s $o $e"
[ $((o + e)) -gt "$most" ] || cat "$d/out" "$d/err"
/bin/sh -c '{_OWN}{_SWEEP}
n=0; while [ -d "$1" ] && [ "$n" -lt {KEPT_SECONDS} ]; do sleep 1; n=$((n + 1))
[ ! -f "$1/{WAIT}" ] || {{ rm -f "$1/{WAIT}"; n=0; }}; done
{_EXPIRE}' sh "$d" {_ALONE}
exit 0
"""
_REMOVE = f'{_OWN}for x in "$@"; do ! own "$x" || rm -rf "$x"; done'
# The first bytes of the input are a password, for a program that may ask for it or not; the rest is for what it begins.
# A program that has refused the password gets nothing of the rest.
_ANSWER = """d={directory}; u=$(umask); umask 077
mkdir "$d" && mkfifo "$d/in" && : >"$d/out" && : >"$d/err" || exit 125
came() {{ grep -qF -e "$1" "$d/out" "$d/err" 2>/dev/null; }}
again() {{ [ "$(cat "$d/out" "$d/err" | grep -cF -e {prompt})" -gt 1 ]; }}
nap() {{ sleep 0.1 2>/dev/null || sleep 1; }}
exec 3<&0
( until came {success} || came {prompt} || [ -f "$d/ended" ]; do nap; done
if came {success}; then dd bs=1 count={length} >/dev/null
else dd bs=1 count={length}; until came {success} || again || [ -f "$d/ended" ]; do nap; done; fi
! came {success} || cat ) <&3 >"$d/in" 2>/dev/null &
( exec 3<&-; umask "$u"
{script}
) <"$d/in" >"$d/out" 2>"$d/err"
s=$?; : >"$d/ended"
cat "$d/out"; cat "$d/err" >&2
rm -rf "$d"; exit $s
"""
# A process of that number may be another one, if the guest was started anew.
_IS_ALIVE = """p=$(cat {directory}/pid) && kill -0 "$p" && {{ [ ! -r /proc/$p/cmdline ] ||
grep -q {key} /proc/$p/cmdline; }}"""
_EXISTS = """IFS=; p={pattern}
for f in $p; do [ ! -e "$f" ] || exit 0; done; exit 1
"""
_SUM = """has() { command -v "$1" >/dev/null 2>&1; }
sum() {
if has sha256sum; then sha256sum; elif has sha256; then sha256 -q; elif has shasum; then shasum -a 256
elif has openssl; then openssl dgst -sha256 -r; else echo none; fi
}
"""
# Whoever may write into the directory of the file could put a link at a name that is not yet used, and change what has
# one. So all is done inside of a new directory, whatever becomes of its name, where nobody else can write. On vfat, as
# of boot partitions, each directory has the mode of the mount.
_ENTER = """q=./${p##*/}
cd "$p" || exit 1
mine() { set -- $(ls -ldn .); case $1 in d????-??-*) [ "$3" = "$(id -u)" ] ;; *) false ;; esac; }
[ ! -L "$p" ] && mine || { echo "$p belongs to somebody else, or others may write there" >&2; exit 1; }
leave() { rm -f "$q"; cd /; rmdir "$p" 2>/dev/null; }
"""
_BEGIN = """f={path}
[ ! -d "$f" ] || {{ echo "$f is a directory" >&2; exit 1; }}
[ ! -L "$f" ] || f=$(readlink -f "$f") || {{ echo "$f is a link that readlink -f cannot follow" >&2; exit 1; }}
case $f in /*) ;; *) f=$PWD/$f ;; esac
p=$f.{key}.part
(umask 077; mkdir "$p") || exit 1
{enter}if [ -f "$f" ]; then cp -p "$f" "$q"; fi && : >"$q" || {{ leave; exit 1; }}
"""
_END = """case $(sum <"$q") in
{checksum}*|none*) {attributes} && mv -f "$q" "$f" ;;
*) echo "what arrived has another checksum" >&2; false ;;
esac || {{ leave; exit 1; }}
leave || :
"""
_EXAMINE = """f={path}
[ -e "$f" ] || {{ echo absent; exit 0; }}
[ ! -d "$f" ] || {{ echo directory; exit 0; }}
n=$(wc -c <"$f") && ls -ldLn -- "$f" && ls -ldL -- "$f" && echo "$((n))" && sum <"$f" && echo -- || exit 1
[ "$n" -gt {most} ] || cat "$f"
"""
_LOOK = """f={path}; case $f in /*) ;; *) f=$PWD/$f ;; esac
[ -e "$f" ] || {{ echo absent; exit 0; }}
[ ! -d "$f" ] || {{ echo directory; exit 0; }}
n=$(wc -c <"$f") && echo "$((n)) $(sum <"$f")"
"""


def _attributes(name: str, attributes: Attributes) -> str:
    """The commands for mode and owner; they are checked before, and need no quotes."""
    commands = []
    if attributes.owner is not None or attributes.group is not None:
        group = "" if attributes.group is None else f":{attributes.group}"
        commands.append(f"chown -- {attributes.owner or ''}{group} {name}")
    if attributes.mode is not None:
        # After the owner, whose change takes setuid away.
        commands.append(f"chmod -- {attributes.mode} {name}")
    return " && ".join(commands) or "true"


def _begin(path: str, key: str) -> str:
    return _OWN + _BEGIN.format(path=shlex.quote(path), key=key, enter=_ENTER)


def _end(checksum: str, attributes: Attributes) -> str:
    return _END.format(checksum=checksum, attributes=_attributes('"$q"', attributes))


class PosixShell:
    """The programs of jobs and of transfers, for guests with /bin/sh."""

    name = "/bin/sh"
    most_pieces = 4

    most_input = MOST_INPUT
    has_modes = True

    def takes(self, script: bytes) -> bool:
        """Whether the script can be an argument, which has to be plain text: other characters hang the agent."""
        return len(script) <= _MOST_SCRIPT and bool(PLAIN.fullmatch(script))

    def is_absolute(self, path: str) -> bool:
        return path.startswith("/")

    def directory(self, key: str) -> str:
        """Where the files of a job are; the key is a secret of the one that begins it."""
        return f"{JOBS}{key}"

    def prepare(self, directory: str) -> list[str]:
        """Make the directory; without another call within a while it is removed."""
        return ["/bin/sh", "-c", _PREPARE, "sh", directory]

    def piece(self, directory: str, number: int) -> list[str]:
        """Keep the input as a piece of the input of the command that runs in the directory later."""
        return ["/bin/sh", "-c", _PIECE, "sh", directory, f"{number:06}"]

    def run(self, directory: str, most: int, pieces: int | None, script: str, remove: t.Sequence[str]) -> list[str]:
        """Run a script, or the one in the file script, once; what it puts out comes along up to so many bytes.

        pieces is how many pieces of its input come before what is sent along; None is no input. remove are the
        directories of jobs before it.
        """
        source = "none" if pieces is None else str(pieces)
        return ["/bin/sh", "-c", _RUN, "sh", directory, str(most), source, script, *remove]

    def remove(self, *directories: str) -> list[str]:
        return ["/bin/sh", "-c", _REMOVE, "sh", *directories]

    def command(self, text: str) -> str:
        """A command as Ansible sends it, as a script."""
        return text

    def line(self, argv: t.Sequence[str]) -> str:
        """A command of words as a line of the shell, without another shell."""
        return "exec " + " ".join(map(shlex.quote, argv))

    def within(self, directory: str, script: str) -> str:
        """The script in a directory; it fails where there is none."""
        return f"cd -- {shlex.quote(directory)} || exit\n{script}"

    def exists(self, pattern: str, directory: str) -> str:
        """A script that succeeds when there is a file of that name, seen from a directory."""
        script = _EXISTS.format(pattern=shlex.quote(pattern))
        return self.within(directory, script) if directory else script

    def answering(self, script: str, directory: str, length: int, prompt: str, success: str) -> str:
        """The script with so many first bytes of its input left out, unless it asks for a password by that prompt.

        It prints the word success when it has got the password, or needs none.
        """
        words = {"prompt": shlex.quote(prompt), "success": shlex.quote(success)}
        return _ANSWER.format(script=script, directory=directory, length=length, **words)

    def is_alive(self, directory: str) -> str:
        """A script that succeeds while the job runs."""
        return _IS_ALIVE.format(directory=directory, key=directory.rpartition("-")[2])

    def put(self, path: str, key: str, checksum: str, attributes: Attributes) -> str:
        """A script that makes a file of its input, all of it or none."""
        return f'{_SUM}{_begin(path, key)}cat >"$q" || {{ leave; exit 1; }}\n{_end(checksum, attributes)}'

    def begin_put(self, path: str, key: str, directory: str, attributes: Attributes) -> str:
        """A script that begins a file which comes in pieces, and prints the name of its unfinished one."""
        del attributes
        make = f'd={directory}; (umask 077; mkdir "$d" 2>/dev/null) || {{ leave; {_REFUSE}; }}\n'
        return f'{_begin(path, key)}{make}cd /; set -- "$p"\n{_WATCH}printf %s "$p" | tee "$d/part"\n'

    def append(self, directory: str, part: str) -> str:
        """A script that moves the pieces in the directory to the end of the unfinished file."""
        names = f"{_OURS}d={directory}; p={shlex.quote(part)}; ours\n"
        return f'{names}{_ENTER}cat "$d"/in.* >>"$q" && rm -f "$d"/in.*'

    def end_put(self, path: str, part: str, checksum: str, directory: str, attributes: Attributes) -> str:
        """A script that puts the finished file in its place, if it is what was sent."""
        names = f"{_OURS}d={directory}; f={shlex.quote(path)} p={shlex.quote(part)}; ours\n"
        return f'{_SUM}{names}rm -rf "$d"\n{_ENTER}{_end(checksum, attributes)}'

    def cut(self, path: str, directory: str, number: int, size: int) -> str:
        """A script that copies one of the parts of a file into the file part of the directory."""
        skip, count = number * size // _BLOCK, size // _BLOCK
        make = f'{_OURS}d={directory}; umask 077; set --\nif mkdir "$d" 2>/dev/null; then\n{_WATCH}else ours; fi\n'
        return f"{make}dd if={shlex.quote(path)} of={directory}/part bs={_BLOCK} skip={skip} count={count}"

    def change(self, path: str, attributes: Attributes) -> str:
        """A script that changes mode and owner of a file."""
        return _attributes(shlex.quote(path), attributes)

    def delete(self, path: str) -> str:
        return f"rm -f -- {shlex.quote(path)}"

    def examine(self, path: str, most: int) -> str:
        """A script that prints what ls says with numbers and with names, the size, the SHA-256, --, and the content.

        The content is left out when it has more bytes than most. Of what is no file it prints absent or directory.
        """
        return _SUM + _EXAMINE.format(path=shlex.quote(path), most=most)

    def abandon(self, directory: str, part: str) -> str:
        """A script that removes what there is of an unfinished file."""
        return f"{_OWN}! own {directory} || rm -rf {directory}\np={shlex.quote(part)}; {_DROP}"

    def look(self, path: str, directory: str = "") -> str:
        """A script that prints the size and the SHA-256 of a file; or absent, or directory.

        In the directory, if one is named, it is made readable under the name file.
        """
        link = ""
        if directory:
            make = f'd={directory}; (umask 077; mkdir "$d" 2>/dev/null && ln -s "$f" "$d/file") || {{ {_REFUSE}; }}'
            link = f"{make}; set --\n{_WATCH}"
        return _SUM + _LOOK.format(path=shlex.quote(path)) + link
