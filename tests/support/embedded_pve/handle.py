# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An embedded PVE on its own thread and loop, handled from the test's thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import hashlib
import re
import secrets
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar

from . import seed
from .base import TOKEN_ID
from .consoles.handles import ConsoleHandle, DisplayHandle
from .faults import KINDS, Fault, Hook
from .guest_agent import GuestAgent
from .recorder import Exchange
from .server import EmbeddedPve
from .tasks import Outcome

Result = TypeVar("Result")
TOKEN_SECRET = "3f4bd2a6-9c1e-4f0b-8d53-6f0f1c2e7a90"
START_TIMEOUT = 30


def fingerprint_of(certfile: str) -> str:
    """SHA-256 as PVE prints it."""
    der = ssl.PEM_cert_to_DER_cert(Path(certfile).read_text(encoding="ascii"))
    digest = hashlib.sha256(der).hexdigest().upper()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


class PveHandle:
    """The embedded PVE as tests see it; every method may be called from any thread."""

    def __init__(self, server: EmbeddedPve, certfile: str) -> None:
        self.server = server
        self.knobs = server.knobs
        self.cafile = certfile
        self.fingerprint = fingerprint_of(certfile)
        self.token_id = TOKEN_ID
        self.token_secret = TOKEN_SECRET
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    # ---- the knobs tests turn most

    @property
    def task_seconds(self) -> dict[str, float]:
        return self.knobs.task_seconds

    @property
    def resources_lag(self) -> float:
        return self.knobs.resources_lag

    @resources_lag.setter
    def resources_lag(self, seconds: float) -> None:
        self.knobs.resources_lag = seconds

    # ---- where it is

    @property
    def host(self) -> str:
        return str(self.server.host)

    @property
    def port(self) -> int:
        return int(self.server.port)

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        user, _mark, token = self.token_id.partition("!")
        return {
            "PROXMOX_HOST": self.host,
            "PROXMOX_PORT": str(self.port),
            "PROXMOX_USER": user,
            "PROXMOX_TOKEN_ID": token,
            "PROXMOX_TOKEN_SECRET": self.token_secret,
            "PROXMOX_CA_PATH": self.cafile,
        }

    # ---- running it

    def start(self, certfile: str, keyfile: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="embedded-pve", daemon=True)
        self._thread.start()
        future = asyncio.run_coroutine_threadsafe(self.server.start(certfile, keyfile), self._loop)
        future.result(START_TIMEOUT)

    def _serve(self) -> None:
        assert self._loop is not None
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def stop(self) -> None:
        if self._loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self.server.stop(), self._loop).result(START_TIMEOUT)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_TIMEOUT)
        self._loop.close()
        self._loop = None

    def call(self, function: Callable[[], Result]) -> Result:
        """Run the function in the server's thread (at once when already there, as in a hook)."""
        if self._loop is None or threading.current_thread() is self._thread:
            return function()
        done: concurrent.futures.Future[Result] = concurrent.futures.Future()

        def run() -> None:
            try:
                done.set_result(function())
            except BaseException as problem:  # noqa: BLE001
                done.set_exception(problem)

        self._loop.call_soon_threadsafe(run)
        return done.result(START_TIMEOUT)

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run the coroutine in the server's loop and wait for it; not from a hook."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(START_TIMEOUT)

    # ---- guests

    def add_guest(self, vmid: int, name: str, **options: Any) -> Any:
        """A VM; options: node, status, config, storage, disk, agent, ha_state, qmpstatus, pool, lock."""
        return self.call(lambda: seed.add_guest(self.server, vmid, name, **options))

    def add_template(self, vmid: int = 9000, name: str = "debian-template", **options: Any) -> Any:
        return self.call(lambda: seed.add_template(self.server, vmid, name, **options))

    def add_container(self, vmid: int, name: str, **options: Any) -> Any:
        return self.call(lambda: seed.add_container(self.server, vmid, name, **options))

    def guest(self, vmid: int) -> Any:
        """The model object of a VM or container, or None."""
        return self.call(lambda: self.server.guest(vmid))

    def remove_guest(self, vmid: int) -> None:
        self.call(lambda: self.server.forget_guest(self.server.guest(vmid)))

    def move_guest(self, vmid: int, node: str) -> None:
        """The guest lives elsewhere from now on, as after an HA move."""
        self.call(lambda: setattr(self.server.guest(vmid), "node", node))

    def lock_guest(self, vmid: int, lock: str | None) -> None:
        self.call(lambda: self.server.set_lock(self.server.guest(vmid), lock))

    def config(self, vmid: int) -> dict[str, Any]:
        """The live configuration as stored (no digest, nothing pending)."""
        return self.call(lambda: copy.deepcopy(self.server.guest(vmid).config))

    def pending(self, vmid: int) -> dict[str, Any]:
        """New values, and None for what is to be deleted; of a container, a value beside a deletion wins."""

        def waiting() -> dict[str, Any]:
            guest = self.server.guest(vmid)
            return {**dict.fromkeys(getattr(guest, "deletes", ())), **copy.deepcopy(guest.pending)}

        return self.call(waiting)

    def status(self, vmid: int) -> str:
        return self.call(lambda: str(self.server.guest(vmid).status))

    def snapshots(self, vmid: int) -> dict[str, dict[str, Any]]:
        return self.call(lambda: copy.deepcopy(self.server.guest(vmid).snapshots))

    def vmids(self) -> list[int]:
        return self.call(lambda: sorted(guest.vmid for guest in [*self.server.vms, *self.server.cts]))

    def volumes(self, storage: str) -> list[str]:
        """Volume ids allocated on the storage."""
        return self.call(lambda: sorted(f"{storage}:{name}" for name in self.server._volumes(storage)))

    def tasks(self, task_type: str | None = None) -> list[dict[str, Any]]:
        """Every task so far, oldest first."""
        every = self.call(lambda: copy.deepcopy(self.server.tasklog))
        return [task for task in every if task_type in (None, task["type"])]

    def refuse_hotplug(self, vmid: int, **texts: str) -> None:
        """What a running container says to a card, a mount point or a device that is plugged in, by its key."""
        self.call(lambda: setattr(self.server.guest(vmid), "refuses_hotplug", texts))

    # ---- what goes wrong

    def fault(
        self,
        method: str,
        path_regex: str,
        kind: str,
        times: int | None = 1,
        after: int = 0,
        status: int | None = None,
        message: str | None = None,
        seconds: float = 0.0,
        errors: dict[str, str] | None = None,
    ) -> None:
        """Plant a fault: the path (without /api2/json) is searched for the regex; method "*" is any."""
        if kind not in KINDS:
            raise ValueError(f"unknown fault {kind!r}; known: {', '.join(KINDS)}")
        pattern = re.compile(path_regex)
        self.server.faults.add(Fault(method, pattern, kind, times, after, status, message, seconds, errors))

    def before(
        self, method: str, path_regex: str, callback: Callable[[], object], times: int | None = 1, after: int = 0
    ) -> None:
        """Run the callback before such a request is carried out."""
        self.server.hooks.add(Hook(method, re.compile(path_regex), callback, times, after))

    def agents_answer_from_the_start(self) -> None:
        """The agent of each virtual machine is there as soon as one starts."""

        def answer() -> None:
            for vm in self.server.vms:
                vm.agent = {}

        self.before("POST", "/status/(start|reboot)$", answer, times=None)

    def next_task_fails(
        self, task_type: str, text: str, log: Iterable[str] = (), vmid: int | None = None, times: int = 1
    ) -> None:
        self.call(lambda: self.server.outcomes.append(Outcome(task_type, text, list(log), 0, vmid, times)))

    def next_task_warns(self, task_type: str, *warnings: str, vmid: int | None = None, times: int = 1) -> None:
        """The task does its work and ends with `WARNINGS: n`."""
        log = [f"WARN: {text}" for text in warnings]
        self.call(lambda: self.server.outcomes.append(Outcome(task_type, "", log, max(1, len(log)), vmid, times)))

    def lock_timeouts(self, vmid: int, times: int = 1) -> None:
        """The next tasks or direct changes of the guest fail with the lock file time-out."""
        self.call(lambda: self.server.lock_timeouts.__setitem__(vmid, times))

    def fill_storage(self, storage: str, available: int = 0) -> None:
        self.call(lambda: self.server.storages[storage].__setitem__("avail", available))

    def add_file(self, storage: str, name: str, content: str, **options: Any) -> None:
        """A file, as in add_file("local", "iso/a.iso", "iso", node="pve2"): without a node every node has it."""
        self.call(lambda: seed.add_file(self.server, storage, name, content, **options))

    def add_backup(self, vmid: int, **options: Any) -> str:
        """A backup, as in add_backup(100, age=3600, damaged="body"); returns its name."""
        return self.call(lambda: seed.add_backup(self.server, vmid, **options))

    def backups(self, storage: str = "local") -> list[str]:
        """The names of the backups on a storage, the oldest first."""

        def names() -> list[str]:
            volumes = self.server._volumes(storage)
            found = [name for name in volumes if volumes[name]["content"] == "backup"]
            return [f"{storage}:{name}" for name in sorted(found, key=lambda name: (volumes[name]["ctime"], name))]

        return self.call(names)

    def backup(self, volid: str) -> dict[str, Any]:
        """What a storage keeps of a backup."""
        storage, _colon, name = volid.partition(":")
        return self.call(lambda: copy.deepcopy(self.server.storages[storage]["volumes"][name]))

    def put_file(self, storage: str, name: str, content: bytes, node: str = "pve1") -> None:
        """A file with content, as in put_file("local", "iso/a.iso", b"...")."""

        def put() -> None:
            path = self.server.directory / secrets.token_hex(8)
            path.write_bytes(content)
            self.server.put_file(storage, node, name, path)

        self.call(put)

    def file_content(self, storage: str, name: str, node: str = "pve1") -> bytes | None:
        """What a file holds on a node; None when there is none."""
        path = self.call(lambda: self.server.file_of(storage, node, name))
        return None if path is None else path.read_bytes()

    def leftovers(self) -> list[str]:
        """Files of uploads and downloads that were begun and are no volumes."""
        directory = self.call(lambda: self.server.directory)
        return sorted(path.name for path in directory.glob("*") if re.match(r"pveupload-|.*\.tmp_dwnl\.", path.name))

    def add_appliance(self, template: str, location: str, content: bytes) -> None:
        """An entry in PVE's list of appliances."""
        entry = {
            "template": template,
            "package": template.partition("_")[0],
            "location": location,
            "sha512sum": hashlib.sha512(content).hexdigest(),
            "type": "lxc",
        }
        self.call(lambda: self.server.appliances.__setitem__(template, entry))

    def set_bridges(self, node: str, *bridges: str) -> None:
        self.call(lambda: self.server.bridges.__setitem__(node, list(bridges)))

    def add_vnet(self, name: str, zone: str) -> None:
        """A vnet of SDN, on every node."""
        self.call(lambda: self.server.vnets.__setitem__(name, zone))

    def set_mtu(self, interface: str, mtu: int) -> None:
        """What the configuration of a bridge, of a vnet's zone or of the port eno1 says."""
        self.call(lambda: self.server.mtus.__setitem__(interface, mtu))

    def set_agent_interfaces(self, vmid: int, interfaces: list[dict[str, Any]]) -> None:
        self.call(lambda: setattr(self.server.guest(vmid), "agent", {"interfaces": interfaces}))

    def silence_agent(self, vmid: int) -> None:
        """The agent is configured but does not answer."""
        self.call(lambda: setattr(self.server.guest(vmid), "agent", None))

    def run_agent(self, vmid: int, root: Path) -> GuestAgent:
        """From now on the guest's agent runs real programs, in this directory, and reads and writes real files."""
        process = GuestAgent(root)

        def begin() -> None:
            guest = self.server.guest(vmid)
            guest.config["agent"], guest.agent = "1", guest.agent or {}
            guest.agent_process = process

        self.call(begin)
        return process

    def set_ha_state(self, vmid: int, state: str | None) -> None:
        def put() -> None:
            guest = self.server.guest(vmid)
            guest.ha_state, guest.ha_request = state, None

        self.call(put)

    def add_mapping(self, name: str, *nodes: str, live: bool = False) -> None:
        """A mapped device that these nodes have; live: it can be moved while the guest runs."""
        self.call(lambda: self.server.mappings.__setitem__(name, (set(nodes), live)))

    def replicate(self, vmid: int, *nodes: str) -> None:
        """The guest is replicated to these nodes."""
        self.call(lambda: self.server.replicas.__setitem__(vmid, set(nodes)))

    def keep_apart(self, *sids: str) -> None:
        """HA keeps these resources on different nodes."""
        self.call(lambda: self.server.ha_apart.append(set(sids)))

    def restrict_storage(self, storage: str, *nodes: str) -> None:
        """Only these nodes have the storage."""
        self.call(lambda: self.server.storages[storage].__setitem__("nodes", ",".join(nodes)))

    def add_ha_rule(self, name: str, *resources: str, nodes: str = "pve1") -> None:
        """A node affinity rule of PVE 9."""
        self.call(lambda: self.server.ha_rules.__setitem__(name, {"nodes": nodes, "resources": list(resources)}))

    def enable_ha_maintenance(self, node: str) -> None:
        """HA's maintenance mode of a node, which is not set by the API."""
        self.call(lambda: self.server.enable_ha_maintenance(node))

    def disable_ha_maintenance(self, node: str) -> None:
        """The same with disable."""
        self.call(lambda: self.server.disable_ha_maintenance(node))

    def ha_rule(self, name: str) -> list[str]:
        """The resources of a rule."""
        return self.call(lambda: list(self.server.ha_rules[name]["resources"]))

    def add_ha_group(self, name: str, nodes: str = "pve1") -> None:
        """A group of PVE 8, which has no rules."""
        self.knobs.ha_groups = True
        self.call(lambda: self.server.ha_groups.__setitem__(name, nodes))

    def set_node_facts(self, node: str, **facts: float) -> None:
        """mem, maxmem, cpu, maxcpu, disk, maxdisk, uptime of a node."""
        self.call(lambda: self.server.node_facts.setdefault(node, {}).update(facts))

    def set_cpu(self, node: str, model: str) -> None:
        """The processor of a node; all others have the same one."""
        self.call(lambda: self.server.cpu_models.__setitem__(node, model))

    def set_storage_usage(self, node: str, storage: str, total: int, used: int) -> None:
        """What one node reports of a storage; allocation does not look at it (see fill_storage)."""
        self.call(lambda: self.server.storage_usage.__setitem__((node, storage), (total, used)))

    def lose_quorum(self) -> None:
        self.call(self.server.lose_quorum)

    def regain_quorum(self) -> None:
        self.call(self.server.regain_quorum)

    def set_node_offline(self, node: str, offline: bool = True, forgotten: bool = False) -> None:
        """The node is lost; forgotten: since more than five minutes, so that its guests have no names any more."""

        def lose() -> None:
            self.server.set_node_offline(node, offline)
            self.server.nodes[node]["forgotten"] = forgotten

        self.call(lose)

    def add_pool(self, name: str, *vmids: int) -> None:
        def make() -> None:
            self.server.pools.setdefault(name, set())
            for vmid in vmids:
                self.server._pool_join(name, vmid)

        self.call(make)

    def add_token(self, token_id: str, secret: str, privilege_separation: bool = False) -> None:
        self.call(lambda: self.server.add_token(token_id, secret, privilege_separation))

    def grant(self, user: str, path: str, *privileges: str) -> None:
        self.call(lambda: self.server.grant(user, path, *privileges))

    def restrict_tags(
        self, user_allow: str = "free", allow_list: Iterable[str] = (), registered: Iterable[str] = ()
    ) -> None:
        """The datacenter's options user-tag-access and registered-tags."""

        def restrict() -> None:
            self.server.user_allow = user_allow
            self.server.user_allow_list, self.server.registered_tags = set(allow_list), set(registered)

        self.call(restrict)

    # ---- consoles

    def console(self, vmid: int, serial: str = "serial0") -> ConsoleHandle:
        """The serial port of a VM, or the console of a container."""
        container = self.call(lambda: self.server.guest(vmid) in self.server.cts)
        return ConsoleHandle(self, ("ct", vmid) if container else ("vm", vmid, serial))

    def node_console(self, node: str) -> ConsoleHandle:
        """The shells of a node, all sessions together."""
        return ConsoleHandle(self, ("node", node))

    def display(self, vmid: int) -> DisplayHandle:
        """What VNC shows of a VM."""
        return DisplayHandle(self, vmid)

    # ---- what was asked

    @property
    def exchanges(self) -> list[Exchange]:
        return self.server.recorder.exchanges()

    @property
    def connection_count(self) -> int:
        return self.server.recorder.connection_count

    def reset_record(self) -> None:
        self.server.recorder.reset()

    def summary(self) -> list[str]:
        """ "GET /cluster/resources", … in the order of arrival."""
        return [exchange.summary for exchange in self.exchanges]

    def forms(self, method: str, path_regex: str) -> list[dict[str, Any]]:
        """The form (or query) of each such request."""
        pattern = re.compile(path_regex)
        return [
            {**exchange.query, **exchange.form}
            for exchange in self.exchanges
            if exchange.method == method and pattern.search(exchange.path)
        ]
