# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a file comes from: how large it will be, whether it can be had, and whether what is there is the same."""

from __future__ import annotations

import re
import stat
import struct
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ..._pve.client import PveClient
from ..._pve.commands import Command, run_command
from ..._pve.errors import Cause, InvalidRequest, NotFound, PermissionDenied, PveError, Refused, TaskFailed
from ..._pve.storages import NodeStorage, Volume, find_volume, storage_of
from .file_names import Checksum, in_words
from .volume_request import Source, VolumeRequest

# Nobody has this name (RFC 6761). PVE compares a file that is there with the checksum before it would download.
_NOWHERE = "http://compare-only.invalid/"
_NETWORK_RIGHTS = "Sys.AccessNetwork on /nodes/{node}, or both Sys.Audit and Sys.Modify on /"
_STATUS = re.compile(r"invalid server response: '(?P<line>(?P<status>\d+)[^']*.*)'")
# What a raw image is rounded up to (73-volumes.json).
_SECTOR = 512
# docs/interop/qcow2.rst of QEMU: the mark, and after version, backing file and bits of a cluster the disk's size.
_QCOW2_HEAD = struct.Struct(">4s20xQ")
# Some servers do not answer HEAD, though they have the file.
_NO_HEAD = frozenset({"400", "403", "405", "501"})


@dataclass(frozen=True)
class Verdict:
    """Whether the file that is there is the one asked for, and by what they were compared."""

    same: bool
    compared_by: str
    why: str = ""
    warning: str = ""


def expected_size(client: PveClient, request: VolumeRequest, storages: t.Sequence[NodeStorage]) -> int | None:
    """The size that the file will have; None when nobody can tell before it is there.

    Raises a PveError when it cannot be had: an unreachable URL, a file that is not there, an unknown template.
    """
    source = request.source
    if source is None:
        return None
    if source.kind == "url":
        size = _size_at_url(client, request, storages[0].node)
        return None if request.decompress else size
    if source.kind == "src":
        return _size_of_file(source.value)
    if source.kind == "template":
        _check_template(client, source.value, storages[0].node)
    if source.kind == "copy_from":
        return copied_volume(client, source, storages[0]).size
    return None


def disk_size(request: VolumeRequest, size: int | None) -> int | None:
    """The size of the disk in an image that is not there yet, given that of its file; None when nobody can tell."""
    if request.file_name.endswith(".raw"):
        return None if size is None else size + -size % _SECTOR
    if request.file_name.endswith(".qcow2") and request.origin.kind == "src":
        return _size_in_qcow2(request.origin.value)
    return None


