# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A PVE that the suite runs on: the embedded one, or a real one; the tests see no difference."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.api_client import ApiClient, HasApi, Target
from tests.support.embedded_pve import EmbeddedPve, PveHandle, running_embedded_pve, seed
from tests.support.real_shell import RealShell
from tests.support.web_server import qcow2, running_web_server

from .settings import LiveSettings, connection_from, live_settings

IS_LIVE = os.environ.get("CLOUDBRIDGE_LIVE") == "1"
NAME_PREFIX = "cbl-"
TEMPLATE = 9000
EMBEDDED = LiveSettings(
    pool="live",
    first_vmid=7000,
    last_vmid=7099,
    node="pve1",
    storage="vmstore",
    image_format="qcow2",
    other_storage="local-lvm",
    shared_storage="shared",
    other_node="pve2",
    bridge="vmbr0",
    template=TEMPLATE,
    iso="local:iso/debian-13.iso",
    import_image="local:import/debian-13.qcow2",
    image_url="https://cloud.example.com/debian-13.qcow2",
    backup_storage="local",
    container_template="local:vztmpl/debian-13-standard_13.0-1_amd64.tar.zst",
    container_storage="local-lvm",
    shuts_down=True,
    serial_shell=True,
)


@dataclass(frozen=True)
class World:
    """One PVE, and what of it the suite may use."""

    settings: LiveSettings
    target: HasApi
    connection: Mapping[str, str]
    api: ApiClient

    def need(self, *names: str) -> None:
        """Skip the test where one of these settings has no value."""
        for name in names:
            if not getattr(self.settings, name):
                pytest.skip(f"CLOUDBRIDGE_LIVE_{name.upper()} is not set")

    # ---- what PVE itself says

    def guests(self) -> list[dict[str, Any]]:
        """All guests of the cluster."""
        return list(self.api.data("GET", "/cluster/resources", type="vm"))

    def node_of(self, vmid: int) -> str | None:
        return next((str(guest["node"]) for guest in self.guests() if guest["vmid"] == vmid), None)

    def path(self, vmid: int) -> str:
        """Where the API has this guest."""
        found = next(guest for guest in self.guests() if guest["vmid"] == vmid)
        return f"/nodes/{found['node']}/{found['type']}/{vmid}"

    def config(self, vmid: int) -> dict[str, Any]:
        """The values in effect."""
        config = self.api.data("GET", f"{self.path(vmid)}/config", current=1)
        return {key: value for key, value in config.items() if key != "digest"}

    def desired(self, vmid: int) -> dict[str, Any]:
        """The values once what is pending has taken effect."""
        config = self.api.data("GET", f"{self.path(vmid)}/config")
        return {key: value for key, value in config.items() if key != "digest"}

    def pending(self, vmid: int) -> set[str]:
        """The keys that wait for the next start."""
        entries = self.api.data("GET", f"{self.path(vmid)}/pending")
        return {str(entry["key"]) for entry in entries if "pending" in entry or "delete" in entry}

    def status(self, vmid: int) -> str:
        """stopped, running or paused."""
        status = self.api.data("GET", f"{self.path(vmid)}/status/current")
        return str(status.get("qmpstatus") or status["status"])

    def snapshots(self, vmid: int) -> set[str]:
        found = self.api.data("GET", f"{self.path(vmid)}/snapshot")
        return {str(entry["name"]) for entry in found} - {"current"}

    def backups(self, vmid: int) -> set[str]:
        """The archives of a guest on the storage for backups."""
        path = f"/nodes/{self.settings.node}/storage/{self.settings.backup_storage}/content"
        return {str(entry["volid"]) for entry in self.api.data("GET", path, content="backup", vmid=vmid)}

    def delete_backup(self, volid: str) -> None:
        storage = volid.partition(":")[0]
        self.api.data("DELETE", f"/nodes/{self.settings.node}/storage/{storage}/content/{quote(volid, safe='')}")

    def files(self, content: str) -> set[str]:
        """The files of this content on the storage of the image for imports."""
        storage = str(self.settings.import_image).partition(":")[0]
        path = f"/nodes/{self.settings.node}/storage/{storage}/content"
        return {str(entry["volid"]) for entry in self.api.data("GET", path, content=content)}

    @property
    def container_storage(self) -> str:
        return self.settings.container_storage or self.settings.storage

    def release(self) -> str:
        return str(self.api.data("GET", "/version")["version"])

    @contextmanager
    def shell(self, vmid: int) -> Iterator[None]:
        """A shell without a login on the console of a guest that runs: that of its system, or one in its place."""
        if not isinstance(self.target, PveHandle):
            yield
            return
        with RealShell(None, "dash", "-i") as there:
            self.target.console(vmid).run(there)
            yield

    def run_programs(self, vmid: int, root: Path) -> None:
        """From now on the agent of a guest that runs has a system around it: its own, or this directory."""
        if isinstance(self.target, PveHandle):
            root.mkdir()
            self.target.run_agent(vmid, root)

    def home(self, vmid: int) -> str:
        """A directory of the guest's system in which files can be made."""
        if isinstance(self.target, PveHandle):
            return str(self.target.guest(vmid).agent_process.root)
        return "/root"

    def silence(self, vmid: int) -> None:
        """Nothing answers in the guest; a real one has no system."""
        if isinstance(self.target, PveHandle):
            self.target.silence_agent(vmid)

    # ---- numbers and cleaning up

    def free_vmid(self) -> int:
        return self.free_vmids(1)[0]

    def free_vmids(self, count: int) -> list[int]:
        taken = {int(guest["vmid"]) for guest in self.guests()}
        free = [vmid for vmid in self.settings.vmids if vmid not in taken]
        assert len(free) >= count, f"{self.settings.first_vmid}-{self.settings.last_vmid} has {len(free)} free numbers"
        return free[:count]

    def own_guests(self) -> list[dict[str, Any]]:
        """The guests that the suite has made: by number, by pool and by name."""
        found = []
        for guest in self.guests():
            is_own = self.settings.own(int(guest["vmid"]), str(guest.get("pool", "")))
            if is_own and re.match(rf"{NAME_PREFIX}|Copy-of-VM-|i-2-", str(guest.get("name", ""))):
                found.append(guest)
        return found

    def clean(self) -> None:
        """Delete what the suite has made."""
        for guest in self.own_guests():
            path = f"/nodes/{guest['node']}/{guest['type']}/{guest['vmid']}"
            # After a quick stop and start, PVE's own clean-up holds the guest's lock for up to 30 s.
            self.wait(lambda path=path: self._is_deleted(path), 120)

    def _is_deleted(self, path: str) -> bool:
        """Stop and delete a guest; the list of guests is too old to say whether it runs."""
        if self.api("PUT", f"{path}/config", protection=0).status_code != 200:
            return False
        running = self.api.data("GET", f"{path}/status/current")["status"] == "running"
        # PVE refuses to stop a container that is stopped.
        stop = [("POST", "/status/stop", {})] * running
        for method, tail, form in (*stop, ("DELETE", "", {"purge": 1})):
            answer = self.api(method, path + tail, **form)
            if answer.status_code != 200 or self.api.finish(str(answer.json()["data"])) != "OK":
                return False
        return True

    def wait(self, condition: Any, seconds: float = 60.0) -> None:
        """Wait until the condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"it did not come about within {seconds:g} s"
            time.sleep(0.2)


def _embedded_guests(server: EmbeddedPve) -> None:
    seed.add_template(server, TEMPLATE, "debian-template", storage="shared")
    server.pools.setdefault(EMBEDDED.pool, set())


@contextmanager
def embedded_world() -> Iterator[World]:
    """Two nodes, a pool, a template on a shared storage."""
    pve = running_embedded_pve(guests=_embedded_guests, nodes=("pve1", "pve2"))
    with pve as handle, running_web_server() as web:
        web.add("debian-13.qcow2", qcow2())
        handle.knobs.web_servers["https://cloud.example.com/"] = web.url("")

        def agents_answer() -> None:
            for guest in handle.server.vms:
                guest.agent = {}

        handle.before("POST", "/status/start$", agents_answer, times=None)
        yield World(EMBEDDED, handle, handle.environment, ApiClient(handle))


def live_world() -> World:
    """The PVE that PROXMOX_* names; refuses one whose range of numbers is not empty."""
    try:
        settings, connection = live_settings(os.environ), connection_from(os.environ)
    except ValueError as error:
        pytest.exit(str(error), returncode=2)
    target = Target.of_environment(connection)
    world = World(settings, target, connection, ApiClient(target, patience=300))
    pools = {str(pool["poolid"]) for pool in world.api.data("GET", "/pools")}
    if settings.pool not in pools:
        pytest.exit(f"there is no pool {settings.pool} on {target.url}: make it, and give it to the token", 2)
    world.clean()
    others = [guest for guest in world.guests() if guest["vmid"] in settings.vmids]
    if others:
        names = ", ".join(f"{guest['vmid']} ({guest.get('name', '?')})" for guest in others)
        pytest.exit(f"the numbers of CLOUDBRIDGE_LIVE_VMIDS are taken by {names}: give a range that is empty", 2)
    return world
