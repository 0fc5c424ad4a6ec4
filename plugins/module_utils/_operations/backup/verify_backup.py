# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prove that a backup works: restore it beside its guest, boot that, look at it, and delete it again."""

from __future__ import annotations

import re
import time
import typing as t
from dataclasses import dataclass, field

from ..._pve.client import PveClient
from ..._pve.errors import (
    BadBackup,
    InvalidRequest,
    Locked,
    NotFound,
    PermissionDenied,
    PveError,
    Refused,
    ScriptFailed,
    TimedOut,
    TransportError,
    brief,
    one_line,
)
from ..._pve.guests import LXC, NAME_KEYS, QEMU, Guest, GuestHandle, Selector, find_guest, guest_label
from ..._pve.tasks import parse_upid
from ..agent.calls import AgentCalls
from ..agent.posix_shell import PosixShell
from ..agent.running import GuestRunner
from ..facts import listed_result, read_status
from ..plan import Applier, Outcome, outcome
from ..power import PowerRequest, bring_into_state
from ..volumes.volume_info import VolumesRequest, storages_to_list
from ..waiting import wait_for_agent
from .archives import Backup, named_backup, read_backups, read_creation
from .refusals import advice_for
from .restore_place import Surroundings, find_backup, storage_in
from .restore_request import RestoreRequest
from .restoring import ArchivedConfig, RestoreStep, marked, network_overrides, read_archived, restored_from, with_tags
from .verify_guests import CLEAN_UP_SECONDS, MADE, delete_guest, free_number, is_made, keep_guest, remove_left_overs
from .verify_request import VerifyRequest
from .verify_sharing import PASSED_THROUGH, check_startable

GOOD, BAD, NOT_PROVED, NOT_RUN = "good", "bad", "not proved", "not run"
# What says nothing of the backup itself.
_STANDS_IN_THE_WAY = (InvalidRequest, PermissionDenied, TransportError, Locked)
_SURROUNDINGS = re.compile(r"a storage is full|name a storage|are taken: give another range")
_ENABLED = re.compile(r"(^|,)(1|enabled=1|on|yes|true)(,|$)")
_LAST_WORDS = 3
# The first part of a name that PVE takes (a DNS name); it lists guests without one as "VM 300" and "CT300".
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_LONGEST_LABEL = 50


class Console(t.Protocol):
    """What is seen and typed on the console of a guest."""

    def wait_for_prompt(self, client: PveClient, guest: Guest, seconds: float) -> str:
        """Wait until a login or a shell shows, and say which; raises a PveError."""

    def run(self, client: PveClient, guest: Guest, checks: t.Any) -> int:
        """Carry a script out, and say how many steps it had; raises ScriptFailed."""


@dataclass
class Report:
    """What was found of one backup."""

    guest: str | None
    vmid: int
    backup: str | None = None
    age: int | None = None
    size: int | None = None
    restore_seconds: float | None = None
    boot_seconds: float | None = None
    booted_by: str | None = None
    checks: int = 0
    result: str = NOT_RUN
    why: str | None = None
    evidence: list[str] = field(default_factory=list)
    kept: int | None = None
    left_alone: list[str] = field(default_factory=list)

    def as_result(self) -> dict[str, t.Any]:
        return dict(self.__dict__)


def verify_backup(applier: Applier, request: VerifyRequest, console: Console) -> Outcome:
    """Restore the newest backup of a guest, and see whether it works; raises BadBackup when it does not.

    Nothing of it is left, but what the request says is to be kept of a bad one.
    """
    client = applier.client
    around = Surroundings.read(client)
    left = _clean_up(applier, request, around)
    guest, vmid = _guest(client, request, around)
    report = Report(guest.name or None if guest else None, vmid, left_alone=left)
    try:
        backup = _find_newest(client, request, around, guest, vmid)
        report.backup, report.size = backup.volid, backup.size
        report.age = max(0, client.server_time - backup.created)
        _check_age(request, report)
        if guest is not None and request.backup is None:
            _check_whose(GuestHandle(client, guest), backup)
        if backup.is_unfinished:
            raise Locked("it is still being made: wait for it")
        if not backup.is_good:
            raise Refused("its verification by Proxmox Backup Server has failed")
        archived = read_archived(client, backup.node, backup.volid)
        # The cluster's list has no name of a young guest, and none of one that is gone.
        report.guest = report.guest or archived.name(backup.kind) or None
        if request.boot != "none":
            check_startable({**archived.values, **request.config})
        if not applier.check_mode:
            _Trial(applier, request, console, backup, archived, report).run()
            report.result = GOOD
    except BadBackup:
        raise
    except PveError as error:
        raise _bad(client, report, error, "") from error
    shown = listed_result(guest) if guest else {"vmid": vmid, "name": None, "node": backup.node, "type": backup.kind}
    return outcome(applier, shown, left, report=report.as_result())


