# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What vzdump is asked for, what stands against it, and what its log says."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.backup.vzdump import (
    COMPRESSIONS,
    MODES,
    BackupOptions,
    archive_in,
    new_backup,
    plan_backup,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.facts import Status, parse_status
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest, Locked, Refused
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.guests import Guest

GUEST = Guest(105, "pve1", "qemu", name="web")
STATUS = Status(
    condition="running", name="web", template=False, lock="", ha_managed=False, ha_state="", uptime=0, tags=()
)
FREE = BackupOptions(storages={"backups": True, "tapes": False})
UPID = "UPID:pve1:00000D2E:00073AC5:6B01FE80:vzdump:105:root@pam!ci:"


def unescaped(text):
    """As PVE reads a template of notes (PVE::VZDump, generate_notes)."""
    return re.sub(r"\\\\|\\n", lambda found: {"\\\\": "\\", "\\n": "\n"}[found[0]], text)


@given(st.text(st.characters(exclude_characters="{\r", exclude_categories=["Cs"]), max_size=100))
def test_notes_survive_pves_template(notes):
    form = new_backup("backups", notes=notes).form
    assert unescaped(form["notes-template"] or "") == notes
    assert "\n" not in (form["notes-template"] or "")


@given(st.text(max_size=20), st.text(max_size=8), st.text(max_size=8))
def test_nothing_gets_into_an_option(storage, mode, compress):
    try:
        form = new_backup(storage, mode, compress).form
    except InvalidRequest:
        return
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", form["storage"])
    assert (form["mode"], form["compress"]) in [(one, other) for one in MODES for other in COMPRESSIONS]


def test_older_archives_are_left_to_pve_only_when_asked():
    assert new_backup("backups").form["remove"] == 0
    assert new_backup("backups", prune=True).form["remove"] is None


def test_the_plan():
    (step,) = plan_backup(new_backup("backups", protected=True), GUEST, STATUS, FREE).steps
    assert step.title == "back guest 105 (web) up to backups (snapshot)"
    assert step.command.path("pve3") == ("nodes", "pve3", "vzdump")
    assert (step.command.form["vmid"], step.command.form["protected"]) == (105, 1)
    assert (step.command.task_type, step.command.task_id, step.command.once) == ("vzdump", "105", True)


@pytest.mark.parametrize(
    ("storage", "changes", "running", "error", "words"),
    [
        ("backups", {"lock": "snapshot"}, (), Locked, "is locked \\(snapshot\\)"),
        ("backups", {"lock": "backup"}, (UPID,), Locked, "runs already: wait for it, it is UPID"),
        ("local", {}, (), InvalidRequest, "takes no backups on node pve1, which has backups, tapes"),
        ("tapes", {}, (), Refused, "is not active"),
    ],
)
def test_what_stands_against_it(storage, changes, running, error, words):
    conditions = dataclasses.replace(FREE, running=running)
    with pytest.raises(error, match=words):
        plan_backup(new_backup(storage), GUEST, STATUS._replace(**changes), conditions)


@pytest.mark.parametrize(
    ("line", "volid"),
    [
        (
            "INFO: creating vzdump archive '/var/lib/vz/dump/vzdump-qemu-105-2026_11_21-20_26_40.vma.zst'",
            "store:backup/vzdump-qemu-105-2026_11_21-20_26_40.vma.zst",
        ),
        (
            "INFO: creating Proxmox Backup Server archive 'vm/105/2026-11-21T20:26:40Z'",
            "store:backup/vm/105/2026-11-21T20:26:40Z",
        ),
        ("INFO: starting backup via QMP command", ""),
    ],
)
def test_the_log_names_the_volume(line, volid):
    assert archive_in(["INFO: Starting Backup of VM 105 (qemu)", line, "TASK OK"], "store") == volid


@pytest.mark.parametrize(
    ("qmpstatus", "lock", "condition"),
    [("prelaunch", "backup", "stopped"), ("running", "backup", "running"), ("prelaunch", None, "paused")],
)
def test_the_qemu_of_a_backup_is_no_running_guest(qmpstatus, lock, condition):
    assert parse_status({"status": "running", "qmpstatus": qmpstatus, "lock": lock}).condition == condition
