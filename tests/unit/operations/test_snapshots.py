# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Planning snapshots: what a plan does to a model of PVE's snapshot tree."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.snapshots.planning import plan_snapshots
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.snapshots.snapshot_request import (
    Retention,
    SnapshotRequest,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.snapshots.snapshot_tree import (
    Snapshot,
    Snapshots,
    parse_snapshots,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest, NotFound
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.guests import Guest, Selector

GUEST = Guest(101, "pve1", "qemu", "db")
NAMES = [f"{kind}{number}" for kind in ("day", "week") for number in range(6)]


class Model:
    """PVE's own doing, as PVE::AbstractConfig does it: a dict of snapshots and the parent of the current state."""

    def __init__(self, entries, parent):
        self.entries = {entry["name"]: dict(entry) for entry in entries}
        self.parent = parent
        self.clock = 1000

    def answer(self, running=False):
        current = {"name": "current", "running": int(running), "description": "You are here!"}
        return [*self.entries.values(), {**current, **({"parent": self.parent} if self.parent else {})}]

    def snapshots(self, running=False):
        return parse_snapshots(self.answer(running))

    def carry_out(self, plan):
        for step in plan.steps:
            command = step.command
            tail = command.tail[3:]
            form = {key: value for key, value in command.form.items() if value is not None}
            if command.method == "DELETE":
                self.delete(*tail)
            elif command.method == "PUT":
                self.entries[tail[0]]["description"] = form["description"]
            elif not tail:
                self.create(**form)

    def create(self, snapname, description="", vmstate=False):
        assert snapname not in self.entries
        self.clock += 1
        entry = {"name": snapname, "snaptime": self.clock, "description": description, "vmstate": int(vmstate)}
        self.entries[snapname] = {**entry, **({"parent": self.parent} if self.parent else {})}
        self.parent = snapname

    def delete(self, name):
        heir = self.entries.pop(name).get("parent")
        for entry in self.entries.values():
            if entry.get("parent") == name:
                entry["parent"] = heir
        self.parent = heir if self.parent == name else self.parent


@st.composite
def models(draw):
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=8))
    entries = []
    for number, name in enumerate(names):
        parent = draw(st.sampled_from([None, *names[:number]]))
        entry = {"name": name, "snaptime": 10 + number // draw(st.integers(1, 3)), "description": "", "vmstate": 0}
        entries.append({**entry, **({"parent": parent} if parent else {})})
    parent = draw(st.sampled_from([None, *names]))
    return Model(draw(st.permutations(entries)), parent)


retentions = st.builds(Retention, st.integers(1, 5), st.sampled_from(["day*", "week*", "*", "*[135]", "day3"]))


def plan(model, running=False, **options):
    request = SnapshotRequest(Selector(vmid=101), **options)
    return plan_snapshots(request, GUEST, model.snapshots(running), model.snapshots)


@given(models(), st.sampled_from(NAMES), retentions, st.sampled_from([None, "", "text"]))
def test_present_then_nothing_is_left_to_do(model, name, retention, description):
    if not retention.matches(name):
        return
    options = {"snapshot": name, "retention": retention, "description": description}
    before = model.snapshots()
    planned = plan(model, **options)
    model.carry_out(planned.plan)
    after = model.snapshots()
    assert plan(model, **options).plan.steps == ()

    assert after.get(name) is not None
    assert set(planned.deletes) == set(before.names) - set(after.names)
    assert all(fnmatchcase(deleted, retention.pattern) for deleted in planned.deletes)
    order = [*before.names, *([name] if name not in before.names else [])]
    matching = [one for one in order if retention.matches(one)]
    kept = matching[-retention.keep_last :]
    assert [one for one in matching if one not in planned.deletes] == [one for one in matching if one in {*kept, name}]


@given(models(), retentions)
def test_pruning_keeps_exactly_the_newest_and_touches_nothing_else(model, retention):
    before = model.snapshots()
    planned = plan(model, state="absent", retention=retention)
    model.carry_out(planned.plan)
    matching = [name for name in before.names if retention.matches(name)]
    others = {name for name in before.names if not retention.matches(name)}
    assert set(model.snapshots().names) == {*others, *matching[-retention.keep_last :]}
    assert list(planned.deletes) == [name for name in before.names if name in planned.deletes]
    assert plan(model, state="absent", retention=retention).plan.steps == ()


@given(models(), st.sampled_from(NAMES), st.sampled_from(["keep", "delete"]))
def test_absent_then_nothing_is_left_to_do(model, name, children):
    before = model.snapshots()
    options = {"state": "absent", "snapshot": name, "children": children}
    planned = plan(model, **options)
    model.carry_out(planned.plan)
    after = model.snapshots()
    assert plan(model, **options).plan.steps == ()
    gone = set(before.names) - set(after.names)
    if before.get(name) is None:
        assert gone == set()
    elif children == "keep":
        assert gone == {name}
    else:
        assert gone == {name, *before.descendants(name)}


@given(models(), st.sampled_from(NAMES), st.booleans(), retentions)
def test_the_diff_says_what_the_list_says_afterwards(model, name, present, retention):
    options = {"snapshot": name} if present else {"snapshot": name, "state": "absent", "children": "delete"}
    if present and retention.matches(name):
        options["retention"] = retention
    before = model.snapshots()
    planned = plan(model, **options)
    changes = {change.key: change for change in planned.plan.changes}
    model.carry_out(planned.plan)
    after = model.snapshots()
    if before.names != after.names:
        assert (changes["snapshots"].before, changes["snapshots"].after) == (before.names, after.names)
    else:
        assert changes == {}
    for child, parent in (changes["parents"].after if "parents" in changes else {}).items():
        assert after.parents()[child] == (parent or "")


@given(models())
def test_in_order_is_by_time_and_parents_come_first(model):
    snapshots = model.snapshots()
    assert [entry.created for entry in snapshots.entries] == sorted(entry.created for entry in snapshots.entries)
    places = {name: place for place, name in enumerate(snapshots.names)}
    for entry in snapshots.entries:
        if entry.parent and snapshots.get(entry.parent).created <= entry.created:
            assert places[entry.parent] < places[entry.name]


@given(models(), st.sampled_from(NAMES))
def test_descendants_come_before_what_they_are_based_on(model, name):
    snapshots = model.snapshots()
    below = snapshots.descendants(name)
    assert len(below) == len(set(below))
    places = {one: place for place, one in enumerate([*below, name])}
    for one in below:
        assert places[one] < places[snapshots.get(one).parent]


def test_pve_s_list_is_read_whatever_its_order():
    snapshots = parse_snapshots(
        [
            {"name": "ram", "parent": "live", "vmstate": 1, "description": "with memory", "snaptime": 1795291877},
            {"name": "clean", "vmstate": 0, "description": "changed", "snaptime": 1795291864},
            {"vmstate": 0, "parent": "clean", "name": "live", "snaptime": 1795291877, "description": ""},
            {"snaptime": 1795291865, "description": "", "vmstate": 0, "parent": "clean", "name": "vmst"},
            {"name": "current", "running": 1, "parent": "ram", "description": "You are here!", "digest": "8519ad8b"},
        ]
    )
    assert snapshots.names == ["clean", "vmst", "live", "ram"]
    assert (snapshots.current_parent, snapshots.running) == ("ram", True)
    assert snapshots.get("ram") == Snapshot("ram", 1795291877, "with memory", True, "live")
    assert snapshots.descendants("clean") == ["vmst", "ram", "live"]


@pytest.mark.parametrize(
    ("held", "running", "wanted", "fails", "warns"),
    [
        (None, True, True, False, False),
        (None, False, True, False, True),
        (None, False, False, False, False),
        (True, True, False, True, False),
        (False, True, True, True, False),
        (False, False, True, False, True),
        (True, False, True, False, False),
        (True, True, None, False, False),
    ],
)
def test_memory(held, running, wanted, fails, warns):
    model = Model([] if held is None else [{"name": "ram", "snaptime": 1, "vmstate": int(held)}], None)
    if fails:
        with pytest.raises(InvalidRequest, match="cannot change afterwards"):
            plan(model, running, snapshot="ram", vmstate=wanted)
        return
    planned = plan(model, running, snapshot="ram", vmstate=wanted)
    assert bool(planned.warnings) is warns
    assert bool(planned.plan.steps) is (held is None)


def test_a_rollback_needs_its_snapshot():
    with pytest.raises(NotFound, match="it has none"):
        plan(Model([], None), state="rolled_back", snapshot="ab")


def test_a_command_whose_answer_was_lost_looks_whether_it_is_done():
    model = Model([], None)
    create = plan(model, snapshot="ab").plan.steps[0].command
    assert not create.done()
    model.create("ab")
    assert create.done()
    describe = plan(model, snapshot="ab", description="text").plan.steps[0].command
    assert not describe.done()
    model.entries["ab"]["description"] = "text\n"
    assert describe.done()
    delete = plan(model, snapshot="ab", state="absent").plan.steps[0].command
    assert not delete.done()
    model.delete("ab")
    assert delete.done()


def test_a_list_without_snapshots():
    assert parse_snapshots([{"name": "current", "running": 0}]) == Snapshots()
