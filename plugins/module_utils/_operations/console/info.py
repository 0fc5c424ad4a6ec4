# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Information on consoles: which there are, and, on request, a console that PVE has opened and how to reach it."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass

from ..._pve.channel import SUBPROTOCOL, websocket_url
from ..._pve.client import PveClient, encoded_path
from ..._pve.connection import DEFAULT_PORT, Endpoint, parse_endpoint
from ..._pve.errors import InvalidRequest, PermissionDenied
from ..._pve.guests import QEMU, GuestHandle
from ..._pve.tasks import Task
from ..facts import RUNNING
from ..plan import Applier, Change, Outcome, Plan
from .abilities import (
    Abilities,
    check_display,
    check_identity,
    check_running,
    check_serial,
    check_spice,
    check_terminal,
    check_vnc,
    read_abilities,
)
from .console_request import INFO, LINK, TCP, WEBSOCKET, ConsoleRequest
from .links import browser_links
from .opening import CONNECT_WITHIN_SECONDS, OpenConsole, node_addresses, open_spice, open_terminal, open_vnc, plain_vnc
from .spice import vv_file
from .target import ConsoleTarget, find_target
from .versions import SPICE, TERMINAL, VNC

# PVE::AccessControl verify_short_lived_ticket; of SPICE, PVE::Ticket verify_spice_connect_url
TICKET_SECONDS = 40
# PVE::CLI::qm vncproxy, from the connection on; of SPICE, PVE::API2::Qemu spiceproxy, from the answer on
PASSWORD_SECONDS = 30

Facts = dict[str, t.Any]
Value = t.TypeVar("Value")


class _Opening(t.Generic[Value]):
    """The step that has PVE open something; what PVE answers, and when it was asked, is kept here."""

    changes: tuple[Change, ...] = ()

    def __init__(self, target: ConsoleTarget, what: str, call: t.Callable[[], Value]) -> None:
        self.title = f"open {what} of {target.label}"
        self.issued_at = 0
        self._call = call
        self._answer: list[Value] = []

    def run(self, _client: PveClient, _handle: GuestHandle | None) -> Task | None:
        """Open it, without a wait for its task, which ends with the connection."""
        self.issued_at = int(time.time())
        self._answer.append(self._call())
        return None

    def done_by(self, applier: Applier) -> Value | None:
        """Return what PVE opened; None in check mode."""
        applier.apply(Plan((self,)))
        return self._answer[0] if self._answer else None


@dataclass(frozen=True)
class _Reach:
    """The address of a node for a client: the host of the request, or the cluster's, or the API's."""

    client: PveClient
    host: str | None
    nodes: t.Mapping[str, str]

    def endpoint(self, node: str) -> Endpoint:
        if self.host:
            return parse_endpoint(self.host, self.client.endpoint.port, "host")
        # pveproxy itself has no other port; what is in front of it may have one.
        return Endpoint(self.nodes[node], DEFAULT_PORT) if node in self.nodes else self.client.endpoint

    def raw_host(self, node: str) -> str:
        """The host of a port that no web server is in front of: the very server that answered."""
        elsewhere = self.host or node in self.nodes
        return self.endpoint(node).host if elsewhere else self.client.peer or self.client.endpoint.host

    @property
    def pinned(self) -> str | None:
        """The address of the server that answered, which alone of those of its name has opened the port."""
        return None if self.host or self.nodes else self.client.peer or None


def look_at_console(applier: Applier, request: ConsoleRequest) -> Outcome:
    """List the consoles, or have one opened, which changes nothing, and return how to reach it.

    A guest that is known by its vmid takes two requests for its links, three for what it has (a container two), and
    one more to open something; an API token one or two more where the server's release matters. Raises a PveError.
    """
    client = applier.client
    target = find_target(client, request.whose)
    reach = _Reach(client, request.host, node_addresses(client) if request.from_cluster else {})
    found: Facts = {
        "type": request.what,
        "guest_type": target.kind,
        "vmid": target.vmid,
        "name": target.found.name if target.found else None,
        "node": target.node,
        "status": target.found.condition if target.found else RUNNING,
        "api_host": client.address,
        "identity": {"name": client.identity, "kind": "token" if "!" in client.identity else "ticket"},
        "links": browser_links(reach.endpoint(target.node), target, target.found.name if target.found else ""),
    }
    if request.what == INFO:
        found.update(_available(target))
    elif request.what != LINK:
        found.update(_opened(applier, request, target, reach))
    nodes = sorted({target.node, found.get("opened_on") or target.node}) if request.from_cluster else []
    warnings = tuple(
        f"the cluster's list has no address of node {node}: what is returned is the API's"
        for node in nodes
        if node not in reach.nodes
    )
    return Outcome(changed=False, facts={"console": found}, warnings=warnings)


