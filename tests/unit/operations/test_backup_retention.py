# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which backups pruning removes, and how retentions, names and ages are read."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.backup.archives import (
    backup_in,
    parse_backup_name,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.backup.backup_request import seconds_of
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.backup.retention import (
    NEW,
    PERIODS,
    Retention,
    candidates,
    parse_retention,
    pruned,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.storages import Volume
from tests.support.embedded_pve.pruning import prune_marks

# 74-backups.json, "prune dry run keep-last=2": a real PVE's marks.
RECORDED = {
    "2026_11_26-20_49_30": "remove",
    "2026_11_26-20_49_38": "remove",
    "2026_11_26-20_50_02": "protected",
    "2026_11_26-20_50_10": "remove",
    "2026_11_26-20_50_23": "keep",
    "2026_11_26-20_50_31": "keep",
}


def listed(stamp_or_time, protected=False, name=None):
    """A backup as a storage lists it, dated by its name as PVE does."""
    if isinstance(stamp_or_time, str):
        created = int(time.mktime(time.strptime(stamp_or_time, "%Y_%m_%d-%H_%M_%S")))
    else:
        created = stamp_or_time
    stamp = time.strftime("%Y_%m_%d-%H_%M_%S", time.localtime(created))
    volid = f"bk:backup/{name or f'vzdump-qemu-100-{stamp}'}.vma.zst"
    details = {"subtype": "qemu", "vmid": 100, "ctime": created, "protected": int(protected)}
    return backup_in(Volume(volid, "pve1", "backup", "vma.zst", 1, details))


def test_a_real_pve_prunes_the_same():
    backups = [listed(stamp, mark == "protected") for stamp, mark in RECORDED.items()]
    gone = pruned(candidates(backups), Retention({"last": 2}))
    assert [volid.partition("100-")[2].partition(".")[0] for volid in gone] == [
        stamp for stamp, mark in RECORDED.items() if mark == "remove"
    ]


@pytest.mark.parametrize("behind", [0, 1, 90])
def test_the_next_one_is_the_newest_whatever_the_clock_of_the_server_says(behind):
    there = listed(1_795_000_000)
    assert pruned(candidates([there], there.created - behind), Retention({"last": 1})) == [there.volid]


@given(
    st.lists(
        st.tuples(st.integers(0, 900 * 24), st.booleans(), st.booleans()), max_size=25, unique_by=lambda one: one[0]
    ),
    st.fixed_dictionaries({}, optional={name: st.integers(0, 4) for name in PERIODS}),
    st.booleans(),
)
def test_pves_rules(entries, keep, with_new):
    """The embedded PVE marks them by rules that were written from PVE's independently of ours."""
    now = 1_795_000_000
    backups = sorted(
        (
            listed(now - hours * 3600 - 60, protected, f"renamed-{hours}" if renamed else None)
            for hours, protected, renamed in entries
        ),
        key=lambda backup: backup.created,
    )
    group = {
        backup.volid.partition(":")[2]: {"ctime": backup.created, "protected": backup.protected} for backup in backups
    }
    if with_new:
        new = time.strftime("backup/vzdump-qemu-100-%Y_%m_%d-%H_%M_%S.vma", time.localtime(now))
        group[new] = {"ctime": now}
    marks = prune_marks(group, {f"keep-{name}": count for name, count in keep.items()})
    expected = [f"bk:{name}" for name in sorted(group, key=lambda one: group[one]["ctime"]) if marks[name] == "remove"]
    found = pruned(candidates(backups, now if with_new else None), Retention(keep))
    assert [f"bk:{new}" if volid == NEW else volid for volid in found] == expected


@pytest.mark.parametrize(
    ("entry", "good"),
    [
        ({"size": 4096}, True),
        ({"size": 4096, "verification": {"state": "ok", "upid": "UPID:x"}}, True),
        ({"size": 4096, "verification": {"state": "failed", "upid": "UPID:x"}}, False),
        # What PBSPlugin says of a snapshot that has no size yet.
        ({"size": 1}, False),
    ],
)
def test_snapshots_of_a_backup_server_that_count(entry, good):
    volid = "pbs:backup/vm/100/2026-01-31T03:00:00Z"
    details = {"subtype": "qemu", "vmid": 100, "ctime": 1769828400, "format": "pbs-vm", **entry}
    backup = backup_in(Volume(volid, "pve1", "backup", "pbs-vm", entry["size"], details))
    assert (backup.is_good, backup.kind, backup.verification) == (
        good,
        "qemu",
        entry.get("verification", {}).get("state"),
    )


def test_retentions_as_pve_writes_them():
    assert parse_retention("keep-last=3,keep-weekly=2") == Retention({"last": 3, "weekly": 2})
    assert parse_retention("keep-all=1") == parse_retention("") == Retention()
    assert (Retention({"last": 3, "weekly": 2}).text, Retention({"last": 3, "weekly": 2}).limit) == (
        "keep-last=3,keep-weekly=2",
        5,
    )


@pytest.mark.parametrize(
    ("volid", "expected"),
    [
        ("a:backup/vzdump-qemu-100-2026_01_31-03_00_59.vma.zst", ("a", "qemu", 100, (2026, 1, 31, 3, 0, 59))),
        ("a:backup/vzdump-lxc-2000-2026_01_31-03_00_59.tar", ("a", "lxc", 2000, (2026, 1, 31, 3, 0, 59))),
        ("pbs:backup/vm/100/2026-01-31T03:00:59Z", ("pbs", "qemu", 100, (2026, 1, 31, 3, 0, 59))),
        ("pbs:backup/ct/100/2026-01-31T03:00:59Z", ("pbs", "lxc", 100, (2026, 1, 31, 3, 0, 59))),
        ("a:backup/vzdump-qemu-100-before-upgrade.vma", None),
        ("a:iso/debian.iso", None),
    ],
)
def test_names(volid, expected):
    name = parse_backup_name(volid)
    assert (name and (name.storage, name.kind, name.vmid, name.fields)) == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("90", 90), ("90s", 90), ("2m", 120), ("24h", 86400), (" 1d ", 86400), ("1w", 604800)],
)
def test_ages(text, seconds):
    assert seconds_of("max_age", text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "1.5h", "soon", "1y", "h"])
def test_what_is_no_age(text):
    with pytest.raises(InvalidRequest, match=r"max_age .* is no time span"):
        seconds_of("max_age", text)
