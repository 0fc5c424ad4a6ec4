# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a virtual machine, and what a request of them wants, checked once."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..._pve.errors import InvalidRequest
from ..._pve.guests import QEMU, Selector
from ..._pve.vm_config import DRIVE_KEY
from ..guest.desired import DesiredSetting
from ..selection import check_dns_name, check_vmid, selector_from
from .cloud_init import CLOUD_INIT_SPEC, DesiredCloudInit, desired_cloud_init
from .devices import (
    EFI_DISK_SPEC,
    PCI_SPEC,
    TPM_SPEC,
    USB_SPEC,
    DesiredDevice,
    DesiredStateDisk,
    desired_devices,
    desired_state_disks,
)
from .disks import DISK_SPEC, DesiredDisk, desired_disks
from .networks import NETWORK_SPEC, DesiredNetwork, desired_networks
from .settings import SETTINGS, DesiredTags, check_config_key, desired_settings, desired_tags

STATES = ("present", "absent", "template")
_CLONE_SPEC: dict[str, t.Any] = {
    "source": {"type": "str", "required": True},
    "full": {"type": "bool"},
    "snapshot": {"type": "str", "aliases": ["snapname"]},
    "storage": {"type": "str"},
    "format": {"type": "str", "choices": ["raw", "qcow2", "vmdk"]},
    "target_node": {"type": "str", "aliases": ["target"]},
}


@dataclass(frozen=True)
class CloneOptions:
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
    clone: CloneOptions | None = None
    settings: tuple[DesiredSetting, ...] = ()
    tags: DesiredTags | None = None
    networks: tuple[DesiredNetwork, ...] = ()
    disks: tuple[DesiredDisk, ...] = ()
    state_disks: tuple[DesiredStateDisk, ...] = ()
    devices: tuple[DesiredDevice, ...] = ()
    cloud_init: DesiredCloudInit | None = None
    remove: tuple[str, ...] = ()
    pool: str | None = None
    apply_pending: str = "never"
    force: bool = False
    purge: bool = False
    destroy_unreferenced_disks: bool = False
    shutdown_timeout: int = 180


def vm_spec() -> dict[str, t.Any]:
    """The argument spec of everything that can be said of a virtual machine."""
    return {
        **{row.option: dict(row.spec) for row in SETTINGS},
        "state": {"type": "str", "choices": list(STATES), "default": "present"},
        "rename": {"type": "bool", "default": False},
        "node": {"type": "str"},
        "clone": _suboptions(_CLONE_SPEC),
        "serial_ports": {"type": "dict", "aliases": ["serial"]},
        "tags": {"type": "list", "elements": "str"},
        "tags_mode": {"type": "str", "choices": ["set", "add"], "default": "set"},
        "pool": {"type": "str"},
        "disks": _suboptions(DISK_SPEC, many=True),
        "networks": _suboptions(NETWORK_SPEC, many=True),
        "efi_disk": {**_suboptions(EFI_DISK_SPEC), "aliases": ["efidisk0"]},
        "tpm": {**_suboptions(TPM_SPEC), "aliases": ["tpmstate0"]},
        "cloud_init": _suboptions(CLOUD_INIT_SPEC),
        "usb": _suboptions(USB_SPEC, many=True),
        "hostpci": _suboptions(PCI_SPEC, many=True),
        "config": {"type": "dict"},
        "remove": {"type": "list", "elements": "str", "aliases": ["delete"]},
        "apply_pending": {"type": "str", "choices": ["never", "reboot"], "default": "never"},
        "shutdown_timeout": {"type": "int", "default": 180},
        "force": {"type": "bool", "default": False},
        "purge": {"type": "bool", "default": False},
        "destroy_unreferenced_disks": {"type": "bool", "default": False},
    }


def _suboptions(spec: t.Mapping[str, t.Any], *, many: bool = False) -> dict[str, t.Any]:
    if many:
        return {"type": "list", "elements": "dict", "options": dict(spec)}
    return {"type": "dict", "options": dict(spec)}


def vm_request(parameters: t.Mapping[str, t.Any]) -> VmRequest:
    """Check the options of a virtual machine; raises InvalidRequest, naming the option, before anything is sent."""
    name = parameters.get("name")
    if name is not None:
        check_dns_name("name", name)
    if parameters["shutdown_timeout"] <= 0:
        raise InvalidRequest(f"shutdown_timeout must be more than 0 seconds, not {parameters['shutdown_timeout']}")
    request = VmRequest(
        selector=selector_from(parameters, QEMU),
        state=parameters["state"],
        node=_node(parameters),
        rename=parameters["rename"],
        clone=_clone(parameters.get("clone")),
        settings=tuple(desired_settings(parameters)),
        tags=desired_tags(parameters.get("tags"), parameters["tags_mode"]),
        networks=desired_networks(parameters.get("networks")),
        disks=desired_disks(parameters.get("disks")),
        state_disks=desired_state_disks(parameters),
        devices=desired_devices(parameters),
        cloud_init=desired_cloud_init(parameters.get("cloud_init")),
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


def _clone(options: t.Mapping[str, t.Any] | None) -> CloneOptions | None:
    if options is None:
        return None
    if options.get("full") is False and (options.get("storage") or options.get("format")):
        raise InvalidRequest(
            "clone: storage and format are only for full clones: a linked clone stays with its template"
        )
    return CloneOptions(
        source=_source(options["source"]),
        full=options.get("full"),
        snapshot=options.get("snapshot"),
        storage=options.get("storage"),
        format=options.get("format"),
    )


def _source(text: str) -> Selector:
    """Read the source of a clone, a number or a name."""
    if not text.isdigit():
        check_dns_name("clone.source", text)
        return Selector(name=text, kind=QEMU)
    check_vmid("clone.source", int(text))
    return Selector(vmid=int(text), kind=QEMU)


def _check_remove(request: VmRequest) -> None:
    desired = {setting.key for setting in request.settings}
    desired |= {network.slot for network in request.networks} | {device.slot for device in request.devices}
    desired |= {setting.key for setting in request.cloud_init.settings} if request.cloud_init else set()
    desired |= {"tags"} if request.tags else set()
    for key in request.remove:
        check_config_key("remove", key)
        if DRIVE_KEY.fullmatch(key) or key.startswith("unused"):
            raise InvalidRequest(f"remove: {key} is a disk: set its state to detached or absent in disks")
        if key == "name":
            raise InvalidRequest("remove: a guest keeps its name")
        if key in desired:
            raise InvalidRequest(f"remove: {key} is to be set by another option of the same task")