def _clean_up(applier: Applier, request: VerifyRequest, around: Surroundings) -> list[str]:
    """Delete what runs that were broken off have left, once for all guests of a task, and say what was left alone."""
    return applier.once.get(
        ("left overs", request.tag),
        lambda: remove_left_overs(applier, around.guests, request.tag, request.vmids),
    )


def _guest(client: PveClient, request: VerifyRequest, around: Surroundings) -> tuple[Guest | None, int]:
    """The guest that was backed up, if it is still there, and its number."""
    selector = request.selector
    if selector.name is None and selector.vmid is not None:
        return around.guest(selector.vmid), selector.vmid
    guest = find_guest(client, selector, guests=around.guests)
    if guest is None:
        raise NotFound(f"there is no {selector} that {client.identity} can see: give vmid for one that is gone")
    if selector.name is not None and guest.name != selector.name:
        raise NotFound(f"guest {guest.vmid} is named {guest.name!r}, not {selector.name!r}")
    return guest, guest.vmid


def _find_newest(
    client: PveClient, request: VerifyRequest, around: Surroundings, guest: Guest | None, vmid: int
) -> Backup:
    """The backup that is to be proved; a request for each storage with backups of each node."""
    if request.backup is not None:
        restore = _restore_request(request, request.backup)
        return find_backup(client, around, restore, None)
    conditions = VolumesRequest(storage=request.storage, node=request.node, content="backup")
    found = []
    for storage in storages_to_list(around.storages, conditions):
        if storage.active or request.storage is not None:
            found += read_backups(client, storage.node, storage.name, vmid)
    kind = guest.kind if guest else request.selector.kind
    mine = [backup for backup in found if kind in (None, backup.kind) and not backup.is_unfinished]
    if not mine:
        where = f" on storage {request.storage}" if request.storage else ""
        raise NotFound(f"guest {vmid} has no backup{where} that {client.identity} can see")
    return max(mine, key=lambda backup: (backup.created, backup.volid))


def _check_age(request: VerifyRequest, report: Report) -> None:
    if request.max_age is not None and report.age is not None and report.age > request.max_age:
        raise Refused(f"it is {report.age} seconds old, and max_age allows {request.max_age}: make a new one")


def _check_whose(handle: GuestHandle, backup: Backup) -> None:
    """Raise InvalidRequest for a backup of a guest that had the number before."""
    if backup.created < read_creation(handle):
        raise InvalidRequest(
            f"it is older than the guest itself, so it is one of another guest that had the number {backup.vmid}: "
            f"make a new one, or name this one in backup"
        )


def _restore_request(request: VerifyRequest, volid: str) -> RestoreRequest:
    return RestoreRequest(volid, named_backup("backup", volid), node=request.node, storage=request.restore_storage)


def _bad(client: PveClient, report: Report, error: PveError, what: str, left: str = "") -> BadBackup:
    """The error of a backup that is bad, with what was seen last, and what is left of it."""
    # PVE's own words about damage are long, and are in the rest of the error.
    why = advice_for(error) or str(error)
    is_over = isinstance(error, (TimedOut, ScriptFailed)) and client.deadline.expired
    says_nothing = is_over or isinstance(error, _STANDS_IN_THE_WAY) or _SURROUNDINGS.search(why)
    report.result, report.why = NOT_PROVED if says_nothing else BAD, one_line(f"{what}{why}{left}")
    details = error.details()
    report.evidence = [str(line) for line in details.get("screen") or details.get("log_tail") or ()]
    label = guest_label(report.vmid, report.guest)
    which = f"backup {report.backup} of {label}" if report.backup else f"the backup of {label}"
    return BadBackup(f"{which} is not proved: {report.why}", error.cause, report.as_result())


