# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Consoles: a person at a terminal, and a VNC viewer."""

from __future__ import annotations

import re
import signal
import socket
import subprocess

import pytest

from tests.support import canaries, vnc_client
from tests.support.collection_tree import REPOSITORY
from tests.support.person import Person
from tests.support.processes import child_environment

pytestmark = pytest.mark.shows_secrets(canaries.CONSOLE)

PASSWORD = "viewer42"


@pytest.fixture
def guest(run, new_vm):
    run.once("pve_vm", {**new_vm, "serial_ports": {"serial0": "socket"}})
    run.once("pve_vm_power", {"vmid": new_vm["vmid"]})
    return new_vm


def test_a_serial_console_is_opened_and_left(world, guest, tmp_path):
    with Person(tmp_path, world.connection, str(guest["vmid"])) as person:
        person.connected()
        person.type("\x1d")
        assert person.end() == 0
        assert person.terminal_is_as_before


def test_a_console_of_a_guest_that_stops_ends(world, run, guest, tmp_path):
    with Person(tmp_path, world.connection, str(guest["vmid"]), "--read-only") as person:
        person.connected()
        run.once("pve_vm_power", {"vmid": guest["vmid"], "state": "stopped", "stop_method": "stop"})
        # PVE does not say so: the guest is looked at every 10 to 25 s.
        assert person.end(30) == 0


def test_a_vnc_viewer_gets_a_picture(world, guest, tmp_path):
    command = [str(REPOSITORY / "bin" / "pve-console"), "vnc", str(guest["vmid"]), "--bridge", "127.0.0.1:0"]
    environment = child_environment(tmp_path, world.connection, {"PVE_CONSOLE_VIEWER_PASSWORD": PASSWORD})
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            shown = next(match for line in process.stderr if (match := re.search(r"127\.0\.0\.1:(\d+)", line)))
            with socket.create_connection(("127.0.0.1", int(shown[1])), 10):
                pass
            picture = tmp_path / "screen.png"
            done = vnc_client.capture("127.0.0.1", int(shown[1]), PASSWORD, picture)
            assert done.returncode == 0, done.stderr
            assert picture.stat().st_size > 0
        finally:
            process.send_signal(signal.SIGINT)


def test_a_script_is_typed_on_a_serial_line(world, run, new_vm):
    world.need("template", "serial_shell")
    vmid = new_vm["vmid"]
    system = {"clone": {"source": str(world.settings.template)}, "memory": 256}
    run.once("pve_vm", {**new_vm, **system, "serial_ports": {"serial0": "socket"}})
    run.once("pve_vm_power", {"vmid": vmid, **({"wait_for": ["agent"]} if world.settings.shuts_down else {})})
    with world.shell(vmid):
        mark = {"vmid": vmid, "unless": "test -e /tmp/cbl-mark", "steps": [{"run": "touch /tmp/cbl-mark"}]}
        shown = run.once("pve_console_script", {"vmid": vmid, "steps": [{"run": "expr 6 \\* 7"}]})
        assert "42" in shown["transcript"]
        try:
            assert run.once("pve_console_script", mark).changed
            assert not run.once("pve_console_script", mark).changed
        finally:
            run.once("pve_console_script", {"vmid": vmid, "steps": [{"run": "rm -f /tmp/cbl-mark"}]})
        failed = run.module("pve_console_script", {"vmid": vmid, "steps": [{"run": "false"}]})
        assert failed.failed
        assert "status 1" in failed.msg


def test_a_stopped_guest_has_no_console_to_open(run, new_vm):
    run.once("pve_vm", new_vm)
    result = run.module("pve_console_info", {"vmid": new_vm["vmid"], "type": "vnc"})
    assert result.failed
    assert "stopped" in result.msg or "not running" in result.msg
