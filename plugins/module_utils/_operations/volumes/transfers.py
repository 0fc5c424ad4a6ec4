# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps that bring a file to a storage, or take it away, and what their failures mean."""

from __future__ import annotations

import hashlib
import os
import re
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ..._pve.client import PveClient
from ..._pve.commands import Command, run_command
from ..._pve.errors import (
    NOT_IMPLEMENTED,
    AnswerLost,
    InvalidRequest,
    PermissionDenied,
    Refused,
    TaskFailed,
    TimedOut,
    Unreachable,
)
from ..._pve.guests import GuestHandle
from ..._pve.storages import NodeStorage, find_volume
from ..._pve.tasks import Task, Upid, parse_upid, wait_for_task
from ..._pve.turns import Places
from ..plan import Change
from .file_names import Checksum, in_words
from .sources import without_network_right
from .volume_request import VolumeRequest

DOWNLOAD, OCI_PULL, DELETE = "download", "ociregistrypull", "imgdel"
_CHUNK = 1024 * 1024
_TENTHS = 10
# What the end of a download's task means; wget(1) lists the exit codes.
_MEANINGS = (
    (r"No space left on device", "the storage is full"),
    (r"checksum mismatch: got '(?P<got>\w+)'", "the file at {source} has the checksum {got}, and not {checksum}"),
    (r"download failed: exit code 8", "the server of {source} answered with an error"),
    (r"download failed: exit code 4", "the connection to the server of {source} broke off"),
    (
        r"download failed: exit code 5|certificate",
        "the certificate of the server of {source} is not trusted by the node",
    ),
    (r"unable to resolve host address", "the node does not find the server of {source}"),
    (r"failed: Connection refused", "the server of {source} takes no connections"),
    (r"received interrupt", "somebody stopped it"),
    (r"Image is not in \w+ format", "the file is no image of the kind that its name ends in"),
    (r"no \.ovf file inside|'tar -t", "the file is no OVA archive"),
    (r"refusing to override", "somebody else has made the file meanwhile"),
    (r"'(zcat|zstd|lzop|bzcat)[^']*' failed", "the file at {source} is not compressed in the way that decompress says"),
)


@dataclass(frozen=True)
class _FileStep:
    """A step on one file of one storage; name is what the file is called until it is done."""

    request: VolumeRequest
    storage: NodeStorage
    name: str
    title: str
    changes: tuple[Change, ...] = ()
    # Where the content can be found when this fails although the old file is gone.
    kept_as: str = ""

    @property
    def path(self) -> tuple[str, ...]:
        return ("storage", self.storage.name)

    @property
    def volid(self) -> str:
        return f"{self.storage.name}:{self.request.content}/{self.name}"

    def command(self, path: tuple[str, ...], form: t.Mapping[str, t.Any], task_type: str, task_id: str) -> Command:
        return Command("POST", path, form, node=self.storage.node, task_type=task_type, task_id=task_id)

    def explained(self, error: TaskFailed) -> TaskFailed:
        """The failure in one sentence, in which no secret of the URL is."""
        cause = error.cause
        what = f"{self.volid} on node {self.storage.node} was not made from {self.request.origin.shown}"
        why = meaning_of(cause.pve_message, self.request.origin.shown, self.request.checksum)
        words = self._masked(cause.pve_message)
        left = f"; the new content is there as {self.kept_as}" if self.kept_as else ""
        masked = cause._replace(pve_message=words, log_tail=tuple(self._masked(line) for line in cause.log_tail))
        return type(error)(f"{what}: {f'{why} ({words})' if why else words}{left}", masked)

    def _masked(self, text: str) -> str:
        return text.replace(self.request.origin.value, self.request.origin.shown)


@dataclass(frozen=True)
class Fetch(_FileStep):
    """The node gets the file itself: from a URL, from PVE's list, from a registry, or as a copy."""

    def run(self, client: PveClient, handle: GuestHandle | None) -> Task | None:
        """Carry the step out; raises a PveError."""
        del handle
        try:
            return run_command(client, self._command())
        except PermissionDenied as error:
            if self.request.origin.kind == "copy_from":
                raise PermissionDenied(
                    f"{client.identity} cannot copy {self.request.origin.value}: PVE lets only root@pam, and no token, "
                    f"copy a volume",
                    error.cause,
                ) from error
            raise without_network_right(client, error, self.storage.node) from error
        except TaskFailed as error:
            raise self.explained(error) from error
        except Refused as error:
            if error.cause.status == NOT_IMPLEMENTED:
                text = f"this release of PVE cannot make {self.volid} from {self.request.origin.kind}: {error}"
                raise Refused(text, error.cause) from error
            raise

    def _command(self) -> Command:
        source, storage = self.request.origin, self.storage.name
        if source.kind == "url":
            return self.command((*self.path, "download-url"), self._download_form(), DOWNLOAD, self.name)
        if source.kind == "template":
            return self.command(("aplinfo",), {"storage": storage, "template": source.value}, DOWNLOAD, self.name)
        if source.kind == "oci_reference":
            form = {"reference": source.value, "filename": self.name[: -len(".tar")]}
            return self.command((*self.path, "oci-registry-pull"), form, OCI_PULL, self.name)
        form = {"target": self.volid, "target_node": self.storage.node}
        path = (*self.path, "content", source.value)
        return Command("POST", path, form, node=source.node or self.storage.node, task_type="imgcopy")

    def _download_form(self) -> dict[str, t.Any]:
        request, checksum = self.request, self.request.checksum
        form: dict[str, t.Any] = {
            "url": self.request.origin.value,
            "content": request.content,
            "filename": self.name,
            "compression": request.decompress,
            "verify-certificates": request.verify_certificates,
        }
        if checksum is not None:
            form.update({"checksum": checksum.value, "checksum-algorithm": checksum.algorithm})
        return form


