# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked for the restore of a backup."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ..._pve.errors import InvalidRequest
from ..._pve.guests import LXC
from ..._pve.storage_names import check_storage_name
from ..._pve.vm_config import NIC_KEY, VOLUME_KEY
from ..selection import check_dns_name, check_vmid
from .archives import VolumeName, named_backup

NETWORK_SPEC: dict[str, dict[str, t.Any]] = {
    "slot": {"type": "str", "required": True},
    "bridge": {"type": "str"},
    "vlan": {"type": "int"},
    "link_down": {"type": "bool"},
}
RESTORE_SPEC: dict[str, dict[str, t.Any]] = {
    "backup": {"type": "str", "required": True},
    "force": {"type": "bool", "default": False},
    "node": {"type": "str"},
    "storage": {"type": "str"},
    "pool": {"type": "str"},
    "unique": {"type": "bool"},
    "networks": {"type": "list", "elements": "dict", "options": NETWORK_SPEC},
    "disconnected": {"type": "bool", "default": False},
    "tags": {"type": "list", "elements": "str"},
    "onboot": {"type": "bool"},
    "config": {"type": "dict"},
    "bandwidth": {"type": "int"},
    "live_restore": {"type": "bool", "default": False},
    "start": {"type": "bool", "default": False},
}
# What has an option of its own, or is an order to the call itself.
_OWN = re.compile(
    r"archive|bwlimit|description|digest|force|hostname|live-restore|name|net\d+|node|onboot|ostemplate|pool|restore"
    r"|start|storage|tags|template|unique|unused\d+|vmid"
)


@dataclass(frozen=True)
class NetworkOverride:
    """What is changed of a network device of the backup; None leaves it."""

    slot: str
    bridge: str | None = None
    vlan: int | None = None
    link_down: bool | None = None


@dataclass(frozen=True)
class RestoreRequest:
    """A backup and the guest that is to be made of it. Without vmid and name it is the one that was backed up."""

    backup: str
    source: VolumeName
    vmid: int | None = None
    name: str | None = None
    force: bool = False
    node: str | None = None
    storage: str | None = None
    pool: str | None = None
    unique: bool | None = None
    networks: tuple[NetworkOverride, ...] = ()
    disconnected: bool = False
    tags: tuple[str, ...] = ()
    onboot: bool | None = None
    config: t.Mapping[str, t.Any] = field(default_factory=dict)
    bandwidth: int | None = None
    live_restore: bool = False
    start: bool = False

    @property
    def kind(self) -> str:
        """Whether a virtual machine or a container comes of it."""
        return self.source.kind


def restore_request(parameters: t.Mapping[str, t.Any]) -> RestoreRequest:
    """Check the options; raises InvalidRequest."""
    backup = parameters["backup"]
    source = named_backup("backup", backup)
    vmid, name = parameters.get("vmid"), parameters.get("name")
    if vmid is not None:
        check_vmid("vmid", vmid)
    if name is not None:
        check_dns_name("name", name)
    if parameters["force"] and name is None:
        raise InvalidRequest("force needs the name of the guest that is restored over, as a proof that it is meant")
    if parameters["live_restore"]:
        _check_live(source)
    if parameters.get("bandwidth") is not None and parameters["bandwidth"] < 0:
        raise InvalidRequest(f"bandwidth must not be negative, but is {parameters['bandwidth']}")
    storage = parameters.get("storage")
    check_storage_name("storage", storage)
    return RestoreRequest(
        backup=backup,
        source=source,
        vmid=vmid,
        name=name,
        networks=tuple(_network(options) for options in parameters.get("networks") or ()),
        tags=tuple(parameters.get("tags") or ()),
        config=restored_settings(parameters.get("config") or {}),
        force=parameters["force"],
        node=parameters.get("node"),
        storage=storage,
        pool=parameters.get("pool"),
        unique=parameters.get("unique"),
        disconnected=parameters["disconnected"],
        onboot=parameters.get("onboot"),
        bandwidth=parameters.get("bandwidth"),
        live_restore=parameters["live_restore"],
        start=parameters["start"],
    )


def _check_live(source: VolumeName) -> None:
    if source.kind == LXC or "T" not in source.stamp:
        raise InvalidRequest(
            "live_restore is only for backups of virtual machines on Proxmox Backup Server: leave it out"
        )


def _network(options: t.Mapping[str, t.Any]) -> NetworkOverride:
    slot = options["slot"]
    if not NIC_KEY.fullmatch(slot):
        raise InvalidRequest(f"networks: slot {slot!r} is not the name of a network device, like net0")
    return NetworkOverride(slot, options.get("bridge"), options.get("vlan"), options.get("link_down"))


def restored_settings(config: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    for key in config:
        if VOLUME_KEY.fullmatch(key):
            raise InvalidRequest(f"config: {key} is a disk, which PVE restores as it was: change it afterwards")
        if _OWN.fullmatch(key):
            raise InvalidRequest(f"config: {key} has an option of its own, or is none that a restore can change")
    return dict(config)
