# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a container, and what a request of them desires, checked once."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from ..._pve.client import PveClient
from ..._pve.container_config import is_privileged
from ..._pve.errors import InvalidRequest
from ..._pve.guests import LXC, Guest
from ..._pve.ssh_keys import check_keys, key_lines
from ..guest.change_plan import config_changes
from ..guest.config_changes import ConfigChanges
from ..guest.creation import Creation
from ..guest.desired import flag
from ..guest.guest_request import GuestRequest, check_remove, guest_request_spec, shared_options, suboptions
from ..guest.images import existing_size, fetch_image
from ..guest.placement import Cluster, Needs, needs_of_volumes
from ..guest.settings import desired_settings
from ..guest.state import GuestState
from ..guest.volumes import VolumeChanges, VolumeProgress
from ..plan import Applier
from .devices import DEVICE_SPEC, desired_devices
from .for_root import check_root
from .kind import CONTAINER
from .mount_points import (
    MOUNT_POINT_SPEC,
    ROOTFS,
    ROOTFS_SPEC,
    DesiredMountPoint,
    desired_mount_points,
    holds,
    mount_changes,
)
from .networks import NETWORK_SPEC, DesiredContainerNetwork, check_bridges, desired_networks
from .restoring import plan_restore
from .settings import SETTINGS, environment
from .sources import SOURCE_SPEC, ContainerSource, desired_source

# PVE::API2::LXC, create_vm.
_SHORTEST_PASSWORD = 5


@dataclass(frozen=True)
class ContainerRequest(GuestRequest):
    """A container as desired; what it does not say stays as it is."""

    kind = CONTAINER

    networks: tuple[DesiredContainerNetwork, ...] = ()
    mount_points: tuple[DesiredMountPoint, ...] = ()
    source: ContainerSource | None = None
    unprivileged: bool | None = None
    password: str | None = None
    ssh_keys: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"ContainerRequest({self.selector})"

    def volume_changes(self, state: GuestState, progress: VolumeProgress | None = None) -> VolumeChanges:
        """Compare the root file system and the mount points; raises InvalidRequest."""
        return mount_changes(self.mount_points, state, progress)

    def complete(self, changes: ConfigChanges) -> None:
        """Refuse what cannot be changed; raises InvalidRequest."""
        values = changes.state.values
        if self.unprivileged is None or not values or self.unprivileged != is_privileged(values):
            return
        now, wanted = ("privileged", "true") if self.unprivileged else ("unprivileged", "false")
        raise InvalidRequest(
            f"unprivileged: {changes.state.guest.label} is {now}, and PVE does not change that: back it up, and make a "
            f"container of the archive with restore and unprivileged={wanted}"
        )

    def own_creation(self, client: PveClient, cluster: Cluster) -> Creation | None:
        """The restore of a backup; raises a PveError."""
        if self.source is None or self.source.restore is None:
            return None
        rootfs = next((point.storage for point in self.mount_points if point.slot == ROOTFS), None)
        options = replace(self.source.restore, storage=self.source.restore.storage or rootfs)
        return plan_restore(client, self, self.source, options, self.unprivileged, cluster)

    def creation_options(self) -> t.Mapping[str, t.Any]:
        """What the call that makes the container takes besides its settings; raises InvalidRequest."""
        if self.source is None:
            name = f" named {self.selector.name!r}" if self.selector.name else f" {self.selector.vmid}"
            raise InvalidRequest(
                f"there is no container{name}: say by template, image, clone or restore what to make it from"
            )
        if not any(point.slot == ROOTFS for point in self.mount_points):
            raise InvalidRequest("rootfs is not there yet: give storage and size")
        return {
            "ostemplate": self.source.volid,
            # What PVE takes for granted differs between its releases.
            "unprivileged": flag(self.unprivileged is not False),
            "password": self.password,
            "ssh-public-keys": "\n".join(self.ssh_keys) or None,
        }

    def needs(self) -> Needs:
        """The storages, bridges and volumes that are named."""
        restore = self.source.restore if self.source else None
        storages = {point.storage for point in self.mount_points if point.storage}
        storages |= {restore.storage} if restore and restore.storage else set()
        image = self.source.image if self.source else None
        sources = {self.source.volid} if self.source and image is None else set()
        needs = needs_of_volumes(storages, "rootdir", sources, {item.bridge for item in self.networks if item.bridge})
        if image is None:
            return needs
        content = (image.storage, image.content)
        return replace(needs, storages=needs.storages | {content}, fetched=frozenset({image.volid}))

    def provided(self, applier: Applier, node: str, values: t.Mapping[str, str]) -> ContainerRequest:
        """Have the template of a new container on the node; raises a PveError, first for what only root may do."""
        state = GuestState(Guest(self.selector.vmid or 0, node, LXC, values.get("hostname", "")), values)
        check_root(applier.client.identity, config_changes(self, state, self.volume_changes(state)), self.unprivileged)
        for point in self.mount_points:
            if point.source is not None and ":" in point.source and not holds(values.get(point.slot), point.source):
                existing_size(applier, point.label, point.source, node)
        if values:
            check_bridges(applier.client, node, self.networks, values)
        if self.source is None or values:
            return self
        if self.source.image is None:
            existing_size(applier, "template", self.source.volid, node)
        else:
            fetch_image(applier, self.source.image, node)
        return self


