# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A virtual machine's configuration as PVE would change it: enough to apply a plan and to plan again."""

from __future__ import annotations

import itertools
import math
import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.vm.vm_request import vm_spec
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.sizes import format_size
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.vm_config import DRIVE, DRIVE_KEY, NIC, NIC_KEY

_ALLOCATION = re.compile(r"([^:]+):(\d+(?:\.\d+)?)")
IMPORTED_SIZE = "2G"


def complete(spec: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as AnsibleModule hands them over: every option there, with its default."""
    unknown = set(given) - set(spec)
    if unknown:
        raise KeyError(f"no such options: {sorted(unknown)}")
    return {name: _complete_value(row, given.get(name)) for name, row in spec.items()}


def _complete_value(row: Mapping[str, Any], value: Any) -> Any:
    if value is None:
        return row.get("default")
    if "options" not in row:
        return value
    if row["type"] == "list":
        return [complete(row["options"], item) for item in value]
    return complete(row["options"], value)


def vm_parameters(**given: Any) -> dict[str, Any]:
    """The parameters of pve_vm, completed."""
    return complete({"vmid": {}, "name": {}, **vm_spec()}, given)


class VmModel:
    """One configuration, and what PVE makes of the commands that change it."""

    def __init__(self, values: Mapping[str, str] | None = None, vmid: int = 100) -> None:
        self.values = dict(values or {})
        self.vmid = vmid
        self.pool = ""
        self._numbers = self._free_numbers()

    def _free_numbers(self) -> Iterator[int]:
        for number in itertools.count():
            if not any(f"-disk-{number}," in f"{text}," for text in self.values.values()):
                yield number

    @property
    def volumes(self) -> set[str]:
        """The files of all disks, used and unused; CD-ROM drives hold none of their own."""
        drives = [DRIVE.parse(text) for key, text in self.values.items() if DRIVE_KEY.fullmatch(key)]
        unused = {text for key, text in self.values.items() if key.startswith("unused")}
        return unused | {drive["file"] for drive in drives if drive.get("media") != "cdrom"}

    def run(self, method: str, tail: tuple[str | int, ...], form: Mapping[str, Any]) -> None:
        """Carry one command out."""
        what = tail[0] if tail == ("pools",) else tail[2]
        handlers = {
            "config": self._configure,
            "move_disk": self._move,
            "resize": self._resize,
            "template": self._template,
            "pools": self._pools,
        }
        handlers[str(what)]({key: value for key, value in form.items() if value is not None})

    def _configure(self, form: dict[str, Any]) -> None:
        form.pop("digest", None)
        force = bool(form.pop("force", None))
        deleted = [key for key in str(form.pop("delete", "")).split(",") if key]
        if not form and not deleted:
            raise AssertionError("500 no options specified")
        if set(form) & set(deleted):
            raise AssertionError("400 you can't set and delete at the same time")
        for key in deleted:
            text = self.values.pop(key)
            if DRIVE_KEY.fullmatch(key) and not force and DRIVE.parse(text).get("media") != "cdrom":
                self._keep_unused(DRIVE.parse(text)["file"])
        for key, value in form.items():
            self.values[key] = self._stored(key, str(value))

    def _keep_unused(self, volume: str) -> None:
        free = next(number for number in itertools.count() if f"unused{number}" not in self.values)
        self.values[f"unused{free}"] = volume

    def _stored(self, key: str, text: str) -> str:
        if DRIVE_KEY.fullmatch(key):
            return self._stored_drive(key, text)
        if NIC_KEY.fullmatch(key):
            nic = NIC.parse(text)
            nic.setdefault("macaddr", f"BC:24:11:{next(self._numbers) % 256:02X}:00:01")
            return NIC.write(nic)
        if key == "tags":
            return ";".join(sorted({tag.lower() for tag in text.split(";") if tag}))
        if key == "vmgenid" and text == "1":
            return str(uuid.uuid4())
        return "**********" if key == "cipassword" else text.strip()

    def _stored_drive(self, key: str, text: str) -> str:
        drive = DRIVE.parse(text)
        allocation = _ALLOCATION.fullmatch(drive["file"])
        image_format = drive.pop("format", None)
        if drive["file"].endswith(":cloudinit"):
            storage = drive["file"].partition(":")[0]
            return f"{storage}:vm-{self.vmid}-cloudinit,media=cdrom"
        if allocation is None:
            return text
        suffix = f".{image_format}" if image_format else ""
        imported = drive.pop("import-from", None)
        size = format_size(math.ceil(float(allocation[2]) * 2**20) * 1024) if not imported else IMPORTED_SIZE
        drive.update(file=f"{allocation[1]}:vm-{self.vmid}-disk-{next(self._numbers)}{suffix}", size=size)
        if key in ("efidisk0", "tpmstate0"):
            drive["size"] = "528K" if key == "efidisk0" else "4M"
        if drive.get("pre-enrolled-keys") == "1":
            drive["ms-cert"] = "2023k"
        return DRIVE.write(drive)

    def _move(self, form: dict[str, Any]) -> None:
        drive = DRIVE.parse(self.values[form["disk"]])
        suffix = f".{form['format']}" if "format" in form else ""
        drive["file"] = f"{form['storage']}:vm-{self.vmid}-disk-{next(self._numbers)}{suffix}"
        self.values[form["disk"]] = DRIVE.write(drive)

    def _resize(self, form: dict[str, Any]) -> None:
        self.values[form["disk"]] = DRIVE.merge(self.values[form["disk"]], {"size": form["size"]})

    def _template(self, _form: dict[str, Any]) -> None:
        self.values["template"] = "1"

    def _pools(self, form: dict[str, Any]) -> None:
        self.pool = "" if form.get("delete") else form["poolid"]
