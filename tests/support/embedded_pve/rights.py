# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which privilege each setting of a VM needs, and on which path.

Sources: PVE::API2::Qemu check_vm_modify_config_perm, check_vm_create_*_perm and check_storage_access_clone,
PVE::QemuServer check_bridge_access and check_mapping_access, PVE::GuestHelpers assert_tag_permissions;
10-auth-tokens.json.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from fakepve.lxc import split_props
from fakepve.model import PveError
from fakepve.qemu import DRIVE_KEY, is_cdrom, split_drive

from .base import EmbeddedBase, parameter_error
from .volumes import is_cloudinit

ROOT = "root@pam"
# The special cases of check_vm_modify_config_perm: their values decide, so they are looked at one by one.
BY_VALUE = re.compile(r"(unused|serial|usb|hostpci|virtiofs)\d+|tags|cdrom")
NEEDED: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"cores|cpu|cpulimit|cpuunits|numa|smp|sockets|vcpus|numa\d+", ("VM.Config.CPU",)),
    (r"memory|balloon|shares|allow-ksm", ("VM.Config.Memory",)),
    (r"acpi|hotplug|kvm|machine|scsihw|smbios1|tablet|vga|watchdog|audio0|rng0", ("VM.Config.HWType",)),
    (r"agent|autostart|bios|description|keyboard|localtime|name|onboot|ostype", ("VM.Config.Options",)),
    (r"migrate_downtime|migrate_speed|protection|reboot|startdate|startup|tdf|template", ("VM.Config.Options",)),
    (r"freeze", ("VM.PowerMgmt",)),
    (r"boot|bootdisk|vmstatestorage", ("VM.Config.Disk",)),
    (r"net\d+", ("VM.Config.Network",)),
)
CLOUD_INIT = re.compile(r"cicustom|cipassword|citype|ciuser|ciupgrade|nameserver|searchdomain|sshkeys|ipconfig\d+")


def by_value(key: str) -> bool:
    return bool(DRIVE_KEY.match(key) or BY_VALUE.fullmatch(key))


