# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Uploads: a form with a file, sent as a stream, once, and never kept in memory."""

from __future__ import annotations

import contextlib
import email.parser
import email.policy
import hashlib
import io
import socket
import ssl
import threading
import tracemalloc

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.client import PveClient
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.connection import connection_options
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.deadline import Deadline
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import (
    AnswerLost,
    InvalidRequest,
    PermissionDenied,
    TimedOut,
    Unreachable,
)
from tests.support.strict_server import HOST, answer, make_certificate, reset

PATH = ("nodes", "pve1", "storage", "local", "upload")
FIELDS = {"content": "iso", "checksum-algorithm": "sha256", "checksum": "0" * 64}
MEBIBYTE = 1024 * 1024


class Receiver:
    """Takes one upload in pieces, or as much of it as `most`, and answers it, or not."""

    def __init__(self, certificate, answered, most=None, answers_at_once=False):
        self.cafile = str(certificate[0])
        self.answered, self.most, self.answers_at_once = answered, most, answers_at_once
        self.head = b""
        self.beginning = b""
        self.received = 0
        self.digest = hashlib.sha256()
        self.connections = 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*map(str, certificate))
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_problem):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self):
        while True:
            try:
                plain, _address = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with contextlib.suppress(OSError), self._context.wrap_socket(plain, server_side=True) as connection:
                self._receive(connection)

    def _receive(self, connection):
        stream = connection.makefile("rb", buffering=0)
        while not self.head.endswith(b"\r\n\r\n"):
            self.head += stream.read(1)
        if self.answers_at_once:
            connection.sendall(self.answered)
            # The client is in the middle of its file when the connection ends.
            threading.Event().wait(0.2)
            return
        left = self.length if self.most is None else self.most
        while left:
            piece = stream.read(min(65536, left))
            if not piece:
                return
            self.digest.update(piece)
            self.beginning += piece[: max(0, 4096 - len(self.beginning))]
            self.received += len(piece)
            left -= len(piece)
        if self.answered:
            connection.sendall(self.answered)
        else:
            reset(connection)

    @property
    def headers(self):
        return email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(self.head.partition(b"\r\n")[2])

    @property
    def length(self):
        return int(self.headers["Content-Length"])


class Zeros(io.RawIOBase):
    """A file of nothing but zeros, which remembers how much was wanted at once."""

    def __init__(self, size):
        self.left, self.largest = size, 0

    def read(self, size=-1):
        self.largest = max(self.largest, size)
        taken = min(size, self.left)
        self.left -= taken
        return bytes(taken)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("receiver"))


def upload(receiver, source, size, seconds=30, **changes):
    names = {"api_host": f"{HOST}:{receiver.port}", "api_token_id": "root@pam!ci", "api_token_secret": "s" * 36}
    client = PveClient(connection_options({**names, "api_timeout": 10, "ca_path": receiver.cafile}), Deadline(seconds))
    given = {"fields": FIELDS, "file_field": "filename", "file_name": "a b.iso", **changes}
    try:
        return client.upload(*PATH, source=source, size=size, **given)
    finally:
        client.close()


def test_the_form_has_its_fields_in_their_order_and_the_file_last(certificate):
    content = bytes(range(256)) * 4
    with Receiver(certificate, answer("UPID:pve1:...")) as receiver:
        # From where the file stands.
        source = io.BytesIO(b"before" + content)
        source.seek(6)
        assert upload(receiver, source, len(content)) == "UPID:pve1:..."
    assert receiver.head.startswith(b"POST /api2/json/nodes/pve1/storage/local/upload HTTP/1.1\r\n")
    assert "Transfer-Encoding" not in receiver.headers
    whole = f"Content-Type: {receiver.headers['Content-Type']}\r\n\r\n".encode() + receiver.beginning
    parts = list(email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(whole).iter_parts())
    names = [part.get_param("name", header="Content-Disposition") for part in parts]
    assert names == [*FIELDS, "filename"]
    assert [part.get_payload() for part in parts[:-1]] == list(FIELDS.values())
    assert parts[-1].get_filename() == "a b.iso"
    assert parts[-1].get_payload(decode=True) == content


def test_a_large_file_is_never_in_memory(certificate):
    size = 64 * MEBIBYTE
    source = Zeros(size)
    with Receiver(certificate, answer("UPID:pve1:...")) as receiver:
        tracemalloc.start()
        try:
            upload(receiver, source, size)
            _now, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert receiver.received == receiver.length > size
    assert source.largest <= MEBIBYTE
    assert peak < 8 * MEBIBYTE


def test_what_was_not_sent_whole_was_not_stored_and_is_not_sent_again(certificate):
    size = 32 * MEBIBYTE
    with (
        Receiver(certificate, b"", most=MEBIBYTE) as receiver,
        pytest.raises(Unreachable, match=r"broke during POST /nodes/pve1/storage/local/upload: .*; \d+ of \d+"),
    ):
        upload(receiver, Zeros(size), size)
    assert receiver.connections == 1


def test_what_was_sent_whole_may_be_stored(certificate):
    with Receiver(certificate, b"") as receiver, pytest.raises(AnswerLost, match="broke during POST"):
        upload(receiver, io.BytesIO(b"content"), 7)
    assert receiver.connections == 1


def test_a_refusal_before_the_end_is_told(certificate):
    denied = "403 Permission check failed (/storage/local, Datastore.AllocateTemplate)"
    refusal = answer(status=denied, body="", Connection="close")
    size = 32 * MEBIBYTE
    with (
        Receiver(certificate, refusal, answers_at_once=True) as receiver,
        pytest.raises(PermissionDenied, match=r"lacks the privilege Datastore\.AllocateTemplate"),
    ):
        upload(receiver, Zeros(size), size)


def test_a_file_that_ends_early_is_told(certificate):
    with (
        Receiver(certificate, answer()) as receiver,
        pytest.raises(InvalidRequest, match=r"a b\.iso ended after 3 of 7 bytes"),
    ):
        upload(receiver, io.BytesIO(b"abc"), 7)


def test_a_file_that_cannot_be_read_is_told(certificate):
    class Broken(Zeros):
        def read(self, size=-1):
            raise OSError(5, "Input/output error")

    with (
        Receiver(certificate, answer()) as receiver,
        pytest.raises(InvalidRequest, match=r"a b\.iso cannot be read: .*Input/output error"),
    ):
        upload(receiver, Broken(7), 7)


def test_the_deadline_ends_an_upload(certificate):
    class Slow(Zeros):
        def read(self, size=-1):
            threading.Event().wait(0.3)
            return super().read(size)

    size = 32 * MEBIBYTE
    with (
        Receiver(certificate, answer()) as receiver,
        pytest.raises(TimedOut, match=rf"the time of 1 s was over when \d+ of {size} bytes of a b\.iso were sent"),
    ):
        upload(receiver, Slow(size), size, seconds=1)


@pytest.mark.parametrize("name", ['a".iso', "a\r\nX: 1.iso", "a\\.iso"])
def test_a_name_that_breaks_out_of_the_form_is_refused(certificate, name):
    with (
        Receiver(certificate, answer()) as receiver,
        pytest.raises(InvalidRequest, match="cannot be the name of a file"),
    ):
        upload(receiver, io.BytesIO(b"content"), 7, file_name=name)
    assert receiver.connections == 0
