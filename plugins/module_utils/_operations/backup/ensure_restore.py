# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Have a guest that is restored from a backup; one that is there is only replaced by a backup that is sound."""

from __future__ import annotations

import contextlib
import typing as t

from ..._pve.client import PveClient
from ..._pve.errors import AlreadyExists, InvalidRequest, PveError, TaskFailed
from ..._pve.guests import (
    KIND_NAMES,
    LXC,
    NAME_KEYS,
    UNNAMED,
    Guest,
    GuestHandle,
    Selector,
    find_guest,
    read_guests,
)
from ..._pve.locks import outlast_lock
from ..._pve.tasks import parse_upid, wait_for_task
from ..._pve.vm_config import VOLUME_KEY
from ..facts import RUNNING, STOPPED, Status, guest_result, listed_result, read_status
from ..plan import Applier, Change, Outcome, Plan, PlanStep, outcome
from ..power import PowerRequest, bring_into_state
from .archives import Backup
from .refusals import with_advice
from .restore_check import check_name, check_notes, delete_check, delete_left_check, find_check
from .restore_place import Surroundings, find_backup, storage_in
from .restore_request import RestoreRequest
from .restore_target import Config, LastLook, Target, check_stopped, check_unprotected
from .restoring import (
    ArchivedConfig,
    RestoreStep,
    is_remains,
    is_unfinished,
    last_restore_failed,
    marked,
    network_overrides,
    read_archived,
    removal,
    running_restores,
    with_tags,
)

VERIFIED = "ok"


def ensure_restore(applier: Applier, request: RestoreRequest) -> Outcome:
    """Restore a backup, unless the guest's notes say that it has been; raises a PveError."""
    with with_advice():
        outcome_of_try = None
        while outcome_of_try is None:
            outcome_of_try = _restore(applier, request)
        return outcome_of_try


def _restore(applier: Applier, request: RestoreRequest) -> Outcome | None:
    """Look, and restore; None when a lock was waited for, so that what was seen may be true no more."""
    around = Surroundings.read(applier.client)
    target = _find_target(applier, request, around)
    if target is not None and target.came_from == request.backup:
        return _is_there(applier, request, target)
    if target is not None:
        if is_unfinished(target.config) and outlast_lock(target.handle, target.lock):
            return None
        _check_meant(request, target)
        if outlast_lock(target.handle, target.lock):
            return None
    backup = find_backup(applier.client, around, request, target.guest if target else None)
    archived = read_archived(applier.client, backup.node, backup.volid)
    if target is not None:
        return _replace(applier, request, target, backup, archived)
    return _restore_new(applier, request, around, backup, archived)


# ---- what is there


def _find_target(applier: Applier, request: RestoreRequest, around: Surroundings) -> Target | None:
    """The guest that the request means, once no restore of the caller's works on it any more."""
    client = applier.client
    vmid = _vmid(request)
    guest = _named(applier, request, around) if vmid is None else around.guest(vmid)
    if guest is None:
        return None
    handle = GuestHandle(client, guest)
    config = handle.read_config()
    if config is not None and is_unfinished(config):
        if not applier.check_mode and _wait_for_restores(client, guest.node, guest.vmid):
            config = handle.read_config()
        if config is not None and is_remains(config) and last_restore_failed(client, guest):
            title = f"delete guest {guest.vmid}, which a restore that failed has left"
            applier.apply(Plan((PlanStep(title, removal(handle)),)), handle)
            return None
    return None if config is None else Target(handle, config)


def _vmid(request: RestoreRequest) -> int | None:
    """The number that the guest has to have: without vmid and name, that of the guest that was backed up."""
    return request.vmid or (None if request.name else request.source.vmid)


def _named(applier: Applier, request: RestoreRequest, around: Surroundings) -> Guest | None:
    client, selector = applier.client, Selector(name=request.name, kind=request.kind)
    found = find_guest(client, selector, guests=around.guests)
    # A guest that is being restored has no name yet.
    unnamed = {guest.node for guest in around.guests if guest.name in ("", UNNAMED[guest.kind].format(guest.vmid))}
    if found is None and unnamed and not applier.check_mode:
        waited = [_wait_for_restores(client, node) for node in sorted(unnamed)]
        if any(waited):
            found = find_guest(client, selector, fresh=True, guests=read_guests(client))
    return found


def _wait_for_restores(client: PveClient, node: str, vmid: int | None = None) -> bool:
    """Wait for the caller's restores on a node, however they end; False when there are none."""
    upids = running_restores(client, node, vmid)
    for upid in upids:
        with contextlib.suppress(TaskFailed):
            wait_for_task(client, parse_upid(upid))
    return bool(upids)


