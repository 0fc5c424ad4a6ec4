# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The service and the executable by itself give the same answers, to the byte."""

from __future__ import annotations

import re

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.registry import ACTIONS
from tests.integration.conftest import CLUSTER, cluster_guests
from tests.support.cloudstack import Extension, ManyCalls, payload
from tests.support.embedded_pve import running_embedded_pve
from tests.support.service import running_service

FILES = {"create": "create_template"}
CUSTOM = "CreateSnapshot"
OFFSET = {"extension": {"vmid_offset": "7000"}}
MEMORY = {"parameters": {"snap_name": "two", "snap_save_memory": True}}
NICS_GONE = {"nics": None}
# What is another one each time, whoever is asked.
_OWN = [
    (rb"UPID:[^\s\"\\]+", b"UPID"),
    (rb"\d{4}_\d\d_\d\d-\d\d_\d\d_\d\d", b"TIME"),
    (rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"TIME"),
    (rb'("password": ")[^"]+', rb"\1PASSWORD"),
    (rb'("port": ")\d+', rb"\1PORT"),
    (rb'("value": ")\d+ s"', rb'\1SECONDS"'),
    (rb'("proxmox_vmid": ")\d{6}"', rb'\1VMID"'),
    # The doctor says how the service is.
    (rb'{"check": "service"[^}]*}, ', b""),
    (rb"[0-9A-F]{2}(:[0-9A-F]{2}){5}", b"MAC"),
]

# The action, what the payload says otherwise, and what is done to PVE before.
STEPS = [
    ("prepare", {}, None),
    ("prepare", OFFSET, None),
    ("status", {}, None),
    ("delete", {}, None),
    ("create", {}, None),
    ("prepare", OFFSET, None),
    ("create", {}, None),
    ("status", {}, None),
    ("statuses", {}, None),
    ("getconsole", {}, None),
    ("getconsole", {"extension": {"console_mode": "direct", "console_url": "https://x/{vmid}"}}, None),
    ("ListSnapshots", {}, None),
    ("CreateSnapshot", {}, None),
    ("CreateSnapshot", {}, None),
    ("CreateSnapshot", MEMORY, None),
    ("ListSnapshots", {}, None),
    ("Suspend", {}, None),
    ("status", {}, None),
    ("Resume", {}, None),
    ("Reset", {}, None),
    ("reboot", {}, None),
    ("GuestInfo", {}, None),
    ("RestoreSnapshot", {}, None),
    ("RestoreSnapshot", {"parameters": {"snap_name": "none"}}, None),
    ("DeleteSnapshot", {}, None),
    ("DeleteSnapshot", {}, None),
    ("AttachISO", {"parameters": {"iso_path": "local:iso/debian-13.iso"}}, None),
    ("AttachISO", {"parameters": {"iso_path": "../etc/passwd"}}, None),
    ("DetachISO", {}, None),
    ("ResizeDisk", {"parameters": {"disk_size_gb": 40}}, None),
    ("ResizeDisk", {"parameters": {"disk_size_gb": 1}}, None),
    ("AttachDisk", {"parameters": {"disk_size_gb": 4}}, None),
    ("AttachDisk", {"parameters": {"disk_size_gb": 4, "storage": "nowhere"}}, None),
    ("DetachDisk", {"parameters": {"disk": "scsi0"}}, None),
    ("DetachDisk", {"parameters": {"disk": "scsi1"}}, None),
    ("Import", {}, None),
    ("Import", {"host": {"import_map": "i-2-45-VM=105"}}, None),
    ("Backup", {"parameters": {"storage": "local"}}, None),
    ("Backup", {"parameters": {"storage": "nowhere"}}, None),
    ("SyncNetworks", {}, None),
    ("Migrate", {"parameters": {"target_node": "pve2"}}, None),
    ("Migrate", {"parameters": {"target_node": "pve2"}, "host": {"allowed_nodes": "pve*"}}, None),
    ("Migrate", {"parameters": {"target_node": "nowhere"}, "host": {"allowed_nodes": "*"}}, None),
    ("status", {}, None),
    ("stop", {}, None),
    ("start", {}, None),
    ("Shutdown", {}, None),
    ("start", {}, lambda pve: pve.next_task_fails("qmstart", "no such bridge", log=["bridge 'vmbr9' does not exist"])),
    ("start", {}, lambda pve: pve.lock_guest(105, "backup")),
    ("start", {}, lambda pve: pve.lock_guest(105, None)),
    ("status", {}, lambda pve: pve.fault("GET", "/status/current$", "596")),
    ("status", {}, lambda pve: pve.fault("GET", "/status/current$", "drop")),
    ("status", {}, lambda pve: pve.fault("GET", "/config$", "truncate")),
    ("delete", {}, None),
    ("create", {}, lambda pve: pve.next_task_fails("qmstart", "QEMU exited with code 1")),
    ("create", {"virtualmachine": {"template_id": "12345"}}, None),
    ("create", {"virtualmachine": {"disk_size_gb": "many"}}, None),
    ("stop", {"details": {"proxmox_vmid": "101"}}, None),
    ("status", {"details": {"proxmox_vmid": None}}, None),
    ("status", {"host": {"secret": "0f4bd2a6-9c1e-4f0b-8d53-6f0f1c2e7a90"}}, None),
    ("status", {"host": {"url": "127.0.0.1:1"}}, None),
    ("status", {"host": {"ca_file": None}}, None),
    ("status", {"host": {"fingerprint": "AA:" * 31 + "AA"}}, None),
    ("status", {"host": {"secret": None}}, None),
    ("status", {"host": {"ca_file": "/nonexistent"}}, None),
    ("statuses", {}, lambda pve: pve.fault("GET", "/qemu$", "status", status=500, message="no quorum")),
    ("doctor", {}, None),
    ("doctor", {"host": {"node": "pve9"}}, None),
]


