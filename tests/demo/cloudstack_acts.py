# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The acts in which CloudStack calls the executable: the life of one instance, and two calls that are refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .acts import Act, Claim, Scene
from .cloudstack import call
from .pve import FOREIGN, FOREIGN_VMID, INSTANCE
from .stage import World

UUID = "6f2c9a0e-2b1d-4c3e-9a54-0d1b7c8e9f10"
SNAPSHOT = "before-upgrade"
DESCRIPTION = "taken & kept; 50% done"
UNKNOWN = "com.cloud.agent.api.CreateStoragePoolCommand@5d3e8a1c"


def instance(world: World) -> dict[str, Any]:
    """The instance's guest on PVE; without one, all claims about it are wrong."""
    return dict(world.guests.get(INSTANCE) or {"status": "", "config": {}, "snapshots": None})


def success(scene: Scene) -> Claim:
    return (
        "the answer is one JSON document, and a success",
        scene.run.returncode == 0 and scene.run.answer.get("status") == "success",
    )


def failure(scene: Scene) -> Claim:
    return (
        "the answer is one JSON document, and an error with a reason",
        scene.run.returncode == 1 and scene.run.answer.get("status") == "error" and bool(scene.run.answer.get("error")),
    )


def reserved(scene: Scene) -> Iterator[Claim]:
    yield success(scene)
    vmid = str(scene.run.answer.get("details", {}).get("proxmox_vmid"))
    taken = {str(guest["vmid"]) for guest in scene.after.guests.values()}
    yield "it has a number that no guest has", vmid.isdigit() and vmid not in taken
    yield "PVE was only read", scene.untouched


def deployed(scene: Scene) -> Iterator[Claim]:
    vm = instance(scene.after)
    config = {key: str(value) for key, value in vm["config"].items()}
    yield success(scene)
    yield f"there is a guest {INSTANCE}, and it runs", vm["status"] == "running"
    yield "it has 2 cores and 2048 MiB", (config.get("cores"), config.get("memory")) == ("2", "2048")
    yield (
        "its first card has the MAC address and VLAN of CloudStack, its second no VLAN",
        ("02:01:00:CB:00:05" in config.get("net0", "") and "tag=1577" in config.get("net0", ""))
        and ("1E:00:87:00:00:2C" in config.get("net1", "") and "tag=" not in config.get("net1", "")),
    )
    yield (
        "it is marked as CloudStack's",
        (config.get("tags"), config.get("smbios1")) == ("cloudstack", f"uuid={UUID}"),
    )
    yield "one connection was enough", scene.after.connections == 1


def running(scene: Scene) -> Iterator[Claim]:
    yield success(scene)
    yield "it says that the instance is on", scene.run.answer.get("power_state") == "poweron"
    yield "PVE was only read", scene.untouched


def listed(scene: Scene) -> Iterator[Claim]:
    yield success(scene)
    yield "only CloudStack's instance is listed", scene.run.answer.get("power_state") == {INSTANCE: "poweron"}
    yield f"{FOREIGN} and the template are there as well", {FOREIGN, "debian-template"} <= set(scene.after.guests)
    yield "one request was enough", len(scene.after.requests) == 1


def snapshot_taken(scene: Scene) -> Iterator[Claim]:
    yield success(scene)
    yield f"the guest has the snapshot {SNAPSHOT}", instance(scene.after)["snapshots"] == [SNAPSHOT]


def snapshots_shown(scene: Scene) -> Iterator[Claim]:
    rows = scene.run.answer.get("message")
    shown = [(row["name"], row["description"]) for row in rows] if isinstance(rows, list) else []
    yield success(scene)
    yield "its table has the snapshot, with the description as it was typed", shown == [(SNAPSHOT, DESCRIPTION)]
    yield "PVE was only read", scene.untouched


def mended(scene: Scene) -> Iterator[Claim]:
    memory = [str(instance(world)["config"].get("memory")) for world in (scene.before, scene.after)]
    yield from started(scene)
    yield "it had 512 MiB before, and has 2048 MiB now", memory == ["512", "2048"]


def snapshot_deleted(scene: Scene) -> Iterator[Claim]:
    yield success(scene)
    yield "the guest has no snapshot any more", instance(scene.after)["snapshots"] == []