class Rights(EmbeddedBase):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # `user-tag-access` and `registered-tags` of the datacenter's options.
        self.user_allow = "free"
        self.user_allow_list: set[str] = set()
        self.registered_tags: set[str] = set()

    def check_vm_perm(
        self, user: str, vmid: int, pool: str | None, privileges: Iterable[str], any_of: bool = False
    ) -> None:
        """Those that hold in the pool that the VM is to be made in will do as well; refusals name the VM."""
        wanted = list(privileges)
        if pool and (any if any_of else all)(self.allowed(user, f"/pool/{pool}", name) for name in wanted):
            return
        path = f"/vms/{vmid}"
        if any_of:
            if not any(self.allowed(user, path, name) for name in wanted):
                raise PveError(403, f"Permission check failed ({path}, {'|'.join(wanted)})")
            return
        for name in wanted:
            self.require(user, path, name)

    def check_settings(self, user: str, vmid: int, pool: str | None, keys: Iterable[str]) -> None:
        """check_vm_modify_config_perm: what the name alone decides."""
        if user == ROOT:
            return
        for key in keys:
            if by_value(key):
                continue
            if CLOUD_INIT.fullmatch(key):
                self.check_vm_perm(user, vmid, pool, ("VM.Config.Cloudinit", "VM.Config.Network"), any_of=True)
                continue
            needed = next((names for pattern, names in NEEDED if re.fullmatch(pattern, key)), None)
            if needed is None:
                raise PveError(500, f"only root can set '{key}' config")
            self.check_vm_perm(user, vmid, pool, needed)
            if key == "startup":
                self.require(user, "/", "Sys.Modify")

    def check_devices(self, user: str, vmid: int, pool: str | None, options: Mapping[str, Any], verb: str) -> None:
        """What the value decides: of serial ports, devices of the node, directories, random numbers and bridges."""
        if user == ROOT:
            return
        for key, value in options.items():
            if re.fullmatch(r"serial\d+", key):
                if str(value) != "socket":
                    raise PveError(500, f"only root can {verb} '{key}' config for real devices")
                self.check_vm_perm(user, vmid, pool, ("VM.Config.HWType",))
            elif re.fullmatch(r"usb\d+|hostpci\d+|rng\d+|virtiofs\d+", key):
                self.check_vm_perm(user, vmid, pool, ["VM.Config." + ("Disk" if "virtiofs" in key else "HWType")])
                self._check_mapping(user, key, str(value))
                if "romfile=" in str(value):
                    raise parameter_error(**{key: "only root@pam can set 'romfile' option"})
        self.check_bridges(user, options)

    def check_mappings(self, user: str, config: Mapping[str, Any]) -> None:
        """check_mapping_access, of the guest that is cloned."""
        if user != ROOT:
            for key, value in config.items():
                self._check_mapping(user, key, str(value))

    def _check_mapping(self, user: str, key: str, value: str) -> None:
        kind = re.sub(r"\d+$", "", key)
        first, found = split_props(value)
        if kind in ("usb", "hostpci"):
            host = found.get("host") or first
            if kind == "usb" and str(host).lower() == "spice":
                return
            if host:
                real = "real" if kind == "usb" else "non-mapped"
                raise PveError(500, f"only root can set '{key}' config for {real} devices")
            if not found.get("mapping"):
                raise PveError(500, "either 'host' or 'mapping' must be set.")
            self.require(user, f"/mapping/{kind.replace('host', '')}/{found['mapping']}", "Mapping.Use")
        elif kind == "rng" and "/dev/hwrng" in (first, found.get("source")):
            self.require(user, "/mapping/hwrng", "Mapping.Use")
        elif kind == "virtiofs":
            self.require(user, f"/mapping/dir/{found.get('dirid') or first}", "Mapping.Use")

    def check_bridges(self, user: str, config: Mapping[str, Any]) -> None:
        """check_bridge_access: of a VLAN, the VLAN's right or the bridge's."""
        if user == ROOT:
            return
        for key in sorted(config):
            found = split_props(str(config[key]))[1] if re.fullmatch(r"net\d+", key) else {}
            if not found.get("bridge"):
                continue
            path = f"/sdn/zones/localnetwork/{found['bridge']}"
            vlans = [tag for tag in [found.get("tag"), *str(found.get("trunks") or "").split(";")] if tag]
            for place in [f"{path}/{vlan}" for vlan in vlans] or [path]:
                self.require(user, place, "SDN.Use")

    def check_drive_change(self, user: str, vmid: int, value: str) -> None:
        """check_drive_perms: of the drive that there is, and of the one that is to be. A new guest's need none."""
        volume, props = split_drive(value)
        if is_cloudinit(volume):
            self.check_vm_perm(user, vmid, None, ("VM.Config.Cloudinit", "VM.Config.CDROM"))
        elif is_cdrom(volume, props):
            self.check_vm_perm(user, vmid, None, ("VM.Config.CDROM",))
        else:
            self.check_vm_perm(user, vmid, None, ("VM.Config.Disk",))

    def check_tags(self, user: str, vmid: int, old: str, new: str) -> None:
        """assert_tag_permissions: which tags may be put on a guest, or taken from it."""
        self.check_vm_perm(user, vmid, None, ("VM.Config.Options",))
        if self.allowed(user, "/", "Sys.Modify"):
            return
        allowed = self.allowed_tags(user)
        for tag in sorted(set(re.split(r"[;, ]+", old)) ^ set(re.split(r"[;, ]+", new))):
            if tag and (tag in self.registered_tags or (self.user_allow != "free" and tag not in allowed)):
                raise PveError(403, f"Permission check failed (/, Sys.Modify for modifying tag '{tag}')")

    def allowed_tags(self, user: str) -> set[str]:
        """get_allowed_tags: the list's, and those of the guests that the user sees, without registered ones."""
        privileged = self.allowed(user, "/", "Sys.Modify")
        tags = set(self.user_allow_list) if self.user_allow != "none" or privileged else set()
        if self.user_allow in ("free", "existing") or privileged:
            seen = [guest for guest in [*self.vms, *self.cts] if self.allowed(user, f"/vms/{guest.vmid}", "VM.Audit")]
            found = (re.split(r"[;, ]+", str(guest.config.get("tags") or "")) for guest in seen)
            tags |= {tag for names in found for tag in names if tag}
        return tags | self.registered_tags if privileged else tags - self.registered_tags

    def _routes_embedded_rights(self) -> list[tuple[str, str, Any]]:
        return [("GET", "/cluster/options", self._datacenter_options)]

    async def _datacenter_options(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        """Everybody is told allowed-tags and tag-style; the rest with Sys.Audit (01-basics.json)."""
        options: dict[str, Any] = {}
        if self.allowed(user, "/", "Sys.Audit"):
            options = {"description": "", "mac_prefix": "BC:24:11"}
            access = {"user-allow": self.user_allow, "user-allow-list": sorted(self.user_allow_list)}
            if self.user_allow != "free" or self.user_allow_list:
                options["user-tag-access"] = {name: value for name, value in access.items() if value}
            if self.registered_tags:
                options["registered-tags"] = sorted(self.registered_tags)
        if self.tag_style:
            options["tag-style"] = split_props(self.tag_style)[1]
        return {**options, "allowed-tags": sorted(self.allowed_tags(user))}
