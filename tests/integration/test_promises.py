# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What pve_vm and pve_container promise alike: one table of promises, and each holds for both kinds of guests."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support import modules
from tests.support.embedded_pve import PveHandle

TEMPLATE = "local:vztmpl/debian-13-standard_13.0-1_amd64.tar.zst"
# The fixture has a stopped guest of each kind, and this one runs.
RUNS = 250
SOURCE = 9005


@dataclass(frozen=True)
class Kind:
    """A kind of guest, by what differs in the words of its module."""

    module: str
    path: str
    # How its tasks begin, and the key of its name.
    tasks: str
    name_key: str
    # A guest of the fixture, and one of the other kind.
    there: int
    name: str
    other: int
    # A new guest, a setting that a running guest takes at once, and one that waits for its next start.
    new: dict[str, Any]
    live: dict[str, Any]
    waits: dict[str, Any]
    # A volume that is grown, by a size and the key that says it, and one that is added and taken away.
    grown: Callable[[str], dict[str, Any]]
    volume_key: str
    added: dict[str, Any]
    taken: Callable[[str], dict[str, Any]]
    seed: str = "add_guest"
    seed_options: dict[str, Any] = field(default_factory=dict)

    def add(self, pve: PveHandle, vmid: int, name: str, **options: Any) -> None:
        getattr(pve, self.seed)(vmid, name, **{**self.seed_options, **options})


VM = Kind(
    module="pve_vm",
    path="qemu",
    tasks="qm",
    name_key="name",
    there=100,
    name="web",
    other=200,
    new={"disks": [{"slot": "scsi0", "storage": "local-lvm", "size": "1G"}], "networks": [{"slot": "net0"}]},
    live={"description": "live"},
    waits={"bios": "ovmf"},
    grown=lambda size: {"disks": [{"slot": "scsi0", "size": size}]},
    volume_key="scsi0",
    added={"disks": [{"slot": "scsi3", "storage": "vmstore", "size": "1G"}]},
    taken=lambda state: {"disks": [{"slot": "scsi3", "state": state}]},
)
CONTAINER = Kind(
    module="pve_container",
    path="lxc",
    tasks="vz",
    name_key="hostname",
    there=200,
    name="ct",
    other=100,
    new={
        "template": TEMPLATE,
        "rootfs": {"storage": "local-lvm", "size": "1G"},
        "networks": [{"slot": "net0", "bridge": "vmbr0"}],
    },
    live={"memory": 256},
    waits={"timezone": "UTC"},
    grown=lambda size: {"rootfs": {"size": size}},
    volume_key="rootfs",
    added={"mount_points": [{"slot": "mp3", "path": "/srv", "storage": "vmstore", "size": "1G"}]},
    taken=lambda state: {"mount_points": [{"slot": "mp3", "state": state}]},
    seed="add_container",
)


class World:
    """One kind of guest on an embedded PVE, and how its module is run."""

    def __init__(self, kind: Kind, pve: PveHandle, run_module: Any, directory: Path) -> None:
        self.kind = kind
        self.pve = pve
        self.run_module = run_module
        self.directory = directory

    def run(self, arguments: dict[str, Any], **options: Any) -> Any:
        return self.run_module(self.kind.module, arguments, diff=True, **options)

    def refused(self, arguments: dict[str, Any], message: str) -> None:
        """The task fails with these words, and nothing was sent."""
        before = self.writes()
        result = self.run(arguments)
        assert result.failed
        assert message in result.msg
        assert self.writes() == before

    def converges(self, arguments: dict[str, Any]) -> Any:
        """Check mode and run tell the same, and the second run costs three requests on one connection."""
        before = self.writes()
        checked = self.run(arguments, check=True)
        assert not checked.failed, checked.msg
        assert self.writes() == before
        real = self.run(arguments)
        assert not real.failed, real.msg
        assert checked.changed
        assert real.changed
        assert sorted(checked.diff["after"]) == sorted(real.diff["after"])
        self.pve.reset_record()
        again = self.run(arguments)
        assert not again.failed, again.msg
        assert not again.changed, again["steps"]
        assert again.diff == {"before": {}, "after": {}}
        assert len(self.pve.summary()) == 3
        assert self.pve.connection_count == 1
        return real

    def writes(self) -> list[str]:
        return [line for line in self.pve.summary() if not line.startswith("GET ")]

    def named(self, name: str) -> list[int]:
        return [vmid for vmid in self.pve.vmids() if self.pve.config(vmid).get(self.kind.name_key) == name]

    def add_source(self) -> dict[str, Any]:
        """A template, and what makes a guest of it."""
        self.kind.add(self.pve, SOURCE, "source")
        assert not self.run({"vmid": SOURCE, "state": "template"}).failed
        return {"name": "copy", "clone": {"source": "source"}, "memory": 256}

    def kill_in_mid_task(self, arguments: dict[str, Any], task_type: str) -> None:
        """Start the module and kill -9 it while PVE's task runs."""
        process = modules.module_process(self.kind.module, home=self.directory, connection=self.pve.environment)
        modules.begin(process, arguments)
        while not any(task["status"] == "running" for task in self.pve.tasks(task_type)):
            assert process.poll() is None, "the task did not start"
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


