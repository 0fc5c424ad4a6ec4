# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Windows guests: what is sent and in which order, with something in the place of PowerShell that is none."""

from __future__ import annotations

import base64
import io
import os

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent import calls
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.access import guest_access
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.powershell import (
    PowerShell,
    encoded,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.running import GuestRunner
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.transfers import (
    fetch_file,
    put_file,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.plan import Applier
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import GuestFileError, PveError
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.guests import Selector
from tests.integration.agent.conftest import NEVER, wait_until
from tests.support.clients import client_of
from tests.support.windows_stand_in import become_windows

WINDOWS = {"vmid": 101, "shell": "powershell"}


@pytest.fixture
def agent(agent):
    become_windows(agent)
    return agent


@pytest.fixture
def runner(runner):
    yield (windows := GuestRunner(runner.calls, PowerShell()))
    windows.close()


def left(agent):
    """What there is in the drive C: of the guest."""
    drive = agent.root.parent
    return sorted(path.name for path in (drive / f"{agent.root.name}C:/Windows/Temp").iterdir())


def on_drive(agent, name):
    return agent.root.parent / f"{agent.root.name}C:\\{name}"


class TestRunner:
    def test_commands(self, runner, agent):
        result = runner.run(runner.shell.line(["sh", "-c", 'echo "$1" Grüße; echo err >&2; exit 3', "x", 'a "b\\" ✓']))
        assert (result.status, result.stdout.decode(), result.stderr) == (3, 'a "b\\" ✓ Grüße\n', b"err\n")
        assert runner.run(runner.shell.line(["no-such-program"])).status == 127
        for size in (0, 10, 150_000):
            data = os.urandom(size)
            assert runner.run(runner.shell.line(["cat"]), data).stdout == data
        inside = runner.shell.within(str(agent.root), runner.shell.line(["pwd"]))
        assert runner.run(inside).stdout.decode() == f"{agent.root}\n"
        # What Ansible sends is PowerShell's own start: it gets the input, and is not packed once more.
        code = encoded(runner.shell.exists("C:\\none", ""))[-1]
        assert runner.run(runner.shell.command(f"PowerShell -NoProfile -EncodedCommand '{code}'")).status == 1
        runner.close()
        wait_until(lambda: left(agent) == [])

    def test_a_secret_or_long_command_is_no_argument(self, runner, agent):
        for word, is_secret in (("secret-word-42", True), ("x" * 5000, False)):
            assert runner.run(runner.shell.line(["echo", word]), is_secret=is_secret).stdout.decode() == f"{word}\n"
            assert len(" ".join(agent.started[-1])) < 32767
        assert not any(base64.b64encode(b"secret-word-42") in "".join(argv).encode() for argv in agent.started)

    def test_a_lost_answer(self, pve, runner, agent):
        pve.fault("POST", r"/agent/exec$", "lose_answer", after=1)
        script = runner.shell.line(["sh", "-c", f"echo run >>{agent.root}/runs; echo out"])
        assert runner.run(script, b"input").stdout == b"out\n"
        assert (agent.root / "runs").read_text() == "run\n"

    def test_files(self, runner, agent):
        for name, size in (("file.txt", 10), ("汉 'x' \u2019y.txt", 200_000)):
            data, back = os.urandom(size), io.BytesIO()
            put_file(runner, io.BytesIO(data), f"C:\\{name}")
            assert on_drive(agent, name).read_bytes() == data
            fetch_file(runner, f"C:\\{name}", back.write)
            assert back.getvalue() == data
        with pytest.raises(GuestFileError, match="there is no file"):
            fetch_file(runner, "C:\\none", print)
        runner.close()
        wait_until(lambda: left(agent) == [])


def test_a_windows_guest_whose_shell_nobody_has_named(pve, agent, monkeypatch):
    monkeypatch.setattr(calls, "PATIENCE_SECONDS", 0.1)
    pve.knobs.proxy_seconds = 0
    agent.moved.append("/bin/sh")
    client = client_of(pve, NEVER, api_timeout=60)
    for ostype, words in (
        ("win11", r"guest 101 \(db\) is a Windows .*ostype win11.* shell: powershell"),
        ("l26", "596"),
    ):
        pve.guest(101).config["ostype"] = ostype
        with (
            pytest.raises(PveError, match=words),
            guest_access(Applier(client), Selector(101)) as access,
        ):
            access.runner.run("true")
    client.close()


class TestModules:
    def test_exec(self, run_module, agent):
        result = run_module("pve_guest_exec", {**WINDOWS, "argv": ["printf", "%s", "a 'b'"], "creates": "C:\\none"})
        assert (result["rc"], result["stdout"]) == (0, "a 'b'")

    @pytest.mark.parametrize("check", [True, False])
    def test_a_directory_of_two_lines(self, run_module, agent, check):
        result = run_module("pve_guest_exec", {**WINDOWS, "argv": ["printf"], "chdir": "C:\\a\nevil.exe"}, check=check)
        assert "the directory 'C:\\\\a\\nevil.exe' has a line break" in result.msg
        assert (result.failed, result.changed, agent.started) == (True, False, [])

    def test_a_file(self, run_module, agent):
        arguments = {**WINDOWS, "path": "C:\\motd.txt", "content": "Grüße\r\n"}
        assert run_module("pve_guest_file", arguments, check=True).changed
        assert run_module("pve_guest_file", arguments).changed
        assert on_drive(agent, "motd.txt").read_bytes() == "Grüße\r\n".encode()
        assert not run_module("pve_guest_file", arguments).changed
        found = run_module("pve_guest_file", {**WINDOWS, "path": "C:\\motd.txt", "state": "read"})
        assert (base64.b64decode(found["content"]).decode(), found["size"], found["mode"]) == ("Grüße\r\n", 9, None)
        assert run_module("pve_guest_file", {**WINDOWS, "path": "C:\\motd.txt", "state": "absent"}).changed
        assert not on_drive(agent, "motd.txt").exists()

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (
                {"path": "C:\\a", "mode": "0644"},
                "mode is for guests with /bin/sh: files in Windows have access control",
            ),
            ({"path": "C:\\a", "owner": "SYSTEM"}, "owner is for guests with /bin/sh"),
            (
                {"path": "/etc/motd", "content": "x"},
                "path must be the whole path of a file in the guest, as in C:\\motd",
            ),
        ],
    )
    def test_what_does_not_work(self, run_module, agent, options, words):
        assert words in run_module("pve_guest_file", {**WINDOWS, **options}).msg