def _check_meant(request: RestoreRequest, target: Target) -> None:
    """Raise a PveError unless the request says that this guest may be lost."""
    guest, label = target.guest, target.label
    if request.name is not None and target.name != request.name:
        raise AlreadyExists(
            f"guest {guest.vmid} on node {guest.node} is named {target.name!r}, not {request.name!r}: "
            f"it was not touched"
        )
    if not request.force:
        raise AlreadyExists(
            f"{label} on node {guest.node} exists, and its notes do not name backup {request.backup}: give another "
            f"vmid or name, or set force and name to lose what it is now"
        )
    if guest.kind != request.kind:
        kinds = KIND_NAMES[guest.kind], KIND_NAMES[request.kind]
        raise InvalidRequest(f"{label} is a {kinds[0]}, and the backup is of a {kinds[1]}: it was not touched")
    check_unprotected(target)


# ---- a new guest


def _restore_new(
    applier: Applier, request: RestoreRequest, around: Surroundings, backup: Backup, archived: ArchivedConfig
) -> Outcome:
    original = around.guest(request.source.vmid)
    vmid = _vmid(request)
    fresh = original is not None if request.unique is None else request.unique
    name = request.name or archived.name(request.kind)
    form = {**_form(request, archived, name, fresh), "pool": request.pool}
    where = f"guest {vmid}" if vmid else "a new guest"
    changes = (Change("name", None, name), Change("restored_from", None, backup.volid))
    step = RestoreStep(
        f"restore {backup.volid} to {where} ({name}) on node {backup.node}",
        request.kind,
        backup.node,
        backup.volid,
        form,
        vmid,
        changes=changes,
    )
    made = applier.apply(Plan((step,)))
    warnings = delete_left_check(applier, request, vmid)
    if not made:
        _note_start(applier, request)
        expected = {"vmid": vmid, "name": name, "node": backup.node, "type": request.kind}
        return _outcome(applier, request, expected, None, warnings)
    return _finish(applier, request, step.handle(applier.client), None, warnings)


def _form(request: RestoreRequest, archived: ArchivedConfig, name: str, fresh: bool) -> dict[str, t.Any]:
    """What PVE is to make other than in the backup."""
    overrides = network_overrides(archived, request.kind, request.networks, request.disconnected, fresh)
    missing = sorted({override.slot for override in request.networks} - archived.values.keys())
    if missing:
        raise InvalidRequest(f"networks: the backup has no {missing[0]}: leave it out, and add it afterwards")
    storage = request.storage
    if storage is None and request.kind == LXC:
        storage = storage_in(archived.values)
    return {
        NAME_KEYS[request.kind]: name if name != archived.name(request.kind) else None,
        "description": marked(archived.notes, request.backup),
        "tags": with_tags(archived, request.tags) if request.tags else None,
        "onboot": request.onboot,
        "storage": storage,
        "unique": 1 if fresh else None,
        "bwlimit": request.bandwidth,
        "live-restore": 1 if request.live_restore else None,
        **overrides,
        **request.config,
    }


# ---- in the place of another guest


def _replace(
    applier: Applier, request: RestoreRequest, target: Target, backup: Backup, archived: ArchivedConfig
) -> Outcome:
    """Restore over a guest. PVE destroys it before it knows whether the backup can be read to its end.

    So the backup is restored beside it first, unless it has been verified, and that stays until the guest is restored.
    """
    status = read_status(target.handle)
    check_stopped(target, status)
    warnings = _losses(target, archived)
    checked = None
    if backup.verification != VERIFIED:
        checked = _restore_beside(applier, request, target, backup, archived)
    fresh, last_look = bool(request.unique), LastLook(target)
    step = RestoreStep(
        f"restore {backup.volid} over {target.label} on node {backup.node}",
        request.kind,
        backup.node,
        backup.volid,
        _form(request, archived, target.name, fresh),
        target.guest.vmid,
        force=True,
        check=last_look,
        changes=(Change("restored_from", target.came_from, backup.volid),),
    )
    try:
        applied = applier.apply(Plan((step,)), target.handle)
    except PveError as error:
        if last_look.has_refused:
            raise _without_check(applier, request, target, checked, error) from error
        raise _explained(error, target, checked) from error
    how = "verified" if backup.verification == VERIFIED else "restored beside it"
    if backup.verification != VERIFIED:
        warnings += delete_check(applier, request, target.guest.vmid, checked)
    if not applied:
        _note_start(applier, request)
        return _outcome(applier, request, guest_result(target.guest, status), how, warnings)
    return _finish(applier, request, target.handle, how, warnings)


