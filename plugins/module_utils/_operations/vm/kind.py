# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Virtual machines as a kind of guest."""

from __future__ import annotations

import re
import uuid

from ..._pve.guests import QEMU
from ..._pve.vm_config import DRIVE_KEY, NIC_KEY, SMBIOS, value_type_of
from ..guest.kind import GuestKind

VM = GuestKind(
    path=QEMU,
    task_prefix="qm",
    value_type_of=value_type_of,
    # PVE's own (PVE::API2::Qemu, clone_vm), as is what a clone does not have.
    clone_name="Copy-of-VM-{}",
    volumes_option="disks",
    move=("move_disk", "disk", "qmmove"),
    mark=("smbios1", lambda: f"uuid={uuid.uuid4()}"),
    identity=("smbios1", "vmgenid", "meta"),
    not_cloned=frozenset({"template", "lock", "parent", "protection", "vmgenid", "meta"}),
    # Of what the firmware says of the machine a clone has only another UUID.
    cloned={"smbios1": lambda text: SMBIOS.merge(text, {"uuid": None})},
    write_only=frozenset({"cipassword"}),
    writes_in_tasks=True,
    deletes_volumes=True,
    # Memory and processors are taken out of a running guest one by one, which takes 3 s each and more.
    unplugged_by={"memory": "memory", "vcpus": "cpu"},
    # Not settings, but orders to the API call itself or to its bookkeeping.
    reserved_keys=frozenset(
        "archive background_delay delete digest force import-working-storage live-restore lock node pool revert "
        "skiplock start storage template unique vmid".split()
    ),
    # What they change is not what they are called (PVE::API2::Qemu, PVE::QemuServer).
    unwritable=(
        (re.compile("cdrom"), "is PVE's other name of the drive ide2: use disks"),
        (re.compile("smp"), "is PVE's old name of sockets: use sockets and cores"),
    ),
    elsewhere=(
        (
            re.compile(rf"{DRIVE_KEY.pattern}|unused\d+"),
            "is a disk: use disks, efi_disk or tpm, which never lose one",
        ),
        (NIC_KEY, "is a network device: use networks, which keeps its address"),
        (re.compile("name|tags|cipassword|sshkeys"), "has an option of its own"),
    ),
)
