# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parameters of custom actions: checked and typed by the rows of the actions."""

from __future__ import annotations

import re
import typing as t

from .._pve.errors import InvalidRequest
from .._pve.storage_names import STORAGE_NAME
from .details import Detail, parse_detail

if t.TYPE_CHECKING:
    from .run import Run

SECTION = "parameters"
STORAGE = Detail("storage", pattern=STORAGE_NAME.pattern)
_NO_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def parameter(run: Run, row: Detail) -> t.Any:
    """The value of a parameter in the form of its row, or the row's default; raises InvalidRequest."""
    raw = run.payload.parameters.get(row.name)
    if raw is None or raw == "":
        return row.default
    # CloudStack sends a NUMBER as a float where its format is DECIMAL.
    if row.kind == "number" and isinstance(raw, float) and raw.is_integer():
        raw = int(raw)
    return parse_detail(row, raw, SECTION)


def required(run: Run, row: Detail) -> t.Any:
    """The value of a parameter that must be there; raises InvalidRequest."""
    value = parameter(run, row)
    if value is None:
        raise InvalidRequest(f"the parameter {row.name} is missing")
    return value


def lines(run: Run, name: str, most: int) -> str | None:
    """The value of a parameter that is a text of several lines, of so many characters; raises InvalidRequest."""
    text = run.payload.parameters.get(name)
    if text is None or text == "":
        return None
    if not isinstance(text, str):
        raise InvalidRequest(f"{name} is not a text")
    # PVE answers a carriage return with an error that says nothing.
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if len(text) > most:
        raise InvalidRequest(f"{name} has {len(text)} characters, and the site policy allows {most}")
    if _NO_TEXT.search(text):
        raise InvalidRequest(f"{name} holds a character that is no text")
    return text
