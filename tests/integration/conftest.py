# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures: an embedded PVE, and modules and playbooks run against it as real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.support import canaries, inventories, modules, playbooks
from tests.support.api_client import ApiClient
from tests.support.embedded_pve import EmbeddedPve, PveHandle, running_embedded_pve, standard_guests
from tests.support.inventories import InventoryResult
from tests.support.modules import ModuleResult
from tests.support.playbooks import PlayResult

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell lets its background jobs ignore Ctrl-C, and so would everything that the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)

CLUSTER = ("pve1", "pve2", "pve3")


# Files whose tests take longest; what takes long and starts late is waited for by all other workers.
FIRST = ("role/", "test_demo.py", "test_examples.py", "test_playbooks.py", "test_artifact.py", "cloudstack/service/")


class RunModule(Protocol):
    def __call__(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        check: bool = False,
        diff: bool = False,
        env: Mapping[str, str | None] | None = None,
        on: PveHandle | None = None,
    ) -> ModuleResult: ...


class ReadInventory(Protocol):
    def __call__(
        self,
        text: str = "",
        *arguments: str,
        env: Mapping[str, str | None] | None = None,
        on: PveHandle | None = None,
        name: str = "test.pve.yml",
    ) -> InventoryResult: ...


class Play(Protocol):
    def __call__(
        self,
        source: str | Path,
        *arguments: str,
        check: bool = False,
        diff: bool = False,
        extra_vars: Mapping[str, Any] | None = None,
        env: Mapping[str, str | None] | None = None,
        on: PveHandle | None = None,
        interpreter: str | None = sys.executable,
    ) -> PlayResult: ...


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes long, and leave what shares a costly fixture to one worker (`--dist loadgroup`)."""
    here = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        below = item.path.relative_to(here).as_posix() if item.path.is_relative_to(here) else ""
        return next((number for number, name in enumerate(FIRST) if below.startswith(name)), len(FIRST))

    items.sort(key=rank)
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            if "installed" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.xdist_group("installed"))


@pytest.fixture(scope="session", autouse=True)
def _every_output_is_seen() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "communicate", canaries.watched(subprocess.Popen.communicate))
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    for title, text in report.sections:
        canaries.see(title, text)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """After all fixtures: no secret is in what the test has put out, unless `shows_secrets` says that it is wanted."""
    try:
        return (yield)
    finally:
        directory = getattr(item, "funcargs", {}).get("tmp_path")
        if directory is not None:
            canaries.see_files(directory)
        wanted = {kind for mark in item.iter_markers("shows_secrets") for kind in mark.args}
        places = canaries.found(wanted)
        assert places == [], "\n".join(places)


@pytest.fixture
def api(pve: PveHandle) -> ApiClient:
    """Requests to it that are nobody's test; of a file that has a PVE of its own, to that one."""
    return ApiClient(pve)


@pytest.fixture
def pve() -> Iterator[PveHandle]:
    """One node pve1: template 9000, VM 100 `web` (stopped), VM 101 `db` (running), container 200 `ct`."""
    with running_embedded_pve(guests=standard_guests) as handle:
        yield handle


def cluster_guests(server: EmbeddedPve) -> None:
    """The usual guests on pve1, whose template is on the shared storage here."""
    from tests.support.embedded_pve import seed

    seed.add_template(server, 9000, "debian-template", storage="shared")
    seed.add_template(server, 9001, "local-template")
    seed.add_guest(server, 100, "web", storage="shared")
    seed.add_guest(server, 101, "db", node="pve2", status="running", config={"agent": "1"}, agent={})
    seed.add_container(server, 200, "ct", node="pve3")


@pytest.fixture
def pve_cluster() -> Iterator[PveHandle]:
    """Three nodes and a shared storage: 9000 and 100 on it (pve1), 9001 local on pve1, 101 on pve2, 200 on pve3."""
    with running_embedded_pve(guests=cluster_guests, nodes=CLUSTER) as handle:
        yield handle


@pytest.fixture
def _handle(request: pytest.FixtureRequest) -> Callable[[], PveHandle]:
    """The embedded PVE the test asked for: pve_cluster if it did, else pve."""

    def find() -> PveHandle:
        name = "pve_cluster" if "pve_cluster" in request.fixturenames else "pve"
        handle: PveHandle = request.getfixturevalue(name)
        return handle

    return find


@pytest.fixture
def in_worker(request: pytest.FixtureRequest) -> Callable[[], bool]:
    """Whether the next module runs inside Ansible's worker: each other one does, unless the test wants one way."""
    mark = request.node.get_closest_marker("one_way")
    return modules.ways(request.node.nodeid, mark.args[0] if mark else None)


@pytest.fixture
def run_module(_handle: Callable[[], PveHandle], in_worker: Callable[[], bool], tmp_path: Path) -> RunModule:
    """Run a module of the collection in one of its two ways; arguments win over the connection in the environment."""

    def run(
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        check: bool = False,
        diff: bool = False,
        env: Mapping[str, str | None] | None = None,
        on: PveHandle | None = None,
    ) -> ModuleResult:
        connection = (on or _handle()).environment
        return modules.run_module(
            name,
            arguments or {},
            home=tmp_path,
            connection=connection,
            check=check,
            diff=diff,
            env=env,
            in_worker=in_worker(),
        )

    return run


@pytest.fixture
def play(_handle: Callable[[], PveHandle], tmp_path: Path) -> Play:
    """Run tasks (YAML text) or a playbook (Path) with ansible-playbook."""

    def run(
        source: str | Path,
        *arguments: str,
        check: bool = False,
        diff: bool = False,
        extra_vars: Mapping[str, Any] | None = None,
        env: Mapping[str, str | None] | None = None,
        on: PveHandle | None = None,
        interpreter: str | None = sys.executable,
    ) -> PlayResult:
        connection = (on or _handle()).environment
        return playbooks.play(
            source,
            *arguments,
            home=tmp_path,
            connection=connection,
            check=check,
            diff=diff,
            extra_vars=extra_vars,
            env=env,
            interpreter=interpreter,
        )

    return run


@pytest.fixture
def inventory(_handle: Callable[[], PveHandle], tmp_path: Path) -> ReadInventory:
    """Read an inventory file of these options with ansible-inventory, --list unless the arguments say otherwise."""

    def read(
        text: str = "",
        *arguments: str,
        env: Mapping[str, str | None] | None = None,
        on: PveHandle | None = None,
        name: str = "test.pve.yml",
    ) -> InventoryResult:
        connection = (on or _handle()).environment
        return inventories.read_inventory(text, *arguments, home=tmp_path, connection=connection, env=env, name=name)

    return read
