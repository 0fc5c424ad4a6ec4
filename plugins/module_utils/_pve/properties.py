# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PVE's property strings, as in virtio=BC:24:11:00:00:01,bridge=vmbr0: taken apart, put together, compared."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from urllib.parse import unquote

from .errors import InvalidRequest
from .sizes import parse_size

Values = t.Mapping[str, str]
_TRUE = frozenset({"1", "on", "yes", "true"})
_FALSE = frozenset({"0", "off", "no", "false"})
# What would end a value and begin another one, or another line of the configuration file.
_UNSAFE = frozenset(",\n\r\0")


def truth(text: str) -> str:
    """Write any of PVE's spellings of a boolean as 1 or 0; other words stay (PVE::JSONSchema::parse_boolean)."""
    word = text.strip().lower()
    return "1" if word in _TRUE else "0" if word in _FALSE else text


def number(text: str) -> t.Hashable:
    """Read a number, whichever way it is written; other words stay."""
    try:
        return float(text)
    except ValueError:
        return text


@dataclass(frozen=True)
class PropertyFormat:
    """How one kind of property string is written, and what its values mean."""

    default_key: str = ""
    # Whether the default key is written with its name, as in order=1.
    names_default_key: bool = False
    defaults: Values = field(default_factory=dict)
    aliases: Values = field(default_factory=dict)
    # Keys that name a model and carry the address, as in virtio=BC:24:11:00:00:01 (PVE::QemuServer::Network).
    models: frozenset[str] = frozenset()
    booleans: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()
    sizes: frozenset[str] = frozenset()
    caseless: frozenset[str] = frozenset()
    sets: frozenset[str] = frozenset()
    # Values that PVE takes URL-encoded only (PVE::JSONSchema::pve_verify_urlencoded).
    urlencoded: frozenset[str] = frozenset()

    def parse(self, text: str) -> dict[str, str]:
        """Take a property string apart; unknown keys are kept."""
        values: dict[str, str] = {}
        for part in text.split(","):
            name, equals, value = part.strip().partition("=")
            if not equals:
                if name:
                    values["model" if name in self.models else self.default_key or name] = name
            elif name in self.models:
                values.update(model=name, macaddr=value)
            else:
                values[self.aliases.get(name, name)] = value
        return values

    def write(self, values: Values) -> str:
        """Put a property string together as PVE does, its default key first; raises InvalidRequest."""
        for name, value in values.items():
            if _UNSAFE.intersection(value) or (name != self.default_key and not value):
                raise InvalidRequest(f"{name} cannot be {value!r}: PVE separates settings with commas and lines")
        rest = dict(values)
        parts = []
        if self.models and "model" in rest:
            model, address = rest.pop("model"), rest.pop("macaddr", "")
            parts.append(f"{model}={address}" if address else model)
        elif self.default_key in rest and not self.names_default_key:
            parts.append(rest.pop(self.default_key))
        names = sorted(rest, key=lambda name: (name != self.default_key, name))
        parts.extend(f"{name}={rest[name]}" for name in names)
        return ",".join(parts)

    def merge(self, text: str | None, parts: t.Mapping[str, str | None]) -> str:
        """Change some of the values of a property string; None takes one out."""
        values = self.parse(text or "")
        for name, value in parts.items():
            if value is None:
                values.pop(name, None)
            else:
                values[name] = value
        return self.write(values)

    def comparable(self, text: str) -> t.Hashable:
        """What a property string says, whatever its spelling, order and left out defaults."""
        comparables = {name: self._comparable_value(name, value) for name, value in self.parse(text).items()}
        for name, value in self.defaults.items():
            if comparables.get(name) == self._comparable_value(name, value):
                del comparables[name]
        return frozenset(comparables.items())

    def _comparable_value(self, name: str, value: str) -> t.Hashable:
        if name in self.booleans:
            return truth(value)
        if name in self.sizes:
            return parse_size(value)
        if name in self.numbers:
            return number(value)
        if name in self.caseless:
            return value.upper()
        if name in self.urlencoded:
            return unquote(value)
        if name in self.sets:
            return frozenset(item for item in value.split(";") if item)
        return value
