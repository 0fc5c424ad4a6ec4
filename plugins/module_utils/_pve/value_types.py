# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Types of the values of a guest's configuration: when two values of a key are one and the same."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from .errors import InvalidRequest
from .numbers import write_number
from .properties import PropertyFormat, number, truth


@dataclass(frozen=True)
class ValueType:
    """When two values of a key are one and the same; absent is the text that an unset key stands for."""

    of: t.Callable[[str], t.Hashable]
    absent: str | None = None
    write: PropertyFormat | None = None
    # How PVE takes a value that somebody wrote in words of his own; raises InvalidRequest.
    form: t.Callable[[str], str] = str.strip

    def same(self, current: str | None, wanted: str | None) -> bool:
        """Whether nothing would differ for the guest if current were replaced by wanted."""
        return self._of(current) == self._of(wanted)

    def _of(self, text: str | None) -> t.Hashable:
        text = self.absent if text is None else text
        return None if text is None else self.of(text)


class WeightType(ValueType):
    """PVE stores the highest weight that the kernel knows for a higher one (PVE::CGroup::clamp_cpu_shares)."""

    def same(self, current: str | None, wanted: str | None) -> bool:
        return super().same(current, wanted) or (
            current == _HIGHEST_WEIGHT and wanted is not None and wanted.isdigit() and int(wanted) > int(current)
        )


_HIGHEST_WEIGHT = "10000"


def _unquoted(text: str) -> str:
    """A text as it is read back: without blanks around it, and without quotation marks around the whole.

    The configuration has a line for each key (PVE::QemuServer, parse_vm_config and check_type).
    """
    text = text.strip()
    while len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].strip()
    return text


def _boolean_form(text: str) -> str:
    word = truth(text)
    if word not in ("0", "1"):
        raise InvalidRequest(f"must be a boolean, not {text!r}")
    return word


def _number_form(text: str) -> str:
    try:
        return write_number(float(text))
    except ValueError:
        raise InvalidRequest(f"must be a number, not {text!r}") from None


def text_type(absent: str | None = None) -> ValueType:
    """Words that are compared as they stand."""
    return ValueType(str.strip, absent)


def boolean_type(absent: str | None) -> ValueType:
    """A boolean, in any of PVE's spellings."""
    return ValueType(truth, absent, form=_boolean_form)


def number_type(absent: str | None) -> ValueType:
    """A number, whichever way it is written."""
    return ValueType(number, absent, form=_number_form)


def properties_type(form: PropertyFormat) -> ValueType:
    """A property string."""
    return ValueType(form.comparable, "", form)


def list_type(separators: str, *, ordered: bool, absent: str | None = "") -> ValueType:
    """A list of words, whose order may count."""
    collect: t.Callable[[t.Iterable[str]], t.Hashable] = tuple if ordered else frozenset
    return ValueType(lambda text: collect(item for item in re.split(f"[{separators}]+", text) if item), absent)


def _tags(text: str) -> frozenset[str]:
    return frozenset(tag for tag in re.split(r"[;,\s]+", text) if tag)


# Of a datacenter whose tag-style tells upper from lower case; elsewhere PVE stores tags in lower case.
CASE_SENSITIVE_TAGS = ValueType(_tags, "")
TAGS = ValueType(lambda text: _tags(text.lower()), "")


def check_description(text: str) -> None:
    """Raise InvalidRequest for the text that PVE loses: Perl takes 0 for none (PVE::QemuServer, write_vm_config)."""
    if text.rstrip() == "0":
        raise InvalidRequest("description: PVE does not store the text '0': give another one, or '' for none")


WEIGHT = WeightType(number, form=_number_form)
DESCRIPTION = ValueType(str.rstrip, "", form=str.rstrip)
STARTUP = properties_type(
    PropertyFormat(default_key="order", names_default_key=True, numbers=frozenset({"order", "up", "down"}))
)
# Of what has no type of its own.
PLAIN = ValueType(_unquoted)
