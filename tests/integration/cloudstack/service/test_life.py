# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the service starts, is looked after, and what happens to calls when it is not there."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from tests.support.cloudstack import payload
from tests.support.service import START_SECONDS, send_order, wait_until

# The descriptor has to be number three, and the process has to know its own number.
ACTIVATE = 'exec 3<&"$1"; shift; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'


def counted(service):
    return sum(service.status()["counters"].get("actions", {}).values())


@contextlib.contextmanager
def notifications(path):
    """What a service tells systemd, as it comes."""
    heard = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(path))

        def listen():
            with contextlib.suppress(OSError):
                while True:
                    heard.extend(channel.recv(4096).decode().splitlines())

        threading.Thread(target=listen, daemon=True).start()
        yield heard
        channel.shutdown(socket.SHUT_RDWR)


def test_a_socket_that_systemd_passes(pve, extension, idle, tmp_path):
    """Calls that come while it starts wait for it; those that come when it is gone help themselves."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(extension.socket))
    listener.listen(64)
    data = payload("statuses", pve)
    with notifications(tmp_path / "notify") as heard:
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
        early = extension.start("statuses", data)
        command = ["/bin/bash", "-c", ACTIVATE, "bash", str(listener.fileno()), str(idle.program)]
        idle.start(by_hand=False, command=command, pass_fds=[listener.fileno()], env=env)
        early.communicate(timeout=START_SECONDS)
        assert early.returncode == 0
        assert extension.call("statuses", data).ok
        wait_until(lambda: "WATCHDOG=1" in heard)
        assert heard[0] == "READY=1"
        before = idle.pid
        idle.signal(signal.SIGHUP)
        wait_until(lambda: idle.status()["pid"] != before)
        idle.adopt(idle.status()["pid"])
        assert f"MAINPID={idle.successor}" in heard
        assert idle.process.wait(START_SECONDS) == 0
        assert extension.call("statuses", data).ok
        os.kill(idle.successor, signal.SIGTERM)
        wait_until(lambda: "STOPPING=1" in heard)
    # systemd's socket stays, for the next one; meanwhile nobody answers there.
    assert extension.socket.exists()
    began = time.monotonic()
    assert extension.call("statuses", data).ok
    assert time.monotonic() - began < 5
    listener.close()


@pytest.mark.parametrize("state", ["never there", "crashed", "no socket", "a file"])
def test_without_a_service_the_executable_does_it(pve, extension, idle, state):
    if state == "crashed":
        idle.start()
        idle.kill()
        assert extension.socket.exists()
    elif state == "a file":
        extension.socket.write_text("")
    elif state == "no socket":
        extension.socket.mkdir()
    assert extension.call("statuses", payload("statuses", pve)).ok
    assert [item.split()[0] for item in pve.summary()] == ["GET"]
    if state == "crashed":
        idle.start()
        assert extension.call("statuses", payload("statuses", pve)).ok
        assert counted(idle) == 1


def test_a_service_that_hangs_is_not_waited_for(pve, extension, service):
    """And what it has not begun it does not begin later on."""
    data = payload("create_template", pve)
    service.signal(signal.SIGSTOP)
    answer = extension.call("create", data)
    assert answer.ok
    assert answer.seconds < 10
    service.signal(signal.SIGCONT)
    wait_until(service.is_idle)
    assert counted(service) == 0
    assert len([task for task in pve.tasks() if task["type"] == "qmclone"]) == 1


def test_a_service_that_hangs_in_mid_action(pve, extension, service):
    """The executable ends in time and says that it does not know; nobody does it twice."""
    pve.before("POST", "/clone$", lambda: service.signal(signal.SIGSTOP))
    answer = extension.call("create", payload("create_template", pve), wait=3)
    assert (answer.exit_code, answer["kind"]) == (1, "service")
    assert answer.seconds < 3
    service.signal(signal.SIGCONT)
    wait_until(service.is_idle)
    assert len([task for task in pve.tasks() if task["type"] == "qmclone"]) == 1
    assert 105 not in pve.vmids()


def test_another_release(pve, extension, service):
    """While an upgrade is under way the executable and the service may differ."""
    newer = extension.root / "current"
    newer.symlink_to(f"{extension.code_path}/.")
    extension.code_path = str(newer)
    extension.render("extension.py.j2", extension.executable)
    extension.render("cloudbridge-proxmoxctl.py.j2", service.control)
    assert extension.call("statuses", payload("statuses", pve)).ok
    assert counted(service) == 0
    assert service.status()["counters"]["refused"] == {"other release": 1}
    said = subprocess.run([service.control, "status"], capture_output=True, text=True, check=False)
    assert said.returncode == 1
    assert "is installed: reload it" in said.stdout


def test_no_second_service(extension, service):
    command = [str(service.program), "--extension", "x", "--policy-file", "x", "--socket", str(extension.socket)]
    second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=START_SECONDS)
    assert second.returncode == 1
    assert "another service listens" in second.stderr
    assert service.status()["pid"] == service.pid


def test_a_successor_that_fails(pve, extension, service):
    service.program.write_text("#!/bin/sh\nexit 1\n")
    before = service.pid
    service.signal(signal.SIGHUP)
    wait_until(lambda: "so this release goes on" in service.log())
    assert extension.call("statuses", payload("statuses", pve)).ok
    assert service.status()["pid"] == before


def test_a_stop_leaves_nothing(extension, idle):
    idle.start()
    assert idle.stop() == 0
    assert not extension.socket.exists()
    assert idle.journal() == []


def test_the_state_that_control_shows(pve, extension, service):
    extension.call("statuses", payload("statuses", pve))
    extension.call("status", payload("status", pve))
    said = subprocess.run([service.control, "status", "--json"], capture_output=True, text=True, check=True)
    state = json.loads(said.stdout)
    assert state["counters"]["actions"] == {"status": 1, "statuses": 1}
    assert state["counters"]["errors"] == {"not_found": 1}
    assert state["now"]["open"] == {"console": 0}
    assert state["now"]["credentials"] == state["now"]["connections"] == 1
    said = subprocess.run([service.control, "status"], capture_output=True, text=True, check=True)
    assert "statuses" in said.stdout
    service.stop()
    for words in (["status"], ["status", "--json"]):
        said = subprocess.run([service.control, *words], capture_output=True, text=True, check=False)
        assert said.returncode == 1
        assert "no service answers" in said.stdout


def test_counters_for_prometheus(pve, extension, idle):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    idle.start("--metrics-port", str(port))
    extension.call("statuses", payload("statuses", pve))
    # Those who never finish their question are in nobody's way.
    with socket.create_connection(("127.0.0.1", port)) as slow, socket.create_connection(("127.0.0.1", port)) as huge:
        slow.send(b"GET")
        with contextlib.suppress(OSError):
            huge.send(b"x" * 100_000)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    assert 'cloudbridge_proxmox_actions_total{action="statuses"} 1' in lines
    assert 'cloudbridge_proxmox_action_seconds_count{action="statuses"} 1' in lines
    assert "cloudbridge_proxmox_running 0" in lines
    assert 'cloudbridge_proxmox_open{what="console"} 0' in lines
    # The successor takes the port along.
    before = idle.pid
    idle.signal(signal.SIGHUP)
    wait_until(lambda: idle.status()["pid"] != before)
    idle.adopt(idle.status()["pid"])
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        assert answer.status == 200


def test_a_state_directory_that_cannot_be_written(pve, extension, idle):
    idle.start("--state-directory", "/proc/nowhere")
    assert extension.call("create", payload("create_template", pve)).ok
    assert "cannot be written" in idle.log()


def test_the_doctor_looks_at_the_service(pve, extension, service):
    def row():
        rows = extension.call("doctor", payload("statuses", pve))["message"]
        return next(item for item in rows if item["check"] == "service")

    assert row()["result"] == "ok"
    service.stop()
    assert row()["result"] == "warning"
    assert "none answers" in row()["found"]


class TestSecrets:
    def test_they_are_nowhere(self, pve, extension, service):
        """Not in a file other than the payload, in a log, an environment or a list of arguments."""
        canary = pve.token_secret
        pve.task_seconds.update(qmclone=0.5)
        process = extension.start("create", payload("create_template", pve), env={"CLOUDBRIDGE_DEBUG": "1"})
        wait_until(lambda: 105 in pve.vmids())
        for pid in (process.pid, service.pid):
            for name in ("environ", "cmdline", "comm"):
                assert canary.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
        self.look(extension, canary)
        output, _errors = process.communicate(timeout=60)
        assert process.returncode == 0, output
        pve.fault("GET", "/qemu$", "status", status=500, message=f"no {canary} here")
        answer = extension.call("statuses", payload("statuses", pve), env={"CLOUDBRIDGE_DEBUG": "1"})
        assert "********" in answer.error
        said = subprocess.run([service.control, "status", "--json"], capture_output=True, text=True, check=True)
        assert canary not in said.stdout + output.decode()
        self.look(extension, canary)
        assert 'request="POST /nodes/pve1/qemu/9000/clone"' in extension.log()

    def look(self, extension, canary):
        for path in extension.root.rglob("*"):
            if path.is_file() and extension.payloads not in path.parents:
                assert canary.encode() not in path.read_bytes(), path

    def test_a_payload_that_only_the_caller_may_read(self, pve, extension, service):
        """The service reads what the executable has opened, not what a path leads to."""
        path = extension.write(payload("statuses", pve))
        with service.connect() as channel, path.open("rb") as file:
            path.unlink()
            send_order(channel, ["statuses", str(path), "60"], file.fileno())
            channel.recv(100)
            channel.send(b"go")
            assert channel.recv(65536)[0] == 0