def in_common(output: bytes, pve, extension) -> bytes:
    """An answer without what differs between the two PVEs and the two extensions."""
    text = output.replace(str(pve.port).encode(), b"8006").replace(str(extension.root).encode(), b"ROOT")
    for pattern, word in _OWN:
        text = re.sub(pattern, word, text)
    return text


def data_for(action, pve, changes):
    known = {"create": "create_template", "doctor": "statuses"}.get(action, action)
    try:
        return payload(known, pve, **changes)
    except FileNotFoundError:
        data = payload(CUSTOM, pve, **{**changes, "parameters": {}})
        return {**data, "action": action, "parameters": changes.get("parameters", {})}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same call to two worlds that are alike: in one of them there is a service."""
    served, alone = (Extension(tmp_path_factory.mktemp(name)) for name in ("served", "alone"))
    for extension in (served, alone):
        extension.set_policy({"allowed_isos": ["local:iso/*"]})
    by_itself = ManyCalls(alone)
    cluster = {"guests": cluster_guests, "nodes": CLUSTER}
    with (
        running_embedded_pve(**cluster) as one,
        running_embedded_pve(**cluster) as other,
        running_service(served) as service,
    ):
        yield service, (one, served, served.call), (other, alone, by_itself)


def test_every_action(both):
    service, *worlds = both
    shared = {"virtualmachine": {"template_id": "9000"}}
    different = []
    for number, (action, changes, before) in enumerate(STEPS):
        merged = {**shared, **changes} if action == "create" and "virtualmachine" not in changes else changes
        answers = []
        for pve, extension, call in worlds:
            if before is not None:
                before(pve)
            answer = call(action, data_for(action, pve, merged))
            answers.append((answer.exit_code, in_common(answer.output, pve, extension)))
        if answers[0] != answers[1]:
            different.append((number, action, changes, *answers))
    assert different == []
    actions = service.status()["counters"]["actions"]
    assert set(actions) == {action.name for action in ACTIONS}
    assert sum(actions.values()) == len(STEPS)
    assert worlds[0][0].vmids() == worlds[1][0].vmids()


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff", b'"' + b"x" * 100_000])
def test_whatever_the_payload_is(both, content):
    _service, (_one, served, _call), (_other, _alone, by_itself) = both
    path = served.write(content)
    answers = {call("status", path).output for call in (served.call, by_itself)}
    assert len(answers) == 1


@pytest.mark.parametrize("arguments", [("unknown",), ("UNKNOWN " * 20,), ("st\udcffatus",), ("статус",)])
def test_unknown_actions(both, arguments):
    _service, (_one, served, _call), (_other, alone, _by_itself) = both
    answers = {call(arguments[0], {}).output for call in (served.call, alone.call)}
    assert len(answers) == 1


@pytest.mark.parametrize("wait", ["", "0", "-3", "soon", "99999999999", 30])
def test_whatever_the_wait_is(both, wait):
    _service, (one, served, _call), (other, alone, _by_itself) = both
    answers = {
        ext.call("statuses", payload("statuses", pve), wait).output for pve, ext in ((one, served), (other, alone))
    }
    assert len(answers) == 1


def test_what_the_service_cannot_be_told_is_done_without_it(both):
    service, (one, served, _call), _other = both
    before = sum(service.status()["counters"]["actions"].values())
    directory, missing = served.root, served.root / "missing"
    for path in (directory, missing):
        answer = served.call("status", path)
        assert (answer.exit_code, answer["kind"]) == (1, "invalid_request")
    # A way through a proxy, and more words than an order holds.
    assert served.call("statuses", payload("statuses", one), env={"HTTPS_PROXY": "http://127.0.0.1:1"}).exit_code == 1
    assert served.call("x" * 100_000, {})["error"].startswith("unknown action")
    assert sum(service.status()["counters"]["actions"].values()) <= before + 1
