# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a guest needs of a node, and which clones local disks forbid."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.guest.placement import (
    Node,
    check_clone_target,
    parse_nodes,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.vm.vm_request import vm_request
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest
from tests.support.vm_model import vm_parameters

NODES = [
    Node("pve1", 1, frozenset({("local", "iso"), ("shared", "images")}), frozenset({"shared"})),
    Node("pve2", 1, frozenset({("local", "iso"), ("shared", "images"), ("fast", "images")}), frozenset({"shared"})),
]


@pytest.mark.parametrize(
    ("options", "storages", "volumes"),
    [
        ({"disks": [{"slot": "scsi0", "storage": "fast", "size": "1G"}]}, {("fast", "images")}, set()),
        ({"disks": [{"slot": "ide2", "iso": "local:iso/a.iso"}]}, {("local", "iso")}, {"local:iso/a.iso"}),
        ({"disks": [{"slot": "ide2", "iso": "none"}]}, set(), set()),
        (
            {"disks": [{"slot": "scsi0", "storage": "fast", "import_from": "local:import/a.ova/disk.vmdk"}]},
            {("fast", "images"), ("local", "import")},
            {"local:import/a.ova/disk.vmdk"},
        ),
        (
            {"disks": [{"slot": "scsi0", "storage": "fast", "import_from": "esxi:ha-datacenter/ds/vm/vm.vmdk"}]},
            {("fast", "images")},
            {"esxi:ha-datacenter/ds/vm/vm.vmdk"},
        ),
        ({"disks": [{"slot": "scsi0", "volume": "fast:vm-1-disk-0"}]}, set(), {"fast:vm-1-disk-0"}),
        ({"cloud_init": {"storage": "fast"}}, {("fast", "images")}, set()),
    ],
)
def test_needs(options: dict[str, Any], storages: set[tuple[str, str]], volumes: set[str]) -> None:
    needs = vm_request(vm_parameters(vmid=100, **options)).needs()
    assert (needs.storages, needs.volumes) == (storages, volumes)


@pytest.mark.parametrize(
    ("values", "storage", "words"),
    [
        ({"scsi0": "fast:vm-1-disk-0,size=1G"}, None, "scsi0 on fast"),
        ({"scsi0": "shared:1/vm-1-disk-0.qcow2", "ide2": "local:iso/a.iso,media=cdrom"}, None, "ide2 on local"),
        ({"scsi0": "shared:1/vm-1-disk-0.qcow2", "efidisk0": "fast:vm-1-disk-1"}, None, "efidisk0 on fast"),
        ({"scsi0": "shared:1/vm-1-disk-0.qcow2"}, "fast", "storage fast is not shared"),
    ],
)
def test_a_clone_that_local_disks_forbid(values: dict[str, str], storage: str | None, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        check_clone_target("guest 1", values, storage, "pve2", NODES)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"scsi0": "shared:1/vm-1-disk-0.qcow2", "ide2": "none,media=cdrom"},
        {"ide2": "cdrom,media=cdrom", "unused0": "fast:vm-1-disk-2"},
        {"scsi0": "hidden:vm-1-disk-0"},
    ],
)
def test_a_clone_that_nothing_forbids(values: dict[str, str]) -> None:
    check_clone_target("guest 1", values, "shared", "pve2", NODES)


def test_nodes_know_which_of_their_storages_are_shared() -> None:
    resources = [
        {"type": "node", "node": "pve1", "status": "online", "maxmem": 8, "mem": 2},
        {"type": "node", "node": "pve2", "status": "offline"},
        {"type": "storage", "node": "pve1", "storage": "local", "content": "iso,images", "shared": 0},
        {"type": "storage", "node": "pve1", "storage": "nfs", "content": "iso", "shared": 1},
        {"type": "storage", "node": "pve2", "storage": "lvm", "content": "images", "shared": 0},
    ]
    assert parse_nodes(resources) == [
        Node("pve1", 6, frozenset({("local", "iso"), ("local", "images"), ("nfs", "iso")}), frozenset({"nfs"}))
    ]
