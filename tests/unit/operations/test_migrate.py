# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands against moving a guest, what is sent when nothing does, and what PVE's log says when it fails."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.facts import Status
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.guest.placement import Cluster, Node
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.ha import HaHome, HaPlacement
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.migration.after_a_failure import (
    advice_for,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.migration.migration_request import (
    MigrationOptions,
    MigrationRequest,
    migration_request,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.migration.moving import (
    cannot_be_moved,
    plan_migration,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.migration.obstacles import obstacles
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.migration.preconditions import (
    LocalVolume,
    Preconditions,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.migration.spreading import Move, spread
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.once import Once
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.guests import Guest, GuestHandle, Selector
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.tasks import reason_of_end

GUEST = Guest(105, "pve1", "qemu", name="web")
CONTAINER = Guest(205, "pve1", "lxc", name="ct")
STORAGES = frozenset({("local-lvm", "images"), ("shared", "images"), ("isos", "iso")})
NODES = tuple(Node(name, 8 * 1024**3, STORAGES, frozenset({"shared"})) for name in ("pve1", "pve2"))
CLUSTER = Cluster((), NODES, node_names=frozenset({"pve1", "pve2"}))
DISK = LocalVolume("local-lvm:vm-105-disk-0", "scsi0")
RUNNING = Status(
    condition="running", name="web", template=False, lock="", ha_managed=False, ha_state="", uptime=0, tags=()
)
FREE = Preconditions(guest=GUEST, status=RUNNING, cluster=CLUSTER)
MANAGED = RUNNING._replace(ha_managed=True, ha_state="started")
NO_CLIENT = None


def preconditions(condition="running", **changes):
    return dataclasses.replace(FREE, **{"status": RUNNING._replace(condition=condition), **changes})


def request(**options):
    return MigrationRequest(Selector(105), ("pve2",), MigrationOptions(**options))


def step(found, **options):
    handle = GuestHandle(NO_CLIENT, found.guest)
    (only,) = plan_migration("pve2", request(**options), found, handle).steps
    return only


@pytest.mark.parametrize(("condition", "online"), [("running", 1), ("paused", 1), ("stopped", None)])
def test_it_is_moved_online_when_it_is_up(condition, online):
    command = step(preconditions(condition)).command
    assert command.path("pve1") == ("nodes", "pve1", "qemu", 105, "migrate")
    assert (command.form["target"], command.form["online"]) == ("pve2", online)


@pytest.mark.parametrize(("managed", "state", "task"), [(True, "started", "hamigrate"), (True, "ignored", "qmigrate")])
def test_ha_is_asked_where_it_takes_care(managed, state, task):
    made = step(preconditions(status=RUNNING._replace(ha_managed=managed, ha_state=state)))
    assert made.command.task_type == task
    assert made.through_ha == (task == "hamigrate")


@pytest.mark.parametrize(("condition", "copied"), [("running", 1), ("stopped", None)])
def test_local_disks_are_copied_when_that_is_asked_for(condition, copied):
    form = step(preconditions(condition, local_volumes=(DISK,)), with_local_disks=True).command.form
    assert form["with-local-disks"] == copied


@pytest.mark.parametrize(("condition", "restart"), [("running", {"restart": 1, "timeout": 60}), ("stopped", {})])
def test_a_container_that_runs_is_restarted(condition, restart):
    made = step(preconditions(condition, guest=CONTAINER), shutdown_timeout=60)
    assert made.command.task_type == "vzmigrate"
    assert {key: value for key, value in made.command.form.items() if key in ("restart", "timeout")} == restart


@pytest.mark.parametrize(
    ("storages", "text"),
    [({"": "shared"}, "shared"), ({"local": "a", "local-lvm": "b"}, "local:a,local-lvm:b"), ({}, None)],
)
def test_storages_are_named_as_pve_takes_them(storages, text):
    assert step(FREE, target_storage=storages).command.form["targetstorage"] == text
    assert step(preconditions(guest=CONTAINER), target_storage=storages).command.form["target-storage"] == text


def test_the_plan_says_where_the_volumes_go():
    found = preconditions("stopped", local_volumes=(DISK,))
    plan = plan_migration("pve2", request(target_storage={"": "shared"}), found, GuestHandle(NO_CLIENT, found.guest))
    assert [(change.key, change.before, change.after) for change in plan.changes] == [
        ("node", "pve1", "pve2"),
        ("scsi0.storage", "local-lvm", "shared"),
    ]


COPIED = {"with_local_disks": True}
OBSTACLES = [
    ({"cluster": dataclasses.replace(CLUSTER, offline=frozenset({"pve2"}))}, {}, "node pve2 is offline"),
    ({"not_allowed": {"pve2": {"unavailable_storages": ["ceph"]}}}, {}, "its storage ceph is not there"),
    ({"local_volumes": (DISK,)}, {"target_storage": {"": "isos"}, **COPIED}, "storage isos there is not for images"),
    ({"guest": CONTAINER, "mounts": (DISK,)}, {}, "storage local-lvm there is not for rootdir"),
    ({"not_allowed": {"pve2": {"unavailable-resources": ["hostpci0"]}}}, {}, "add that node to it"),
    ({"not_allowed": {"pve2": {"blocking-ha-resources": [{"sid": "vm:106"}]}}}, {}, "keeps it apart from vm:106"),
    ({"not_allowed": {"pve2": {"news": 1}}}, {}, "PVE does not allow it"),
    ({"ha": HaPlacement(in_maintenance=frozenset({"pve2"}))}, {}, "node pve2 is in HA's maintenance mode"),
    (
        {"ha": HaPlacement(HaHome("the HA rule r", frozenset({"pve1"})))},
        {},
        "HA brings it back, as the HA rule r prefers pve1",
    ),
    ({"local_isos": ("local:iso/a.iso",)}, {}, "local:iso/a.iso in its drive"),
    ({"local_devices": ("hostpci0",)}, {}, "uses devices of this node (hostpci0)"),
    ({"fixed_while_running": ("hostpci0 (gpu)",)}, {}, "cannot move while it runs (hostpci0 (gpu)): stop it first"),
    ({"local_volumes": (DISK,)}, {}, "its disks are on this node only (local-lvm:vm-105-disk-0)"),
    (
        {"local_volumes": (dataclasses.replace(DISK, snapshots=("one", "two")),)},
        {"with_local_disks": True},
        "have snapshots (one, two): delete those",
    ),
    ({}, {"online": "never"}, "it runs, and online is never"),
    ({"guest": CONTAINER}, {"online": "always"}, "PVE moves a container only by restarting it"),
    ({"guest": CONTAINER, "bind_mounts": ("mp0",)}, {}, "mp0 binds a directory of this node"),
    ({"status": MANAGED}, {"target_storage": {"": "shared"}}, "HA takes neither target_storage nor bandwidth"),
]


@pytest.mark.parametrize(("changes", "options", "words"), OBSTACLES)
def test_the_reason_is_given(changes, options, words):
    (reason,) = obstacles(preconditions(**changes), "pve2", MigrationOptions(**options), NO_CLIENT, Once())
    assert words in reason
    message = str(cannot_be_moved(GUEST, "pve2", [reason]))
    assert message.startswith("guest 105 (web) cannot be moved from node pve1 to pve2: ")


def test_all_reasons_are_given_at_once():
    found = preconditions(local_isos=("local:iso/a.iso",), local_devices=("usb0",))
    assert len(obstacles(found, "pve2", MigrationOptions(), NO_CLIENT, Once())) == 2


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({"not_allowed": {"pve2": {"unavailable_storages": [], "blocking-ha-resources": []}}}, {}),
        ({"not_allowed": {"pve2": {"unavailable_storages": ["a"]}}}, {"target_storage": {"a": "shared"}}),
        ({"condition": "stopped", "local_volumes": (dataclasses.replace(DISK, snapshots=("one",)),)}, {}),
        ({"condition": "stopped", "fixed_while_running": ("hostpci0",)}, {}),
        ({"local_volumes": (dataclasses.replace(DISK, attached=False),)}, {}),
        ({"ha": HaPlacement(HaHome("the HA rule r", frozenset({"pve1", "pve2"})))}, {}),
        ({"condition": "stopped"}, {"online": "never"}),
    ],
)
def test_what_bars_nothing(changes, options):
    assert obstacles(preconditions(**changes), "pve2", MigrationOptions(**options), NO_CLIENT, Once()) == []


LOGS = [
    (
        [
            (
                "2026-11-26 21:01:10 can't migrate local disk 'a:b': can't live migrate attached local disks without "
                "with-local-disks option"
            ),
            "2026-11-26 21:01:10 ERROR: Problem found while scanning volumes - can't migrate VM - check log",
            "2026-11-26 21:01:10 aborting phase 1 - cleanup resources",
            (
                "2026-11-26 21:01:10 ERROR: migration aborted (duration 00:00:01): Problem found while scanning "
                "volumes - can't migrate VM - check log"
            ),
        ],
        "can't migrate local disk 'a:b': can't live migrate attached local disks without with-local-disks option",
        "with_local_disks",
    ),
    (
        [
            (
                "2026-11-26 20:54:01 ERROR: migration aborted (duration 00:00:00): can't migrate VM which uses local "
                "devices: hostpci0"
            )
        ],
        "can't migrate VM which uses local devices: hostpci0",
        "map them",
    ),
    (
        [
            "2026-11-27 08:50:50 dd: error writing '/mnt/images/2362/vm-2362-disk-0.qcow2': No space left on device",
            (
                "2026-11-27 08:50:50 ERROR: migration aborted (duration 00:00:04): storage migration for 'a:b' to "
                "storage 'full' failed - command 'set -o pipefail && pvesm export a:b | /usr/bin/ssh -e none -- pvesm "
                "import' failed: exit code 1"
            ),
        ],
        "dd: error writing '/mnt/images/2362/vm-2362-disk-0.qcow2': No space left on device",
        "make room there",
    ),
    (
        [
            (
                "2026-11-27 08:51:06 ERROR: online migrate failure - block job (mirror) error: mirror-scsi0: No space "
                "left on device (io-status: ok)"
            ),
            "2026-11-27 08:51:14 ERROR: migration finished with problems (duration 00:00:18)",
        ],
        ("online migrate failure - block job (mirror) error: mirror-scsi0: No space left on device (io-status: ok)"),
        "make room there",
    ),
    ([], "migration aborted", ""),
]


@pytest.mark.parametrize(("log", "why", "advice"), LOGS)
def test_the_reason_in_the_log_is_found(log, why, advice):
    assert reason_of_end("migration aborted", log) == why
    assert not log or reason_of_end("migration problems", log) == why
    assert reason_of_end("unexpected status", log) == "unexpected status"
    assert advice in advice_for(why)


def parameters(**changes):
    given = {"vmid": 105, "node": "pve2", "online": "auto", "with_local_disks": False, "shutdown_timeout": 180}
    return {**given, "check_cpu": True, "overcommit_memory": False, **changes}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"node": None}, "one of node and nodes"),
        ({"nodes": ["pve3"]}, "one of node and nodes"),
        ({"bandwidth": 0}, "bandwidth must be at least 1 KiB/s, not 0"),
        ({"shutdown_timeout": 0}, "shutdown_timeout must be more than 0 seconds"),
        ({"target_storage": ["a"]}, "target_storage is the name of a storage, or a dictionary"),
        ({"target_storage": {"a": "b:c"}}, "target_storage is the name of a storage, or a dictionary"),
        ({"vmid": 5}, "vmid must be from 100"),
    ],
)
def test_options_that_are_refused(changes, words):
    with pytest.raises(InvalidRequest, match=words):
        migration_request(parameters(**changes))