def meaning_of(words: str, source: str, checksum: Checksum | None) -> str:
    """Say what the end of a task that made a file means; empty when PVE's words say it."""
    for pattern, meaning in _MEANINGS:
        found = re.search(pattern, words)
        if found:
            got = found.groupdict().get("got")
            return meaning.format(source=source, got=got, checksum=checksum.value if checksum else "the one given")
    return ""


@dataclass(frozen=True)
class Upload(_FileStep):
    """A file of the controller is sent as a stream, with its checksum in front, which PVE verifies."""

    progress: t.Callable[[str], None] | None = field(default=None, compare=False)

    def run(self, client: PveClient, handle: GuestHandle | None) -> Task | None:
        """Carry the step out; raises a PveError."""
        del handle
        storage = self.storage
        try:
            with client.turns.taken(Places(storage.node, frozenset({storage.name})), client.deadline):
                task = wait_for_task(client, self._send(client))
        except TaskFailed as error:
            raise self.explained(error) from error
        except Unreachable as error:
            text = f"{self.volid} was not uploaded, and PVE keeps nothing of it: {error}"
            raise Unreachable(text, error.cause) from error
        except AnswerLost as error:
            text = f"{error}; PVE may have got all of {self.volid}: run this again, which compares what is there"
            raise AnswerLost(text, error.cause, error.late) from error
        if find_volume(client, self.volid, storage.node) is None:
            raise Refused(f"{self.volid} is not on node {storage.node} although PVE's task to make it ended well")
        return task

    def _send(self, client: PveClient) -> Upid:
        path = Path(self.request.origin.value)
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                checksum = self._checksum(client, file)
                # pveproxy looks for the fields in this order, and loses what stands in front of one.
                fields = {
                    "content": self.request.content,
                    "checksum-algorithm": checksum.algorithm,
                    "checksum": checksum.value,
                }
                answer = client.upload(
                    *("nodes", self.storage.node, *self.path, "upload"),
                    fields=fields,
                    file_field="filename",
                    file_name=self.name,
                    source=t.cast("t.BinaryIO", _ReportingReader(file, size, self.name, self.progress)),
                    size=size,
                )
        except OSError as error:
            raise InvalidRequest(f"src {path} cannot be read: {error.strerror}") from error
        upid = parse_upid(str(answer))
        client.own_upids.add(upid.text)
        return upid

    def _checksum(self, client: PveClient, file: t.BinaryIO) -> Checksum:
        """Calculate the checksum; raises InvalidRequest when it is not the one that was given, and TimedOut."""
        expected = self.request.checksum
        found = hashlib.new(expected.algorithm if expected else "sha256")
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            found.update(chunk)
            if client.deadline.expired:
                raise TimedOut(f"the checksum of src {self.request.origin.value} took too long: raise timeout")
        file.seek(0)
        checksum = Checksum(found.name, found.hexdigest())
        if expected is not None and checksum != expected:
            raise InvalidRequest(f"src {self.request.origin.value} has the checksum {checksum}, and not {expected}")
        return checksum


class _ReportingReader:
    """A file that reports how much of it has been read."""

    def __init__(self, file: t.BinaryIO, size: int, name: str, report: t.Callable[[str], None] | None) -> None:
        self._file, self._size, self._name, self._report = file, size, name, report
        self._read = self._tenths = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._read += len(data)
        tenths = _TENTHS * self._read // max(1, self._size)
        if self._report is not None and tenths > self._tenths:
            self._tenths = tenths
            self._report(f"{self._name}: {tenths * _TENTHS} % of {in_words(self._size)} sent")
        return data


@dataclass(frozen=True)
class Delete(_FileStep):
    """PVE takes a file away; it says that all is well of one that is not there, too."""

    def run(self, client: PveClient, handle: GuestHandle | None) -> Task | None:
        """Carry the step out; raises a PveError."""
        del handle
        path, storage = (*self.path, "content", self.volid), self.storage.name
        return run_command(client, Command("DELETE", path, node=self.storage.node, task_type=DELETE, task_id=storage))


def others_at_work(client: PveClient, request: VolumeRequest, node: str) -> list[Upid]:
    """The tasks that make a file of this name just now: of others, as far as the caller may see them.

    PVE's tasks of uploads and copies do not say which file they make.
    """
    if request.source is not None and request.source.kind in ("src", "copy_from"):
        return []
    entries = client.read("nodes", node, "tasks", source="active")
    upids = [parse_upid(str(entry["upid"])) for entry in entries]
    return [
        upid
        for upid in upids
        if upid.type in (DOWNLOAD, OCI_PULL) and upid.id == request.file_name and upid.text not in client.own_upids
    ]


def wait_for_others(client: PveClient, upids: t.Iterable[Upid]) -> None:
    """Wait until these have ended, however they did; raises TimedOut at the deadline."""
    for upid in upids:
        try:
            wait_for_task(client, upid)
        except TaskFailed:
            continue
