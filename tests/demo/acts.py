# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The acts of the demo in which a user types: what that is, and what PVE must look like afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .cloudstack import Call
from .stage import Run, World
from .terminal import ESCAPE_KEY, Typing

# A sentence, and whether it is true.
Claim = tuple[str, bool]


@dataclass(frozen=True)
class Scene:
    """What an act left behind."""

    run: Run
    before: World
    after: World

    @property
    def untouched(self) -> bool:
        return self.before.guests == self.after.guests and not self.after.writes


@dataclass(frozen=True)
class Act:
    title: str
    story: str
    command: Sequence[str] | Call | Typing
    claims: Callable[[Scene], Iterator[Claim]]
    prepare: str = "look"


def playbook(name: str, *flags: str, **variables: object) -> tuple[str, ...]:
    given = [word for key, value in variables.items() for word in ("-e", f"{key}={value}")]
    return ("ansible-playbook", f"cloudbridge.proxmox.{name}", *given, *flags)


NEW_VM = playbook(
    "provision",
    vm_name="app1",
    template="debian-template",
    cores=2,
    memory=2048,
    disk_size="16G",
    bridge="vmbr0",
    vlan=20,
    vm_tags="app,demo",
    ci_user="admin",
    ip="192.0.2.10/24",
    gateway="192.0.2.1",
    wait_for="agent,ip",
)


def made(scene: Scene) -> Iterator[Claim]:
    vm = scene.after.guests.get("app1")
    yield "the playbook went well", scene.run.returncode == 0
    yield "there is a guest app1, and it runs", vm is not None and vm["status"] == "running"
    config = vm["config"] if vm else {}
    yield "it has 2 cores and 2048 MiB", (str(config.get("cores")), str(config.get("memory"))) == ("2", "2048")
    yield (
        "its disk has grown to 16G, and its network device is in VLAN 20",
        ("size=16G" in str(config.get("scsi0")) and "tag=20" in str(config.get("net0"))),
    )
    yield "its address was waited for and is shown", "192.0.2.10" in scene.run.output


def nothing_changed(scene: Scene) -> Iterator[Claim]:
    yield "Ansible counts changed=0", scene.run.returncode == 0 and scene.run.changed == 0
    yield "PVE was only read", scene.untouched
    yield "each of the two modules used one connection", scene.after.connections == 2


def snapshot_taken(scene: Scene) -> Iterator[Claim]:
    yield "the playbook went well", scene.run.returncode == 0
    yield "app1 has the snapshot before-change", scene.after.guests["app1"]["snapshots"] == ["before-change"]


def foretold(scene: Scene) -> Iterator[Claim]:
    yield (
        "the diff shows both values of memory",
        all(text in scene.run.output for text in ("'2048'", "'4096'"))
        or all(text in scene.run.output for text in ('"2048"', '"4096"')),
    )
    yield "Ansible counts changed=1", scene.run.returncode == 0 and scene.run.changed == 1
    yield "PVE was only read", scene.untouched


def changed(scene: Scene) -> Iterator[Claim]:
    vm = scene.after.guests["app1"]
    wanted = {**vm["config"], **vm["pending"]}
    yield "Ansible counts changed=1, as was foretold", scene.run.returncode == 0 and scene.run.changed == 1
    yield "app1 is to have 4 cores and 4096 MiB", (str(wanted["cores"]), str(wanted["memory"])) == ("4", "4096")
    yield "nothing was restarted", not any("/status/" in write for write in scene.after.writes)
    yield (
        "what waits for the next start is said to be pending",
        bool(vm["pending"]) and all(key in scene.run.output.rpartition("pending:")[2] for key in vm["pending"]),
    )


def rolled_back(scene: Scene) -> Iterator[Claim]:
    vm = scene.after.guests["app1"]
    yield "the playbook went well", scene.run.returncode == 0
    yield "app1 has 2048 MiB again, and nothing is pending", str(vm["config"]["memory"]) == "2048" and not vm["pending"]
    yield "it runs", vm["status"] == "running"


def refused(scene: Scene) -> Iterator[Claim]:
    yield "the playbook failed", scene.run.returncode != 0
    yield "the reason is one sentence, which names the option", "disks: scsi0: size 8G is less than" in scene.run.output
    yield "PVE was only read", scene.untouched


def task_failed(scene: Scene) -> Iterator[Claim]:
    yield "the playbook failed", scene.run.returncode != 0
    yield "the end of the task's log is in the message", "no space left" in scene.run.output
    yield "there is no snapshot too-much", "too-much" not in scene.after.guests["app1"]["snapshots"]


