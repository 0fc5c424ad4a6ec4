# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""GuestInfo: what PVE, and the agent inside, say of the instance."""

from __future__ import annotations

import typing as t

from ..._operations.addresses import Addresses, addresses_of, interfaces_in
from ..._operations.facts import RUNNING
from ..._operations.guest.state import GuestState
from ..._operations.guest.volumes import parse_drive
from ..._pve.errors import PveError
from ..._pve.properties import truth
from ..._pve.sizes import format_size
from ..._pve.vm_config import AGENT, DRIVE_KEY, NIC, NIC_KEY, UNUSED_KEY
from ..answer import Row, table
from ..owned import OwnGuest, own_guest
from ..run import Run

MOST_ADDRESSES = 50


def guest_info(run: Run) -> dict[str, t.Any]:
    """Show status, addresses, disks and network cards; the addresses are the guest's own word."""
    guest = own_guest(run, adopt=False)
    handle, state = guest.handle, guest.state
    agent, addresses = _ask_agent(guest)
    rows = [
        _row("power state", guest.condition),
        _row("node", handle.guest.node),
        _row("vmid", str(handle.guest.vmid)),
        _row("uptime", f"{guest.status.uptime} s"),
        _row("guest agent", agent),
        *(_row("address", address) for address in [*addresses.ipv4, *addresses.ipv6][:MOST_ADDRESSES]),
        *_drives(state),
        *_nics(state),
    ]
    waiting = sorted({item.key for item in state.pending})
    if waiting:
        rows.append(_row("waits for a restart", ", ".join(waiting)))
    return table(rows)


def _row(item: str, value: str) -> Row:
    return {"item": item, "value": value}


def _ask_agent(guest: OwnGuest) -> tuple[str, Addresses]:
    """Whether the agent answers, and the addresses; one request, and none if no agent can answer."""
    if truth(AGENT.parse(guest.state.values.get("agent", "")).get("enabled", "0")) != "1":
        return "not configured", Addresses()
    if guest.condition != RUNNING:
        return "-", Addresses()
    try:
        # A silent agent is not waited for: it holds one of the node's three workers for 3 s.
        answer = guest.run.client.read_once(*guest.handle.path, "agent", "network-get-interfaces")
    except PveError as error:
        return f"does not answer ({error.cause.pve_message or error})", Addresses()
    try:
        return "answers", addresses_of(interfaces_in(answer))
    except PveError as error:
        return f"answers without addresses ({error})", Addresses()


def _drives(state: GuestState) -> t.Iterator[Row]:
    for key in sorted(filter(DRIVE_KEY.fullmatch, state.there)):
        drive = parse_drive(state.there[key])
        if drive.is_cloud_init:
            continue
        if drive.is_cdrom:
            yield _row(f"drive {key}", "empty" if drive.file == "none" else drive.file)
        else:
            size = format_size(drive.size) if drive.size else "unknown size"
            yield _row(f"disk {key}", f"{size} on {drive.storage}")
    for key in sorted(filter(UNUSED_KEY.fullmatch, state.values)):
        yield _row(f"disk {key}", f"detached, on {parse_drive(state.values[key]).storage}")


def _nics(state: GuestState) -> t.Iterator[Row]:
    for key in sorted(filter(NIC_KEY.fullmatch, state.values)):
        parts = NIC.parse(state.values[key])
        vlan = f", VLAN {parts['tag']}" if parts.get("tag") else ""
        down = ", link down" if parts.get("link_down") == "1" else ""
        yield _row(f"nic {key}", f"{parts.get('macaddr', '-')} on {parts.get('bridge', '-')}{vlan}{down}")
