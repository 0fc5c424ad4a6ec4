# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one write of the configuration has to change: everything but the place and the size of volumes."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..plan import Change
from .desired import DesiredSetting
from .kind import GuestKind
from .state import GuestState


@dataclass
class ConfigChanges:
    """One write of the configuration: what to set, what to unset, and which pending changes to take back."""

    kind: GuestKind
    state: GuestState
    set: dict[str, str] = field(default_factory=dict)
    unset: list[str] = field(default_factory=list)
    revert: list[str] = field(default_factory=list)
    # Of what is unset, that for which PVE would set what is pending all the same: it is taken back before.
    revert_first: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(sorted({*self.set, *self.unset, *self.revert}))

    def base(self, key: str) -> str | None:
        """What a setting of some parts of a value starts from: a device that goes at the next start is still there."""
        return self.state.values.get(key, self.state.in_effect.get(key))

    def add(self, desired: DesiredSetting) -> None:
        """Take a desired setting in, unless it is met already."""
        state, key = self.state, desired.key
        desired = desired.of_type(self.kind.value_type_of)
        coming, current = state.values.get(key), state.in_effect.get(key)
        if desired.is_met_by(coming):
            return
        target = desired.target(self.base(key))
        if key in state.waiting and desired.is_met_by(current) and self._keeps_parts(desired, current, target):
            # To write the value that is in effect, or a default, would only make that pending.
            self.revert.append(key)
        elif target is not None:
            self.set[key] = target
        else:
            self._unset(key)
        self.changes.append(Change(key, desired.shown(coming), desired.shown(target)))

    def _keeps_parts(self, desired: DesiredSetting, current: str | None, target: str | None) -> bool:
        """Whether nothing else is pending in the same value."""
        return desired.parts is None or self.kind.value_type_of(desired.key).same(current, target)

    def remove(self, key: str, current: str | None) -> None:
        """Unset a key that is set."""
        if current is not None and key not in (*self.unset, *self.revert):
            self._unset(key)
            self.changes.append(Change(key, current, None))

    def _unset(self, key: str) -> None:
        waiting = self.state.waiting.get(key)
        if waiting is None or waiting.delete or self.kind.deletes_pending:
            self.unset.append(key)
        elif key not in self.state.in_effect:
            self.revert.append(key)
        else:
            self.revert_first.append(key)
            self.unset.append(key)

    def take_back(self, key: str) -> None:
        """Leave a key as it is in effect, without what is pending for it."""
        self.revert.append(key)
        self.changes.append(Change(key, self.state.values.get(key), self.state.in_effect.get(key)))