def _available(target: ConsoleTarget) -> Facts:
    """Say which consoles can be opened as things are, and why others cannot."""
    abilities = read_abilities(target, target.found)
    checks: dict[str, t.Callable[..., None]] = {VNC: check_vnc, TERMINAL: check_terminal, SPICE: check_spice}
    reasons: dict[str, str] = {}
    for what, check in checks.items():
        try:
            check(target, abilities)
            check_identity(target.client, target, what)
        except (InvalidRequest, PermissionDenied) as error:
            reasons[what] = str(error)
    available = {what: what not in reasons for what in checks}
    return {
        "available": {**available, "serial": list(abilities.serials), "agent": abilities.agent},
        "display": abilities.display or None,
        "reasons": reasons,
    }


def _opened(applier: Applier, request: ConsoleRequest, target: ConsoleTarget, reach: _Reach) -> Facts:
    _check(request, target, read_abilities(target, target.found))
    check_identity(target.client, target, request.what)
    if request.what == SPICE:
        return _opened_spice(applier, request, target, reach)
    if request.what == TERMINAL:
        opening = _Opening(target, "a terminal", lambda: open_terminal(target, request.serial))
    else:
        opening = _Opening(target, "VNC", lambda: open_vnc(target, not request.raw, request.width, request.height))
    console = opening.done_by(applier)
    if console is None:
        return {"opened": False}
    transport = _raw(console, reach) if request.raw else _through_websocket(console, request, target, reach)
    if request.what == TERMINAL:
        more: Facts = {"handshake": f"{console.user}:{console.ticket}\n"}
    else:
        more = {"password": console.password, "password_seconds": PASSWORD_SECONDS}
    return {
        "opened": True,
        "opened_on": console.node,
        "port": console.port,
        "user": console.user,
        "ticket": console.ticket,
        "upid": console.upid,
        "cluster_ca": console.cluster_ca or None,
        "single_connection": True,
        **_times(opening.issued_at, CONNECT_WITHIN_SECONDS),
        **transport,
        **more,
    }


def _check(request: ConsoleRequest, target: ConsoleTarget, abilities: Abilities) -> None:
    """Raise InvalidRequest when the console cannot work: PVE would open a port all the same."""
    if request.require_running:
        check_running(target, abilities)
    if request.what == SPICE:
        check_spice(target, abilities)
    elif request.what == TERMINAL:
        check_serial(target, abilities, request.serial)
    else:
        check_display(target, abilities, request.raw)
        if target.kind == QEMU and (request.width or request.height):
            raise InvalidRequest(
                f"width and height are for containers and nodes: {target.label} has a display of its own size"
            )


def _opened_spice(applier: Applier, request: ConsoleRequest, target: ConsoleTarget, reach: _Reach) -> Facts:
    # Any node's proxy leads to the guest's, and a node's own idea of its name need not be known elsewhere.
    proxy = request.spice_proxy or reach.raw_host(target.node)
    opening = _Opening(target, "SPICE", lambda: open_spice(target, proxy))
    settings = opening.done_by(applier)
    if settings is None:
        return {"opened": False}
    return {
        "opened": True,
        "spice": settings,
        "vv_file_content": vv_file(settings),
        "password": settings.get("password"),
        "single_connection": True,
        **_times(opening.issued_at, PASSWORD_SECONDS),
    }


def _times(issued_at: int, seconds: int) -> Facts:
    return {
        "issued_at": issued_at,
        "connect_before": issued_at + seconds,
        "ticket_expires": issued_at + TICKET_SECONDS,
    }


def _raw(console: OpenConsole, reach: _Reach) -> Facts:
    host = reach.raw_host(console.node)
    return {
        "transport": TCP,
        "host": host,
        "encrypted": False,
        "cloudstack": plain_vnc(host, console.port, console.password),
    }


def _through_websocket(console: OpenConsole, request: ConsoleRequest, target: ConsoleTarget, reach: _Reach) -> Facts:
    client, endpoint = target.client, reach.endpoint(console.node)
    (header,) = client.authorization().items()
    return {
        "transport": WEBSOCKET,
        "host": endpoint.host,
        "address": reach.pinned,
        "encrypted": True,
        "tls_fingerprint": client.tls_fingerprint or None,
        "websocket": {
            "url": websocket_url(endpoint, encoded_path(target.path), console.port, console.ticket),
            "subprotocol": SUBPROTOCOL,
            "header_name": header[0],
            # The owner of a token has its secret, which does not belong in results.
            "header_value": header[1] if request.include_auth and header[0] == "Cookie" else None,
        },
    }
