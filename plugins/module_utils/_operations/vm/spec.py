# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a virtual machine, gathered from the tables of the topics."""

from __future__ import annotations

import typing as t

from .cloud_init import CLOUD_INIT_SPEC
from .devices import EFI_DISK_SPEC, PCI_SPEC, TPM_SPEC, USB_SPEC
from .disks import DISK_SPEC
from .networks import NETWORK_SPEC
from .request import CLONE_SPEC, STATES
from .settings import SETTINGS


def vm_spec() -> dict[str, t.Any]:
    """The argument spec of everything that can be said of a virtual machine."""
    return {
        **{row.option: dict(row.spec) for row in SETTINGS},
        "state": {"type": "str", "choices": list(STATES), "default": "present"},
        "rename": {"type": "bool", "default": False},
        "node": {"type": "str"},
        "clone": _suboptions(CLONE_SPEC),
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
