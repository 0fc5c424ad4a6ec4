# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Have PVE open a port for a console. Each is a task of PVE, which fails when no client connects."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..._pve.errors import InvalidRequest, Refused
from ..._pve.guests import QEMU
from ..._pve.tasks import parse_upid
from .target import NODE, ConsoleTarget

if t.TYPE_CHECKING:
    from ..._pve.channel import ConsoleChannel
    from ..._pve.client import PveClient

# A port takes one connection, within this time (PVE::API2::Qemu vncproxy, termproxy main.rs).
CONNECT_WITHIN_SECONDS = 10


@dataclass(frozen=True)
class OpenConsole:
    """A port that waits for one connection; node is where it is open, which may be another than the guest's.

    user and ticket are what PVE answered, to be given back byte for byte. password is VNC's, of which eight
    characters count; a terminal has none.
    """

    node: str
    port: int
    user: str
    ticket: str
    password: str
    upid: str
    cluster_ca: str = ""

    def __repr__(self) -> str:
        return f"OpenConsole({self.node!r}, {self.port}, {self.upid!r})"


def open_vnc(
    target: ConsoleTarget, websocket: bool, width: int | None = None, height: int | None = None
) -> OpenConsole:
    """Have a port opened for one VNC connection: through PVE's websocket, or straight to the port.

    width and height are the pixels of the screen of a container or a node. Raises a PveError.
    """
    form: dict[str, t.Any] = {"websocket": 1 if websocket else None, "width": width, "height": height}
    if target.kind == QEMU:
        # Without it, PVE before 9.1.7 and 8.4.7 takes the first letters of the ticket, which are no secret.
        form["generate-password"] = 1
    call = "vncshell" if target.kind == NODE else "vncproxy"
    return _open(target, call, form)


def open_terminal(target: ConsoleTarget, serial: str | None = None) -> OpenConsole:
    """Have a port opened for one terminal session; serial is for virtual machines, and PVE's choice when not given.

    Raises a PveError.
    """
    return _open(target, "termproxy", {"serial": serial})


def open_spice(target: ConsoleTarget, proxy: str) -> dict[str, str]:
    """Have SPICE made ready for one viewer, which connects through the proxy on that host; returns its settings.

    Raises a PveError.
    """
    call = "spiceshell" if target.kind == NODE else "spiceproxy"
    answer = target.following(lambda: target.client.write("POST", *target.path, call, proxy=proxy))
    if not isinstance(answer, dict) or not answer.get("host"):
        raise Refused(f"PVE's answer to {call} of {target.label} names no host")
    return {str(name): str(value) for name, value in answer.items()}


def connect(target: ConsoleTarget, console: OpenConsole) -> ConsoleChannel:
    """Connect to the port through PVE's websocket; raises TimedOut when it is gone, or another PveError."""
    return target.client.channel(*target.path, port=console.port, ticket=console.ticket)


def _open(target: ConsoleTarget, call: str, form: dict[str, t.Any]) -> OpenConsole:
    answer = target.following(lambda: target.client.write("POST", *target.path, call, **form))
    try:
        # The node of the task is the one that opened the port: the API's, not the guest's (PVE::API2::Qemu vncproxy).
        upid = str(answer["upid"])
        ticket = str(answer["ticket"])
        return OpenConsole(
            node=parse_upid(upid).node,
            port=int(answer["port"]),
            user=str(answer["user"]),
            ticket=ticket,
            # Where PVE gives no password, the ticket is one as well.
            password="" if call == "termproxy" else str(answer.get("password") or ticket),
            upid=upid,
            cluster_ca=str(answer.get("cert") or ""),
        )
    except (KeyError, TypeError, ValueError, InvalidRequest) as error:
        raise Refused(f"PVE's answer to {call} of {target.label} names no port: {error}") from error


def plain_vnc(host: str, port: int, password: str) -> dict[str, t.Any]:
    """Say what a proxy of plain VNC has to know, in the words of CloudStack's console proxy."""
    return {
        "host": host,
        "port": str(port),
        "password": password,
        # The port takes one connection.
        "passwordonetimeuseonly": True,
        "protocol": "vnc",
    }


def node_addresses(client: PveClient) -> dict[str, str]:
    """The address of each node, as the cluster knows it; raises a PveError, mostly for want of Sys.Audit on /."""
    entries = client.read("cluster", "status")
    return {str(entry["name"]): str(entry["ip"]) for entry in entries if entry.get("type") == "node" and "ip" in entry}
