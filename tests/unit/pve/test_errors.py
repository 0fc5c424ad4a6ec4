# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PVE's refusals, as recorded from PVE 9.2: which error each is, what it means, and the sentence the user reads."""

from __future__ import annotations

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve import errors
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import (
    AlreadyExists,
    AnswerLost,
    AuthenticationFailed,
    Conflict,
    ErrorReason,
    Locked,
    NotFound,
    PermissionDenied,
    PveError,
    Refused,
    TaskDenied,
    Unreachable,
    error_from_answer,
    error_reason_of,
)

WHO = "root@pam!ci"
WHAT = "GET /nodes/pve1/qemu/100/config"
PARAMETERS = "Parameter verification failed."

# status, message (the reason phrase is its first line), error, reason
REFUSALS = [
    (500, "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist", NotFound, ErrorReason.GUEST_ABSENT),
    (500, "unable to find configuration file for VM 999 on node 'pve1'", NotFound, ErrorReason.GUEST_ABSENT),
    (500, "snapshot 'nope' does not exist", NotFound, ErrorReason.SNAPSHOT_ABSENT),
    (500, "no such cluster node 'pve9'", NotFound, ErrorReason.NODE_ABSENT),
    (
        500,
        "hostname lookup 'pve9' failed - failed to get address info for: pve9: Temporary failure in name resolution",
        NotFound,
        ErrorReason.NODE_ABSENT,
    ),
    (500, "unable to create VM 100 - VM 100 already exists on node 'pve1'", AlreadyExists, ErrorReason.EXISTS),
    (500, "unable to create VM 200: config file already exists", AlreadyExists, ErrorReason.EXISTS),
    (
        500,
        "unable to create VM 112 - close (rename) atomic file '/etc/pve/nodes/pve1/lxc/112.conf' failed: File exists",
        AlreadyExists,
        ErrorReason.EXISTS,
    ),
    (500, "VM is locked (backup)", Locked, ErrorReason.LOCKED),
    (500, "VM is locked (suspended)", Locked, ErrorReason.LOCKED),
    (500, "can't lock file '/var/lock/qemu-server/lock-101.conf' - got timeout", Locked, ErrorReason.LOCK_TIMEOUT),
    (500, "checksum mismatch (file change by other user?)", Conflict, ErrorReason.CONFLICT),
    (500, "checksum missmatch (file change by other user?)", Conflict, ErrorReason.CONFLICT),
    (500, "VM 100 not running", Refused, ErrorReason.NOT_RUNNING),
    (500, "VM 100 is not running", Refused, ErrorReason.NOT_RUNNING),
    (500, "VM 100 already running", Refused, ErrorReason.ALREADY_RUNNING),
    (500, "cluster not ready - no quorum?", Refused, ErrorReason.NO_QUORUM),
    (500, "generating token failed: cfs-lock 'file-user_cfg' error: no quorum!", Refused, ErrorReason.NO_QUORUM),
    (
        500,
        "unable to open file '/etc/pve/nodes/pve1/qemu-server/240.conf.tmp.179' - Permission denied",
        Refused,
        ErrorReason.NO_QUORUM,
    ),
    (500, "QEMU guest agent is not running", Refused, ErrorReason.AGENT_SILENT),
    (500, "No QEMU guest agent configured", Refused, ErrorReason.AGENT_NOT_ENABLED),
    (500, "VM 5500 qga command 'guest-exec-status' failed - got timeout", Refused, ErrorReason.QEMU_TIMEOUT),
    (500, "VM 100 qmp command 'query-status' failed - got timeout", Refused, ErrorReason.QEMU_TIMEOUT),
    (500, "Agent error: Invalid parameter 'pid'", Refused, ErrorReason.PROCESS_ABSENT),
    (500, "Agent error: Command guest-exec has been disabled", Refused, ErrorReason.AGENT_FORBIDS),
    (
        500,
        "Agent error: Command guest-exec has been disabled: the agent is in frozen state",
        Refused,
        ErrorReason.AGENT_FROZEN,
    ),
    (
        500,
        "Agent error: failed to open file '/no/dir/f' (mode: 'wb'): No such file or directory",
        Refused,
        ErrorReason.FILE_ABSENT,
    ),
    (500, "VM is paused - cannot shutdown", Refused, ErrorReason.OTHER),
    (500, "storage 'nope' does not exist", Refused, ErrorReason.OTHER),
    (500, "volume 'local:iso/absent.iso' does not exist", Refused, ErrorReason.OTHER),
    (500, "disk 'scsi9' does not exist", Refused, ErrorReason.OTHER),
    (500, "no options specified", Refused, ErrorReason.OTHER),
    (500, "can't remove VM 100 - protection mode enabled", Refused, ErrorReason.OTHER),
    (500, "unable to remove VM 120 - used in HA resources and purge parameter not set.", Refused, ErrorReason.OTHER),
    (501, "Method 'GET /nope' not implemented", Refused, ErrorReason.OTHER),
    (400, "Bad Request", Refused, ErrorReason.OTHER),
]

