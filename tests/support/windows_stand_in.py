# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands in for powershell.exe and cmd.exe in a guest of the embedded PVE. It is no PowerShell.

It knows the programs of the collection by their marks, takes the directories, paths and scripts out of them, and does
in Python what they are written to do. So it shows that what is sent in which order fits together. It does not show that
PowerShell would do the same. Drives are below the guest's HOME.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.embedded_pve.guest_agent import GuestAgent

HOME = os.environ.get("HOME", "")
PART = re.compile(r"[$]f([.]\w+[.]part)")
LITERAL = re.compile("'((?:[^'\u2018-\u201b]|(['\u2018-\u201b])\\2)*)'")


def become_windows(agent: GuestAgent) -> None:
    """The guest has no /bin/sh, but these two programs."""
    for name in ("powershell.exe", "cmd.exe"):
        agent.add_program(name, f'exec {sys.executable} -IS {__file__} {name} "$@"')
    agent.moved = ["C:/", "C:\\"]
    Path(f"{agent.root}C:/Windows/Temp").mkdir(parents=True)


def here(path: str) -> Path:
    """Where a file of the guest is on this machine."""
    return Path(HOME + path if path[1:2] == ":" else path)


def literals(text: str) -> list[str]:
    return [re.sub("(['\u2018-\u201b])\\1", r"\1", found[1]) for found in LITERAL.finditer(text)]


def literal_after(text: str, mark: str) -> str:
    return literals(text[text.index(mark) + len(mark) :])[0]


