# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a write of a container's configuration makes pending, and what a running container takes of it.

Sources: PVE::LXC::Config update_pct_config, vmconfig_hotplug_pending and vmconfig_apply_pending, PVE::LXC update_net;
95a-containers-config.json. A value and a deletion can wait side by side: then the value wins.

`ct.refuses_hotplug` has what a running container says to a key, as {"mp0": "failed to change apparmor profile"}.
"""

from __future__ import annotations

import copy
import re
import time
from dataclasses import dataclass, field
from typing import Any

from fakepve.lxc import format_size
from fakepve.model import PveError, TaskError
from fakepve.qemu import volume_ref
from fakepve.routing import split_list

from ..networks import Networks
from ..values import normal_tags
from .values import (
    DEVICE_KEY,
    MOUNT_KEY,
    MOUNT_POINT,
    NET_KEY,
    NEW_VOLUME,
    UNUSED_KEY,
    asked_bytes,
    given,
    mount_type,
    names_of,
    owner_of_volume,
    parse_mount,
    parse_net,
    print_mount,
    print_properties,
    stored,
)

# $LXC_FASTPLUG_OPTIONS, and what else a running container takes without a hotplug of its own.
AT_ONCE = re.compile("description|onboot|startup|protection|hostname|hookscript|cores|tags|lock")
DELETED_LIVE = re.compile(r"swap|cpulimit|cpuunits|net\d")
CHANGED_LIVE = re.compile("cpulimit|cpuunits|memory|swap")
MOST_UNUSED = 256
# The card is plugged anew when one of these differs, and its bridge is left and joined when one of those does.
NEW_CARD = ("hwaddr", "name")
NEW_PORT = ("bridge", "tag", "firewall", "link_down")


class NotLive(Exception):
    """The change waits for the next start."""


@dataclass
class Draft:
    """A configuration that is being changed; it is written only when nothing was refused."""

    config: dict[str, Any]
    pending: dict[str, Any]
    deletes: set[str]
    made: list[str] = field(default_factory=list)


def draft_of(ct: Any) -> Draft:
    return Draft(copy.deepcopy(ct.config), dict(ct.pending), set(deletes_of(ct)))


def deletes_of(ct: Any) -> set[str]:
    if not hasattr(ct, "deletes"):
        # fakepve has a deletion as a pending None.
        ct.deletes = {key for key, value in ct.pending.items() if value is None}
        ct.pending = {key: value for key, value in ct.pending.items() if value is not None}
    found: set[str] = ct.deletes
    return found


class ContainerPending(Networks):
    def update_container(self, ct: Any, values: dict[str, Any], deletes: list[str], reverts: list[str]) -> None:
        """update_pct_config, and the writing of the file."""
        draft = draft_of(ct)
        for key in reverts:
            draft.pending.pop(key, None)
            draft.deletes.discard(key)
        touched = {key for key in deletes if self._note_deletion(ct, draft, key)}
        for key in sorted(values):
            touched.add(key)
            draft.pending[key] = self._checked_value(ct, key, values[key])
            draft.deletes.discard(key)
        self._clean(draft)
        running = ct.status == "running"
        problems = self._plug(ct, draft, touched) if running else self._apply(ct, draft, touched)
        if problems:
            raise PveError(400, "Parameter verification failed.", problems)
        self.write_container(ct, draft)

    def write_container(self, ct: Any, draft: Draft) -> None:
        """write_pct_config: a volume that is in use is not unused."""
        if self.knobs.resources_lag and ct.config.get("hostname") not in (None, draft.config.get("hostname")):
            ct.former_name = (ct.name, time.monotonic() + self.knobs.resources_lag)
        used = names_of(draft.config)
        config = {key: value for key, value in draft.config.items() if not (key[:6] == "unused" and value in used)}
        ct.config = _from_file(config)
        ct.pending, ct.deletes = _from_file(draft.pending), draft.deletes

    def _note_deletion(self, ct: Any, draft: Draft, key: str) -> bool:
        if key not in draft.config and key not in draft.pending:
            return False
        if key in ("memory", "rootfs", "ostype"):
            raise PveError(500, f"unable to delete required option '{key}'")
        if MOUNT_POINT.fullmatch(key) or UNUSED_KEY.fullmatch(key):
            self.refuse_protected(ct, f"can't remove CT {ct.vmid} drive '{key}'")
        if key == "unprivileged":
            raise PveError(500, f"unable to delete read-only option: '{key}'")
        draft.deletes.add(key)
        return True

    def _checked_value(self, ct: Any, key: str, value: Any) -> Any:
        if MOUNT_KEY.fullmatch(key):
            self.refuse_protected(ct, f"can't update CT {ct.vmid} drive '{key}'")
            volume = parse_mount(value)["volume"]
            if mount_type(volume) == "volume":
                storage = volume_ref(volume)[0]
                if storage is None:
                    raise PveError(500, f"unable to parse volume ID '{volume}'")
                if "rootdir" not in split_list(self._store(storage).get("content")):
                    text = f"storage '{storage}' does not allow content type 'rootdir' (Container)"
                    raise PveError(500, text)
        elif key == "unprivileged":
            raise PveError(500, f"unable to modify read-only option: '{key}'")
        elif key == "tags":
            return normal_tags(str(value), self.tag_style)
        elif NET_KEY.fullmatch(key):
            self._check_card(ct, key, parse_net(value))
        return given(key, value)

    def _check_card(self, ct: Any, key: str, net: dict[str, str]) -> None:
        if net.get("mtu"):
            self._check_mtu(ct, key, net)
        if net.get("link_down") != "1" and net.get("host-managed") == "1" and net.get("ip6") == "auto":
            raise PveError(500, f"{key}: SLAAC is not supported for host-managed network configuration.")

    def _check_mtu(self, ct: Any, key: str, net: dict[str, str]) -> None:
        if not net.get("bridge") or self.missing_bridge(ct.node, print_properties(net)):
            raise PveError(500, f"bridge '{net.get('bridge', '')}' does not exist")
        mtu, most = int(net.get("mtu") or 0), self.bridge_mtu(str(net.get("bridge")))
        if mtu > most:
            raise PveError(500, f"{key}: MTU size '{mtu}' is bigger than bridge MTU '{most}'")

    def refuse_bad_cards(self, ct: Any) -> None:
        """update_lxc_config, which comes when the file is written already: a bridge that is not there is told then."""
        if ct.config.get("template"):
            return
        if not ct.config.get("arch"):
            raise PveError(500, "missing 'arch' - internal error at /usr/share/perl5/PVE/LXC.pm line 729.")
        for key in sorted(key for key in ct.config if NET_KEY.fullmatch(key)):
            self._check_mtu(ct, key, parse_net(ct.config[key]))

    @staticmethod
    def refuse_protected(ct: Any, text: str) -> None:
        if ct.config.get("protection"):
            raise PveError(500, f"{text} - protection mode enabled")

    @staticmethod
    def _clean(draft: Draft) -> None:
        """cleanup_pending."""
        for key, value in list(draft.pending.items()):
            if key in draft.config and str(draft.config[key]) == str(value):
                del draft.pending[key]
        draft.deletes = {key for key in draft.deletes if key in draft.config}

    # ---- a container that runs

    def _plug(self, ct: Any, draft: Draft, touched: set[str]) -> dict[str, str]:
        problems: dict[str, str] = {}
        for key in sorted(key for key in draft.pending if key in touched and AT_ONCE.fullmatch(key)):
            draft.config[key] = draft.pending.pop(key)
        for step, keys in ((self._unplug_key, draft.deletes), (self._plug_key, draft.pending)):
            for key in sorted(key for key in keys if key in touched):
                try:
                    step(ct, draft, key)
                except NotLive:
                    pass
                except (PveError, TaskError) as problem:
                    problems[key] = f"unable to hotplug {key}: {getattr(problem, 'message', None) or problem}\n"
        return problems

    def _unplug_key(self, ct: Any, draft: Draft, key: str) -> None:
        if UNUSED_KEY.fullmatch(key):
            self._free_unused(ct, draft, key)
        elif not AT_ONCE.fullmatch(key) and not DELETED_LIVE.fullmatch(key):
            raise NotLive
        draft.config.pop(key, None)
        draft.deletes.discard(key)

    def _plug_key(self, ct: Any, draft: Draft, key: str) -> None:
        if NET_KEY.fullmatch(key):
            draft.pending[key] = self._plug_card(ct, draft, key)
        elif MOUNT_POINT.fullmatch(key) and key not in draft.config:
            self._apply_mount_point(ct, draft, key, running=True)
        elif DEVICE_KEY.fullmatch(key) and key not in draft.config:
            self._refuse_hotplug(ct, key)
        elif not CHANGED_LIVE.fullmatch(key):
            raise NotLive
        draft.config[key] = draft.pending.pop(key)

    @staticmethod
    def _refuse_hotplug(ct: Any, key: str) -> None:
        text = getattr(ct, "refuses_hotplug", {}).get(key)
        if text:
            raise PveError(500, text)

    def _plug_card(self, ct: Any, draft: Draft, key: str) -> str:
        net = parse_net(draft.pending[key])
        old = parse_net(draft.config[key]) if key in draft.config else None
        anew = old is None or any(old.get(name) != net.get(name) for name in NEW_CARD)
        if old is not None and anew:
            # The old card is gone, and the file says so before the new one is there (update_net).
            del draft.config[key]
            self.write_container(ct, copy.deepcopy(draft))
        if anew or any(old.get(name) != net.get(name) for name in NEW_PORT if old is not None):
            missing = self.missing_bridge(ct.node, print_properties(net))
            if missing:
                raise PveError(500, f"bridge '{missing}' does not exist")
        self._refuse_hotplug(ct, key)
        return print_properties(net)

    # ---- a container that is stopped, stops or starts

    def apply_container(self, ct: Any) -> None:
        """What waits comes true at a start, and at a stop (lxc-pve-poststop-hook); what cannot goes on waiting."""
        draft = draft_of(ct)
        if draft.pending or draft.deletes:
            self._apply(ct, draft, None)
            self.write_container(ct, draft)

    def _apply(self, ct: Any, draft: Draft, touched: set[str] | None) -> dict[str, str]:
        problems: dict[str, str] = {}
        for step, keys in ((self._delete_key, draft.deletes), (self._set_key, draft.pending)):
            for key in sorted(key for key in keys if touched is None or key in touched):
                try:
                    step(ct, draft, key)
                except (PveError, TaskError) as problem:
                    text = getattr(problem, "message", None) or problem
                    problems[key] = f"unable to apply pending change {key} : {text}\n"
            self._clean(draft)
        return problems

    def _delete_key(self, ct: Any, draft: Draft, key: str) -> None:
        if MOUNT_POINT.fullmatch(key):
            volume = parse_mount(draft.config[key])["volume"]
            if mount_type(volume) == "volume":
                self.add_unused_volume(draft.config, volume)
        elif UNUSED_KEY.fullmatch(key):
            self._free_unused(ct, draft, key)
        draft.config.pop(key, None)
        draft.deletes.discard(key)

    def _set_key(self, ct: Any, draft: Draft, key: str) -> None:
        if MOUNT_POINT.fullmatch(key):
            self._apply_mount_point(ct, draft, key, running=False)
        elif NET_KEY.fullmatch(key):
            draft.pending[key] = print_properties(parse_net(draft.pending[key]))
        # Everything else goes as it came: a rootfs of `storage:8` is written like that, and nothing is made of it.
        draft.config[key] = draft.pending.pop(key)

    def _apply_mount_point(self, ct: Any, draft: Draft, key: str, running: bool) -> None:
        mount, old = parse_mount(draft.pending[key]), draft.config.get(key)
        found = NEW_VOLUME.fullmatch(mount["volume"])
        if found:
            mount = self.new_mount(ct.vmid, ct.node, mount, found)
        elif mount_type(mount["volume"]) == "volume" and self.volume_exists_here(mount["volume"], ct.node):
            mount["size"] = format_size(self.volume_size(mount["volume"]))
        if running:
            try:
                self._refuse_hotplug(ct, key)
            except PveError:
                if found:
                    self.free_volume(mount["volume"])
                raise
        draft.pending[key] = print_mount(mount, key)
        before = parse_mount(old)["volume"] if old is not None else "/"
        if mount_type(before) == "volume":
            self.add_unused_volume(draft.config, before)

    # ---- volumes

    def new_mount(self, vmid: int, node: str, mount: dict[str, str], found: re.Match[str]) -> dict[str, str]:
        """The mount with the volume that `storage:size` asks for."""
        size = asked_bytes(found.group(2))
        volume = self.allocate_root(found.group(1), vmid, size, node)
        return {**mount, "volume": volume, "size": format_size(size)}

    def allocate_root(self, storage: str, vmid: int, size: int, node: str, base: str = "") -> str:
        volume = self.allocate(storage, vmid, size, node, "raw", base=base)
        self.storages[storage]["volumes"][volume_ref(volume)[1]]["content"] = "rootdir"
        return volume

    @staticmethod
    def add_unused_volume(config: dict[str, Any], volume: str) -> None:
        taken = {key: value for key, value in config.items() if UNUSED_KEY.fullmatch(key)}
        if volume in taken.values():
            return
        free = [f"unused{number}" for number in range(MOST_UNUSED) if f"unused{number}" not in taken]
        if not free:
            raise PveError(500, "Too many unused volumes - please delete them first.")
        config[free[0]] = volume

    def _free_unused(self, ct: Any, draft: Draft, key: str) -> None:
        volume = str(draft.config.get(key, ""))
        held = [names_of(config) for config in (draft.config, draft.pending, *ct.snapshots.values())]
        if not any(volume in names for names in held):
            self.free_own_volume(ct.vmid, volume)

    def free_own_volume(self, vmid: int, volume: str) -> None:
        """delete_mountpoint_volume: what another container owns stays."""
        if mount_type(volume) != "volume" or owner_of_volume(volume) != vmid:
            return
        if self.linked_clones_of(volume):
            raise TaskError(f"base volume '{volume_ref(volume)[1]}' is still in use by linked cloned")
        self.free_volume(volume)


def _from_file(config: dict[str, Any]) -> dict[str, Any]:
    found = {key: stored(key, value) for key, value in config.items()}
    return {key: value for key, value in found.items() if value is not None}
