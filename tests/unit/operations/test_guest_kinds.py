# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The machinery of guests knows no kind of them: it plans for one that is described here alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.facts import parse_status
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.guest.change_plan import plan_changes
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.guest.creation import plan_create
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.guest.desired import flag
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.guest.guest_request import (
    GuestRequest,
    check_remove,
    guest_request_spec,
    shared_options,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.guest.kind import GuestKind
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.guest.removal import plan_removal
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.guest.settings import (
    Setting,
    desired_settings,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.guest.state import (
    GuestState,
    new_guest_status,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.guest.volumes import (
    Slot,
    VolumeChanges,
    VolumeProgress,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.guests import LXC, Guest
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.properties import PropertyFormat, truth
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.sizes import GIBIBYTE
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.value_types import ValueType

TEXT = ValueType(str.strip)
TYPES = {
    "onboot": ValueType(truth, "0"),
    "features": ValueType(PropertyFormat().comparable, "", PropertyFormat()),
    "rootfs": ValueType(PropertyFormat(default_key="volume").comparable, ""),
}
BOX = GuestKind(
    path=LXC,
    task_prefix="vz",
    value_type_of=lambda key: TYPES.get(key, TEXT),
    clone_name="Copy-of-{}",
    volumes_option="mount_points",
    move=("move_volume", "volume", "move_volume"),
)
ROWS = (
    Setting("cores", {"type": "int"}, bounds=(1, 8192)),
    Setting("onboot", {"type": "bool"}, write=flag),
    Setting("nesting", {"type": "bool"}, key="features", write=flag, part="nesting"),
)
# For what asks nobody.
UNUSED: Any = None
GUEST = Guest(200, "pve1", LXC, "box")


@dataclass(frozen=True)
class BoxRequest(GuestRequest):
    """A guest with a root file system that can be moved and grown."""

    kind = BOX

    storage: str | None = None
    size: int | None = None
    data: str = "detached"

    def creation_options(self) -> Mapping[str, Any]:
        return {"ostemplate": "local:vztmpl/box.tar.zst"}

    def volume_changes(self, state: GuestState, progress: VolumeProgress | None = None) -> VolumeChanges:
        changes, progress = VolumeChanges(), progress or VolumeProgress()
        slot = Slot("rootfs", BOX, state, changes, progress)
        if slot.drive is None:
            changes.set["rootfs"] = f"{self.storage}:{(self.size or 0) // GIBIBYTE}"
        else:
            slot.converge_place(slot.drive, self.storage)
            slot.converge_size(slot.drive, self.size)
        if self.data == "absent":
            Slot("mp0", BOX, state, changes, progress).take_away(destroy=True)
        return changes


def box_request(
    storage: str | None = None, size: int | None = None, data: str = "detached", **options: Any
) -> BoxRequest:
    defaults = {name: row.get("default") for name, row in guest_request_spec().items()}
    parameters = {**defaults, "vmid": 200, "name": "box", **options}
    request = BoxRequest(
        **shared_options(BOX, parameters),
        settings=desired_settings(BOX, ROWS, parameters),
        storage=storage,
        size=size,
        data=data,
    )
    check_remove(request)
    return request


VALUES = {"hostname": "box", "cores": "2", "swap": "512", "rootfs": "local:vm-200-disk-0,size=8G", "features": "fuse=1"}


def state(status: str = "running", **values: str) -> GuestState:
    return GuestState(GUEST, {**VALUES, **values}, parse_status({"status": status, "name": "box"}), digest="d" * 40)


def sent(request: GuestRequest, there: GuestState, progress: VolumeProgress | None = None) -> list[tuple[Any, ...]]:
    steps = plan_changes(request, there, progress=progress).steps
    for step in steps:
        step.note(progress or VolumeProgress())
    commands = [step.command for step in steps]
    return [(command.method, command.tail, dict(command.form), command.task_type) for command in commands]


def test_a_guest_of_any_kind_is_changed_by_one_plan():
    options = {"cores": 4, "nesting": True, "onboot": False, "remove": ["swap"], "tags": ["web"]}
    request = box_request("fast", 16 * GIBIBYTE, config={"arch": "amd64"}, pool="prod", **options)
    assert sent(request, state()) == [
        (
            "POST",
            (LXC, 200, "move_volume"),
            {"volume": "rootfs", "delete": 1, "storage": "fast", "digest": "d" * 40},
            "move_volume",
        ),
        ("PUT", (LXC, 200, "resize"), {"disk": "rootfs", "size": "16G", "digest": None}, "resize"),
        (
            "PUT",
            (LXC, 200, "config"),
            {
                "cores": "4",
                "features": "fuse=1,nesting=1",
                "arch": "amd64",
                "tags": "web",
                "delete": "swap",
                "digest": None,
            },
            "",
        ),
        ("PUT", ("pools",), {"vms": 200, "poolid": "prod", "allow-move": 1}, ""),
    ]


def test_a_guest_of_any_kind_that_is_as_desired_is_left_alone():
    request = box_request("local", 8 * GIBIBYTE, cores=2, onboot=False, tags=["b", "a"], remove=["nameserver"])
    assert sent(request, state(tags="a;b")) == []


def test_a_volume_whose_kind_keeps_it_is_deleted_when_it_is_an_unused_one():
    request, progress, volume = box_request(data="absent"), VolumeProgress(), "local:vm-200-disk-1"
    deleted = ("PUT", (LXC, 200, "config"))
    first, _second = sent(request, state("stopped", mp0=f"{volume},mp=/srv,size=8G"), progress)
    assert first == (*deleted, {"delete": "mp0", "digest": "d" * 40}, "")
    (second,) = sent(request, state("stopped", unused0=volume, unused1="local:vm-200-disk-7"), progress)
    assert second == (*deleted, {"delete": "unused0", "digest": "d" * 40}, "")
    assert sent(request, state(unused1="local:vm-200-disk-7"), progress) == []


def test_a_volume_whose_kind_keeps_it_is_not_deleted_while_the_guest_runs():
    with pytest.raises(InvalidRequest, match=r"mp0 .* cannot be deleted while the guest runs: PVE"):
        plan_changes(box_request(data="absent"), state(mp0="local:vm-200-disk-1,mp=/srv,size=8G"))


def test_a_guest_of_any_kind_is_made_and_deleted():
    request = box_request("local", 8 * GIBIBYTE, node="pve1", cores=1, config={"description": "A box."})
    creation = plan_create(UNUSED, request)
    command = creation.command(UNUSED, 200)
    assert (command.tail, command.task_type) == ((LXC,), "vzcreate")
    values = {"hostname": "box", "cores": "1", "description": "A box.", "rootfs": "local:8"}
    assert command.form == {"vmid": 200, **values, "ostemplate": "local:vztmpl/box.tar.zst"}
    assert creation.expected.values == values
    assert creation.is_own({"hostname": "box", "cores": 1, "description": "A box.\n", "rootfs": "local:vm-200-disk-0"})
    assert not creation.is_own({"hostname": "box", "cores": 1})
    assert not creation.is_own({"hostname": "box", "cores": 2, "description": "A box.\n"})
    there = replace(creation.expected, status=new_guest_status("box"))
    assert sent(box_request(cores=1, name="box"), there) == []
    (step,) = plan_removal(replace(request, purge=True), there).steps
    assert (step.command.method, step.command.tail, step.command.task_type) == ("DELETE", (LXC, 200), "vzdestroy")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": GIBIBYTE}, "rootfs: size 1G is less than the 8G that guest 200 (box) has"),
        ({"config": {"Arch": "amd64"}}, "config: 'Arch' is no setting of a container"),
        ({"remove": ["rootfs"]}, "remove: rootfs is a disk: set its state to detached or absent in mount_points"),
        ({"remove": ["hostname"]}, "remove: a guest keeps its name"),
        ({"remove": ["cores"], "cores": 1}, "remove: cores is to be set by another option of the same task"),
    ],
)
def test_what_cannot_be_is_said_in_the_words_of_the_kind(options: dict[str, Any], message: str):
    with pytest.raises(InvalidRequest) as caught:
        plan_changes(box_request(**options), state())
    assert message in str(caught.value)