# What only the exit status of a task says.
TASK_TEXTS = [
    ("VM quit/powerdown failed - got timeout", ErrorReason.OTHER),
    ("bridge 'vmbr9' does not exist", ErrorReason.OTHER),
    ("checksum mismatch: got 'c59d' != expect '0000'", ErrorReason.OTHER),
    ("snapshot name 'clean' already used", ErrorReason.EXISTS),
    ("VM is locked (migrate)", ErrorReason.LOCKED),
    ("CT is locked (snapshot)", ErrorReason.LOCKED),
    ("CT 200 not running", ErrorReason.NOT_RUNNING),
    ("received interrupt", ErrorReason.OTHER),
]

# message, privilege, path
DENIALS = [
    ("Permission check failed (/vms/100, VM.Audit)", "VM.Audit", "/vms/100"),
    ("Permission check failed (/nodes/pve1, Sys.Audit)", "Sys.Audit", "/nodes/pve1"),
    ("Permission check failed (/sdn/zones/localnetwork/vmbr0, SDN.Use)", "SDN.Use", "/sdn/zones/localnetwork/vmbr0"),
    (
        "Permission check failed (/storage/local, Datastore.Audit|Datastore.AllocateSpace)",
        "Datastore.Audit|Datastore.AllocateSpace",
        "/storage/local",
    ),
    ("Permission check failed (/, Sys.Modify for modifying tag 'gold')", "Sys.Modify", "/"),
    ("Permission check failed", "", ""),
    ("Permission check failed (, Sys.Audit)", "", ""),
    ("Permission check failed (pool 'nope' does not exist)", "", ""),
    (
        "Permission check failed (URI '/access/ticket' not available with API token, need proper ticket.\n)",
        "",
        "",
    ),
]


def answer(status, message, body=None, **fields):
    reason = message.splitlines()[0]
    return error_from_answer(WHAT, status, reason, {"message": message + "\n", **fields} if body is None else body, WHO)


@pytest.mark.parametrize(("status", "message", "kind", "reason"), REFUSALS)
def test_a_refusal_is_told_by_its_message(status, message, kind, reason):
    for error in (answer(status, message), answer(status, message, body={})):
        assert error.__class__ is kind
        assert error.pve_reason is reason
        assert error.cause.status == status
        assert error.details()["message"] == message
        advice = "; the cluster has no quorum, so nothing can be changed: look at pvecm status"
        assert str(error) == f"PVE refused {WHAT}: {message}{advice if reason is ErrorReason.NO_QUORUM else ''}"


@pytest.mark.parametrize(("text", "reason"), TASK_TEXTS)
def test_the_reason_of_a_tasks_end(text, reason):
    assert error_reason_of(text) is reason


