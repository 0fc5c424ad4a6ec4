# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The acceptance suite: on the PVE that PROXMOX_* names with `make live`, else on the embedded one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support import modules, playbooks
from tests.support.cloudstack import Extension
from tests.support.modules import ModuleResult

from . import report
from .promises import Runner
from .world import IS_LIVE, NAME_PREFIX, World, embedded_world, live_world

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell lets its background jobs ignore Ctrl-C, and so would everything that the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A real PVE under emulation needs minutes where the embedded one needs milliseconds.
MODULE_SECONDS = 600 if IS_LIVE else 60


def pytest_configure(config: pytest.Config) -> None:
    if IS_LIVE:
        config.pluginmanager.register(report.Report(), "live-report")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            if IS_LIVE:
                item.add_marker(pytest.mark.timeout(1800))
            if IS_LIVE and not os.environ.get("PROXMOX_HOST"):
                item.add_marker(pytest.mark.skip("PROXMOX_HOST names no PVE to run on"))


@pytest.fixture(scope="session")
def _live_world() -> World:
    return live_world()


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """The PVE of this test; what the test has made is deleted after it."""
    if IS_LIVE:
        found: World = request.getfixturevalue("_live_world")
        report.note_world(found)
        try:
            yield found
        finally:
            found.clean()
        return
    with embedded_world() as embedded:
        yield embedded


@pytest.fixture
def run(request: pytest.FixtureRequest, world: World, tmp_path: Path) -> Runner:
    """Run a module of the collection, in turns inside Ansible's worker and as a process."""
    in_worker = modules.ways(request.node.nodeid)

    def module(name: str, arguments: Mapping[str, Any], *, check: bool = False) -> ModuleResult:
        return modules.run_module(
            name,
            arguments,
            home=tmp_path,
            connection=world.connection,
            check=check,
            diff=True,
            timeout=MODULE_SECONDS,
            in_worker=in_worker(),
        )

    return Runner(module, world)


@pytest.fixture
def play(world: World, tmp_path: Path) -> Any:
    """Run tasks (YAML text) with ansible-playbook."""

    def run_play(source: str, *arguments: str, **options: Any) -> playbooks.PlayResult:
        connection = {**world.connection, **options.pop("env", {})}
        return playbooks.play(
            source, *arguments, home=tmp_path, connection=connection, timeout=MODULE_SECONDS, **options
        )

    return run_play


@pytest.fixture
def new_vm(world: World) -> dict[str, Any]:
    """The options of a small new guest, in the pool and the range that the suite was given."""
    vmid = world.free_vmid()
    return {
        "vmid": vmid,
        "name": f"{NAME_PREFIX}{vmid}",
        "node": world.settings.node,
        "pool": world.settings.pool,
        "memory": 64,
        "scsihw": "virtio-scsi-pci",
    }


@pytest.fixture
def new_container(world: World) -> dict[str, Any]:
    """The options of a small new container, whose console is a shell."""
    world.need("container_template")
    vmid = world.free_vmid()
    return {
        "vmid": vmid,
        "name": f"{NAME_PREFIX}{vmid}",
        "node": world.settings.node,
        "pool": world.settings.pool,
        "template": world.settings.container_template,
        "rootfs": {"storage": world.container_storage, "size": "128M"},
        "memory": 64,
        "swap": 0,
        "cmode": "shell",
    }


@pytest.fixture
def disk(world: World) -> dict[str, Any]:
    """The options of a small new disk on scsi0, on a storage that takes snapshots."""
    image_format = {"format": world.settings.image_format} if world.settings.image_format else {}
    return {"slot": "scsi0", "storage": world.settings.storage, "size": "16M", **image_format}


@pytest.fixture
def extension(tmp_path: Path) -> Extension:
    """The executable that CloudStack calls, in a directory of its own."""
    return Extension(tmp_path / "bridge")