# ---- which node

MOVES = st.lists(
    st.builds(
        Move,
        vmid=st.integers(100, 999),
        memory=st.integers(0, 8),
        nodes=st.lists(st.sampled_from("abc"), max_size=3, unique=True).map(tuple),
    ),
    max_size=12,
    unique_by=lambda move: move.vmid,
)


@given(MOVES, st.dictionaries(st.sampled_from("abc"), st.integers(0, 20)))
def test_no_node_gets_more_than_it_has_and_each_guest_goes_where_it_can(moves, free):
    chosen = spread(moves, free)
    assert chosen.keys() == {move.vmid for move in moves}
    used = dict.fromkeys("abc", 0)
    for move in moves:
        target = chosen[move.vmid]
        assert target is None or target in move.nodes
        used[target or "a"] += move.memory if target else 0
    assert all(used[node] <= free.get(node, 0) for node in used)
    assert spread(list(reversed(moves)), free) == chosen


@given(MOVES)
def test_overcommitted_each_guest_finds_a_node(moves):
    chosen = spread(moves, {}, overcommit=True)
    assert all((chosen[move.vmid] is None) == (not move.nodes) for move in moves)


def test_they_are_spread():
    moves = [Move(number, 1, ("a", "b")) for number in range(100, 110)]
    chosen = spread(moves, {"a": 10, "b": 6})
    assert sorted(chosen.values()) == ["a"] * 7 + ["b"] * 3
