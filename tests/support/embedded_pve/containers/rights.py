# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may be set on a container by whom (PVE::LXC check_ct_modify_config_perm; 95-containers.json).

A token of root@pam is not root@pam: features, bind mounts, devices and hook scripts are refused to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from fakepve.model import PveError
from fakepve.qemu import volume_ref

from ..rights import ROOT
from .pending import ContainerPending
from .values import DEVICE_KEY, MOUNT_KEY, NET_KEY, NEW_VOLUME, mount_type, parse_mount, parse_properties

CPU = re.compile("cores|cpuunits|cpulimit")
MEMORY = re.compile("memory|swap")
NETWORK = re.compile(r"net\d+|nameserver|searchdomain|hostname")
READ_RESTRICTED = {"env": "VM.Console"}


def refused(why: str) -> PveError:
    return PveError(403, f"Permission check failed ({why})")


class ContainerRights(ContainerPending):
    def check_container_change(
        self,
        user: str,
        vmid: int,
        pool: str | None,
        old: Mapping[str, Any] | None,
        new: Mapping[str, Any],
        deletes: Iterable[str],
        unprivileged: Any,
    ) -> None:
        if user == ROOT:
            return
        for key, deleting in [*((key, False) for key in new), *((key, True) for key in deletes)]:
            self._check_key(user, vmid, pool, old, {} if deleting else new, key, unprivileged)

    def _check_key(
        self,
        user: str,
        vmid: int,
        pool: str | None,
        old: Mapping[str, Any] | None,
        new: Mapping[str, Any],
        key: str,
        unprivileged: Any,
    ) -> None:
        """`new` is empty where the key is deleted."""
        known = old or {}
        if DEVICE_KEY.fullmatch(key):
            raise refused("configuring device passthrough is only allowed for root@pam")
        if key == "hookscript":
            raise refused("changing the hookscript is only allowed for root@pam")
        if key == "features":
            self._check_features(user, vmid, pool, known.get(key), new.get(key), unprivileged)
        elif key == "tags":
            self.check_tags(user, vmid, str(known.get(key) or ""), str(new.get(key) or ""))
        elif MOUNT_KEY.fullmatch(key):
            self.check_vm_perm(user, vmid, pool, ("VM.Config.Disk",))
            if new:
                self._check_mount(user, vmid, parse_mount(new[key])["volume"])
        else:
            patterns = ((CPU, "CPU"), (MEMORY, "Memory"), (NETWORK, "Network"))
            area = next((area for pattern, area in patterns if pattern.fullmatch(key)), "Options")
            self.check_vm_perm(user, vmid, pool, (f"VM.Config.{area}",))
            if NET_KEY.fullmatch(key):
                for config in (known, new):
                    self.check_bridges(user, {key: config[key]} if config.get(key) else {})

    def _check_mount(self, user: str, vmid: int, volume: str) -> None:
        if mount_type(volume) != "volume":
            raise refused(f"mount point type {mount_type(volume)} is only allowed for root@pam")
        found = NEW_VOLUME.fullmatch(volume)
        if found:
            self.require(user, f"/storage/{found.group(1)}", "Datastore.AllocateSpace")
        else:
            self.check_volume_access(user, vmid, volume, "rootdir")

    def check_volume_access(self, user: str, vmid: int, volume: str, content: str) -> None:
        """PVE::Storage::check_volume_access."""
        storage, name = volume_ref(volume)
        if storage is None:
            if user != ROOT:
                text = "Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line 651."
                raise PveError(500, text)
            return
        kind, owner, _format = self._parse_volname(self._store(storage), name)
        if kind != content and not (content == "rootdir" and kind == "images"):
            raise PveError(500, f"unable to use volume {volume} - content type needs to be '{content}'")
        if owner != vmid or kind == "vztmpl":
            self._check_access(user, storage, kind, owner, volume)

    def _check_features(self, user: str, vmid: int, pool: str | None, old: Any, new: Any, unprivileged: Any) -> None:
        if not unprivileged:
            raise refused("changing feature flags for privileged container is only allowed for root@pam")
        before, after = parse_properties(old or ""), parse_properties(new or "")
        changed = {name for name in {*before, *after} if before.get(name, "") != after.get(name, "")}
        if changed - {"nesting"}:
            raise refused("changing feature flags (except nesting) is only allowed for root@pam")
        if changed:
            self.check_vm_perm(user, vmid, pool, ("VM.Allocate",))

    def readable(self, user: str, vmid: int, config: dict[str, Any]) -> dict[str, Any]:
        """delete_read_restricted_options."""
        hidden = {key for key, name in READ_RESTRICTED.items() if not self.allowed(user, f"/vms/{vmid}", name)}
        return {key: value for key, value in config.items() if key not in hidden}
