# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Have a guest that is restored from a backup; one that is there is only replaced by a backup that is sound."""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import dataclass

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
    unless_absent,
)
from ..._pve.locks import outlast_lock
from ..._pve.tasks import parse_upid, wait_for_task
from ..._pve.vm_config import VOLUME_KEY
from ..facts import PAUSED, RUNNING, STOPPED, Status, guest_result, listed_result, read_status
from ..plan import Applier, Change, Outcome, Plan, PlanStep, outcome
from ..power import PowerRequest, bring_into_state
from .archives import Backup
from .refusals import with_advice
from .restore_place import Surroundings, find_backup, storage_in
from .restore_request import RestoreRequest
from .restoring import (
    ArchivedConfig,
    RestoreStep,
    destruction,
    is_remains,
    is_unfinished,
    last_restore_failed,
    marked,
    network_overrides,
    read_archived,
    removal,
    restored_from,
    running_restores,
    with_tags,
)

VERIFIED = "ok"
CHECK_SUFFIX = "-restore-check"
# The longest part of a DNS name.
_LONGEST_LABEL = 63
Config = t.Mapping[str, t.Any]


@dataclass(frozen=True)
class Target:
    """The guest that is there already."""

    handle: GuestHandle
    config: Config

    @property
    def guest(self) -> Guest:
        return self.handle.guest

    @property
    def name(self) -> str:
        return str(self.config.get(NAME_KEYS[self.guest.kind]) or "")

    @property
    def came_from(self) -> str | None:
        """The backup that its notes name."""
        return restored_from(str(self.config.get("description") or ""))


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
        if is_unfinished(target.config) and outlast_lock(target.handle, str(target.config.get("lock") or "")):
            return None
        _check_meant(request, target)
        if outlast_lock(target.handle, str(target.config.get("lock") or "")):
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
    config: Config | None = unless_absent(lambda: handle.read("config"))
    if config is not None and is_unfinished(config):
        if not applier.check_mode and _wait_for_restores(client, guest.node, guest.vmid):
            config = unless_absent(lambda: handle.read("config"))
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
    guest, label = target.guest, _label(target)
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
    if str(target.config.get("protection") or "0") == "1":
        raise InvalidRequest(
            f"{label} on node {guest.node} is protected against removal: set protection to false first"
        )


def _label(target: Target) -> str:
    return f"guest {target.guest.vmid} ({target.name})" if target.name else f"guest {target.guest.vmid}"


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
    _delete_left_over(applier, request, Guest(vmid or 0, backup.node, request.kind))
    if not made:
        _note_start(applier, request)
        expected = {"vmid": vmid, "name": name, "node": backup.node, "type": request.kind}
        return _outcome(applier, request, expected, None)
    return _finish(applier, request, step.handle(applier.client), None)


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
    if status.condition in (RUNNING, PAUSED):
        how = "runs" if status.condition == RUNNING else "is paused"
        raise InvalidRequest(f"{_label(target)} on node {target.guest.node} {how}: stop it first")
    warnings = _losses(target, archived)
    checked = None
    if backup.verification != VERIFIED:
        checked = _restore_beside(applier, request, target, backup, archived)
    fresh = bool(request.unique)
    step = RestoreStep(
        f"restore {backup.volid} over {_label(target)} on node {backup.node}",
        request.kind,
        backup.node,
        backup.volid,
        _form(request, archived, target.name, fresh),
        target.guest.vmid,
        force=True,
        changes=(Change("restored_from", target.came_from, backup.volid),),
    )
    try:
        applied = applier.apply(Plan((step,)), target.handle)
    except PveError as error:
        raise _explained(error, target, checked) from error
    how = "verified" if backup.verification == VERIFIED else "restored beside it"
    if backup.verification != VERIFIED:
        _delete_check(applier, request, target.guest, checked)
    if not applied:
        _note_start(applier, request)
        return _outcome(applier, request, guest_result(target.guest, status), how, warnings)
    return _finish(applier, request, target.handle, how, warnings)


def _losses(target: Target, archived: ArchivedConfig) -> list[str]:
    """What is lost beside what the guest is now; raises InvalidRequest for volumes that nobody can get back."""
    label, kind = _label(target), target.guest.kind
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
    found = _checked_before(applier.client, request)
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
    step = RestoreStep(
        f"restore {backup.volid} beside {_label(target)}, to see that it can be restored",
        request.kind,
        backup.node,
        backup.volid,
        {**_form(beside, archived, _check_name(request), fresh=True), "pool": target.guest.pool or None},
    )
    try:
        applier.apply(Plan((step,)))
    except PveError as error:
        raise type(error)(f"{error}; {_label(target)} was not touched", error.cause) from error
    return None if applier.check_mode else step.handle(applier.client)


def _check_name(request: RestoreRequest) -> str:
    label = str(request.name).partition(".")[0]
    return f"{label[: _LONGEST_LABEL - len(CHECK_SUFFIX)]}{CHECK_SUFFIX}"


def _checked_before(client: PveClient, request: RestoreRequest) -> GuestHandle | None:
    """The guest that an earlier run, which was broken off, has made to check the same backup."""
    selector = Selector(name=_check_name(request), kind=request.kind)
    listed = [guest for guest in read_guests(client) if selector.names(guest) and guest.kind == request.kind]
    handles = [GuestHandle(client, guest) for guest in listed]
    return next((handle for handle in handles if _notes_name(handle, request.backup)), None)


def _notes_name(handle: GuestHandle, volid: str) -> bool:
    config: Config = unless_absent(lambda: handle.read("config")) or {}
    return restored_from(str(config.get("description") or "")) == volid


def _delete_check(applier: Applier, request: RestoreRequest, guest: Guest, checked: GuestHandle | None) -> None:
    """Delete the guest that was made to check the backup; in check mode there is none yet."""
    title = f"delete {_check_name(request)}, which was made to check the backup of guest {guest.vmid}"
    if checked is None:
        applier.note(title)
    else:
        applier.apply(Plan((PlanStep(title, destruction(checked)),)), checked)


def _delete_left_over(applier: Applier, request: RestoreRequest, guest: Guest) -> None:
    """Delete what an earlier run, which was broken off, has made to check the backup."""
    checked = _checked_before(applier.client, request) if request.force else None
    if checked is not None:
        _delete_check(applier, request, guest, checked)


def _explained(error: PveError, target: Target, checked: GuestHandle | None) -> PveError:
    """Say what has become of the guest that was to be replaced, and where its backup has been restored to."""
    config: Config | None = None
    with contextlib.suppress(PveError):
        config = unless_absent(lambda: target.handle.read("config"))
    intact = config is not None and not is_unfinished(config) and config.get("digest") == target.config.get("digest")
    state = f"{_label(target)} was not touched" if intact else f"{_label(target)} is incomplete: run this again"
    kept = "" if checked is None else f", and what the backup holds is in guest {checked.guest.vmid}"
    return type(error)(f"{error}; {state}{kept}", error.cause)


# ---- the result


def _is_there(applier: Applier, request: RestoreRequest, target: Target) -> Outcome:
    """The guest has been restored; what was made to check the backup may be left of a run that was broken off."""
    if request.name is not None and target.name != request.name:
        _check_meant(request, target)
    _delete_left_over(applier, request, target.guest)
    return _outcome(applier, request, listed_result(target.guest._replace(name=target.name)), None)


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
