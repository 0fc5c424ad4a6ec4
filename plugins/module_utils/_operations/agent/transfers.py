# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files to a guest and from it, of any size, in pieces: whole, or not at all, and checked at the other end."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import secrets
import typing as t

from ..._pve.errors import GuestFileError, PveError, brief
from .calls import MOST_INPUT, MOST_WRITTEN
from .guest_shell import AS_IT_IS, PLAIN, Attributes
from .running import CommandResult, GuestRunner

# So many pieces lie beside the file before they are added to it.
_PIECES_AT_ONCE = 64
_LOOK = re.compile(r"(?P<size>\d{1,18}) .*?(?P<sum>[0-9a-f]{64}|none)", re.IGNORECASE)


class FileState(t.NamedTuple):
    """A file in the guest; checksum is none where there is no program for it."""

    size: int
    checksum: str


def look_at_file(runner: GuestRunner, path: str, directory: str = "") -> FileState | None:
    """Say how large a file is and what is in it; None when there is none. Raises GuestFileError."""
    result = run_for_file(runner, path, runner.shell.look(path, directory))
    output = result.stdout.decode("utf-8", "replace").strip()
    if output == "absent":
        return None
    if output == "directory":
        raise GuestFileError(f"{path} in {runner.calls.handle.guest.label} is a directory", path)
    found = _LOOK.search(output)
    if found is None:
        raise GuestFileError(f"{path} in {runner.calls.handle.guest.label} cannot be read: {brief(output)}", path)
    return FileState(int(found["size"]), found["sum"].lower())


def put_file(runner: GuestRunner, source: t.BinaryIO, path: str, attributes: Attributes = AS_IT_IS) -> None:
    """Write what source holds into a file, which has its old content or all of the new; raises GuestFileError."""
    at_once = max(1, runner.shell.most_pieces) * MOST_INPUT
    first = source.read(at_once + 1)
    if len(first) <= at_once:
        script = runner.shell.put(path, secrets.token_hex(8), hashlib.sha256(first).hexdigest(), attributes)
        run_for_file(runner, path, script, first)
        return
    directory, key = runner.shell.directory(secrets.token_hex(16)), secrets.token_hex(8)
    begun = run_for_file(runner, path, runner.shell.begin_put(path, key, directory, attributes))
    part = os.fsdecode(begun.stdout)
    target = part[: -len(f".{key}.part")]
    checksum = hashlib.sha256()
    try:
        pieces = _counted(_pieces_of_file(first, source), checksum)
        while runner.write_pieces(directory, itertools.islice(pieces, _PIECES_AT_ONCE)):
            run_for_file(runner, path, runner.shell.append(directory, part))
        end = runner.shell.end_put(target, part, checksum.hexdigest(), directory, attributes)
        run_for_file(runner, path, end)
    except PveError:
        with contextlib.suppress(PveError):
            runner.run(runner.shell.abandon(directory, part))
        raise


def _counted(pieces: t.Iterator[bytes], checksum: hashlib._Hash) -> t.Iterator[bytes]:
    for piece in pieces:
        checksum.update(piece)
        yield piece


def _pieces_of_file(first: bytes, source: t.BinaryIO) -> t.Iterator[bytes]:
    rest = first
    while rest:
        yield rest[:MOST_WRITTEN]
        rest = rest[MOST_WRITTEN:] or source.read(MOST_WRITTEN)


def fetch_file(runner: GuestRunner, path: str, sink: t.Callable[[bytes], object]) -> None:
    """Hand the content of a file to sink, piece by piece; raises GuestFileError when there is none, or it changed."""
    directory, name = "", path
    if not PLAIN.fullmatch(os.fsencode(path)) or not runner.shell.is_absolute(path):
        # Other characters in the name of a file hang the agent (75-agent.json: "file name with unicode").
        directory = runner.shell.directory(secrets.token_hex(16))
        name = f"{directory}/file"
    found = look_at_file(runner, path, directory)
    if found is None:
        raise GuestFileError(f"there is no file {path} in {runner.calls.handle.guest.label}", path, is_absent=True)
    checksum, size = hashlib.sha256(), 0
    for piece in runner.read(name, found.size, directory):
        checksum.update(piece)
        size += len(piece)
        sink(piece)
    if directory:
        runner.leave(directory)
    if size != found.size or found.checksum not in ("none", checksum.hexdigest()):
        raise GuestFileError(f"{path} in {runner.calls.handle.guest.label} changed while it was read", path)


def run_for_file(runner: GuestRunner, path: str, script: str, stdin: bytes | None = None) -> CommandResult:
    """Run a script about a file; raises GuestFileError, with its words, when it fails."""
    result = runner.run(script, stdin)
    if result.status:
        words = brief(result.stderr.decode("utf-8", "replace"))
        raise GuestFileError(f"{path} in {runner.calls.handle.guest.label}: {words or 'it failed'}", path)
    return result
