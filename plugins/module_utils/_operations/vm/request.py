# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a request wants of a virtual machine, checked once."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..._pve.errors import InvalidRequest
from ..._pve.guests import QEMU, Selector
from ..._pve.vm_config import DRIVE_KEY
from ..selection import check_vmid, selector_from
from .cloud_init import CloudInitWish, cloud_init_wish
from .devices import DeviceWish, StateDiskWish, device_wishes, state_disk_wishes
from .disks import DiskWish, disk_wishes
from .names import check_name
from .networks import NetworkWish, network_wishes
from .settings import TagsWish, check_config_key, setting_wishes, tags_wish
from .wishes import Wish

STATES = ("present", "absent", "template")
CLONE_SPEC: dict[str, t.Any] = {
    "source": {"type": "str", "required": True},
    "full": {"type": "bool"},
    "snapshot": {"type": "str", "aliases": ["snapname"]},
    "storage": {"type": "str"},
    "format": {"type": "str", "choices": ["raw", "qcow2", "vmdk"]},
    "target_node": {"type": "str", "aliases": ["target"]},
}


@dataclass(frozen=True)
class CloneWish:
    """Which guest a new one is made from, and how."""

    source: Selector
    full: bool | None = None
    snapshot: str | None = None
    storage: str | None = None
    format: str | None = None
    # The notes of the clone, from its first moment on, instead of the source's.
    description: str | None = None


@dataclass(frozen=True)
class VmRequest:
    """A virtual machine as it shall be; what is not said stays as it is."""

    selector: Selector
    state: str = "present"
    node: str | None = None
    rename: bool = False
    clone: CloneWish | None = None
    settings: tuple[Wish, ...] = ()
    tags: TagsWish | None = None
    networks: tuple[NetworkWish, ...] = ()
    disks: tuple[DiskWish, ...] = ()
    state_disks: tuple[StateDiskWish, ...] = ()
    devices: tuple[DeviceWish, ...] = ()
    cloud_init: CloudInitWish | None = None
    remove: tuple[str, ...] = ()
    pool: str | None = None
    apply_pending: str = "never"
    force: bool = False
    purge: bool = False
    destroy_unreferenced_disks: bool = False
    shutdown_timeout: int = 180


def vm_request(parameters: t.Mapping[str, t.Any]) -> VmRequest:
    """Check the options of a virtual machine; raises InvalidRequest, naming the option, before anything is sent."""
    name = parameters.get("name")
    if name is not None:
        check_name("name", name)
    if parameters["shutdown_timeout"] <= 0:
        raise InvalidRequest(f"shutdown_timeout must be more than 0 seconds, not {parameters['shutdown_timeout']}")
    request = VmRequest(
        selector=selector_from(parameters, QEMU),
        state=parameters["state"],
        node=_node(parameters),
        rename=parameters["rename"],
        clone=_clone(parameters.get("clone")),
        settings=tuple(setting_wishes(parameters)),
        tags=tags_wish(parameters.get("tags"), parameters["tags_mode"]),
        networks=network_wishes(parameters.get("networks")),
        disks=disk_wishes(parameters.get("disks")),
        state_disks=state_disk_wishes(parameters),
        devices=device_wishes(parameters),
        cloud_init=cloud_init_wish(parameters.get("cloud_init")),
        remove=tuple(parameters.get("remove") or ()),
        pool=parameters.get("pool"),
        apply_pending=parameters["apply_pending"],
        force=parameters["force"],
        purge=parameters["purge"],
        destroy_unreferenced_disks=parameters["destroy_unreferenced_disks"],
        shutdown_timeout=parameters["shutdown_timeout"],
    )
    _check_remove(request)
    for state_disk in request.state_disks:
        if any(disk.slot == state_disk.key for disk in request.disks):
            raise InvalidRequest(f"disks: {state_disk.key} is taken away, and {state_disk.option} wants it: give one")
    if request.rename and (request.selector.vmid is None or name is None):
        raise InvalidRequest("rename needs both vmid, the guest that is meant, and name, its new name")
    return request


def _node(parameters: t.Mapping[str, t.Any]) -> str | None:
    node, target = parameters.get("node"), (parameters.get("clone") or {}).get("target_node")
    if node and target and node != target:
        raise InvalidRequest(f"node is {node} and clone.target_node is {target}: give one of them")
    return node or target or None


def _clone(options: t.Mapping[str, t.Any] | None) -> CloneWish | None:
    if options is None:
        return None
    if options.get("full") is False and (options.get("storage") or options.get("format")):
        raise InvalidRequest(
            "clone: storage and format are only for full clones: a linked clone stays with its template"
        )
    return CloneWish(
        source=_source(options["source"]),
        full=options.get("full"),
        snapshot=options.get("snapshot"),
        storage=options.get("storage"),
        format=options.get("format"),
    )


def _source(text: str) -> Selector:
    """Read the source of a clone, a number or a name."""
    if not text.isdigit():
        check_name("clone.source", text)
        return Selector(name=text, kind=QEMU)
    check_vmid("clone.source", int(text))
    return Selector(vmid=int(text), kind=QEMU)


def _check_remove(request: VmRequest) -> None:
    wished = {wish.key for wish in request.settings}
    wished |= {network.slot for network in request.networks} | {device.slot for device in request.devices}
    wished |= {wish.key for wish in request.cloud_init.wishes} if request.cloud_init else set()
    wished |= {"tags"} if request.tags else set()
    for key in request.remove:
        check_config_key("remove", key)
        if DRIVE_KEY.fullmatch(key) or key.startswith("unused"):
            raise InvalidRequest(f"remove: {key} is a disk: set its state to detached or absent in disks")
        if key == "name":
            raise InvalidRequest("remove: a guest keeps its name")
        if key in wished:
            raise InvalidRequest(f"remove: {key} is to be set by another option of the same task")
