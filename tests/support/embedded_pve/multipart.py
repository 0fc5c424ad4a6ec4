# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Uploads, read as pveproxy reads them: a stream that goes to a file (PVE::APIServer::AnyEvent, file_upload_multipart).

The fields come before the file, in one order; what stands in front of one that is looked for is lost.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from fakepve.model import PveError

FIELDS = ("content", "checksum-algorithm", "checksum")
HEAD_LIMIT = 64 * 1024
DISPOSITION = re.compile(r'Content-Disposition: (?P<kind>.*?); name="(?P<name>[^"]*)"(; filename="(?P<file>[^"]+)")?')


@dataclass(frozen=True)
class Upload:
    """What has arrived: the fields, the name of the file among them, and where its content is."""

    fields: dict[str, str]
    path: Path


UPLOADED: Any = web.RequestKey("uploaded", Upload)


def is_upload(request: Any) -> bool:
    return request.method == "POST" and request.content_type == "multipart/form-data"


class BrokenOff(Exception):
    """The connection is to break here."""


async def receive(request: Any, directory: Path, breaks_after: int = 0) -> Upload:
    """Read an upload into a file; one that breaks off leaves nothing. Raises PveError, or BrokenOff."""
    found = re.search(r'boundary="?([^";]+)', request.headers.get("Content-Type", ""))
    if not found:
        raise PveError(506, "upload 'Content-Type '' not implemented")
    if not request.headers.get("Content-Length"):
        raise PveError(501, "upload without content length header not supported")
    path = directory / f"pveupload-{secrets.token_hex(16)}"
    try:
        fields, rest = await _head(request.content, found[1].encode())
        await _file(request.content, rest, found[1].encode(), path, breaks_after)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Upload(fields, path)


async def _head(stream: Any, boundary: bytes) -> tuple[dict[str, str], bytes]:
    """The fields, and what has been read of the file."""
    read = b""
    # More headers may stand between the name of the file and the empty line.
    start = re.compile(
        rb'--%b\r?\nContent-Disposition: [^\r\n]*; filename="[^"]+".*?\r?\n\r?\n' % re.escape(boundary), re.S
    )
    while True:
        found = start.search(read)
        if found:
            return _fields(read[: found.end()], boundary), read[found.end() :]
        chunk = await stream.readany()
        if not chunk or len(read) > HEAD_LIMIT:
            raise PveError(500, "upload failed")
        read += chunk


def _fields(head: bytes, boundary: bytes) -> dict[str, str]:
    parts: list[tuple[str, str]] = []
    file_name = ""
    for text in re.split(rb"--%b\r?\n" % re.escape(boundary), head)[1:]:
        header, _empty, value = re.sub(rb"\r\n", b"\n", text).decode(errors="replace").partition("\n\n")
        found = DISPOSITION.search(header)
        if found is None or found["kind"] != "form-data":
            raise PveError(500, "wrong Content-Disposition in multipart, expected 'form-data'")
        if found["file"]:
            if found["name"] != "filename":
                raise PveError(500, f"wrong field name '{found['name']}' for file upload, expected 'filename'")
            file_name = found["file"]
        else:
            parts.append((found["name"], value.strip()))
    fields, position = {}, 0
    for name in FIELDS:
        places = [number for number, part in enumerate(parts) if number >= position and part[0] == name]
        if places:
            fields[name], position = parts[places[0]][1], places[0] + 1
    if position < len(parts):
        raise PveError(500, "upload failed")
    return {**fields, "filename": file_name.strip()}


async def _file(stream: Any, read: bytes, boundary: bytes, path: Path, breaks_after: int) -> None:
    close = re.compile(rb"(\r?\n)?--%b--.*" % re.escape(boundary), re.S)
    kept = len(boundary) + 8
    with path.open("xb") as file:
        while True:
            # An empty chunk is the end of the body, which the mark has to come before.
            chunk = await stream.readany()
            read += chunk
            found = close.search(read, max(0, len(read) - len(chunk) - 2 * kept))
            if not chunk or found:
                break
            file.write(read[:-kept])
            if breaks_after and file.tell() > breaks_after:
                raise BrokenOff
            read = read[-kept:]
        if not found:
            raise PveError(500, "upload failed")
        file.write(read[: found.start()])
