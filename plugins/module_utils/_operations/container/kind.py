# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers as a kind of guest."""

from __future__ import annotations

import re

from ..._pve.container_config import DEVICE_KEY, MOUNT_KEY, value_type_of
from ..._pve.guests import LXC
from ..._pve.vm_config import NIC_KEY
from ..guest.kind import GuestKind

CONTAINER = GuestKind(
    path=LXC,
    task_prefix="vz",
    value_type_of=value_type_of,
    # A clone is called as its source, unless it is given a name (PVE::API2::LXC, clone_vm).
    clone_name="{}",
    volumes_option="mount_points",
    move=("move_volume", "volume", "move_volume"),
    identity=("hostname", "net0"),
    not_cloned=frozenset({"template", "lock", "parent", "snaptime"}),
    # Without arch PVE calls each write of the configuration an error (PVE::LXC, update_lxc_config).
    required_keys=frozenset({"arch", "memory", "ostype", "rootfs", "unprivileged"}),
    deletes_pending=False,
    moves_running=False,
    names_template_task=False,
    # Not settings, but orders to the API call itself or to its bookkeeping.
    reserved_keys=frozenset(
        "bwlimit delete digest force ha-managed ignore-unpack-errors lock node ostemplate parent password pool restore "
        "revert snaptime ssh-public-keys start storage template unique vmid".split()
    ),
    unwritable=(
        (
            re.compile(r"lxc(\..*)?"),
            "cannot be set: PVE's API does not write lxc.* lines, only root can, in /etc/pve/lxc/VMID.conf on the node",
        ),
        (re.compile("name"), "is called hostname by PVE: use name"),
    ),
    elsewhere=(
        (
            re.compile(rf"{MOUNT_KEY.pattern}|unused\d+"),
            "is a volume: use rootfs and mount_points, which never lose one",
        ),
        (NIC_KEY, "is a network device: use networks, which keeps its address"),
        (DEVICE_KEY, "is a device of the node: use devices"),
        (re.compile("hostname|tags|unprivileged|env"), "has an option of its own"),
    ),
)
