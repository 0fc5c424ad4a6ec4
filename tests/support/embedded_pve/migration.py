# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Moving guests to other nodes (PVE::API2::Qemu and LXC migrate_vm, PVE::QemuMigrate; 96-ha-and-migrate.json)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fakepve.lxc import parse_mount, print_mount
from fakepve.model import PveError, TaskError
from fakepve.qemu import drives_of, is_cdrom, join_drive, split_drive, volume_ref
from fakepve.routing import split_list

from .base import is_true, missing_config, parameter_error
from .knobs import Knobs
from .snapshots import Snapshots
from .volumes import is_cloudinit

DEVICE = re.compile(r"(?:usb|hostpci|serial|parallel|virtiofs)\d+")
ABORTED = "migration aborted"
PROBLEMS = "migration problems"
UNUSED = re.compile(r"unused\d+")


def stamped(line: str) -> str:
    """A line of the task's log."""
    return f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}"


@dataclass
class Copies:
    """What is done when all volumes are on the other node, and when one does not get there."""

    on_success: list[Callable[[], Any]] = field(default_factory=list)
    on_failure: list[Callable[[], Any]] = field(default_factory=list)

    def keep(self) -> None:
        for act in self.on_success:
            act()

    def discard(self) -> None:
        for act in self.on_failure:
            act()


