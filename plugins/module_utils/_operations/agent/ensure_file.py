# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small file in a guest: its content, its mode and its owner; or what is in it."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ..._pve.errors import GuestFileError, InvalidRequest, brief
from ..._pve.guests import Selector
from ..plan import Applier, Change, Outcome, outcome
from .access import DEFAULT_SHELL, SHELLS, GuestAccess, agent_selector, guest_access
from .guest_shell import Attributes
from .transfers import put_file, run_for_file

PRESENT, ABSENT, READ = STATES = ("present", "absent", "read")
# What is read at once, for a diff or a result.
MOST_CONTENT = 1024 * 1024
# With its 0: without quotes YAML makes 420 of 0644.
_MODE = re.compile(r"0[0-7]{3}|[1-7][0-7]{3}")
_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*\$?")
_SPECIAL = {"s": (1, 1), "S": (1, 0), "t": (1, 1), "T": (1, 0)}


@dataclass(frozen=True)
class FileRequest:
    """A file in a guest, and how it is to be; None is as it is."""

    selector: Selector
    path: str
    state: str
    content: bytes | None
    attributes: Attributes
    shell: str = DEFAULT_SHELL


class GuestFile(t.NamedTuple):
    """A file as it is. content is None when it is too large to be compared by eye, and what the guest has not is."""

    size: int
    mode: str | None
    uid: int | None
    gid: int | None
    owner: str | None
    group: str | None
    checksum: str
    content: bytes | None


def file_request(parameters: t.Mapping[str, t.Any]) -> FileRequest:
    """Check the options of a file in a guest, and read what it is to hold; raises InvalidRequest."""
    path, state = parameters["path"], parameters.get("state") or PRESENT
    name = parameters.get("shell") or DEFAULT_SHELL
    shell = SHELLS[name]()
    if not shell.is_absolute(path) or path.endswith("/" if shell.has_modes else ("/", "\\")) or "\0" in path:
        example = "/etc/motd" if shell.has_modes else "C:\\motd.txt"
        raise InvalidRequest(f"path must be the whole path of a file in the guest, as in {example}, not {path!r}")
    attributes = Attributes(*(parameters.get(name) for name in ("mode", "owner", "group")))
    given = [name for name in ("content", "src", "mode", "owner", "group") if parameters.get(name) is not None]
    if state != PRESENT and given:
        raise InvalidRequest(f"{given[0]} is for state present, and state is {state}")
    if parameters.get("content") is not None and parameters.get("src") is not None:
        raise InvalidRequest("give one of content and src")
    for option in ("mode", "owner", "group"):
        if not shell.has_modes and parameters.get(option) is not None:
            raise InvalidRequest(f"{option} is for guests with /bin/sh: files in Windows have access control lists")
    if attributes.mode is not None and not _MODE.fullmatch(attributes.mode):
        raise InvalidRequest(f"mode must be four octal digits in quotes, as in '0644', not {attributes.mode!r}")
    for option, wanted in (("owner", attributes.owner), ("group", attributes.group)):
        if wanted is not None and not _NAME.fullmatch(wanted):
            raise InvalidRequest(f"{option} {wanted!r} is no name and no number")
    return FileRequest(agent_selector(parameters), path, state, _content(parameters), attributes, name)


def _content(parameters: t.Mapping[str, t.Any]) -> bytes | None:
    if parameters.get("content") is not None:
        return str(parameters["content"]).encode("utf-8", "surrogateescape")
    if parameters.get("src") is None:
        return None
    try:
        return Path(parameters["src"]).read_bytes()
    except OSError as error:
        raise InvalidRequest(f"src {parameters['src']!r} cannot be read: {error.strerror}") from error


def ensure_file(applier: Applier, request: FileRequest) -> Outcome:
    """Bring the file into its state, or read it; raises GuestFileError."""
    with guest_access(applier, request.selector, request.shell) as access:
        found = _look(access, request.path)
        if request.state == READ:
            return _read(applier, access, request, found)
        if request.state == ABSENT:
            _remove(applier, access, request, found)
            return outcome(applier, access.guest, path=request.path)
        _make(applier, access, request, found)
    facts = {} if request.content is None else {"checksum": hashlib.sha256(request.content).hexdigest()}
    return outcome(applier, access.guest, path=request.path, **facts)


