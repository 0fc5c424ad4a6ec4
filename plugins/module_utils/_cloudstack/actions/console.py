# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The console: for CloudStack's console proxy a port of VNC, or for the user a URL of the operator."""

from __future__ import annotations

import re
import typing as t
from urllib.parse import quote, urlsplit

from ..._operations.console.abilities import Abilities, check_display, check_running, machine_abilities
from ..._operations.console.opening import node_addresses, open_vnc, plain_vnc
from ..._operations.console.target import ConsoleTarget
from ..._pve.errors import InvalidRequest, PermissionDenied
from ..._pve.guests import GuestHandle
from ..owned import own_guest
from ..run import Run

if t.TYPE_CHECKING:
    from ..._operations.console.vnc_viewer import ConsoleConnection
    from ..relay.relay import Relay

# A viewer waits for it.
OPENING_SECONDS = 30.0
_FIELD = re.compile(r"\{([^{}]*)\}")
_URL = re.compile(r"https?://[^\s\"<>\\]+", re.IGNORECASE)


def getconsole(run: Run) -> dict[str, t.Any]:
    """Say how to reach the console of the instance, which has to run."""
    mode, relay = console_mode(run), run.context.relay
    if mode == "relay" and relay is None and not run.dry_run:
        chosen = run.details.required("console_mode")
        raise InvalidRequest(f"console_mode is {chosen}, but there is no console relay: {run.context.no_relay}")
    template = run.details.required("console_url") if mode == "direct" else ""
    target, abilities = _own_console(run)
    check_running(target, abilities)
    if mode == "direct":
        url = _url(template, run, t.cast("GuestHandle", target.handle))
        return {"message": "Console retrieved", "console": {"url": url, "protocol": "direct"}}
    check_display(target, abilities, raw=mode == "raw")
    if run.dry_run:
        return {"message": "Dry run: no console was opened"}
    console = _relayed(run, relay) if relay and mode == "relay" else _raw(run, target)
    return {"message": "Console retrieved", "console": console}


def console_mode(run: Run) -> str:
    """relay, raw or direct: what the details say, and where they leave it open what was installed.

    A relay that should be there and is not makes no raw: that goes other ways through the network, without encryption.
    """
    mode = run.details.required("console_mode")
    return mode if mode != "auto" else "relay" if run.context.relay or run.context.expects_relay else "raw"


def _own_console(run: Run) -> tuple[ConsoleTarget, Abilities]:
    guest = own_guest(run, adopt=False)
    target = ConsoleTarget(run.client, handle=guest.handle)
    return target, machine_abilities(guest.condition, guest.state.values)


def _relayed(run: Run, relay: Relay) -> dict[str, t.Any]:
    """Have the relay offer the console. PVE opens it when a viewer connects."""
    from ..relay.console import ConsoleRequest

    url, instance = run.connection().endpoints[0].url, run.instance
    request = ConsoleRequest(lambda: _open(run.follow_up(OPENING_SECONDS)), instance.name, instance.uuid, url)
    offer = relay.offer(request, relay_address(run, relay))
    return plain_vnc(offer.host, offer.port, offer.password)


def relay_address(run: Run, relay: Relay) -> str:
    """Where the console proxy reaches this server; raises a PveError."""
    from ..relay.ports import address_towards
    from ..relay.settings import check_address

    endpoint = run.client.endpoint
    address = relay.settings.address or address_towards(endpoint.host, endpoint.port)
    try:
        return check_address(address)
    except InvalidRequest as error:
        raise InvalidRequest(f"the address of this server that PVE sees: {error}; set console_address") from error


def _open(run: Run) -> ConsoleConnection:
    """Open the console of the instance, which may have moved, stopped or gone since the answer."""
    from ..._operations.console.vnc_viewer import open_for_viewer

    try:
        return open_for_viewer(*_own_console(run))
    finally:
        run.client.close()


def _raw(run: Run, target: ConsoleTarget) -> dict[str, t.Any]:
    addresses = _addresses(run)
    vnc = open_vnc(target, websocket=False)
    # If the node is not in the list, it is the node that was asked, or its address is unknown.
    host = addresses.get(vnc.node) or addresses.get("") or run.client.peer or str(urlsplit(run.client.address).hostname)
    return plain_vnc(_node_address(vnc.node, host), vnc.port, vnc.password)


def _addresses(run: Run) -> dict[str, str]:
    """Where the console proxy reaches each node; the one without a name is for all others."""
    chosen, rest = dict(run.details.mapping("console_host_map")), run.details.text("console_host")
    # Checked before PVE opens a port that is never used.
    for node, address in chosen.items():
        _node_address(node, address)
    if rest:
        return {**chosen, "": _node_address("", rest)}
    try:
        return {**node_addresses(run.client), **chosen}
    except PermissionDenied:
        return chosen


def _node_address(node: str, address: str) -> str:
    from ..relay.settings import check_address

    try:
        return check_address(address)
    except InvalidRequest as error:
        raise InvalidRequest(f"console_host{f' of node {node}' if node else ''}: {error}") from error


def _url(template: str, run: Run, handle: GuestHandle) -> str:
    """Fill the operator's template in; raises InvalidRequest when it is none."""
    guest, instance = handle.guest, run.instance
    fields = {"vmid": guest.vmid, "node": guest.node, "instance": instance.name, "uuid": instance.uuid}

    def fill(match: re.Match[str]) -> str:
        if match[1] not in fields:
            raise InvalidRequest(f"console_url knows no {match[0][:40]!r}: it has {', '.join(sorted(fields))}")
        return quote(str(fields[match[1]]), safe="")

    url = _FIELD.sub(fill, template)
    if not _URL.fullmatch(url):
        raise InvalidRequest(f"console_url: {url[:100]!r} is not a URL")
    return url
