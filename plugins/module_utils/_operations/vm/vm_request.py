# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a virtual machine, and what a request of them desires, checked once."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from ..._pve.errors import InvalidRequest
from ..._pve.guests import GuestHandle
from ..facts import Pending
from ..guest.config_changes import ConfigChanges
from ..guest.guest_request import GuestRequest, check_remove, guest_request_spec, shared_options, suboptions
from ..guest.placement import Needs, needs_of_volumes
from ..guest.settings import desired_settings
from ..guest.state import GuestState
from ..guest.volumes import VolumeChanges, VolumeProgress
from ..plan import Applier, Change, Plan
from .cloud_init import CLOUD_INIT_SPEC, DesiredCloudInit, add_cloud_init, desired_cloud_init
from .cloud_init_drive import not_read, plan_drive
from .devices import (
    EFI_DISK_SPEC,
    PCI_SPEC,
    TPM_SPEC,
    USB_SPEC,
    DesiredStateDisk,
    desired_devices,
    desired_state_disks,
)
from .disk_plan import disk_changes, restore_boot_order
from .disks import DISK_SPEC, DesiredDisk, desired_disks
from .images import with_sources
from .kind import VM
from .networks import NETWORK_SPEC, DesiredVmNetwork, desired_networks
from .settings import SETTINGS, serial_settings


@dataclass(frozen=True)
class VmRequest(GuestRequest):
    """A virtual machine as desired; what it does not say stays as it is."""

    kind = VM

    networks: tuple[DesiredVmNetwork, ...] = ()
    disks: tuple[DesiredDisk, ...] = ()
    state_disks: tuple[DesiredStateDisk, ...] = ()
    cloud_init: DesiredCloudInit | None = None

    def volume_changes(self, state: GuestState, progress: VolumeProgress | None = None) -> VolumeChanges:
        """Compare disks, CD-ROM drives, EFI disk and TPM; raises InvalidRequest."""
        return disk_changes(self.disks, self.state_disks, state, progress)

    def complete(self, changes: ConfigChanges) -> None:
        """Add cloud-init, and the boot order that a drive which stays belongs to; raises InvalidRequest."""
        if self.cloud_init is not None:
            add_cloud_init(changes, self.cloud_init)
        restore_boot_order(changes)

    def needs(self) -> Needs:
        """The storages, bridges and volumes that are named."""
        named = [disk.storage for disk in self.disks] + [disk.storage for disk in self.state_disks]
        named.append(self.cloud_init.storage if self.cloud_init else None)
        storages = {storage for storage in named if storage}
        images = {disk.image for disk in self.disks if disk.image}
        sources = {source for disk in self.disks for source in (disk.volume, disk.import_from, disk.iso) if source}
        fetched = frozenset(image.volid for image in images)
        sources -= fetched
        bridges = {network.bridge for network in self.networks if network.bridge}
        needs = needs_of_volumes(storages, "images", sources, bridges)
        content = {(image.storage, image.content) for image in images}
        return replace(needs, storages=needs.storages | content, fetched=fetched)

    def keys(self) -> set[str]:
        """The keys that the request sets, but for disks."""
        return super().keys() | ({setting.key for setting in self.cloud_init.settings} if self.cloud_init else set())

    def provided(self, applier: Applier, node: str, values: t.Mapping[str, str]) -> VmRequest:
        """Have on the node what its new disks are made from, and know the sizes of that; raises a PveError."""
        return replace(self, disks=with_sources(applier, self.disks, node, values))

    def check_clone(self, source: t.Mapping[str, str]) -> None:
        """Raise InvalidRequest when a disk of its own is to be made where the clone has one from its source."""
        for disk in self.disks:
            if disk.import_from is not None and disk.slot in source:
                option = "image" if disk.image else "import_from"
                raise InvalidRequest(
                    f"disks: {disk.slot}: the clone has a disk there from its source, which {option} cannot fill: "
                    f"leave {option} out, or give a slot that is free"
                )

    def not_read(self, handle: GuestHandle, state: GuestState, changes: t.Sequence[Change]) -> tuple[Pending, ...]:
        """The cloud-init settings that the guest's drive does not have."""
        regenerate, looks = self._regenerate, self.apply_pending != "never"
        return not_read(handle, state, changes, looks=looks or regenerate != "on_change")

    def plan_not_read(self, state: GuestState) -> Plan:
        """Make the cloud-init drive anew."""
        return plan_drive(state) if self._regenerate != "never" else Plan()

    @property
    def _regenerate(self) -> str:
        return self.cloud_init.regenerate if self.cloud_init is not None else "on_change"


def vm_spec() -> dict[str, t.Any]:
    """The argument spec of everything that can be said of a virtual machine."""
    return {
        **guest_request_spec(),
        **{row.option: dict(row.spec) for row in SETTINGS},
        "serial_ports": {"type": "dict", "aliases": ["serial"]},
        "disks": suboptions(DISK_SPEC, many=True),
        "networks": suboptions(NETWORK_SPEC, many=True),
        "efi_disk": {**suboptions(EFI_DISK_SPEC), "aliases": ["efidisk0"]},
        "tpm": {**suboptions(TPM_SPEC), "aliases": ["tpmstate0"]},
        "cloud_init": suboptions(CLOUD_INIT_SPEC),
        "usb": suboptions(USB_SPEC, many=True),
        "hostpci": suboptions(PCI_SPEC, many=True),
    }


def vm_request(parameters: t.Mapping[str, t.Any]) -> VmRequest:
    """Check the options of a virtual machine; raises InvalidRequest, naming the option, before anything is sent."""
    ports = serial_settings(parameters.get("serial_ports") or {})
    request = VmRequest(
        **shared_options(VM, parameters),
        settings=desired_settings(VM, SETTINGS, parameters, *ports),
        networks=desired_networks(parameters.get("networks")),
        disks=desired_disks(parameters.get("disks")),
        state_disks=desired_state_disks(parameters),
        devices=desired_devices(parameters),
        cloud_init=desired_cloud_init(parameters.get("cloud_init")),
    )
    check_remove(request)
    for state_disk in request.state_disks:
        if any(disk.slot == state_disk.key for disk in request.disks):
            raise InvalidRequest(f"disks: {state_disk.key} is taken away, and {state_disk.option} wants it: give one")
    return request