class _Trial:
    """One backup that is restored, booted, looked at, and deleted again."""

    def __init__(
        self,
        applier: Applier,
        request: VerifyRequest,
        console: Console,
        backup: Backup,
        archived: ArchivedConfig,
        report: Report,
    ) -> None:
        self.applier = applier
        self.client = applier.client
        self.request = request
        self.console = console
        self.backup = backup
        self.archived = archived
        self.report = report
        self.step = self._restore_step()

    def run(self) -> None:
        """Raises BadBackup; deletes the guest that was made whatever happens, unless it is to be kept."""
        try:
            self._restore()
            self._boot()
            self._check()
        except BadBackup as error:
            self._leave(error)
            raise
        except BaseException:
            self._delete(None)
            raise
        self._delete(None)

    def _restore_step(self) -> RestoreStep:
        request, backup, archived = self.request, self.backup, self.archived
        label = (self.report.guest or archived.name(backup.kind)).partition(".")[0][:_LONGEST_LABEL]
        name = f"{label if _LABEL.fullmatch(label) else f'guest-{backup.vmid}'}-verify"
        storage = request.restore_storage or (storage_in(archived.values) if backup.kind == LXC else None)
        form = {
            NAME_KEYS[backup.kind]: name,
            "description": f"{MADE}\n{marked('', backup.volid)}",
            "tags": with_tags(ArchivedConfig({}, ""), [request.tag]),
            "onboot": 0,
            "protection": 0,
            "storage": storage,
            "pool": request.pool,
            "unique": 1,
            "bwlimit": request.bandwidth,
            **network_overrides(archived, backup.kind, (), disconnected=True, fresh=True),
            **request.config,
        }
        free = free_number(request.vmids) if request.vmids is not None else None
        return RestoreStep("", backup.kind, backup.node, backup.volid, form, free_number=free)

    @property
    def handle(self) -> GuestHandle:
        return self.step.handle(self.client)

    def _restore(self) -> None:
        began = time.monotonic()
        try:
            self.step.run(self.client, None)
        except PveError as error:
            left = self._goes_on(error)
            if left:
                self.applier.note(f"restore {self.backup.volid}, which PVE goes on with")
            what = "it was not restored in time: " if left else "it cannot be restored: "
            raise _bad(self.client, self.report, error, what, left) from error
        self.report.restore_seconds = round(time.monotonic() - began, 1)

    def _goes_on(self, error: PveError) -> str:
        """What is left by a restore whose end could not be waited for."""
        if not isinstance(error, (TimedOut, TransportError)) or not error.cause.upid:
            return ""
        vmid = parse_upid(error.cause.upid).id
        return f"; guest {vmid} is left, and the first run with the tag {self.request.tag} after that deletes it"

    def _boot(self) -> None:
        if self.request.boot == "none":
            return
        try:
            config = self._release_devices()
            means = self._means(config)
            began = time.monotonic()
            power = PowerRequest(Selector(self.step.vmid), "started")
            bring_into_state(Applier(self.client), self.handle, read_status(self.handle), power)
            self.report.booted_by = self._wait(means)
            self.report.boot_seconds = round(time.monotonic() - began, 1)
        except PveError as error:
            raise _bad(self.client, self.report, error, "it was restored, and does not boot: ") from error

    def _release_devices(self) -> t.Mapping[str, t.Any]:
        """Take away what the guest that was backed up may be using at the same time."""
        config: dict[str, t.Any] = self.handle.read("config")
        passed = sorted(filter(PASSED_THROUGH.fullmatch, config))
        if passed:
            self.client.write("PUT", *self.handle.path, "config", delete=",".join(passed))
        return config

    def _means(self, config: t.Mapping[str, t.Any]) -> str:
        """By what it is seen that the guest has booted."""
        if self.request.boot != "auto":
            return self.request.boot
        if self.backup.kind == QEMU and (self.request.commands or _ENABLED.search(str(config.get("agent") or ""))):
            return "agent"
        if self.backup.kind == LXC or any(f"serial{number}" in config for number in range(4)):
            return "console"
        raise InvalidRequest(
            "it has neither a guest agent nor a serial line by which to see that it has booted: "
            "configure one of them, or set boot to none"
        )

    def _wait(self, means: str) -> str:
        watch = self.client.deadline.within(self.request.boot_seconds)
        if means == "agent":
            wait_for_agent(self.handle, watch)
            return "the guest agent"
        return self.console.wait_for_prompt(self.client, self.handle.guest, watch.remaining)

    def _check(self) -> None:
        try:
            if self.request.commands:
                self._run_commands()
            if self.request.console_checks is not None:
                self.report.checks += self.console.run(self.client, self.handle.guest, self.request.console_checks)
        except PveError as error:
            raise _bad(self.client, self.report, error, "it boots, and a check fails: ") from error

    def _run_commands(self) -> None:
        runner = GuestRunner(AgentCalls(self.handle), PosixShell())
        for command in self.request.commands:
            result = runner.run(command)
            self.report.checks += 1
            if result.status:
                said = (result.stderr or result.stdout).decode(errors="replace").splitlines()[-_LAST_WORDS:]
                words = f": {brief(' '.join(said))}" if said else ""
                raise Refused(f"{command!r} ends with status {result.status}{words}")
        runner.close()

    def _leave(self, error: BadBackup) -> None:
        """Keep the guest of a bad backup, if that was asked for, else delete it."""
        if self.request.keep_failed and self.step.vmid and keep_guest(self.client, self.handle.guest, self.request.tag):
            self.report.kept = error.report["kept"] = self.step.vmid
            return
        self._delete(error)

    def _delete(self, error: BadBackup | None) -> None:
        """Delete the guest that was made, if there is one and it surely is that one."""
        if not self.step.vmid:
            return
        guest = self.handle.guest
        try:
            # As long as a backup job for all guests locks it.
            if delete_guest(self.client, guest, self._is_own, CLEAN_UP_SECONDS) is False:
                raise Refused("its tags or notes are no longer those that it was given")
        except PveError as problem:
            before = f"{error}; and " if error else ""
            raise BadBackup(
                f"{before}guest {guest.vmid}, which was made to verify it, could not be deleted ({problem}): "
                f"delete it, or run this again",
                problem.cause,
                self.report.as_result(),
            ) from problem

    def _is_own(self, config: t.Mapping[str, t.Any]) -> bool:
        notes = str(config.get("description") or "")
        return is_made(config, self.request.tag) and restored_from(notes) == self.backup.volid