def _losses(target: Target, archived: ArchivedConfig) -> list[str]:
    """What is lost beside what the guest is now; raises InvalidRequest for volumes that nobody can get back."""
    label, kind = target.label, target.guest.kind
    volumes = {
        key for key, value in target.config.items() if VOLUME_KEY.fullmatch(key) and "media=cdrom" not in str(value)
    }
    excluded = {key for key, value in archived.values.items() if "backup=0" in value.split(",")}
    unsaved = sorted(volumes - (archived.values.keys() - excluded))
    if unsaved and kind == LXC:
        raise InvalidRequest(
            f"{label} has {', '.join(unsaved)}, which is not in the backup, and which PVE would delete: detach it first"
        )
    warnings = [f"{label} has {key}, which is not in the backup: it becomes an unused disk" for key in unsaved]
    snapshots = [str(item["name"]) for item in target.handle.read("snapshot") if item["name"] != "current"]
    if snapshots:
        warnings.append(f"the snapshots of {label} are deleted: {', '.join(snapshots)}")
    return warnings


def _restore_beside(
    applier: Applier, request: RestoreRequest, target: Target, backup: Backup, archived: ArchivedConfig
) -> GuestHandle | None:
    """Restore the backup into a number of its own, disconnected; returns that guest, none in check mode."""
    found = find_check(applier.client, request, target.guest.vmid)
    if found is not None:
        return found
    beside = RestoreRequest(
        backup=request.backup,
        source=request.source,
        storage=request.storage,
        disconnected=True,
        onboot=False,
        bandwidth=request.bandwidth,
    )
    form = _form(beside, archived, check_name(request), fresh=True)
    step = RestoreStep(
        f"restore {backup.volid} beside {target.label}, to see that it can be restored",
        request.kind,
        backup.node,
        backup.volid,
        {**form, "description": check_notes(form["description"], target.guest.vmid), "pool": target.guest.pool or None},
    )
    try:
        applier.apply(Plan((step,)))
    except PveError as error:
        raise type(error)(f"{error}; {target.label} was not touched", error.cause) from error
    return None if applier.check_mode else step.handle(applier.client)


def _without_check(
    applier: Applier, request: RestoreRequest, target: Target, checked: GuestHandle | None, error: PveError
) -> PveError:
    """Delete what was made beside a guest that is not replaced after all; returns the error that says so."""
    if checked is None:
        return error
    try:
        problems = delete_check(applier, request, target.guest.vmid, checked)
    except PveError as problem:
        problems = [f"guest {checked.guest.vmid}, which was made to check the backup, could not be deleted ({problem})"]
    return type(error)("; ".join([str(error), *problems]), error.cause)


def _explained(error: PveError, target: Target, checked: GuestHandle | None) -> PveError:
    """Say what has become of the guest that was to be replaced, and where its backup has been restored to."""
    config: Config | None = None
    with contextlib.suppress(PveError):
        config = target.handle.read_config()
    intact = config is not None and not is_unfinished(config) and config.get("digest") == target.config.get("digest")
    state = f"{target.label} was not touched" if intact else f"{target.label} is incomplete: run this again"
    kept = "" if checked is None else f", and what the backup holds is in guest {checked.guest.vmid}"
    return type(error)(f"{error}; {state}{kept}", error.cause)


# ---- the result


def _is_there(applier: Applier, request: RestoreRequest, target: Target) -> Outcome:
    """The guest has been restored; what was made to check the backup may be left of a run that was broken off."""
    if request.name is not None and target.name != request.name:
        _check_meant(request, target)
    warnings = delete_left_check(applier, request, target.guest.vmid)
    return _outcome(applier, request, listed_result(target.guest._replace(name=target.name)), None, warnings)


def _note_start(applier: Applier, request: RestoreRequest) -> None:
    if request.start:
        applier.record("start it", Change("power", STOPPED, RUNNING))


def _finish(
    applier: Applier,
    request: RestoreRequest,
    handle: GuestHandle,
    checked: str | None,
    warnings: t.Sequence[str] = (),
) -> Outcome:
    status = read_status(handle)
    handle.guest = handle.guest._replace(name=status.name)
    if request.start:
        status = _start(applier, handle, status)
    return _outcome(applier, request, guest_result(handle.guest, status), checked, warnings)


def _start(applier: Applier, handle: GuestHandle, status: Status) -> Status:
    known = len(applier.titles)
    started = bring_into_state(applier, handle, status, PowerRequest(Selector(handle.guest.vmid), "started"))
    # Check mode does not know the number.
    applier.titles[known:] = ["start it"]
    return started or status


def _outcome(
    applier: Applier,
    request: RestoreRequest,
    guest: t.Mapping[str, t.Any],
    checked: str | None,
    warnings: t.Sequence[str] = (),
) -> Outcome:
    return outcome(applier, guest, warnings, backup=request.backup, checked=checked)