def looked(scene: Scene) -> Iterator[Claim]:
    yield "the answer has the guest's address", scene.run.returncode == 0 and "192.0.2.10" in scene.run.output
    yield "PVE was only read", scene.untouched


def consoles_told(scene: Scene) -> Iterator[Claim]:
    told = scene.run.output
    yield "the answer has the serial line and a link", scene.run.returncode == 0 and "serial0" in told and "/?" in told
    yield "it took four requests, and PVE was only read", len(scene.after.requests) == 4 and scene.untouched


def console_opened(scene: Scene) -> Iterator[Claim]:
    yield "the playbook went well", scene.run.returncode == 0 and "written: ~/app1.vv" in scene.run.output
    yield "PVE was asked once, for SPICE", [line.rpartition("/")[2] for line in scene.after.writes] == ["spiceproxy"]
    yield "no password is in the output", "password=" not in scene.run.output


def typed(scene: Scene) -> Iterator[Claim]:
    yield "the session was left, and the terminal is as it was before", scene.run.returncode == 0
    yield "the guest echoed what was typed, and carried it out", scene.run.output.count("hello from the guest") == 2
    yield (
        "PVE was asked once, for the terminal",
        [line.rpartition("/")[2] for line in scene.after.writes] == ["termproxy"],
    )


def gone(scene: Scene) -> Iterator[Claim]:
    yield "the playbook went well", scene.run.returncode == 0
    yield "there is no app1 any more", "app1" not in scene.after.guests
    yield "the template is still there", "debian-template" in scene.after.guests


ACTS = (
    Act(
        "A virtual machine from a template",
        "Clone, configure, grow the disk, start, and wait for the address, with one command.",
        NEW_VM,
        made,
    ),
    Act(
        "The same command again",
        "Everything is as asked for, so nothing is sent but reads.",
        NEW_VM,
        nothing_changed,
    ),
    Act(
        "A snapshot before a change",
        "It is there when the playbook ends: PVE's task was waited for.",
        playbook("snapshot", vm_name="app1", snapshot="before-change"),
        snapshot_taken,
    ),
    Act(
        "What would happen",
        "Check mode reads, compares, and shows the difference.",
        playbook("provision", "--check", "--diff", vm_name="app1", cores=4, memory=4096),
        foretold,
    ),
    Act(
        "The change",
        "The guest runs and cannot take more cores live. It is not restarted; what waits is named.",
        playbook("provision", "--diff", vm_name="app1", cores=4, memory=4096),
        changed,
    ),
    Act(
        "Back to the snapshot",
        "The change is gone, and the guest runs again.",
        playbook("snapshot", vm_name="app1", snapshot="before-change", state="rolled_back", start_after="true"),
        rolled_back,
    ),
    Act(
        "A wish that cannot be met",
        "PVE cannot shrink disks. That is said before anything is sent.",
        playbook("provision", vm_name="app1", memory=4096, disk_size="8G"),
        refused,
    ),
    Act(
        "A task that fails on PVE",
        "The storage is full. The failure comes with the end of the task's log, not with a timeout.",
        playbook("snapshot", vm_name="app1", snapshot="too-much"),
        task_failed,
        prepare="no-space",
    ),
    Act(
        "A look by hand",
        "Modules work from the command line, too.",
        ("ansible", "localhost", "-m", "cloudbridge.proxmox.pve_vm_info", "-a", "name=app1 gather=agent"),
        looked,
    ),
    Act(
        "Which consoles there are",
        "And which of them this API token can open on this release of PVE.",
        ("ansible", "localhost", "-m", "cloudbridge.proxmox.pve_console_info", "-a", "vmid=100"),
        consoles_told,
    ),
    Act(
        "A file for a viewer",
        "PVE opens the display for one connection. What opens it is secret: a file gets it, and not the screen.",
        playbook("console", vm_name="app1", type="spice", file="~/app1.vv"),
        console_opened,
    ),
    Act(
        "A terminal",
        "Through PVE to the guest's serial line, without a network in the guest. Ctrl-] leaves.",
        Typing(("app1", "--wake"), (("~ # ", "echo hello from the guest\r"), ("\nhello from the guest", ESCAPE_KEY))),
        typed,
    ),
    Act(
        "The end",
        "A guest that runs is only deleted when force says so.",
        playbook("provision", vm_name="app1", state="absent", force="true"),
        gone,
    ),
)
