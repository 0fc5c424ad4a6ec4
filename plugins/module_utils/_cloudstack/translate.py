# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A payload as requests to the operations: what CloudStack says, in the options of vm_request."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from .._operations.guest.creation import Source
from .._operations.guest.desired import DesiredSetting
from .._operations.guest.volumes import parse_drive
from .._operations.vm.disks import ONLY_ON
from .._operations.vm.settings import OS_TYPES
from .._operations.vm.vm_request import VmRequest, vm_request
from .._pve.errors import InvalidRequest
from .._pve.sizes import GIBIBYTE
from .._pve.ssh_keys import key_lines, key_problem
from .._pve.vm_config import DISK_BUSES, DRIVE_KEY, NIC
from .details import Details
from .guest_names import guest_name
from .networks import address_options, network_options
from .ownership import new_notes
from .payload import Instance
from .policy import check_source, disk_size_of, iso_of, storage_of
from .tags import wanted_tags

ISO = "iso"
DEFAULT_STORAGE = "local-lvm"
DEFAULT_DISK_GB = 64
DEFAULT_CPU = "x86-64-v2-AES"
INSTALL_CDROM = "ide2"
IOTHREAD_CONTROLLER = "virtio-scsi-single"
_DEFAULTS: dict[str, t.Any] = {
    "state": "present",
    "rename": False,
    "apply_pending": "never",
    "force": False,
    "purge": False,
    "destroy_unreferenced_disks": False,
    "shutdown_timeout": 180,
    "tags_mode": "add",
}
MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class DesiredVm:
    """The desired VM: its instance, number and node. deployment identifies the guest of this run in its notes."""

    instance: Instance
    details: Details
    vmid: int
    deployment: str
    node: str

    @property
    def name(self) -> str:
        return guest_name(self.instance, self.details)

    @property
    def notes(self) -> str:
        return new_notes(self.instance, self.deployment, self.details.text("cloud"))

    @property
    def unfinished_notes(self) -> str:
        """Those of a clone until it has been configured."""
        return new_notes(self.instance, self.deployment, self.details.text("cloud"), finished=False)


def request_of(options: t.Mapping[str, t.Any]) -> VmRequest:
    """The request of pve_vm; raises InvalidRequest."""
    return vm_request({**_DEFAULTS, **options})


def clone_request(desired: DesiredVm, source: Source) -> VmRequest:
    """The guest as a clone of this template; raises InvalidRequest before anything is created."""
    instance, details, template = desired.instance, desired.details, source.values
    check_source(details, source.handle.guest.vmid, template)
    storage = storage_of(details)
    boot_disk = find_boot_disk(template)
    home = parse_drive(template[boot_disk]).storage if boot_disk else None
    size = disk_size_of(details)
    disk: dict[str, t.Any] = {"slot": boot_disk, "state": "present"}
    if boot_disk:
        disk.update(disk_options(details, boot_disk, template.get("scsihw", "lsi")))
    if size is not None and boot_disk and size * GIBIBYTE > (parse_drive(template[boot_disk]).size or 0):
        disk["size"] = f"{size}G"
    full = _is_full(details, template, storage)
    options = {
        **_common_options(desired),
        **firmware_disks(instance, details, template, storage or home),
        "description": desired.notes,
        "clone": {
            "source": str(source.handle.guest.vmid),
            "full": full,
            "storage": storage if full else None,
            "format": details.text("disk_format") if full else None,
        },
        "disks": [disk] if boot_disk and len(disk) > 2 else [],
        "cloud_init": _cloud_init(desired, storage or home),
    }
    return _with_identity(request_of(options), desired)


def install_request(desired: DesiredVm) -> VmRequest:
    """The guest as a new one that boots from an ISO image; raises InvalidRequest."""
    instance, details = desired.instance, desired.details
    iso = iso_of(details)
    storage = storage_of(details) or DEFAULT_STORAGE
    check_os_type("iso_os_type", details.text("iso_os_type"))
    slot = f"{details.required('disk_bus')}0"
    disk: dict[str, t.Any] = {
        "slot": slot,
        "state": "present",
        "storage": storage,
        "size": f"{disk_size_of(details) or DEFAULT_DISK_GB}G",
        "format": details.text("disk_format"),
        **({"iothread": True} if _takes("iothread", slot) else {}),
        **disk_options(details, slot, IOTHREAD_CONTROLLER),
    }
    common = _common_options(desired)
    options = {
        "cpu": DEFAULT_CPU,
        "ostype": details.text("iso_os_type"),
        "scsihw": IOTHREAD_CONTROLLER,
        "numa": False,
        **common,
        **firmware_disks(instance, details, {}, storage),
        "description": desired.notes,
        # The empty disk does not boot, so the image boots the first time.
        "boot": [slot, INSTALL_CDROM, *(["net0"] if any(nic.device_id == 0 for nic in instance.nics) else [])],
        "disks": [disk, {"slot": INSTALL_CDROM, "state": "present", "iso": iso}],
    }
    return _with_identity(request_of(options), desired)