class Migration(Snapshots):
    def __init__(self, host: str, port: int, knobs: Knobs) -> None:
        super().__init__(host, port, knobs)
        # Mapped devices: the nodes that have them, and whether they can be moved live.
        self.mappings: dict[str, tuple[set[str], bool]] = {}
        # Guests that are replicated, with the nodes to which they are.
        self.replicas: dict[int, set[str]] = {}
        # HA resources that are never on one node (resource affinity, negative).
        self.ha_apart: list[set[str]] = []

    def _routes_embedded_migration(self) -> list[tuple[str, str, Any]]:
        return [
            ("GET", "/nodes/{node}/qemu/{vmid}/migrate", self._migrate_preconditions),
            ("POST", "/nodes/{node}/qemu/{vmid}/migrate", self._migrate),
        ]

    # ---- preconditions

    async def _migrate_preconditions(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        """The target is ignored, and so is that a node is offline."""
        self.need_quorum()
        vm = self.find_vm(values["node"], values["vmid"])
        self.refuse_locked(vm)
        running = vm.status == "running"
        devices, mapped = self._devices(vm, running)
        barred = {node: self._barred(vm, node, mapped) for node in sorted(self.nodes) if node != vm.node}
        answer = {
            "running": 1 if running else 0,
            "has-dbus-vmstate": 1,
            "local_disks": list(self._local_disks(vm).values()),
            "local_resources": devices,
            "mapped-resources": sorted(mapped),
            "mapped-resource-info": mapped,
            "allowed_nodes": [node for node, why in barred.items() if not why],
            "not_allowed_nodes": barred,
        }
        return {**answer, "dependent-ha-resources": []} if vm.ha_managed else answer

    async def _lxc_migrate_check(self, user: str, v: dict[str, Any]) -> dict[str, Any]:
        ct = self._find_ct(v["node"], v["vmid"])
        self._ct_check_lock(ct)
        blocking = {node: self._apart(f"ct:{ct.vmid}", node) for node in sorted(self.nodes) if node != ct.node}
        answer = {
            "running": 1 if ct.status == "running" else 0,
            "allowed-nodes": [node for node, sids in blocking.items() if not sids],
            "not-allowed-nodes": {node: {"blocking-ha-resources": sids} for node, sids in blocking.items() if sids},
        }
        return {**answer, "dependent-ha-resources": []} if ct.ha_managed else answer

    def _mapped_on(self, name: str) -> set[str]:
        return self.mappings.get(name, (set(), False))[0]

    def _barred(self, vm: Any, node: str, mapped: dict[str, dict[str, Any]]) -> dict[str, Any]:
        names = {volume_ref(volume)[0] for _key, volume, _props in drives_of(vm.config)} - {None}
        why = {
            "unavailable_storages": sorted(
                name for name in names if name in self.storages and not self._storage_enabled(name, node)
            ),
            "unavailable-resources": [
                key
                for key, device in mapped.items()
                if node not in self.mappings.get(device["name"], (set(), False))[0]
            ],
            "blocking-ha-resources": self._apart(f"vm:{vm.vmid}", node) if vm.ha_managed else [],
        }
        return {key: value for key, value in why.items() if value}

    def _apart(self, sid: str, node: str) -> list[dict[str, str]]:
        """The HA resources on the node that are never where this one is."""
        others = sorted(set().union(*(group for group in self.ha_apart if sid in group)) - {sid})
        return [
            {"sid": other, "cause": "resource-affinity"}
            for other in others
            if getattr(self.guest(int(other.partition(":")[2])), "node", None) == node
        ]

    def _devices(self, vm: Any, running: bool) -> tuple[list[str], dict[str, dict[str, Any]]]:
        """Devices that block a move, and mapped ones (PVE::QemuMigrate::Helpers check_local_resources)."""
        local: list[str] = []
        mapped: dict[str, dict[str, Any]] = {}
        for key in sorted(filter(DEVICE.fullmatch, vm.config)):
            text = str(vm.config[key])
            if text == "socket" or (key.startswith("usb") and re.search(r"(?:^|host=)spice\b", text, re.IGNORECASE)):
                continue
            found = re.search(r"mapping=([^,]+)", text)
            if found is None:
                local.append(key)
                continue
            live = self.mappings.get(found[1], (set(), False))[1]
            mapped[key] = {"name": found[1], **({"live-migration": 1} if live else {})}
            if not key.startswith("hostpci") or (running and not live):
                local.append(key)
        return local, mapped

    def _local_disks(self, vm: Any) -> dict[str, dict[str, Any]]:
        """What is on this node's storages only, by volume (PVE::QemuServer foreach_volid)."""
        found: dict[str, dict[str, Any]] = {}
        pending = {key: value for key, value in vm.pending.items() if value is not None}
        for snapshot, config in [("", {**vm.config, **pending}), *vm.snapshots.items()]:
            volumes = [*drives_of(config), *((key, str(config[key]), {}) for key in config if UNUSED.fullmatch(key))]
            for key, volume, props in volumes:
                storage = volume_ref(volume)[0]
                if storage is None or self.storages.get(storage, {}).get("shared"):
                    continue
                disk = found.setdefault(
                    volume,
                    {
                        "volid": volume,
                        "size": self.volume_size(volume, props),
                        "cdrom": 1 if is_cdrom(volume, props) else 0,
                        "is_cloudinit": 1 if is_cloudinit(volume) else 0,
                        "is_unused": 1 if UNUSED.fullmatch(key) else 0,
                        "is_attached": 0,
                        "is_vmstate": 0,
                        "is_tpmstate": 1 if key == "tpmstate0" else 0,
                        "replicate": 1,
                        "shared": 0,
                    },
                )
                if snapshot:
                    disk.setdefault("referenced_in_snapshot", {})[snapshot] = 1
                elif not disk["is_unused"]:
                    disk.update(is_attached=1, drivename=key)
        return found

    # ---- virtual machines

    async def _migrate(self, values: dict[str, Any], user: str) -> str:
        node, target = values["node"], values["target"]
        self._check_target(node, target)
        for option in ("force", "migration_type", "migration_network"):
            if values.get(option) and user != "root@pam":
                raise parameter_error(**{option: "Only root may use this option."})
        vm = self.find_vm(node, values["vmid"], missing_config)
        self.refuse_locked(vm)
        if vm.status == "running":
            if not is_true(values.get("online", 0)):
                raise PveError(500, "can't migrate running VM without --online")
            if target not in self.replicas.get(vm.vmid, {target}):
                text = f"Cannot live-migrate replicated VM to node '{target}' - not a replication target."
                raise PveError(500, f"{text} Use 'force' to override.")
        storages = self._storage_map(user, vm, target, values.get("targetstorage"))
        for _key, volume, _props in drives_of(vm.config):
            storage = volume_ref(volume)[0]
            if storage is not None and not storages:
                self._check_enabled(storage, target)
        if vm.ha_managed:
            return await self._ha_migrate(vm, target, user, "VM")
        copies = is_true(values.get("with-local-disks", 0))
        return await self._move_task(vm, target, user, storages, copies)

    def _check_target(self, node: str, target: str) -> None:
        if target == node:
            raise parameter_error(target="target is local node.")
        self.need_quorum()
        if target not in self.nodes:
            raise PveError(500, f"no such cluster node '{target}'")

    def _storage_map(self, user: str, guest: Any, target: str, text: str | None) -> dict[str, str]:
        """From storage to storage; the empty key stands for all others."""
        found = {}
        for pair in split_list(text):
            source, colon, name = pair.partition(":")
            found[source if colon else ""] = name if colon else source
        if found.get("") == "1":
            del found[""]
        elif found:
            self.require(user, f"/vms/{guest.vmid}", "VM.Config.Disk")
        for name in found.values():
            store = self._store(name)
            self._check_enabled(name, target)
            self.require(user, f"/storage/{name}", "Datastore.AllocateSpace")
            if not {"images", "rootdir"} & set(split_list(store.get("content"))):
                raise PveError(500, f"storage '{name}' does not support vm images")
        return found

    async def _move_task(
        self, vm: Any, target: str, user: str, storages: dict[str, str], copies: bool, forced: bool = False
    ) -> str:
        log = [stamped(f"starting migration of VM {vm.vmid} to node '{target}' (192.0.2.{len(target)})")]

        source = vm.node

        async def body() -> str:
            self._fail_when_gone(vm, source, log)
            self.fail_locked(vm, ("migrate",))
            if not self.nodes.get(target, {}).get("online", True):
                raise self._aborted(log, "Can't connect to destination address using public key")
            self._move(vm, target, storages, copies, forced, log)
            return stamped("migration finished successfully (duration 00:00:01)")

        return await self.task(vm.node, "qmigrate", vm.vmid, user, body, vm=vm, log=log)

    def _fail_when_gone(self, guest: Any, source: str, log: list[str]) -> None:
        """Another task has moved it since this one was asked for."""
        if guest.node != source:
            raise self._aborted(log, missing_config(source, guest.vmid, "lxc" if guest in self.cts else "qemu-server"))

    def _aborted(self, log: list[str], why: str) -> TaskError:
        log.append(stamped(f"ERROR: migration aborted (duration 00:00:00): {why}"))
        return TaskError(ABORTED)

    def _move(self, vm: Any, target: str, storages: dict[str, str], copies: bool, forced: bool, log: list[str]) -> None:
        running = vm.status == "running"
        devices, mapped = self._devices(vm, running)
        blocking = [key for key in devices if key not in mapped]
        if blocking and not forced:
            raise self._aborted(log, f"can't migrate VM which uses local devices: {', '.join(blocking)}")
        lives = [f"{key}:{device['name']}" for key, device in mapped.items() if not device.get("live-migration")]
        if running and lives:
            text = "can't live migrate running VM which uses following mapped devices"
            raise self._aborted(log, f"{text}: {', '.join(lives)}")
        disks = self._local_disks(vm)
        problems = {volume: self._problem(disk, running, copies) for volume, disk in disks.items()}
        log.extend(stamped(f"found local disk '{volume}' (attached)") for volume in disks)
        log.extend(stamped(f"can't migrate local disk '{volume}': {why}") for volume, why in problems.items() if why)
        if any(problems.values()):
            why = "Problem found while scanning volumes - can't migrate VM - check log"
            log.extend([stamped(f"ERROR: {why}"), stamped("aborting phase 1 - cleanup resources")])
            raise self._aborted(log, why)
        self._copy_disks(vm, target, storages, running, log)
        vm.node = target

    @staticmethod
    def _problem(disk: dict[str, Any], running: bool, copies: bool) -> str | None:
        if disk["cdrom"] and not disk["is_cloudinit"]:
            return "local cdrom image"
        if running and disk.get("referenced_in_snapshot"):
            return "online storage migration not possible if non-replicated snapshot exists"
        volume = disk["volid"]
        if not running and disk.get("referenced_in_snapshot") and not volume.endswith(".qcow2"):
            return "non-migratable snapshot exists"
        if running and disk["is_attached"] and not disk["is_cloudinit"] and not copies:
            return "can't live migrate attached local disks without with-local-disks option"
        return None

    def _copy_disks(self, vm: Any, target: str, storages: dict[str, str], live: bool, log: list[str]) -> None:
        copies = Copies()
        written = list[tuple[dict[str, str], str, str]]()
        for config in (vm.config, *vm.snapshots.values()):
            for key in [*(key for key, _volume, _props in drives_of(config)), *filter(UNUSED.fullmatch, list(config))]:
                volume, props = split_drive(config[key])
                storage = volume_ref(volume)[0]
                if storage is None or storage not in self.storages or self.storages[storage].get("shared"):
                    continue
                wanted = storages.get(storage, storages.get("", storage))
                copied = self._copy_volume(vm, volume, wanted, target, log, copies, live=live)
                if live and not is_cdrom(volume, props):
                    # A mirrored drive is written anew, its format with it (96-ha-and-migrate.json).
                    props["format"] = str(self.storages[wanted]["volumes"][volume_ref(copied)[1]].get("format", "raw"))
                written.append((config, key, join_drive(copied, props) if props else copied))
        for config, key, text in written:
            config[key] = text
        copies.keep()

    def _copy_volume(
        self, guest: Any, volume: str, storage: str, target: str, log: list[str], copies: Copies, *, live: bool = False
    ) -> str:
        """Copy it; the source stays until all volumes are there, and the copies go when one cannot be made."""
        source, name = volume_ref(volume)
        made = self.storages[source].get("volumes", {}).get(name)
        if made is None:
            return volume
        if storage == source:
            if "node" in made:
                copies.on_success.append(lambda: made.update(node=target))
            log.append(stamped(f"volume '{volume}' is '{volume}' on the target"))
            return volume
        try:
            copied = self.allocate(storage, guest.vmid, int(made.get("size") or 0), target, made.get("format"))
        except TaskError as problem:
            copies.discard()
            raise self._no_copy(log, volume, storage, str(problem), live=live) from problem
        copies.on_success.append(lambda: self.free_volume(volume))
        copies.on_failure.append(lambda: self.free_volume(copied))
        log.append(stamped(f"volume '{volume}' is '{copied}' on the target"))
        return copied

    def _no_copy(self, log: list[str], volume: str, storage: str, problem: str, *, live: bool) -> TaskError:
        """As a real PVE 9.2 says it: the command that failed is in the end of the task, and why in its log."""
        if live:
            why = f"block job (mirror) error: mirror-scsi0: {problem} (io-status: ok)"
            log.extend(
                [stamped(f"ERROR: online migrate failure - {why}"), stamped("aborting phase 2 - cleanup resources")]
            )
            log.append(stamped("ERROR: migration finished with problems (duration 00:00:18)"))
            return TaskError(PROBLEMS)
        full = "No space left on device"
        log.append(stamped(f"dd: error writing '/mnt/{storage}/images': {full}" if full in problem else problem))
        command = f"set -o pipefail && pvesm export {volume} | /usr/bin/ssh -e none -- pvesm import"
        why = (
            f"storage migration for '{volume}' to storage '{storage}' failed - command '{command}' failed: exit code 1"
        )
        log.append(stamped(f"ERROR: {why}"))
        return self._aborted(log, why)

    # ---- containers

    async def _lxc_migrate(self, user: str, v: dict[str, Any]) -> str:
        target = v["target"]
        self._check_target(v["node"], target)
        ct = self._find_ct(v["node"], v["vmid"])
        if ct.status == "running" and not v.get("online") and not v.get("restart"):
            raise PveError(500, "can't migrate running container without --online or --restart")
        storages = self._storage_map(user, ct, target, v.get("target-storage"))
        if ct.ha_managed:
            return await self._ha_migrate(ct, target, user, "CT")
        log: list[str] = []

        async def body() -> str:
            self._fail_when_gone(ct, v["node"], log)
            self._task_lock(ct, ("migrate",))
            if v.get("online"):
                raise self._aborted(log, "lxc live migration is currently not implemented")
            await self._move_container(ct, target, storages, v.get("timeout") or 180, log)
            return stamped("migration finished successfully (duration 00:00:01)")

        return await self.task(ct.node, "vzmigrate", ct.vmid, user, body, vm=ct, log=log)

    async def _move_container(
        self, ct: Any, target: str, storages: dict[str, str], seconds: int, log: list[str]
    ) -> None:
        running, mounts = ct.status == "running", ct.volumes()
        bound = [key for key in ct.config if re.fullmatch(r"mp\d+", key) and key not in dict(mounts)]
        if bound:
            raise self._aborted(log, f"cannot migrate local bind mount point '{bound[0]}'")
        for _key, mount in mounts:
            storage = volume_ref(mount["volume"])[0]
            wanted = storages.get(storage, storages.get("", storage))
            try:
                self._check_enabled(wanted, target)
            except PveError as problem:
                raise self._aborted(log, problem.message) from problem
        if running:
            log.append(stamped(f"shutdown CT {ct.vmid}"))
            await self._ct_powerdown(ct, seconds, True)
        log.append(stamped(f"starting migration of CT {ct.vmid} to node '{target}' (192.0.2.{len(target)})"))
        try:
            self._copy_mounts(ct, mounts, storages, target, log)
        except TaskError:
            if running:
                log.append(stamped("start container on source node"))
                self.run_guest(ct)
            raise
        ct.node = target
        if running:
            log.append(stamped("start container on target node"))
            self.run_guest(ct)

    def _copy_mounts(
        self, ct: Any, mounts: list[tuple[str, Any]], storages: dict[str, str], target: str, log: list[str]
    ) -> None:
        copies, changed = Copies(), dict[str, str]()
        for key, mount in mounts:
            storage = volume_ref(mount["volume"])[0]
            wanted = storages.get(storage, storages.get("", storage))
            if storage in self.storages and not self.storages[storage].get("shared"):
                copied = self._copy_volume(ct, mount["volume"], wanted, target, log, copies)
                changed[key] = print_mount({**parse_mount(ct.config[key]), "volume": copied}, key == "rootfs")
        ct.config.update(changed)
        copies.keep()

    # ---- through HA

    async def _ha_migrate(self, guest: Any, target: str, user: str, word: str) -> str:
        async def body() -> None:
            await self.tell_ha_to_move(guest, target)

        log = [f"Requesting HA migration for {word} {guest.vmid} to node {target}"]
        return await self.task(guest.node, "hamigrate", guest.vmid, user, body, lock=False, log=log)

    async def tell_ha_to_move(self, guest: Any, target: str) -> None:
        """Overridden by the HA part."""

    async def move_by_ha(self, guest: Any, target: str) -> None:
        """What the LRM does: local disks are copied, and what only root may force is (PVE::HA::Resources)."""
        if guest in self.vms:
            upid = await self._move_task(guest, target, "root@pam", {}, copies=True, forced=True)
        else:
            log: list[str] = []

            async def body() -> None:
                await self._move_container(guest, target, {}, 180, log)

            upid = await self.task(guest.node, "vzmigrate", guest.vmid, "root@pam", body, vm=guest, log=log)
        running = self.running_tasks.get(upid)
        if running is not None:
            await running
