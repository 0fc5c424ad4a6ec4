# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one JSON document that CloudStack gets: fields, a table, or a failure."""

from __future__ import annotations

import json
import re
import typing as t

from .._pve.errors import PveError, one_line

# CloudStack reads the answer only after the process has ended: more than a pipe holds would block it forever.
MAX_BYTES = 60 * 1024
MAX_ERROR = 800
MASK = "********"

# The options of the collection's connection, in the words of CloudStack's details.
_DETAIL_NAMES = {
    "api_host": "url",
    "api_port": "url",
    "api_user": "user",
    "api_token_id": "token",
    "api_token_secret": "secret",
    "api_password": "secret",
    "api_fingerprint": "fingerprint",
    "api_timeout": "api_timeout",
    "ca_path": "ca_file",
}
_IS_BACKED_UP = "is locked (backup)"
_LOCKED_FOR_BACKUP = "a backup of it is being made: try again when that is done (qm unlock removes a lock left behind)"
_ESCAPE = re.compile(r"\\.")
_OPTION = re.compile("|".join(sorted(_DETAIL_NAMES, key=len, reverse=True)))
Row = t.Mapping[str, str]
# What is left for everything else in the answer.
_MOST_BYTES = MAX_BYTES - 4096
_CELL_LIMITS = (400, 100, 40)


def success(fields: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The document of a successful action."""
    return {"status": "success", **fields}


def failure(error: BaseException, secrets: t.Iterable[str] = (), also: str = "") -> dict[str, t.Any]:
    """The document of a failed action: the reason first, in PVE's own words if there are any.

    also is what else the user has to know, such as a guest that could not be removed.
    """
    if isinstance(error, PveError):
        kind, text = error.kind, _reason_first(error)
    else:
        kind, text = "internal", f"internal error, please report it: {type(error).__name__}: {error}"
    also = "; ".join(words for words in (_LOCKED_FOR_BACKUP if _IS_BACKED_UP in text else "", also) if words)
    text = shorten(one_line(in_details_words(text)), MAX_ERROR - len(also) - 2)
    return {"status": "error", "error": redact(f"{text}; {also}" if also else text, secrets), "kind": kind}


def in_details_words(text: str) -> str:
    """Name the options of a connection as CloudStack's details do."""
    return _OPTION.sub(lambda match: _DETAIL_NAMES[match[0]], text)


def _reason_first(error: PveError) -> str:
    sentence, cause = str(error), error.cause
    fields = (f"{name}: {text}" for name, text in sorted(cause.field_errors.items()))
    words = one_line("; ".join([cause.pve_message, *fields])) if cause.pve_message else ""
    if not words or f": {words}" not in sentence:
        return sentence
    rest = sentence.replace(f": {words}", "", 1)
    return f"{words} ({rest})"


def shorten(text: str, most: int) -> str:
    """Cut a text, its end first."""
    return text if len(text) <= most else text[: max(0, most - 3)] + "..."


def redact(text: str, secrets: t.Iterable[str]) -> str:
    """Take secrets out of a text."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    return text


def _spelt_out(escape: re.Match[str]) -> str:
    # CloudStack's log masks a console's password up to the next quotation mark, even an escaped one.
    return "\\u0022" if escape[0] == '\\"' else escape[0]


def encode(document: t.Mapping[str, t.Any]) -> bytes:
    """Write the document as one line of ASCII, small enough for a pipe."""
    line = _ESCAPE.sub(_spelt_out, json.dumps(document, default=str)).encode() + b"\n"
    if len(line) > MAX_BYTES:
        what = f"the answer of {len(line)} bytes is more than CloudStack can take ({MAX_BYTES})"
        return json.dumps({"status": "error", "error": what, "kind": "too_large"}).encode() + b"\n"
    return line


def table(rows: t.Sequence[Row]) -> dict[str, t.Any]:
    """The fields of an answer that is a table. What does not fit is shortened, or left out, which the last row says."""
    shown: list[dict[str, str]] = []
    for limit in _CELL_LIMITS:
        shown = [{name: shorten(one_line(text), limit) for name, text in row.items()} for row in rows]
        if _fits(shown):
            break
    while not _fits(shown):
        shown = shown[: len(shown) // 2]
    if len(shown) < len(rows):
        columns = list(rows[0])
        shown.append({**dict.fromkeys(columns, ""), columns[0]: f"... and {len(rows) - len(shown)} more"})
    return {"printmessage": "true", "message": shown}


def _fits(rows: t.Sequence[Row]) -> bool:
    return len(json.dumps(rows)) <= _MOST_BYTES