def console_opened(scene: Scene) -> Iterator[Claim]:
    console = scene.run.answer.get("console", {})
    yield success(scene)
    yield "it has an address, a port and a password", all(console.get(key) for key in ("host", "port", "password"))
    yield "PVE opened a port, and the guest is as it was", scene.before.guests == scene.after.guests
    yield "nothing else was asked of PVE", [write.rpartition("/")[2] for write in scene.after.writes] == ["vncproxy"]


def stopped(scene: Scene) -> Iterator[Claim]:
    yield success(scene)
    yield "the guest is stopped", instance(scene.after)["status"] == "stopped"


def started(scene: Scene) -> Iterator[Claim]:
    yield success(scene)
    yield "the guest runs", instance(scene.after)["status"] == "running"


def rebooted(scene: Scene) -> Iterator[Claim]:
    yield from started(scene)
    yield "PVE rebooted it", [write.rpartition("/")[2] for write in scene.after.writes] == ["reboot"]


def foreign_refused(scene: Scene) -> Iterator[Claim]:
    yield failure(scene)
    yield "the reason is that the guest has no mark", "no mark of CloudStack" in str(scene.run.answer.get("error"))
    yield f"{FOREIGN} is there, and runs", scene.after.guests[FOREIGN]["status"] == "running"
    yield "PVE was only read", scene.untouched


def deleted(scene: Scene) -> Iterator[Claim]:
    yield success(scene)
    yield f"there is no {INSTANCE} any more", INSTANCE not in scene.after.guests
    yield "all others are still there", {FOREIGN, "debian-template"} <= set(scene.after.guests)


def unknown_refused(scene: Scene) -> Iterator[Claim]:
    yield failure(scene)
    yield "PVE was not asked anything", not scene.after.requests and not scene.after.connections


CLOUDSTACK_ACTS = (
    Act("prepare: before a deployment", "CloudStack asks for a number, and keeps it.", call("prepare"), reserved),
    Act(
        "create: an instance from a template",
        "Cloned, marked, given the offering's processors and memory and CloudStack's cards, and started.",
        call("create", "create_template"),
        deployed,
    ),
    Act("status: does it run?", "The answer is what PVE says now.", call("status"), running),
    Act(
        "statuses: which instances run?",
        f"There is a guest {FOREIGN} of somebody else on the node. CloudStack does not hear of it.",
        call("statuses"),
        listed,
        prepare="foreign",
    ),
    Act(
        "CreateSnapshot",
        "With its memory, and with a description that a shell would trip over.",
        call("CreateSnapshot"),
        snapshot_taken,
    ),
    Act("ListSnapshots", "A table for CloudStack's users.", call("ListSnapshots"), snapshots_shown),
    Act(
        "RestoreSnapshot",
        "Somebody has taken memory from the guest in the meantime.",
        call("RestoreSnapshot"),
        mended,
        prepare="mishap",
    ),
    Act("DeleteSnapshot", "It is gone when the answer comes.", call("DeleteSnapshot"), snapshot_deleted),
    Act(
        "getconsole",
        "CloudStack's console proxy gets a port that takes one connection.",
        call("getconsole"),
        console_opened,
    ),
    Act("stop", "The power goes off; details can have the guest asked first.", call("stop"), stopped),
    Act(
        "start",
        "Somebody has taken memory from the guest again. A start sets what is the offering's, and the cards.",
        call("start"),
        mended,
        prepare="mishap",
    ),
    Act("reboot", "PVE asks the guest, and waits for it.", call("reboot"), rebooted),
    Act(
        "delete: a guest that is not CloudStack's",
        f"The instance's details have the number of {FOREIGN}, by a mistake or by a trick.",
        call("delete", details={"proxmox_vmid": str(FOREIGN_VMID)}),
        foreign_refused,
    ),
    Act("delete", "The guest runs, so it is stopped first. PVE's tasks are waited for.", call("delete"), deleted),
    Act(
        "An action that there is not",
        "CloudStack sends commands that no extension knows. They are refused before anything is read.",
        call(UNKNOWN, "unknown_agent_command"),
        unknown_refused,
    ),
)