@pytest.mark.parametrize(("message", "privilege", "path"), DENIALS)
def test_a_denial_names_the_privilege_and_the_path(message, privilege, path):
    error = answer(403, message)
    assert error.__class__ is PermissionDenied
    details = error.details()
    assert (details["privilege"], details["path"]) == (privilege, path)
    assert WHO in str(error)
    assert "\n" not in str(error)
    if privilege:
        assert privilege.replace("|", " or ") in str(error)
        assert f" on {path} " in str(error)
    else:
        assert "Permission check failed" in str(error)


@pytest.mark.parametrize("reason", ["No ticket", "Authentication failed!", "Permission denied - invalid csrf token"])
def test_a_401_has_no_body_and_says_who(reason):
    error = error_from_answer(WHAT, 401, reason, None, WHO)
    assert error.__class__ is AuthenticationFailed
    assert WHO in str(error)
    assert reason in str(error)


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        (
            {"type": "value 'nope' does not have a value in the enumeration 'vm, storage, node, sdn'"},
            "type: value 'nope'",
        ),
        ({"upid": "no such task"}, "upid: no such task"),
        ({"vmid": "invalid format - value does not look like a valid VM ID\n"}, "vmid: invalid format"),
        (
            {"ide0": "invalid format - format error\nide0.file: invalid format\n\n", "scsi9": "x\n"},
            "ide0: invalid format - format error ide0.file: invalid format; scsi9: x",
        ),
    ],
)
def test_the_reason_for_each_field_reaches_the_user(errors, words):
    error = answer(400, PARAMETERS, errors=errors)
    assert error.__class__ is Refused
    assert words in str(error)
    assert "\n" not in str(error)
    assert error.details()["errors"] == {name: text.strip() for name, text in errors.items()}


def test_595_means_that_nothing_was_done():
    for reason in ("No route to host", "Connection refused"):
        error = error_from_answer(WHAT, 595, reason, None, WHO)
        assert error.__class__ is Unreachable
        assert reason in str(error)


@pytest.mark.parametrize("status", [596, 597, 598, 599, 502, 503, 504])
def test_other_transport_codes_mean_that_it_may_yet_be_done(status):
    error = error_from_answer(WHAT, status, "Connection timed out", None, WHO)
    assert error.__class__ is AnswerLost
    assert error.late
    assert WHAT in str(error)


@pytest.mark.parametrize("body", [{"errors": "x"}, {"errors": None}, {"message": None}, {"message": ""}, {}])
def test_a_body_in_another_form_does_no_harm(body):
    error = error_from_answer(WHAT, 500, "some reason", body, WHO)
    assert str(error) == f"PVE refused {WHAT}: some reason"


def test_an_answer_without_words_shows_its_status():
    assert str(error_from_answer(WHAT, 500, "", None, WHO)) == f"PVE refused {WHAT}: 500"


@pytest.mark.parametrize(
    "message",
    [
        "only root can set 'amd-sev' config",
        "only root can modify 'serial1' config for real devices",
        "Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line 652.",
    ],
)
def test_what_only_root_may_do_is_a_matter_of_rights(message):
    error = answer(500, message)
    assert error.__class__ is PermissionDenied
    assert (error.details()["privilege"], error.details()["path"]) == ("", "")
    assert str(error).startswith(f"PVE refused {WHAT}: {message.rstrip('.')}: it takes root@pam with a password")


def test_every_error_has_a_kind_of_its_own():
    # A task that is denied is both, and a play that looks for a missing right finds it by the one kind.
    kinds = {
        name: item.kind
        for name, item in vars(errors).items()
        if isinstance(item, type) and issubclass(item, PveError) and item is not TaskDenied
    }
    assert len(kinds) == len(set(kinds.values()))
    assert TaskDenied.kind == PermissionDenied.kind


def test_details_are_plain_data():
    details = answer(500, "VM is locked (backup)").details()
    assert details == {
        "kind": "locked",
        "status": 500,
        "message": "VM is locked (backup)",
        "errors": {},
        "request": WHAT,
        "upid": "",
        "log_tail": [],
        "privilege": "",
        "path": "",
    }
