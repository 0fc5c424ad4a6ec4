# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""CloudStack's offering and the details of the hardware, as vm_request takes them."""

from __future__ import annotations

import typing as t

from .._operations.vm.settings import OS_TYPES
from .._pve.errors import InvalidRequest
from .._pve.vm_config import NIC
from .details import Details
from .payload import Instance

MEBIBYTE = 1024 * 1024


def offering_options(instance: Instance, details: Details) -> dict[str, t.Any]:
    """The CPUs and the memory of the offering, exactly; raises InvalidRequest when the payload lacks them."""
    if not instance.cpus or instance.cpus < 0:
        raise InvalidRequest("cloudstack.vm.details.cpus is missing: the instance needs CPUs")
    if not instance.max_memory or instance.max_memory < 0:
        raise InvalidRequest("cloudstack.vm.details.maxRam is missing: the instance needs memory")
    memory = -(-instance.max_memory // MEBIBYTE)
    floor = min(memory, -(-(instance.min_memory or instance.max_memory) // MEBIBYTE))
    return {
        "cores": instance.cpus,
        "sockets": 1,
        "memory": memory,
        "balloon": floor if details.flag("balloon") else 0,
        "config": {"cpulimit": _cpu_limit(instance, details)},
        "remove": ["vcpus"],
    }


def _cpu_limit(instance: Instance, details: Details) -> float:
    """The most that the guest may use, in cores; 0 is no limit. CloudStack says it in MHz for each CPU."""
    cpus, host_speed = instance.cpus or 0, details.number("cpu_mhz")
    if not instance.limit_cpu:
        return 0
    if not host_speed or instance.max_speed <= 0:
        return cpus
    return max(0.01, round(min(cpus, cpus * instance.max_speed / host_speed), 2))


def hardware_options(instance: Instance, details: Details) -> dict[str, t.Any]:
    """What the details say of the hardware, for a guest that is made; raises InvalidRequest."""
    options: dict[str, t.Any] = {
        "cpu": details.text("cpu_type"),
        "machine": details.text("machine"),
        "ostype": details.text("os_type"),
        "agent": details.flag("agent"),
        "onboot": details.flag("onboot"),
        "protection": details.flag("protection"),
    }
    if is_uefi(instance):
        options["bios"] = "ovmf"
    if details.required("nic_model") not in NIC.models:
        raise InvalidRequest(f"nic_model: {details.text('nic_model')!r} is no model of a network card that PVE knows")
    check_os_type("os_type", options["ostype"])
    return {name: value for name, value in options.items() if value is not None}


def check_os_type(detail: str, value: str | None) -> None:
    """Raise InvalidRequest unless PVE knows the type of operating system."""
    if value is not None and value not in OS_TYPES:
        raise InvalidRequest(f"{detail} must be one of {', '.join(OS_TYPES)}, not {value!r}")


def is_uefi(instance: Instance) -> bool:
    """CloudStack asks for UEFI firmware."""
    return instance.boot_type == "UEFI"


def firmware_disks(
    instance: Instance, details: Details, there: t.Mapping[str, str], storage: str | None
) -> dict[str, t.Any]:
    """The EFI disk and the TPM that are not there yet; raises InvalidRequest when they cannot be as asked."""
    options: dict[str, t.Any] = {}
    place = details.text("efi_storage") or storage
    secure = instance.boot_mode == "SECURE"
    if is_uefi(instance) and "efidisk0" not in there:
        options["efi_disk"] = {"storage": place, "type": "4m", "pre_enrolled_keys": secure}
    elif is_uefi(instance) and secure and "pre-enrolled-keys=1" not in there["efidisk0"]:
        raise InvalidRequest("the template's EFI disk has no enrolled keys, so the instance cannot boot in SECURE mode")
    if details.text("tpm") and "tpmstate0" not in there:
        options["tpm"] = {"storage": place, "version": details.text("tpm")}
    if options and place is None:
        raise InvalidRequest(
            "UEFI or a TPM needs a storage for its state: set efi_storage on the host or the extension"
        )
    return options