def container_spec() -> dict[str, t.Any]:
    """The argument spec of everything that can be said of a container."""
    spec = guest_request_spec()
    # PVE copies the volumes of containers as they are (PVE::API2::LXC, clone_vm).
    clone = {name: row for name, row in spec["clone"]["options"].items() if name != "format"}
    return {
        **spec,
        "clone": suboptions(clone),
        **SOURCE_SPEC,
        **{row.option: dict(row.spec) for row in SETTINGS},
        "unprivileged": {"type": "bool"},
        "password": {"type": "str", "no_log": True},
        "ssh_keys": {"type": "list", "elements": "str", "no_log": False, "aliases": ["pubkey"]},
        "env": {"type": "dict"},
        "rootfs": suboptions(ROOTFS_SPEC),
        "mount_points": suboptions(MOUNT_POINT_SPEC, many=True),
        "networks": suboptions(NETWORK_SPEC, many=True),
        "devices": suboptions(DEVICE_SPEC, many=True),
    }


def container_request(parameters: t.Mapping[str, t.Any]) -> ContainerRequest:
    """Check the options of a container; raises InvalidRequest, naming the option, before anything is sent."""
    source = desired_source(parameters)
    _check_creation(parameters)
    keys = parameters.get("ssh_keys") or ()
    check_keys("ssh_keys", keys)
    request = ContainerRequest(
        **shared_options(CONTAINER, parameters),
        settings=desired_settings(CONTAINER, SETTINGS, parameters, *environment(parameters.get("env"))),
        networks=desired_networks(parameters.get("networks")),
        devices=desired_devices(parameters.get("devices")),
        mount_points=desired_mount_points(parameters.get("rootfs"), parameters.get("mount_points")),
        source=source,
        unprivileged=parameters.get("unprivileged"),
        password=parameters.get("password"),
        ssh_keys=tuple(line for text in keys for _number, line in key_lines(text)),
    )
    check_remove(request)
    return request


def _check_creation(parameters: t.Mapping[str, t.Any]) -> None:
    """Raise InvalidRequest for what PVE takes only with a template, or not at all."""
    password = parameters.get("password")
    if password is not None and len(password) < _SHORTEST_PASSWORD:
        raise InvalidRequest(f"password must have {_SHORTEST_PASSWORD} characters or more")
    for option in ("password", "ssh_keys"):
        if parameters.get(option) and (parameters.get("clone") or parameters.get("restore")):
            raise InvalidRequest(f"{option} is set only in a container that is made of a template")
