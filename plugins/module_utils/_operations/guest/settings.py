# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings that have one option and one key each: the rows of the tables, and what `config` sets without a row."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ..._pve.errors import InvalidRequest
from ..._pve.numbers import write_number
from ..._pve.value_types import check_description
from .desired import DesiredSetting, check_range, flag, given
from .kind import GuestKind

_CONFIG_KEY = re.compile(r"[a-z][a-z0-9_-]*")

# Writes a value, or None when it stands for an unset key.
Write = t.Callable[[t.Any], "str | None"]


def _text(value: t.Any) -> str | None:
    return str(value) or None


@dataclass(frozen=True)
class Setting:
    """One row: the option, its argument spec, its key, its bounds, and how its value is written."""

    option: str
    spec: t.Mapping[str, t.Any]
    key: str = ""
    bounds: tuple[float] | tuple[float, float] | None = None
    write: Write = _text
    # The part of the property string that the option is, when the others are to stay.
    part: str = ""

    def desired(self, value: t.Any) -> DesiredSetting:
        """The key as it is desired, by a value; raises InvalidRequest when it is out of bounds."""
        key = self.key or self.option
        if isinstance(value, t.Mapping) and given(value):
            return DesiredSetting(key, parts=dict(self._parts(given(value))))
        if self.bounds:
            check_range(self.option, value, *self.bounds)
        text = self.write(value)
        return DesiredSetting(key, parts={self.part: text}) if self.part else DesiredSetting(key, text)

    def _parts(self, options: t.Mapping[str, t.Any]) -> t.Iterator[tuple[str, str | None]]:
        """What is given of an option that has suboptions; the others stay as they are."""
        for name, value in options.items():
            if isinstance(value, bool):
                # A feature that is off is left out: PVE takes what is named for a change (PVE::LXC).
                yield name, "1" if value else None
            elif isinstance(value, list):
                yield name, ";".join(value) or None
            else:
                check_range(f"{self.option}.{name}", value, 0)
                yield name, write_number(value)


def description_text(text: str) -> str | None:
    """Write a description; raises InvalidRequest for the one that PVE loses."""
    check_description(text)
    return text or None


# The rows of every kind of guest.
SHARED_SETTINGS: tuple[Setting, ...] = (
    Setting("onboot", {"type": "bool"}, write=flag),
    Setting(
        "startup",
        {"type": "dict", "options": {name: {"type": "int"} for name in ("order", "up", "down")}},
        write=lambda _nothing: None,
    ),
    Setting("protection", {"type": "bool"}, write=flag),
    Setting("description", {"type": "str"}, write=description_text),
)


def desired_settings(
    kind: GuestKind, rows: t.Iterable[Setting], parameters: t.Mapping[str, t.Any], *others: DesiredSetting
) -> tuple[DesiredSetting, ...]:
    """All settings that are given: by a row, others, and those of `config`; raises InvalidRequest."""
    desired = [row.desired(parameters[row.option]) for row in rows if parameters.get(row.option) is not None]
    desired.extend(others)
    desired.extend(_raw_settings(kind, parameters.get("config") or {}, {setting.key for setting in desired}))
    return tuple(desired)


def _raw_settings(kind: GuestKind, config: t.Mapping[str, t.Any], taken: set[str]) -> t.Iterator[DesiredSetting]:
    for key, value in config.items():
        check_config_key(kind, "config", key)
        for pattern, words in kind.elsewhere:
            if pattern.fullmatch(key):
                raise InvalidRequest(f"config: {key} {words}")
        if key in taken:
            raise InvalidRequest(f"config: {key} is given by an option of its own, too: give it once")
        if value is None or value == "":
            raise InvalidRequest(f"config: {key} has no value: name it in remove to unset it")
        yield DesiredSetting(key, _raw_text(kind, key, value))


def _raw_text(kind: GuestKind, key: str, value: t.Any) -> str | None:
    """The value of a key in the form that PVE takes and stores; raises InvalidRequest."""
    if isinstance(value, bool):
        text = flag(value)
    elif isinstance(value, (int, float)):
        text = write_number(value)
    elif isinstance(value, str):
        text = value
    else:
        raise InvalidRequest(f"config: {key} must be a text, a number or a boolean, in PVE's words")
    try:
        text = kind.value_type_of(key).form(text)
    except InvalidRequest as error:
        raise InvalidRequest(f"config: {key} {error}") from error
    if key == "description":
        return description_text(text)
    if re.search(r"[\r\n]", text):
        raise InvalidRequest(f"config: {key} has several lines, and PVE stores one")
    return text


def check_config_key(kind: GuestKind, option: str, key: str) -> None:
    """Raise InvalidRequest when it cannot be a setting of such a guest."""
    for pattern, words in kind.unwritable:
        if pattern.fullmatch(key):
            raise InvalidRequest(f"{option}: {key} {words}")
    if not _CONFIG_KEY.fullmatch(key) or key in kind.reserved_keys:
        raise InvalidRequest(f"{option}: {key!r} is no setting of a {kind.noun}")
