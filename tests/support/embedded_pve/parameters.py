# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Request parameters as pveproxy reads them: empty values count, unlike in fakepve."""

from __future__ import annotations

import json
import urllib.parse
from typing import Any

import fakepve.schema
import fakepve.server
from fakepve.model import PveError
from fakepve.server import collect

from .multipart import UPLOADED


async def request_parameters(request: Any) -> dict[str, Any]:
    """Query and body; "name=" is the empty string (20-create.json: empty name)."""
    values: dict[str, Any] = collect(request.query.items())
    body = await request.read()
    if UPLOADED in request:
        return {**values, **request[UPLOADED].fields}
    if not body or request.content_type == "multipart/form-data":
        return values
    if request.content_type == "application/json":
        values.update(json_object(body))
    else:
        text = body.decode(errors="replace")
        values.update(collect(urllib.parse.parse_qsl(text, keep_blank_values=True)))
    return values


def json_object(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as problem:
        raise PveError(500, f"malformed JSON string, neither tag, array, object: {problem}") from None
    if not isinstance(data, dict):
        raise PveError(500, "Not a HASH reference at /usr/share/perl5/PVE/APIServer/AnyEvent.pm line 978.")
    return data


# Every handler of fakepve looks the function up in its module.
fakepve.server.params = request_parameters


_WORDS = {**dict.fromkeys(("1", "on", "yes", "true"), "1"), **dict.fromkeys(("0", "off", "no", "false"), "0")}


def parse_boolean(text: str) -> str | None:
    """A boolean within a property string may be a word (PVE::JSONSchema::parse_boolean)."""
    return _WORDS.get(text.lower())


# A parameter of its own may not (PVE::JSONSchema::check_type).
fakepve.schema.parse_boolean = parse_boolean
fakepve.schema.TRUE, fakepve.schema.FALSE = ("1",), ("0",)


def _without_empty_lists_of_choices() -> None:
    """`compression` of a download has a list of choices that PVE itself leaves undefined: it takes any text there."""
    for methods in fakepve.schema.load().paths.values():
        for method in methods.values():
            for row in ((method.get("parameters") or {}).get("properties") or {}).values():
                if isinstance(row, dict) and "enum" in row and row["enum"] is None:
                    del row["enum"]


_without_empty_lists_of_choices()
