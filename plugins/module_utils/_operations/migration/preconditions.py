# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What PVE says about moving a guest before it is moved, and what its configuration says that PVE looks at too late."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field, replace

from ..._pve.container_config import MOUNT_KEY
from ..._pve.errors import NOT_IMPLEMENTED, InvalidRequest, PveError
from ..._pve.guests import LXC, Guest, GuestHandle
from ..._pve.vm_config import NIC, NIC_KEY
from ..facts import HIBERNATED, PAUSED, RUNNING, Status
from ..guest.placement import Cluster
from ..ha import HaPlacement, is_through_ha, read_placement


@dataclass(frozen=True)
class LocalVolume:
    """A volume that only this node has: the key that names it, and the snapshots that hold it."""

    volume: str
    key: str = ""
    attached: bool = True
    snapshots: tuple[str, ...] = ()

    @property
    def storage(self) -> str:
        return self.volume.partition(":")[0]


@dataclass(frozen=True)
class Preconditions:
    """What PVE says about moving a guest, and what its configuration does.

    not_allowed says for each node what PVE holds against it. host_cpu is set where the guest has its node's own
    processor, and ha says where HA may have it.
    """

    guest: Guest
    status: Status
    cluster: Cluster
    not_allowed: t.Mapping[str, t.Mapping[str, t.Any]] = field(default_factory=dict)
    local_volumes: tuple[LocalVolume, ...] = ()
    local_isos: tuple[str, ...] = ()
    local_devices: tuple[str, ...] = ()
    fixed_while_running: tuple[str, ...] = ()
    mounts: tuple[LocalVolume, ...] = ()
    bind_mounts: tuple[str, ...] = ()
    bridges: frozenset[str] = frozenset()
    host_cpu: bool = False
    ha: HaPlacement = field(default_factory=HaPlacement)
    startup_order: int | None = None

    @property
    def online(self) -> bool:
        """The guest runs, or stands still in its memory."""
        return self.status.condition in (RUNNING, PAUSED)

    @property
    def through_ha(self) -> bool:
        return is_through_ha(self.status)


def read_preconditions(handle: GuestHandle, status: Status, cluster: Cluster) -> Preconditions:
    """Ask what stands in the way of moving the guest: two requests, and three more about a guest of HA."""
    guest = handle.guest
    if status.condition == HIBERNATED:
        # PVE itself only says that it is locked.
        raise InvalidRequest(
            f"{guest.label} cannot be moved from node {guest.node}: it is hibernated, and the node of its memory has "
            f"to wake it: resume it first"
        )
    data, config = _read_pves_own(handle), handle.read("config", current=1)
    known = Preconditions(
        guest=guest,
        status=status,
        cluster=cluster,
        not_allowed=data.get("not_allowed_nodes") or data.get("not-allowed-nodes") or {},
        bridges=frozenset(_bridges(config)),
        startup_order=_startup_order(config),
        ha=read_placement(handle) if is_through_ha(status) else HaPlacement(),
    )
    if guest.kind == LXC:
        return replace(known, **_of_container(config))
    return replace(known, **_of_vm(data), host_cpu=_has_host_cpu(config))


def _read_pves_own(handle: GuestHandle) -> t.Mapping[str, t.Any]:
    """What PVE says of it; of containers it says something since PVE 9 (pve-container, migrate_vm_precondition)."""
    try:
        return t.cast("t.Mapping[str, t.Any]", handle.read("migrate"))
    except PveError as error:
        if error.cause.status == NOT_IMPLEMENTED and handle.guest.kind == LXC:
            return {}
        raise


def _of_vm(data: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    volumes, isos = [], []
    for entry in data.get("local_disks") or ():
        volume = str(entry.get("volid"))
        # PVE makes cloud-init's drive anew on the other node (PVE::QemuMigrate scan_local_volumes).
        if "cloudinit" in volume:
            continue
        if _is_set(entry, "cdrom"):
            isos.append(volume)
            continue
        attached = _is_set(entry, "is_attached") if "is_attached" in entry else not _is_set(entry, "is_unused")
        snapshots = tuple(sorted(map(str, entry.get("referenced_in_snapshot") or ())))
        volumes.append(LocalVolume(volume, str(entry.get("drivename") or ""), attached, snapshots))
    mapped = data.get("mapped-resource-info")
    mapped = mapped if isinstance(mapped, dict) else {str(key): {} for key in data.get("mapped-resources") or ()}
    devices = tuple(map(str, data.get("local_resources") or ()))
    return {
        "local_volumes": tuple(volumes),
        "local_isos": tuple(isos),
        "local_devices": tuple(device for device in devices if device not in mapped),
        "fixed_while_running": tuple(
            f"{key} ({device.get('name')})" if device.get("name") else key
            for key, device in sorted(mapped.items())
            if not _is_set(device, "live-migration")
        ),
    }


def _of_container(config: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """PVE looks at a container's volumes only when it moves it (PVE::LXC::Migrate prepare)."""
    mounts, bound = [], []
    for key in sorted(filter(MOUNT_KEY.fullmatch, config)):
        text = str(config[key])
        volume = text.partition(",")[0].replace("volume=", "", 1)
        if ":" in volume and not volume.startswith("/"):
            mounts.append(LocalVolume(volume, key))
        elif "shared=1" not in text.split(","):
            bound.append(key)
    return {"mounts": tuple(mounts), "bind_mounts": tuple(bound)}


def _is_set(entry: t.Mapping[str, t.Any], key: str) -> bool:
    return bool(int(entry.get(key) or 0))


def _startup_order(config: t.Mapping[str, t.Any]) -> int | None:
    found = re.search(r"(?:^|,)(?:order=)?(\d+)(?:,|$)", str(config.get("startup") or ""))
    return int(found[1]) if found else None


def _bridges(config: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    for key in filter(NIC_KEY.fullmatch, config):
        bridge = NIC.parse(str(config[key])).get("bridge")
        if bridge:
            yield bridge


def _has_host_cpu(config: t.Mapping[str, t.Any]) -> bool:
    model = str(config.get("cpu") or "").partition(",")[0]
    return model.replace("cputype=", "", 1) == "host"
