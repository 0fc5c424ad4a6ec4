# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A TLS server on bare sockets, for what no well-behaved server does: half a handshake, a reset, a foreign page."""

from __future__ import annotations

import datetime
import email.utils
import ipaddress
import json
import socket
import ssl
import struct
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Request:
    """One request as it came in; connection counts from 1."""

    connection: int
    method: str
    path: str
    headers: Mapping[str, str]
    form: Mapping[str, str]


Answer = Callable[[Request], bytes]
Greeting = Callable[[socket.socket, int], bool]


def answer(data: Any = None, status: str = "200 OK", body: str | None = None, **headers: str) -> bytes:
    """An answer in PVE's form; body replaces the JSON, headers are named with underscores."""
    content = (json.dumps({"data": data}) if body is None else body).encode()
    fields = {
        "Date": email.utils.formatdate(usegmt=True),
        "Content-Type": "application/json;charset=UTF-8",
        "Content-Length": str(len(content)),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def reset(connection: socket.socket) -> None:
    """Close with a TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def make_certificate(directory: Path, name: str = HOST, days: int = 1) -> tuple[Path, Path]:
    """A self-signed certificate for an address or a name, expired when days is negative, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "strict")])
    try:
        names: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(name))]
    except ValueError:
        names = [x509.DNSName(name)]
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=3))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = directory / "strict.crt", directory / "strict.key"
    certificate_file.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.TraditionalOpenSSL
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption()),
    )
    return certificate_file, key_file


class StrictServer:
    """Serves one connection after the other; greet may spoil one before TLS, answer gives the bytes for a request.

    An empty answer resets the connection. The last of per_connection answers says that the connection is closed.
    """

    def __init__(
        self,
        certificate: tuple[Path, Path],
        answer: Answer,
        greet: Greeting = lambda connection, number: True,
        per_connection: int = 100,
    ) -> None:
        self.cafile = str(certificate[0])
        self.requests: list[Request] = []
        self.connections = 0
        self._answer, self._greet, self._per_connection = answer, greet, per_connection
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*map(str, certificate))
        self._listener = socket.create_server((HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> StrictServer:
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    @property
    def environment(self) -> dict[str, str | None]:
        """The connection options that lead here."""
        return {"PROXMOX_HOST": HOST, "PROXMOX_PORT": str(self.port), "PROXMOX_CA_PATH": self.cafile}

    def _serve(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                if self._greet(connection, self.connections):
                    self._talk(connection, self.connections)
            except OSError:
                pass  # The client went away, which is its right.
            finally:
                connection.close()

    def _talk(self, connection: socket.socket, number: int) -> None:
        connection.settimeout(10)
        with self._context.wrap_socket(connection, server_side=True) as tls:
            stream = tls.makefile("rb")
            for count in range(1, self._per_connection + 1):
                request = self._read(stream, number)
                if request is None:
                    return
                self.requests.append(request)
                answered = self._answer(request)
                if not answered:
                    reset(tls)
                    return
                if count == self._per_connection:
                    answered = answered.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
                tls.sendall(answered)

    @staticmethod
    def _read(stream: Any, number: int) -> Request | None:
        line = stream.readline().decode("latin-1").split()
        if len(line) != 3:
            return None
        headers: dict[str, str] = {}
        while (header := stream.readline().decode("latin-1").strip()) != "":
            name, _colon, value = header.partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", 0))).decode()
        path = line[1].removeprefix("/api2/json")
        return Request(number, line[0], path, headers, dict(urllib.parse.parse_qsl(body)))


class SmallPve:
    """Answers for one stopped or running guest 100 on node pve1, enough for power; asks for a second factor if told."""

    def __init__(self, running: bool = True, password: str = "", otp: str = "") -> None:
        self.running, self.password, self.otp = running, password, otp

    def __call__(self, request: Request) -> bytes:
        path = request.path.partition("?")[0]
        if path == "/access/ticket":
            return self._ticket(request)
        if path == "/cluster/resources":
            return answer([{"vmid": 100, "node": "pve1", "type": "qemu", "name": "web"}])
        if path.endswith("/status/current"):
            status = "running" if self.running else "stopped"
            return answer({"vmid": 100, "name": "web", "status": status, "qmpstatus": status, "ha": {"managed": 0}})
        if path.endswith("/pending"):
            return answer([])
        if request.method == "POST" and path.endswith(("/status/start", "/status/stop")):
            action = path.rpartition("/")[2]
            self.running = action == "start"
            upid = f"UPID:pve1:00000001:00000001:{int(time.time()):08X}:qm{action}:100:root@pam!ansible:"
            return answer(upid)
        if "/tasks/UPID" in path:
            return answer({"status": "stopped", "exitstatus": "OK"})
        return answer(status="501 not implemented", body="", Connection="close")

    def _ticket(self, request: Request) -> bytes:
        given = request.form
        if "tfa-challenge" in given:
            good = given["password"] == f"totp:{self.otp}" and given["tfa-challenge"] == "PVE:!tfa!half"
        else:
            good = given.get("password") == self.password
        if not good:
            return answer(status="401 authentication failure", body="", Connection="close")
        if self.otp and "tfa-challenge" not in given:
            return answer({"ticket": "PVE:!tfa!half", "username": given["username"], "NeedTFA": 1})
        return answer({"ticket": "PVE:root@pam:whole", "CSRFPreventionToken": "csrf", "username": given["username"]})
