# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The VNC console of a virtual machine: whether it has one, opening it, and where its port is."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from .._pve.client import PveClient
from .._pve.errors import InvalidRequest, PveError, Refused
from .._pve.guests import GuestHandle, is_absent
from .._pve.tasks import parse_upid
from .facts import PAUSED, RUNNING

_DISPLAY = re.compile(r"(?:^|,)(?:type=)?(?P<type>serial[0-3]|none)(?:,|$)")


@dataclass(frozen=True)
class VncConsole:
    """A port that takes one connection within 10 s; node is where it is open, which may be another than the guest's."""

    node: str
    port: int
    password: str

    def __repr__(self) -> str:
        return f"VncConsole({self.node!r}, {self.port})"


def check_viewable(label: str, condition: str, values: t.Mapping[str, t.Any], raw: bool = True) -> None:
    """Raise InvalidRequest unless a console can show something; raw is plain VNC, which needs a display."""
    # PVE opens the port of a stopped guest as well, and closes it on the first connection (PVE::CLI::qm vncproxy).
    if condition not in (RUNNING, PAUSED):
        raise InvalidRequest(f"{label} is {condition}, so it has no console: start it first")
    display = _DISPLAY.search(str(values.get("vga") or ""))
    if raw and display is not None:
        what = "no display" if display["type"] == "none" else "a serial terminal instead of a display"
        raise InvalidRequest(f"{label} has {what} (vga: {display['type']}), which plain VNC cannot show")


def open_vnc(handle: GuestHandle) -> VncConsole:
    """Let PVE open a port for one plain VNC connection; raises a PveError."""
    try:
        answer = _vncproxy(handle)
    except PveError as error:
        if not is_absent(error) or not handle.follow():
            raise
        answer = _vncproxy(handle)
    try:
        # The node of the task is the one that opened the port: the API's, not the guest's (PVE::API2::Qemu vncproxy).
        node, port = parse_upid(str(answer["upid"])).node, int(answer["port"])
        # The ticket is a password as well, of which VNC takes the first eight characters.
        return VncConsole(node, port, str(answer.get("password") or answer["ticket"]))
    except (KeyError, TypeError, ValueError, InvalidRequest) as error:
        raise Refused(f"PVE's answer to vncproxy of {handle.guest.label} names no port: {error}") from error


def _vncproxy(handle: GuestHandle) -> t.Any:
    # Without generate-password, PVE before 9.1.7 and 8.4.7 takes the first letters of the ticket, which are no secret.
    # With websocket, the port would be open on localhost only.
    return handle.client.write("POST", *handle.path, "vncproxy", **{"generate-password": 1})


def node_addresses(client: PveClient) -> dict[str, str]:
    """The address of each node, as the cluster knows it; raises a PveError, mostly for want of Sys.Audit on /."""
    entries = client.read("cluster", "status")
    return {str(entry["name"]): str(entry["ip"]) for entry in entries if entry.get("type") == "node" and "ip" in entry}
