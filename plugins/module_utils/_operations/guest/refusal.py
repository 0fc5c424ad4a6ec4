# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a refused write of the configuration leaves behind, and taking it back.

PVE writes what it is asked for into the pending section first and then has the guest take it. What the guest refuses
stays pending, and the next restart carries it out (PVE::API2::Qemu update_vm_api).
"""

from __future__ import annotations

import typing as t

from ..._pve.commands import Command, run_command
from ..._pve.errors import ErrorReason, PermissionDenied, PveError, Refused, TaskFailed
from ..._pve.guests import GuestHandle
from ..._pve.vm_config import VOLUME_KEY
from ..facts import Pending
from ..plan import Applier, Change
from .change_plan import GuestStep
from .kind import GuestKind
from .state import GuestState, Origin, read_state
from .volumes import parse_drive


def take_back(
    applier: Applier, handle: GuestHandle, kind: GuestKind, before: GuestState, step: GuestStep, error: PveError
) -> PveError:
    """Take back what a step that failed has left pending; the error that says so, and what was changed all the same.

    before is the guest before the step. What cannot be taken back, or was applied, is noted in the applier.
    """
    if not step.keys or not _may_have_written(error):
        return error
    try:
        return _Remains(applier, handle, kind, before, step).take_back(error)
    except PveError as problem:
        return _extended(error, f"what PVE keeps pending of it could not be looked at: {problem}")


def _may_have_written(error: PveError) -> bool:
    """PVE looks at rights, locks and the digest before it writes; inside a task it may find them missing later."""
    if isinstance(error, PermissionDenied):
        return bool(error.cause.upid)
    return isinstance(error, (Refused, TaskFailed)) and error.pve_reason is ErrorReason.OTHER


def _extended(error: PveError, words: str) -> PveError:
    return type(error)(f"{error}; {words}", error.cause)


class _Remains:
    """The guest after a step that failed."""

    def __init__(
        self, applier: Applier, handle: GuestHandle, kind: GuestKind, before: GuestState, step: GuestStep
    ) -> None:
        self.kind = kind
        self.applier = applier
        self.handle = handle
        self.before = before
        self.step = step
        self.now = self._read()

    def _read(self) -> GuestState:
        return read_state(self.handle, Origin.WRITTEN, self.before.status)

    def take_back(self, error: PveError) -> PveError:
        ours = self._pending()
        made = {parse_drive(str(ours[key].pending)).file for key in self.step.made if key in ours}
        words = []
        try:
            if ours:
                self._write({"revert": ",".join(sorted(ours))})
                self.now = self._read()
            # A disk that was made for this step and never came into effect is an unused one now.
            new = [key for key in self._unused(made) if key not in self.before.values]
            if new:
                self._write({"delete": ",".join(new), "force": 1})
                self.now = self._read()
        except PveError as problem:
            words.append(f"to take it back failed: {problem}")
        left = sorted(self._pending())
        gone = sorted(set(ours) - set(left))
        if gone:
            words.insert(0, f"what PVE kept pending of it was taken back: {', '.join(gone)}")
        if left:
            words.append(f"PVE keeps pending until the next start: {', '.join(left)}")
        applied = self._applied()
        if applied:
            words.append(f"changed all the same: {', '.join(applied)}")
        self._note(applied, left)
        return _extended(error, "; ".join(words)) if words else error

    def _pending(self) -> dict[str, Pending]:
        """What is pending by this step: its keys, and the boot order, which PVE changes along with drives."""
        keys = set(self.step.keys)
        if any(VOLUME_KEY.fullmatch(key) for key in keys):
            keys.add("boot")
        waiting = self.before.waiting
        return {
            key: item
            for key, item in self.now.waiting.items()
            if key in keys and (item != waiting.get(key) or (key in self.now.forced) != (key in self.before.forced))
        }

    def _unused(self, volumes: t.Collection[str]) -> list[str]:
        return [key for key, text in self.now.values.items() if key.startswith("unused") and text in volumes]

    def _applied(self) -> list[str]:
        """The keys of the step that have another value in effect than before."""
        before, now = self.before.in_effect, self.now.in_effect
        return sorted(key for key in self.step.keys if before.get(key) != now.get(key))

    def _note(self, applied: t.Sequence[str], left: t.Sequence[str]) -> None:
        label, changes = self.now.guest.label, {change.key: change for change in self.step.changes}
        if applied:
            done = (changes[key] for key in applied if key in changes)
            self.applier.record(f"set {', '.join(applied)} of {label}", *done)
        if left:
            waiting = (Change(key, self.now.in_effect.get(key), self.now.values.get(key)) for key in left)
            self.applier.record(f"leave pending {', '.join(left)} of {label}", *waiting)

    def _write(self, form: t.Mapping[str, t.Any]) -> None:
        guest = self.now.guest
        command = Command(
            "POST" if self.kind.writes_in_tasks else "PUT",
            (self.kind.path, guest.vmid, "config"),
            {**form, "digest": self.now.digest or None},
            node=guest.node,
            task_type=self.kind.task("config") if self.kind.writes_in_tasks else "",
            task_id=str(guest.vmid),
        )
        run_command(self.handle.client, command, self.handle)