def _size_in_qcow2(path: str) -> int | None:
    """The size of the disk in a file of the controller; None when it is not what its name says."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(_QCOW2_HEAD.size)
    except OSError:
        return None
    if len(head) < _QCOW2_HEAD.size:
        return None
    mark, size = _QCOW2_HEAD.unpack(head)
    return size if mark == b"QFI\xfb" else None


def _size_at_url(client: PveClient, request: VolumeRequest, node: str) -> int | None:
    source = request.origin
    form = {"url": source.value, "verify-certificates": request.verify_certificates}
    try:
        found = client.read("nodes", node, "query-url-metadata", **form)
    except PermissionDenied as error:
        raise without_network_right(client, error, node) from error
    except Refused as error:
        match = _STATUS.search(error.cause.pve_message)
        if match and match["status"] in _NO_HEAD:
            return None
        words = match["line"] if match else error.cause.pve_message
        # LWP calls what it meets on the way to a server a 500 as well.
        words = re.sub(r"^500 (?=Can't connect)", "", words)
        raise Refused(f"node {node} cannot download {source.shown}: {words}", error.cause) from error
    return int(found["size"]) if found.get("size") else None


def without_network_right(client: PveClient, error: PermissionDenied, node: str) -> PermissionDenied:
    """Name the privilege, which PVE does not where there are several ways (73-volumes-privileges.json)."""
    if error.cause.privilege:
        return error
    return PermissionDenied(
        f"{client.identity} lacks {_NETWORK_RIGHTS.format(node=node)}, which it takes to have a node download: "
        f"grant it with a role on that path",
        error.cause._replace(privilege="Sys.AccessNetwork", acl_path=f"/nodes/{node}"),
    )


def _size_of_file(path: str) -> int:
    try:
        # Looked at before it is opened, since a FIFO blocks whoever opens it.
        found = Path(path).stat()
        if not stat.S_ISREG(found.st_mode):
            raise InvalidRequest(f"src {path} is not a regular file")
        with Path(path).open("rb"):
            return found.st_size
    except OSError as error:
        raise InvalidRequest(f"src {path} cannot be read: {error.strerror}") from error


def _check_template(client: PveClient, name: str, node: str) -> None:
    known = [str(entry["template"]) for entry in client.read("nodes", node, "aplinfo")]
    if name in known:
        return
    whole = [item for item in known if item.startswith(f"{name}.")]
    if whole:
        raise NotFound(f"template {name} lacks the end of its name: the list of node {node} has {', '.join(whole)}")
    stem = re.split(r"[-_]", name)[0]
    close = sorted(item for item in known if item.startswith(stem))[:5]
    hint = f"it has {', '.join(close)}" if close else "pveam update on the node fetches the newest list"
    raise NotFound(f"there is no template {name} in the list of appliances of node {node}: {hint}")


def copied_volume(client: PveClient, source: Source, storage: NodeStorage) -> Volume:
    """The volume that is to be copied; raises InvalidRequest or NotFound."""
    if storage_of(source.value) != storage.name:
        raise InvalidRequest(
            f"copy_from {source.value}: PVE copies within one storage only, from node to node or to another name, "
            f"and not to {storage.name}: give url or src"
        )
    node = source.node or storage.node
    volume = find_volume(client, source.value, node)
    if volume is None:
        raise NotFound(f"there is no {source.value} on node {node} that could be copied")
    return volume


def compare(client: PveClient, request: VolumeRequest, volume: Volume, size: int | None) -> Verdict | None:
    """Compare what is there with what is asked for; None when it is gone meanwhile."""
    warning = ""
    if request.checksum is not None and not request.decompress:
        try:
            return _compare_checksum(client, request, request.checksum, volume)
        except PermissionDenied as error:
            denied = without_network_right(client, error, volume.node)
            warning = f"{request.volid} on node {volume.node} was not compared by its checksum: {denied}"
    if size is None or volume.size is None:
        return Verdict(True, "name", warning=warning)
    why = "" if size == volume.size else f"it has {volume.size} bytes, and not {size}"
    return Verdict(not why, "size", why, warning)


def _compare_checksum(client: PveClient, request: VolumeRequest, checksum: Checksum, volume: Volume) -> Verdict | None:
    """Have PVE calculate the checksum of what is there: it would only download what is not there, from nowhere."""
    form = {
        "url": _NOWHERE + request.file_name,
        "content": request.content,
        "filename": request.file_name,
        "checksum": checksum.value,
        "checksum-algorithm": checksum.algorithm,
    }
    path = ("storage", request.storage, "download-url")
    command = Command("POST", path, form, node=volume.node, task_type="download", task_id=request.file_name)
    try:
        run_command(client, command)
    except TaskFailed as error:
        found = re.search(r"checksum mismatch: got '(\w+)'", error.cause.pve_message)
        if found:
            why = f"its {checksum.algorithm} checksum is {found[1]}, and not {checksum.value}"
            return Verdict(False, "checksum", why)
        if find_volume(client, request.volid, volume.node) is None:
            return None
        raise
    return Verdict(True, "checksum")


def check_space(client: PveClient, storage: NodeStorage, file_name: str, needed: int) -> None:
    """Raise Refused when so many bytes do not fit on the storage; nobody is asked for what is of unknown size."""
    try:
        status = client.read("nodes", storage.node, "storage", storage.name, "status")
    except PveError:
        return  # PVE says itself what does not fit.
    available = int(status.get("avail") or 0)
    if needed > available:
        raise Refused(
            f"storage {storage.name} on node {storage.node} has {in_words(available)} left, and {file_name} needs "
            f"{in_words(needed)}: nothing was changed",
            Cause(pve_message="No space left on device"),
        )
