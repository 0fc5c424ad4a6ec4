# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a request desires one key of the configuration to say."""

from __future__ import annotations

import math
import typing as t
from dataclasses import dataclass, replace

from ..._pve.errors import InvalidRequest
from ..._pve.numbers import in_full
from ..._pve.value_types import ValueType
from ..._pve.vm_config import split_ssh_keys

MASK = "********"


@dataclass(frozen=True)
class DesiredSetting:
    """One key as desired: a whole text, or some of its parts while the others stay as they are."""

    key: str
    text: str | None = None
    parts: t.Mapping[str, str | None] | None = None
    secret: bool = False
    # When two values are the same; None is what the kind of guest says of the key.
    value_type: ValueType | None = None

    def of_type(self, value_type_of: t.Callable[[str], ValueType]) -> DesiredSetting:
        """The setting with the type that its key has, unless it brings one."""
        return self if self.value_type else replace(self, value_type=value_type_of(self.key))

    def target(self, current: str | None) -> str | None:
        """The value to send, given the current one; None when the key is to be unset."""
        if self.parts is None:
            return self.text
        if self.value_type is None or self.value_type.write is None:
            raise TypeError(f"{self.key} is no property string")
        return self.value_type.write.merge(current, self.parts) or None

    def is_met_by(self, current: str | None) -> bool:
        """Whether the guest would not differ if this were carried out."""
        if self.value_type is None:
            raise TypeError(f"nobody has said of which type {self.key} is")
        return not self.secret and self.value_type.same(current, self.target(current))

    def shown(self, text: str | None) -> str | None:
        """The value as the diff may show it."""
        if text is None:
            return None
        return MASK if self.secret else readable(self.key, text)


@dataclass(frozen=True)
class DesiredDevice:
    """A device in a slot as desired; what it does not say stays as it is."""

    slot: str
    present: bool
    parts: t.Mapping[str, str | None]

    def setting(self, current: str | None) -> DesiredSetting:  # noqa: ARG002 - other devices look at it
        """The setting of the device, given the one that is there; raises InvalidRequest."""
        return DesiredSetting(self.slot, parts=self.parts)


def readable(key: str, text: str) -> str:
    """The value as a person reads it."""
    return "\n".join(split_ssh_keys(text)) if key == "sshkeys" else text


def flag(value: bool) -> str:
    """Write a boolean as PVE does."""
    return "1" if value else "0"


def check_range(option: str, value: float, lowest: float, highest: float | None = None) -> None:
    """Raise InvalidRequest, naming the option, unless the value is within the bounds."""
    if not math.isfinite(value):
        raise InvalidRequest(f"{option} must be a number, not {value}")
    if highest is not None and not lowest <= value <= highest:
        least, most = in_full(lowest), in_full(highest)
        raise InvalidRequest(f"{option} must be from {least} to {most}, not {in_full(value)}")
    if value < lowest:
        raise InvalidRequest(f"{option} must be {in_full(lowest)} or more, not {in_full(value)}")


def given(options: t.Mapping[str, t.Any], spec: t.Container[str] | None = None) -> dict[str, t.Any]:
    """The suboptions that the user has set; with their spec, by their own names only and not by their aliases."""
    names = (name for name in options if spec is None or name in spec)
    return {name: options[name] for name in names if options[name] is not None}


def check_unique(option: str, slots: t.Iterable[str]) -> None:
    """Raise InvalidRequest when a slot is named twice."""
    seen: set[str] = set()
    for slot in slots:
        if slot in seen:
            raise InvalidRequest(f"{option} names {slot} twice")
        seen.add(slot)
