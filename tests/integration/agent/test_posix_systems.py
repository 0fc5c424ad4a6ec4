# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs in guests needs no more than /bin/sh and a few POSIX programs, as small systems and BSD have them."""

from __future__ import annotations

import io
import os
import shutil
import subprocess

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.guest_shell import Attributes
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.posix_shell import PosixShell
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.transfers import (
    fetch_file,
    look_at_file,
    put_file,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import AgentUnavailable
from tests.integration.agent.conftest import wait_until

# Not each shell has the first three built in.
TOOLS = "echo printf kill cat chmod chown cp dd grep id ln ls mkdir mkfifo mv readlink rm rmdir sleep tee wc".split()
# As BSD has it: no sha256sum, but sha256, which prints nothing but the sum with -q.
BSD = 'case $1 in -q) sha256sum | { read -r sum rest; echo "$sum"; } ;; *) exit 1 ;; esac'
SHELLS = ("dash", "bash", "busybox", "posh", "mksh")


def become(root, shell, tools):
    """The guest has this shell, and these programs alone."""
    directory = root / "bin"
    directory.mkdir()
    for name in tools:
        found = shutil.which("busybox" if shell == "busybox" else name)
        if found:
            (directory / name).symlink_to(found)
    program = shutil.which(shell)
    if shell == "busybox":
        (directory / "sh").write_text(f'#!/bin/dash\nexec {program} sh "$@"\n')
        (directory / "sh").chmod(0o755)
    else:
        (directory / "sh").symlink_to(program)


@pytest.mark.parametrize(
    ("shell", "system"), [*((shell, "usual") for shell in SHELLS), ("dash", "bsd"), ("dash", "no checksums")]
)
def test_any_shell_with_few_programs(pve, runner, agent, shell, system):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    become(agent.root, shell, [*TOOLS, "sha256sum"] if system == "usual" else TOOLS)
    if system == "bsd":
        agent.add_program("sha256", BSD.replace("sha256sum", shutil.which("sha256sum")))
    agent.moved.append("/bin/sh")
    agent.path = None

    result = runner.run("echo out; echo err >&2; exit 3")
    assert tuple(result) == (3, b"out\n", b"err\n")
    assert runner.run(runner.shell.line(["echo", "Grüße ✓", "a'b"])).stdout.decode() == "Grüße ✓ a'b\n"
    for size in (10, 100_000):
        data = os.urandom(size)
        assert runner.run("cat", data).stdout == data
    path, link = agent.root / "a file ✓", agent.root / "link"
    link.symlink_to(path)
    for size in (10, 150_000):
        data = os.urandom(size)
        put_file(runner, io.BytesIO(data), str(link), Attributes("0640", str(os.getuid()), str(os.getgid())))
        assert (path.read_bytes(), path.stat().st_mode & 0o777, link.is_symlink()) == (data, 0o640, True)
        back = io.BytesIO()
        fetch_file(runner, str(path), back.write)
        assert back.getvalue() == data
    assert (look_at_file(runner, str(path)).checksum == "none") is (system == "no checksums")
    assert runner.run(runner.shell.examine(str(path), 10)).stdout.splitlines()[2] == b"150000"
    assert runner.run(runner.shell.exists("a*", str(agent.root))).status == 0
    assert runner.run(runner.shell.exists("nothing*", str(agent.root))).status == 1
    # An agent that was started anew knows no process; the files say what became of it.
    pve.before("GET", r"/agent/exec-status$", agent.restart)
    assert runner.run("sleep 1; exit 5").status == 5
    asked = 'printf %s "Password:" >&2; IFS= read -r word; [ "$word" = secret ] && echo DONE && cat'
    for asking in (asked, "echo DONE; cat"):
        script = runner.shell.answering(asking, runner.shell.directory("0"), len(b"secret\n"), "Password:", "DONE")
        assert runner.run(script, b"secret\ninput").stdout == b"DONE\ninput"
    refused = f"{asked} || {{ echo Sorry >&2; {asked}; }}"
    script = runner.shell.answering(refused, runner.shell.directory("0"), len(b"wrong!\n"), "Password:", "DONE")
    assert runner.run(script, b"wrong!\nsecret\n").status != 0
    runner.close()
    wait_until(lambda: not agent.jobs())
    assert sorted(entry.name for entry in agent.root.iterdir() if entry.name[0] != "b") == ["a file ✓", "link", "tmp"]


NOBODY = 65534
REFUSED = "somebody else has made the directory of this job: nothing was run"
SHELL = PosixShell()


def run_in(shell, argv, where, stdin=b""):
    """Run a program of the guest's in that shell, and the shells that it begins as well."""
    program = [shutil.which(shell) or pytest.skip(f"{shell} is not installed"), *(["sh"] if shell == "busybox" else [])]
    return subprocess.run([*program, *argv[1:]], input=stdin, capture_output=True, cwd=where, check=False)


def link(directory, other):
    directory.symlink_to(other)


def others_own(directory, _other):
    if os.getuid():
        pytest.skip("only root makes directories for others")
    directory.mkdir(mode=0o700)
    os.chown(directory, NOBODY, NOBODY)


def open_to_all(directory, _other):
    directory.mkdir()
    directory.chmod(0o777)


TRAPS = (link, others_own, open_to_all)


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_directory_that_somebody_else_has_made_is_not_used(tmp_path, shell, trap):
    job, other, source = tmp_path / "job", tmp_path / "other", tmp_path / "source"
    other.mkdir(mode=0o700)
    source.write_text("secret")
    trap(job, other)
    (job / "script").write_text("touch was-here")
    part = tmp_path / "new.key.part"
    for argv in (
        SHELL.prepare(str(job)),
        SHELL.piece(str(job), 0),
        SHELL.run(str(job), 100, None, "touch was-here", [str(job)]),
        *(["sh", "-c", SHELL.cut(str(source), str(job), number, 1048576)] for number in (0, 1)),
        ["sh", "-c", SHELL.look(str(source), str(job))],
        ["sh", "-c", SHELL.begin_put(str(tmp_path / "new"), "key", str(job), Attributes())],
        ["sh", "-c", SHELL.append(str(job), str(part))],
        ["sh", "-c", SHELL.end_put(str(tmp_path / "new"), str(part), "0" * 64, str(job), Attributes())],
    ):
        result = run_in(shell, argv, tmp_path, b"secret")
        assert (result.returncode, result.stderr.decode().strip()) == (125, REFUSED), argv
    run_in(shell, SHELL.remove(str(job)), tmp_path)
    run_in(shell, ["sh", "-c", SHELL.abandon(str(job), str(part))], tmp_path)
    assert [entry.name for entry in job.iterdir()] == ["script"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["job", "other", "source"]


@pytest.mark.parametrize("shell", SHELLS)
def test_its_own_directory_is_used_again(tmp_path, shell):
    job = tmp_path / "job"
    job.mkdir(mode=0o700)
    assert run_in(shell, SHELL.prepare(str(job)), tmp_path).returncode == 0
    (job / "script").write_text("echo it ran")
    assert run_in(shell, SHELL.run(str(job), 100, None, "", []), tmp_path).stdout == b"0 7 0\nit ran\n"
    run_in(shell, SHELL.remove(str(job)), tmp_path)
    assert not job.exists()


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("shell", SHELLS)
def test_an_unfinished_file_is_not_written_where_somebody_else_says(tmp_path, shell, trap):
    """Whoever may write into the file's directory makes the name of the unfinished one, before or in the middle."""
    path, other, job = tmp_path / "file", tmp_path / "other", tmp_path / "job"
    path.write_text("old")
    other.mkdir()
    job.mkdir(mode=0o700)
    (job / "in.0").write_text("new")
    part = tmp_path / "file.key.part"
    trap(part, other)
    (part / part.name).symlink_to(path)
    checksum = "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437"
    for script in (
        SHELL.put(str(path), "key", checksum, Attributes("0666")),
        SHELL.begin_put(str(path), "key", str(tmp_path / "other job"), Attributes()),
        SHELL.append(str(job), str(part)),
        SHELL.end_put(str(path), str(part), checksum, str(job), Attributes("0666")),
    ):
        result = run_in(shell, ["sh", "-c", script], tmp_path, b"new")
        assert result.returncode == 1
        assert str(part) in result.stderr.decode()
        assert (path.read_text(), path.stat().st_mode & 0o777) == ("old", 0o644)
    assert (part / part.name).is_symlink()


@pytest.mark.parametrize("shell", SHELLS)
def test_an_unfinished_file_on_a_file_system_without_modes(tmp_path, shell):
    """Each directory of vfat has the mode of the mount, as /boot/efi is 0755 in many a system."""
    path, job, part = tmp_path / "file", tmp_path / "job", tmp_path / "file.key.part"
    part.mkdir(mode=0o755)
    job.mkdir(mode=0o700)
    (job / "in.0").write_text("new")
    checksum = "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437"
    for script in (
        SHELL.append(str(job), str(part)),
        SHELL.end_put(str(path), str(part), checksum, str(job), Attributes("0640")),
    ):
        assert run_in(shell, ["sh", "-c", script], tmp_path).returncode == 0
    assert (path.read_text(), path.stat().st_mode & 0o777, part.exists()) == ("new", 0o640, False)


def test_nothing_is_written_into_a_directory_of_somebody_else(runner, agent):
    """It can be there before the guest makes it: its name is in the arguments of the program that does."""
    (agent.root / "bin").mkdir()
    agent.add_program("mkdir", '/bin/mkdir "$@" && chmod 755 "$1" && exit 1')
    for begin in (
        lambda: runner.run("echo secret", is_secret=True),
        lambda: runner.run("cat", b"x" * 400_000),
        lambda: runner.run("true"),
    ):
        with pytest.raises(AgentUnavailable, match=f"could not begin the command: {REFUSED}$"):
            begin()
    assert [list((agent.root / "tmp" / job).iterdir()) for job in agent.jobs()] == [[], [], []]
    with pytest.raises(AgentUnavailable, match=REFUSED):
        put_file(runner, io.BytesIO(b"x" * 400_000), str(agent.root / "file"))