def _look(access: GuestAccess, path: str) -> GuestFile | None:
    """The file as it is; None when there is none."""
    script = access.runner.shell.examine(path, MOST_CONTENT)
    output = run_for_file(access.runner, path, script).stdout
    head, _mark, content = output.partition(b"\n--\n")
    lines = head.decode("utf-8", "replace").splitlines()
    if lines == ["absent"]:
        return None
    if lines == ["directory"]:
        raise GuestFileError(f"{path} in {access.handle.guest.label} is a directory", path)
    try:
        size, checksum = int(lines[2]), lines[3].split()[0]
        shown = content if size <= MOST_CONTENT else None
        if not access.runner.shell.has_modes:
            return GuestFile(size, None, None, None, None, None, checksum, shown)
        letters, _links, uid, gid = lines[0].split()[:4]
        owner, group = lines[1].split()[2:4]
        return GuestFile(size, mode_of(letters), int(uid), int(gid), owner, group, checksum, shown)
    except (IndexError, ValueError) as error:
        raise GuestFileError(
            f"{path} in {access.handle.guest.label} cannot be examined: {brief(lines)}", path
        ) from error


def mode_of(letters: str) -> str:
    """Turn what ls says, as in -rw-r--r--, into four octal digits."""
    digits, special = [], 0
    for number in range(3):
        read, write, last = tuple(letters[1 + 3 * number : 4 + 3 * number])
        is_special, runs = _SPECIAL.get(last, (0, int(last == "x")))
        special = 2 * special + is_special
        digits.append(4 * (read == "r") + 2 * (write == "w") + runs)
    return f"{special}{''.join(map(str, digits))}"


def _read(applier: Applier, access: GuestAccess, request: FileRequest, found: GuestFile | None) -> Outcome:
    label = access.handle.guest.label
    if found is None:
        raise GuestFileError(f"there is no file {request.path} in {label}", request.path)
    if found.content is None:
        raise GuestFileError(
            f"{request.path} in {label} has {found.size} bytes, more than the {MOST_CONTENT} that are returned: fetch "
            f"it with ansible.builtin.fetch over the connection cloudbridge.proxmox.pve_agent",
            request.path,
        )
    facts = {name: getattr(found, name) for name in ("size", "mode", "owner", "group", "uid", "gid")}
    return outcome(
        applier,
        access.guest,
        path=request.path,
        content=base64.b64encode(found.content).decode("ascii"),
        encoding="base64",
        checksum=hashlib.sha256(found.content).hexdigest(),
        **facts,
    )


def _remove(applier: Applier, access: GuestAccess, request: FileRequest, found: GuestFile | None) -> None:
    if found is None:
        return
    if not applier.check_mode:
        run_for_file(access.runner, request.path, access.runner.shell.delete(request.path))
    applier.record(f"delete {request.path}", Change("state", "present", "absent"))


def _make(applier: Applier, access: GuestAccess, request: FileRequest, found: GuestFile | None) -> None:
    if found is None and request.content is None:
        label = access.handle.guest.label
        raise GuestFileError(
            f"there is no file {request.path} in {label}: give content or src to make it", request.path
        )
    changes = [*_content_changes(request, found), *_attribute_changes(request.attributes, found)]
    if not changes:
        return
    if found is None:
        title = f"make {request.path}"
    else:
        title = f"change {' and '.join(change.key for change in changes)} of {request.path}"
    if not applier.check_mode:
        differs = any(change.key == "content" for change in changes)
        if differs and request.content is not None:
            put_file(access.runner, io.BytesIO(request.content), request.path, request.attributes)
        else:
            run_for_file(access.runner, request.path, access.runner.shell.change(request.path, request.attributes))
    applier.record(title, *changes)


def _content_changes(request: FileRequest, found: GuestFile | None) -> t.Iterator[Change]:
    if request.content is None:
        return
    checksum = hashlib.sha256(request.content).hexdigest()
    if found is None:
        yield Change("content", None, _shown(request.content))
    elif not _is_same(request.content, checksum, found):
        before = f"sha256:{found.checksum}" if found.content is None else _shown(found.content)
        yield Change("content", before, _shown(request.content))


def _is_same(content: bytes, checksum: str, found: GuestFile) -> bool:
    if found.content is not None:
        return found.content == content
    return found.size == len(content) and found.checksum == checksum


def _shown(content: bytes) -> str:
    """Content as a diff shows it: text, or what is known of it."""
    try:
        if len(content) <= MOST_CONTENT and b"\0" not in content:
            return content.decode("utf-8")
    except UnicodeDecodeError:
        pass
    return f"{len(content)} bytes, sha256:{hashlib.sha256(content).hexdigest()}"


def _attribute_changes(desired: Attributes, found: GuestFile | None) -> t.Iterator[Change]:
    current = found or GuestFile(0, "", -1, -1, "", "", "", None)
    if desired.mode is not None and desired.mode.zfill(4) != current.mode:
        yield Change("mode", current.mode or None, desired.mode.zfill(4))
    for key, wanted, names in (
        ("owner", desired.owner, (current.owner, str(current.uid))),
        ("group", desired.group, (current.group, str(current.gid))),
    ):
        if wanted is not None and wanted not in names:
            yield Change(key, names[0] or None, wanted)
