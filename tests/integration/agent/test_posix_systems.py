# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs in guests needs no more than /bin/sh and a few POSIX programs, as small systems and BSD have them."""

from __future__ import annotations

import io
import os
import shutil

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.guest_shell import Attributes
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.transfers import (
    fetch_file,
    look_at_file,
    put_file,
)
from tests.integration.agent.conftest import wait_until

# Not each shell has the first three built in.
TOOLS = "echo printf kill cat chmod chown cp dd grep id ln ls mkdir mkfifo mv readlink rm sleep wc".split()
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
