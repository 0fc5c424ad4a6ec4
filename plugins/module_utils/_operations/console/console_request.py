# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The request of pve_console_info, checked once."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ..._pve.connection import parse_endpoint
from ..._pve.errors import InvalidRequest
from .target import Whose, whose_console
from .versions import SPICE, TERMINAL, VNC

INFO, LINK = "info", "link"
WEBSOCKET, TCP = "websocket", "tcp"
CLUSTER = "cluster"
# PVE::API2::LXC vncproxy
SIZES = {"width": (16, 4096), "height": (16, 2160)}
# The options that only some types know.
_ONLY_FOR: t.Mapping[str, tuple[str, ...]] = {
    "transport": (VNC,),
    "width": (VNC,),
    "height": (VNC,),
    "serial": (TERMINAL,),
    "spice_proxy": (SPICE,),
    "include_auth": (VNC, TERMINAL),
}
_ADDRESS = re.compile(r"[A-Za-z0-9:][A-Za-z0-9.:_-]*")


@dataclass(frozen=True)
class ConsoleRequest:
    """The console, what to do with it, and the address for the client that connects.

    host replaces the address in what is returned; from_cluster takes the node's own from the cluster's list.
    """

    whose: Whose
    what: str = INFO
    raw: bool = False
    serial: str | None = None
    spice_proxy: str | None = None
    width: int | None = None
    height: int | None = None
    host: str | None = None
    from_cluster: bool = False
    require_running: bool = True
    include_auth: bool = False


def console_request(parameters: t.Mapping[str, t.Any]) -> ConsoleRequest:
    """Check the options of pve_console_info; raises InvalidRequest."""
    what = parameters["type"]
    for name, types in _ONLY_FOR.items():
        if parameters[name] and what not in types:
            raise InvalidRequest(f"{name} goes with type {' or '.join(types)}, not with {what}")
    for name, (least, most) in SIZES.items():
        if parameters[name] is not None and not least <= parameters[name] <= most:
            raise InvalidRequest(f"{name} must be from {least} to {most}, not {parameters[name]}")
    raw, from_cluster = parameters["transport"] == TCP, parameters["node_address"] == CLUSTER
    if raw and parameters["include_auth"]:
        raise InvalidRequest("include_auth does not go with transport tcp, which asks for VNC's password only")
    host, proxy = parameters["host"] or None, parameters["spice_proxy"] or None
    if host and from_cluster:
        raise InvalidRequest("host does not go with node_address cluster: both say which address to return")
    if host:
        parse_endpoint(host, name="host")
    if proxy and not _ADDRESS.fullmatch(proxy):
        raise InvalidRequest(f"spice_proxy {proxy!r} is not a host name or an address; PVE adds the port")
    return ConsoleRequest(
        whose=whose_console(parameters),
        what=what,
        raw=raw,
        serial=parameters["serial"],
        spice_proxy=proxy,
        width=parameters["width"],
        height=parameters["height"],
        host=host,
        from_cluster=from_cluster,
        require_running=bool(parameters["require_running"]),
        include_auth=bool(parameters["include_auth"]),
    )