def one_task_makes_a_guest(world: World) -> None:
    result = world.converges({"name": "new", "memory": 256, "tags": ["b", "a"], "pool": "", **world.kind.new})
    config = world.pve.config(result["vmid"])
    assert (config[world.kind.name_key], str(config["memory"]), config["tags"]) == ("new", "256", "a;b")
    assert result["guest"]["type"] == world.kind.path
    assert [task["type"] for task in result["tasks"]] == [f"{world.kind.tasks}create"]


def one_task_clones_and_configures(world: World) -> None:
    arguments = world.add_source()
    result = world.converges({**arguments, **world.kind.grown("20G")})
    config = world.pve.config(result["vmid"])
    assert (config[world.kind.name_key], str(config["memory"])) == ("copy", "256")
    assert "size=20G" in config[world.kind.volume_key]
    assert [task["type"] for task in result["tasks"]] == [f"{world.kind.tasks}clone", "resize"]


def only_the_guest_that_is_meant_is_touched(world: World) -> None:
    kind = world.kind
    world.refused({"vmid": kind.there, "name": "other", "memory": 99}, f"is named {kind.name!r}, not 'other'")
    world.refused({"vmid": kind.other, "memory": 99}, "nothing was changed")
    kind.add(world.pve, 300, kind.name)
    world.refused({"name": kind.name, "memory": 99}, f"2 guests are named {kind.name!r}")
    world.refused({"vmid": kind.there, "name": "-bad-"}, "name")
    world.converges({"vmid": kind.there, "name": "renamed", "rename": True})


def a_template_is_made_once(world: World) -> None:
    result = world.converges({"vmid": world.kind.there, "state": "template"})
    assert world.pve.config(world.kind.there)["template"] == 1
    assert [task["type"] for task in result["tasks"]] == [f"{world.kind.tasks}template"]
    world.refused({"vmid": RUNS, "state": "template"}, "stop it first")


def a_guest_is_deleted_only_when_that_is_meant(world: World) -> None:
    world.refused({"vmid": RUNS, "state": "absent"}, "is running: stop it first, or set force")
    world.converges({"vmid": RUNS, "protection": True})
    world.refused({"vmid": RUNS, "state": "absent", "force": True}, "is protected against removal")
    world.converges({"vmid": RUNS, "protection": False})
    result = world.run({"vmid": RUNS, "state": "absent", "force": True, "purge": True})
    assert not result.failed, result.msg
    assert RUNS not in world.pve.vmids()
    assert not world.run({"vmid": RUNS, "state": "absent"}).changed


def tags_and_pool_are_as_asked(world: World) -> None:
    world.pve.add_pool("prod")
    vmid = world.kind.there
    world.converges({"vmid": vmid, "tags": ["b", "a"], "pool": "prod"})
    result = world.converges({"vmid": vmid, "tags": ["c"], "tags_mode": "add"})
    assert result["guest"]["tags"] == ["a", "b", "c"]
    assert result["guest"]["pool"] == "prod"
    world.converges({"vmid": vmid, "tags": [], "pool": ""})


def what_is_not_named_stays(world: World) -> None:
    vmid = world.kind.there
    before = world.pve.config(vmid)
    world.converges({"vmid": vmid, "config": {"cpulimit": 0.5}, "description": "notes", "startup": {"order": 3}})
    world.converges({"vmid": vmid, "remove": ["cpulimit", "description", "startup"]})
    assert world.pve.config(vmid) == before


def volumes_grow_and_go_only_when_asked(world: World) -> None:
    vmid, kind = world.kind.there, world.kind
    world.converges({"vmid": vmid, **kind.grown("20G")})
    world.refused({"vmid": vmid, **kind.grown("10G")}, "PVE cannot shrink a disk")
    world.converges({"vmid": vmid, **kind.added})
    kept = world.pve.volumes("vmstore")
    world.converges({"vmid": vmid, **kind.taken("detached")})
    assert world.pve.volumes("vmstore") == kept
    assert "unused0" in world.pve.config(vmid)
    world.converges({"vmid": vmid, **kind.added})
    world.converges({"vmid": vmid, **kind.taken("absent")})
    assert world.pve.volumes("vmstore") == kept


