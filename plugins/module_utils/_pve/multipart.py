# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file among the fields of a form (RFC 7578), written as a stream: it is never in memory as a whole."""

from __future__ import annotations

import os
import typing as t

from .deadline import Deadline
from .errors import InvalidRequest, TimedOut
from .numbers import in_full

CHUNK_BYTES = 256 * 1024


class FileForm:
    """The body of a request: the fields in their order, and the file after them, as PVE reads it.

    PVE takes no field after the file, nor quotes within names (PVE::APIServer::AnyEvent file_upload_multipart).
    """

    def __init__(
        self,
        fields: t.Mapping[str, str],
        file_field: str,
        file_name: str,
        source: t.BinaryIO,
        size: int,
        deadline: Deadline,
    ) -> None:
        self.boundary = os.urandom(16).hex()
        # How many bytes of the body were taken.
        self.taken = 0
        self._file_name, self._source, self._size, self._deadline = file_name, source, size, deadline
        parts = [f"--{self.boundary}\r\n{_disposition(name)}\r\n\r\n{text}\r\n" for name, text in fields.items()]
        file_headers = f"{_disposition(file_field, file_name)}\r\nContent-Type: application/octet-stream"
        self._head = "".join([*parts, f"--{self.boundary}\r\n{file_headers}\r\n\r\n"]).encode()
        self._tail = f"\r\n--{self.boundary}--\r\n".encode()
        self.length = len(self._head) + size + len(self._tail)

    @property
    def is_taken(self) -> bool:
        """The whole body was sent, or is at least on its way."""
        return self.taken == self.length

    @property
    def headers(self) -> dict[str, str]:
        return {
            "Content-Type": f"multipart/form-data; boundary={self.boundary}",
            "Content-Length": str(self.length),
        }

    def __iter__(self) -> t.Iterator[bytes]:
        """Read the file once, from where it stands.

        Raises InvalidRequest when the file is shorter than was said, and TimedOut when the deadline passes.
        """
        yield from self._counted(self._head)
        left = self._size
        while left:
            if self._deadline.expired:
                raise TimedOut(
                    f"the time of {in_full(self._deadline.seconds)} s was over when {self._size - left} of "
                    f"{self._size} bytes of {self._file_name} were sent"
                )
            try:
                chunk = self._source.read(min(CHUNK_BYTES, left))
            except OSError as error:
                # Not to be taken for an error of the connection.
                raise InvalidRequest(f"{self._file_name} cannot be read: {error}") from error
            if not chunk:
                raise InvalidRequest(
                    f"{self._file_name} ended after {self._size - left} of {self._size} bytes: "
                    f"it changed while it was uploaded"
                )
            left -= len(chunk)
            yield from self._counted(chunk)
        yield from self._counted(self._tail)

    def _counted(self, chunk: bytes) -> t.Iterator[bytes]:
        yield chunk
        self.taken += len(chunk)


def _disposition(name: str, file_name: str | None = None) -> str:
    for text in (name, file_name or ""):
        if not text.isprintable() or '"' in text or "\\" in text:
            raise InvalidRequest(f"{text!r} cannot be the name of a file or a field: it holds a quote or a line break")
    return f'Content-Disposition: form-data; name="{name}"' + (f'; filename="{file_name}"' if file_name else "")