def words_of(line: str) -> list[str]:
    """The arguments in a line, as programs in Windows read it (Microsoft, "Parsing C command-line arguments")."""
    words: list[str] = []
    word: str | None = None
    is_quoted, place = False, 0
    while place < len(line):
        slashes = len(line[place:]) - len(line[place:].lstrip("\\"))
        place += slashes
        character = line[place : place + 1]
        if slashes:
            word = (word or "") + "\\" * (slashes // 2 if character == '"' else slashes)
            if character == '"' and slashes % 2:
                word += '"'
                place += 1
            continue
        place += 1
        if character == '"':
            is_quoted, word = not is_quoted, word or ""
        elif character in (" ", "\t") and not is_quoted:
            if word is not None:
                words.append(word)
            word = None
        else:
            word = (word or "") + character
    return words if word is None else [*words, word]


def powershell(words: list[str]) -> int:
    if "-EncodedCommand" in words:
        script = base64.b64decode(words[words.index("-EncodedCommand") + 1]).decode("utf-16-le")
    else:
        script = here(words[words.index("-File") + 1].replace("\\", "/")).read_text("utf-8-sig")
    if "'CreateNew'" in script:
        return run(script)
    return transfer(script, here(words[-1].replace("\\", "/")).parent)


def run(script: str) -> int:
    directory = here(literal_after(script, "$d="))
    for name in literals(script[script.index("@(") : script.index("Remove-Item")]):
        shutil.rmtree(here(name), ignore_errors=True)
    directory.mkdir(exist_ok=True)
    try:
        descriptor = os.open(directory / "pid", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        sys.stdout.write(f"again {(directory / 'pid').read_text().split()[0]}\n")
        return 0
    os.write(descriptor, b"%d 0" % os.getpid())
    os.close(descriptor)
    given = base64.b64decode(literal_after(script, "$c="))
    text = (given or (directory / "script").read_bytes()).decode("utf-8", "surrogateescape")
    (directory / "stdin").write_bytes(b"".join(path.read_bytes() for path in sorted(directory.glob("in.*"))))
    if text.startswith("#argv\n"):
        _mark, where, program, arguments = text.split("\n", 3)
        words = [program, *words_of(arguments)]
    else:
        (directory / "script.ps1").write_text(text, "utf-8-sig")
        windows = str(directory / "script.ps1").removeprefix(HOME).replace("/", "\\")
        where, words = "", ["powershell.exe", "-OutputFormat", "Text", "-File", windows]
    with (directory / "stdin").open() as stdin:
        try:
            done = subprocess.run(words, stdin=stdin, capture_output=True, check=False, cwd=where or None)
            status, out, err = done.returncode, done.stdout, done.stderr
        except OSError as problem:
            status, out, err = 127, b"", str(problem).encode()
    (directory / "out").write_bytes(out)
    (directory / "err").write_bytes(err)
    head = f"{status} {len(out)} {len(err)}\n"
    (directory / "done").write_text(head)
    most = int(script.rpartition("-le ")[2].partition(")")[0])
    sys.stdout.buffer.write(head.encode() + (out + err if len(out + err) <= most else b""))
    return 0


def transfer(script: str, job: Path) -> int:
    """The programs about files, which come as the script of a job."""
    if "Test-Path -Path" in script:
        return int(not list(here("C:\\").parent.glob(str(here(literal_after(script, "-Path "))).rpartition("/")[2])))
    if "GetUnresolvedProviderPathFromPSPath(" not in script:
        return without_a_path(script)
    path = here(literal_after(script, "PSPath("))
    if "$n $h" in script or "-`n-`n" in script:
        return look(script, path)
    part = Path(f"{path}{PART.findall(script)[0]}")
    if path.is_dir():
        sys.stderr.write(f"{path} is a directory")
        return 1
    if "Create($p)" in script:
        part.write_bytes(b"")
        here(literal_after(script, "$d=")).mkdir()
        sys.stdout.write(str(part).removeprefix(HOME))
        return 0
    if "PSScriptRoot" in script:
        shutil.copy(job / "stdin", part)
    else:
        shutil.rmtree(here(literal_after(script, "Remove-Item -LiteralPath ")))
    if hashlib.sha256(part.read_bytes()).hexdigest() != literal_after(script, "-ne "):
        sys.stderr.write("what arrived has another checksum")
        return 1
    part.replace(path)
    return 0


def without_a_path(script: str) -> int:
    if "'Append'" in script:
        with here(literal_after(script, "::Open(")).open("ab") as file:
            for piece in sorted(here(literal_after(script, "GetFiles(")).glob("in.*")):
                file.write(piece.read_bytes())
                piece.unlink()
    elif "StartTime" in script:
        return int(not Path("/proc", here(literal_after(script, "ReadAllText(")).read_text().split()[0]).exists())
    elif "Remove-Item" in script:
        for name in literals(script[script.index("Remove-Item") :]):
            shutil.rmtree(here(name)) if here(name).is_dir() else here(name).unlink(missing_ok=True)
    elif "CreateDirectory" in script:
        here(literal_after(script, "$d=")).mkdir(exist_ok=True)
    elif re.fullmatch(r"exit \d+", script.strip()):
        return int(script.split()[1])
    else:
        sys.exit(f"this is no PowerShell, and does not know {script!r}")
    return 0


def look(script: str, path: Path) -> int:
    if not path.is_file():
        sys.stdout.write("directory" if path.is_dir() else "absent")
        return 0
    content = path.read_bytes()
    checksum = hashlib.sha256(content).hexdigest()
    if "-`n-`n" in script:
        most = int(script.rpartition("-le ")[2].partition(")")[0])
        head = f"-\n-\n{len(content)}\n{checksum}\n--\n".encode()
        sys.stdout.buffer.write(head + (content if len(content) <= most else b""))
        return 0
    if "$d=" in script:
        directory = here(literal_after(script, "$d="))
        directory.mkdir()
        shutil.copy(path, directory / "file")
    sys.stdout.write(f"{len(content)} {checksum}\r\n")
    return 0


def main() -> int:
    name, *words = sys.argv[1:]
    if name == "powershell.exe":
        return powershell(words)
    assert words[:5] == ["/d", "/c", "rmdir", "/s", "/q"], words
    for path in words[5:]:
        shutil.rmtree(here(path.replace("\\", "/")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
