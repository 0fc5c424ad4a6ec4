# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The embedded guest agent answers as a real one was recorded to (75-agent.json, 75-agent-states.json)."""

from __future__ import annotations

import base64
import time

import pytest

AGENT = "/nodes/pve1/qemu/101/agent"


def refusal(answer):
    return answer.status_code, answer.reason


@pytest.fixture
def ended(api):
    """The answer about a process that has ended."""

    def wait(pid):
        while True:
            answer = api("GET", f"{AGENT}/exec-status", pid=pid).json()["data"]
            if answer["exited"]:
                return answer
            time.sleep(0.02)

    return wait


def run(api, ended, *command, **form):
    return ended(api("POST", f"{AGENT}/exec", command=list(command), **form).json()["data"]["pid"])


@pytest.mark.usefixtures("agent")
class TestCommands:
    def test_status_and_output(self, api, ended):
        assert run(api, ended, "sh", "-c", "echo out; echo err >&2; exit 3") == {
            "exited": 1,
            "exitcode": 3,
            "out-data": "out\n",
            "out-truncated": 0,
            "err-data": "err\n",
            "err-truncated": 0,
        }

    def test_no_output(self, api, ended):
        assert run(api, ended, "true") == {"exited": 1, "exitcode": 0}

    def test_a_signal(self, api, ended):
        assert run(api, ended, "sh", "-c", "kill -9 $$") == {"exited": 1, "signal": 9}

    def test_bytes(self, api, ended):
        assert run(api, ended, "printf", "\\377\\200\\000A")["out-data"] == "\u00ff\u0080\u0000A"
        assert run(api, ended, "od", "-c", **{"input-data": "\u00e4"})["out-data"] == "0000000 344\n0000001\n"

    def test_a_process_is_told_once(self, api, ended):
        pid = api("POST", f"{AGENT}/exec", command=["true"]).json()["data"]["pid"]
        ended(pid)
        again = api("GET", f"{AGENT}/exec-status", pid=pid)
        assert refusal(again) == (500, "Agent error: Invalid parameter 'pid'")

    def test_a_program_that_is_missing_is_never_answered(self, api, pve):
        pve.knobs.proxy_seconds = 0.1
        assert api("POST", f"{AGENT}/exec", command=["/no/such/program"]).status_code == 596

    def test_characters_beyond_latin_1(self, api, pve):
        wide = "Wide character in subroutine entry at /usr/share/perl5/PVE/QemuServer/Agent.pm line 135."
        assert refusal(api("POST", f"{AGENT}/exec", command=["od"], **{"input-data": "\u6f22"})) == (500, wide)
        hung = api("POST", f"{AGENT}/exec", command=["echo", "\u6f22"])
        assert refusal(hung) == (500, "VM 101 qga command 'guest-exec' failed - got timeout")
        assert refusal(api("POST", f"{AGENT}/ping")) == (500, "QEMU guest agent is not running")

    def test_much_output_is_lost(self, api, ended):
        pid = api("POST", f"{AGENT}/exec", command=["head", "-c", "2097152", "/dev/zero"]).json()["data"]["pid"]
        while True:
            answer = api("GET", f"{AGENT}/exec-status", pid=pid)
            if answer.status_code != 200:
                break
            time.sleep(0.02)
        assert refusal(answer) == (500, "VM 101 qga command 'guest-exec-status' failed - got timeout")
        again = api("GET", f"{AGENT}/exec-status", pid=pid)
        assert refusal(again) == (500, "Agent error: Invalid parameter 'pid'")

    def test_limits(self, api):
        answer = api("POST", f"{AGENT}/exec", command=["wc"], **{"input-data": "x" * 65537})
        assert answer.json()["errors"] == {"input-data": "value may only be 65536 characters long"}
        answer = api("POST", f"{AGENT}/file-write", file="/tmp/a", content="x" * 61441)
        assert answer.json()["errors"] == {"content": "value may only be 61440 characters long"}


class TestFiles:
    def test_writing(self, api, agent):
        path = agent.root / "file"
        assert api("POST", f"{AGENT}/file-write", file=str(path), content="caf\u00e9\n").json()["data"] is None
        assert path.read_bytes() == b"caf\xe9\n"
        assert path.stat().st_mode & 0o777 == 0o666
        answer = api("POST", f"{AGENT}/file-write", file=str(path), content="not base64 !!", encode=0)
        assert refusal(answer) == (500, "Agent error: Base64 data contains invalid characters")
        assert path.read_bytes() == b""

    def test_a_missing_directory(self, api, agent):
        answer = api("POST", f"{AGENT}/file-write", file="/no/dir/f", content="x")
        words = "Agent error: failed to open file '/no/dir/f' (mode: 'wb'): No such file or directory"
        assert refusal(answer) == (500, words)

    def test_reading(self, api, agent):
        path = agent.root / "file"
        path.write_bytes(b"Gr\xc3\xbc\xc3\x9fe")
        whole = api("GET", f"{AGENT}/file-read", file=str(path)).json()["data"]
        assert whole == {"content": "Gr\u00c3\u00bc\u00c3\u009fe", "bytes-read": 7}
        encoded = api("GET", f"{AGENT}/file-read", file=str(path), decode=0, offset=2, count=3).json()["data"]
        assert encoded == {"content": base64.b64encode(b"\xc3\xbc\xc3").decode(), "bytes-read": 3, "truncated": 1}

    def test_a_directory(self, api, agent):
        answer = api("GET", f"{AGENT}/file-read", file=str(agent.root))
        assert refusal(answer) == (500, "Agent error: failed to read file: Is a directory")

    def test_at_most_16_mib_at_once(self, api, agent):
        with (agent.root / "big").open("wb") as file:
            file.truncate(17_000_000)
        answer = api("GET", f"{AGENT}/file-read", file=str(agent.root / "big"), decode=0).json()["data"]
        assert (answer["bytes-read"], answer["truncated"]) == (16_777_216, 1)


def test_a_frozen_agent_runs_nothing(api, agent):
    agent.frozen = True
    answer = api("POST", f"{AGENT}/exec", command=["true"])
    words = "Agent error: Command guest-exec has been disabled: the agent is in frozen state"
    assert refusal(answer) == (500, words)
    trim = api("POST", f"{AGENT}/fstrim").json()["data"]["result"]
    assert trim["error"]["desc"] == "Command guest-fstrim has been disabled: the agent is in frozen state"