def start_request(instance: Instance, details: Details, vmid: int) -> VmRequest:
    """What is set at every start of a guest: its networks, and the CPUs and memory of its offering."""
    options: dict[str, t.Any] = {"vmid": vmid}
    if instance.nics:
        options["networks"] = network_options(instance.nics, details)
        options["cloud_init"] = address_options(instance.nics, details) or None
    if details.flag("reconcile_hardware") and instance.cpus and instance.max_memory:
        options.update(offering_options(instance, details))
    return request_of(options)


def _takes(option: str, slot: str) -> bool:
    """Whether PVE has this option for a disk in this slot."""
    return slot.rstrip("0123456789") in ONLY_ON.get(option, DISK_BUSES)


def disk_options(details: Details, slot: str, controller: str) -> dict[str, t.Any]:
    """The options of the boot disk; raises InvalidRequest if PVE does not support one."""
    options: dict[str, t.Any] = {
        "cache": details.text("disk_cache"),
        "discard": details.flag("disk_discard"),
        "ssd": details.flag("disk_ssd"),
        "iothread": details.flag("disk_iothread"),
    }
    for name in ("ssd", "iothread"):
        if not _takes(name, slot) and options.pop(name):
            buses = ", ".join(ONLY_ON[name])
            raise InvalidRequest(f"disk_{name}: PVE has that for disks on {buses} only, and not for {slot}")
    if options.get("iothread") and slot.startswith("scsi") and controller != IOTHREAD_CONTROLLER:
        # PVE would only warn, and run the disk without it (PVE::QemuServer, print_drivedevice_full).
        raise InvalidRequest(
            f"disk_iothread: {slot} of the template needs scsihw {IOTHREAD_CONTROLLER} for that, and has {controller}"
        )
    return {name: value for name, value in options.items() if value is not None}


def _common_options(desired: DesiredVm) -> dict[str, t.Any]:
    instance, details = desired.instance, desired.details
    offering = offering_options(instance, details)
    return {
        "vmid": desired.vmid,
        "name": desired.name,
        "node": desired.node,
        "pool": details.text("pool"),
        "tags": wanted_tags(details),
        "networks": network_options(instance.nics, details),
        **hardware_options(instance, details),
        **offering,
    }


def _with_identity(request: VmRequest, desired: DesiredVm) -> VmRequest:
    """Give the firmware the instance's UUID; its other values stay as in the template."""
    identity = DesiredSetting("smbios1", parts={"uuid": desired.instance.uuid})
    if request.clone is not None:
        request = replace(request, clone=replace(request.clone, description=desired.unfinished_notes))
    return replace(request, settings=(*request.settings, identity))


def _is_full(details: Details, template: t.Mapping[str, str], storage: str | None) -> bool:
    """Whether the clone is a full one: if configured, and if PVE cannot make a linked one."""
    if details.flag("is_full_clone") or template.get("template") != "1":
        return True
    drives = [parse_drive(text) for key, text in template.items() if DRIVE_KEY.fullmatch(key)]
    disks = [drive for drive in drives if not drive.is_cdrom and drive.storage]
    elsewhere = storage is not None and any(drive.storage != storage for drive in disks)
    # Only of a base volume PVE makes linked clones, and not every storage has them.
    return elsewhere or not all("base-" in drive.file for drive in disks)


def find_boot_disk(template: t.Mapping[str, str]) -> str | None:
    """The disk that the system is on: the first of the boot order, or of all."""
    disks = [
        f"{bus}{number}"
        for bus in ("scsi", "virtio", "sata", "ide")
        for number in range(DISK_BUSES[bus])
        if f"{bus}{number}" in template and not parse_drive(template[f"{bus}{number}"]).is_cdrom
    ]
    order = template.get("boot", "").replace("order=", "").replace(",", ";").split(";")
    return next((key for key in [*order, template.get("bootdisk", "")] if key in disks), disks[0] if disks else None)


def _ssh_keys(details: Details) -> list[str]:
    """The keys of a new instance. They are not checked again for an existing one."""
    keys = list(details.words("ci_ssh_keys"))
    for number, key in enumerate(keys, 1):
        for _line, text in key_lines(key):
            problem = key_problem(text)
            if problem is not None:
                raise InvalidRequest(f"ci_ssh_keys: key {number} {problem}")
    return keys


def _cloud_init(desired: DesiredVm, storage: str | None) -> dict[str, t.Any] | None:
    details = desired.details
    options: dict[str, t.Any] = {
        "user": details.text("ci_user"),
        "ssh_keys": _ssh_keys(details) or None,
        "search_domain": details.text("ci_search_domain"),
        "upgrade": details.flag("ci_upgrade"),
        **address_options(desired.instance.nics, details),
    }
    options = {name: value for name, value in options.items() if value is not None}
    return {**options, "storage": storage} if options else None


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
    """The CPU limit in cores; 0 is no limit. CloudStack has it in MHz for each CPU."""
    cpus, host_speed = instance.cpus or 0, details.number("cpu_mhz")
    if not instance.limit_cpu:
        return 0
    if not host_speed or instance.max_speed <= 0:
        return cpus
    return max(0.01, round(min(cpus, cpus * instance.max_speed / host_speed), 2))


def hardware_options(instance: Instance, details: Details) -> dict[str, t.Any]:
    """The hardware in the details, for a new guest; raises InvalidRequest."""
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
    """The EFI disk and the TPM that the template lacks; raises InvalidRequest if they are impossible."""
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