def what_waits_for_a_restart_is_told(world: World) -> None:
    world.converges({"vmid": RUNS, **world.kind.live})
    result = world.converges({"vmid": RUNS, **world.kind.waits})
    assert [item["key"] for item in result["pending"]] == list(world.kind.waits)
    assert result["reboot_required"]
    rebooted = world.converges({"vmid": RUNS, "apply_pending": "reboot"})
    assert (rebooted["pending"], rebooted["reboot_required"]) == ([], False)
    assert world.pve.status(RUNS) == "running"


def another_writer_is_not_overwritten(world: World) -> None:
    vmid = world.kind.there

    def change() -> None:
        world.pve.guest(vmid).config.update(description="by hand")

    world.pve.before("PUT", f"/{vmid}/config$", change)
    result = world.run({"vmid": vmid, "memory": 300})
    assert not result.failed, result.msg
    config = world.pve.config(vmid)
    assert (str(config["memory"]), config["description"].strip()) == ("300", "by hand")
    assert len(world.pve.forms("PUT", "/config$")) == 2


def a_lost_answer_is_looked_up(world: World) -> None:
    kind, arguments = world.kind, {"name": "new", "cores": 2, **world.kind.new}
    for number, fault in enumerate(("lose_answer", "596", "drop")):
        world.pve.fault("POST", f"/{kind.path}$", fault)
        result = world.run({**arguments, "name": f"new{number}"})
        assert not result.failed, result.msg
        assert world.named(f"new{number}") == [result["vmid"]]
    world.pve.fault("DELETE", f"/{kind.path}/{kind.there}$", "lose_answer")
    assert not world.run({"vmid": kind.there, "state": "absent"}).failed
    assert kind.there not in world.pve.vmids()
    assert world.pve.summary().count(f"DELETE /nodes/pve1/{kind.path}/{kind.there}") == 1


def a_lost_answer_to_a_clone_is_looked_up(world: World) -> None:
    arguments = {**world.add_source(), **world.kind.grown("20G")}
    for method, path in (("POST", "/clone$"), ("PUT", "/resize$"), ("PUT", "/config$")):
        world.pve.fault(method, path, "lose_answer")
    result = world.run(arguments)
    assert not result.failed, result.msg
    assert world.named("copy") == [result["vmid"]]
    assert not world.run(arguments).changed


def a_number_that_is_taken_meanwhile_is_not_touched(world: World) -> None:
    kind = world.kind
    free = max(vmid for vmid in world.pve.vmids() if vmid < 150) + 1
    world.pve.before("POST", f"/{kind.path}$", lambda: kind.add(world.pve, free, "theirs"))
    result = world.run({"name": "mine", "cores": 7, **kind.new})
    assert not result.failed, result.msg
    assert (result["vmid"], world.pve.config(free)[kind.name_key]) == (free + 1, "theirs")
    world.pve.fault("POST", f"/{kind.path}$", "drop")
    world.pve.before("POST", f"/{kind.path}$", lambda: kind.add(world.pve, free + 2, "theirs too"))
    result = world.run({"name": "mine2", "cores": 7, **kind.new})
    assert not result.failed, result.msg
    assert result["vmid"] != free + 2
    assert str(world.pve.config(free + 2).get("cores")) != "7"


def a_run_that_was_killed_is_completed_by_the_next(world: World) -> None:
    task = f"{world.kind.tasks}create"
    arguments = {"name": "new", "cores": 2, **world.kind.new}
    world.pve.task_seconds[task] = 1.0
    world.kill_in_mid_task(arguments, task)
    result = world.run(arguments)
    assert not result.failed, result.msg
    assert world.named("new") == [result["vmid"]]
    assert len(world.pve.tasks(task)) == 1
    assert not world.run(arguments).changed


def a_lock_is_left_alone_and_told(world: World) -> None:
    world.pve.lock_guest(world.kind.there, "backup")
    result = world.run({"vmid": world.kind.there, "memory": 300})
    assert "is locked (backup)" in result.msg
    assert (result["error"]["kind"], result.changed) == ("locked", False)


PROMISES = (
    one_task_makes_a_guest,
    one_task_clones_and_configures,
    only_the_guest_that_is_meant_is_touched,
    a_template_is_made_once,
    a_guest_is_deleted_only_when_that_is_meant,
    tags_and_pool_are_as_asked,
    what_is_not_named_stays,
    volumes_grow_and_go_only_when_asked,
    what_waits_for_a_restart_is_told,
    another_writer_is_not_overwritten,
    a_lost_answer_is_looked_up,
    a_lost_answer_to_a_clone_is_looked_up,
    a_number_that_is_taken_meanwhile_is_not_touched,
    a_run_that_was_killed_is_completed_by_the_next,
    a_lock_is_left_alone_and_told,
)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("kind", [VM, CONTAINER], ids=["vm", "container"])
def test_a_promise(pve, run_module, tmp_path: Path, kind: Kind, promise: Callable[[World], None]) -> None:
    kind.add(pve, RUNS, "runs", status="running")
    promise(World(kind, pve, run_module, tmp_path))
