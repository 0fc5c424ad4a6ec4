# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for what happens inside a guest: its agent, its addresses."""

from __future__ import annotations

import ipaddress
import time
import typing as t
from dataclasses import dataclass

from .._pve.deadline import Deadline
from .._pve.errors import InvalidRequest, Refused, TimedOut
from .._pve.guests import LXC, GuestHandle
from .._pve.numbers import in_full

# A silent agent holds one of the node's three workers for 3 s at each call: the pauses are as long as the calls.
PAUSE_SECONDS = 0.5
NO_AGENT = "No QEMU guest agent configured"


@dataclass(frozen=True)
class Addresses:
    """The addresses by which a guest can be reached from outside."""

    ipv4: tuple[str, ...] = ()
    ipv6: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ipv4 or self.ipv6)

    def as_result(self) -> dict[str, list[str]]:
        return {"ipv4": list(self.ipv4), "ipv6": list(self.ipv6)}


def wait_for_agent(handle: GuestHandle, watch: Deadline) -> None:
    """Wait until the guest's agent answers; raises TimedOut, or InvalidRequest when none is configured."""
    _poll(handle, watch, "an answer of the guest agent", lambda: handle.read("agent", "info"))


def wait_for_addresses(handle: GuestHandle, watch: Deadline) -> Addresses:
    """Wait until the guest has an address; raises TimedOut, or InvalidRequest when it has no agent to tell."""
    return _poll(handle, watch, "an address", lambda: read_addresses(handle))


def read_addresses(handle: GuestHandle) -> Addresses:
    """Ask the agent (or, of a container, the node) for the addresses; loopback and link-local ones are left out."""
    return addresses_of(interfaces_in(handle.read(*interfaces_path(handle.guest.kind))))


def interfaces_path(kind: str) -> tuple[str, ...]:
    """Where below a guest's path its interfaces are told."""
    return ("interfaces",) if kind == LXC else ("agent", "network-get-interfaces")


def interfaces_in(answer: t.Any) -> list[t.Mapping[str, t.Any]]:
    """Pick the interfaces from the answer; an agent's has an envelope, a stopped container's is null."""
    return (answer.get("result") if isinstance(answer, dict) else answer) or []


def addresses_of(interfaces: t.Iterable[t.Mapping[str, t.Any]]) -> Addresses:
    """Pick the usable addresses from the list of interfaces of an agent or of a container."""
    found = [
        address
        for interface in interfaces
        for text in _texts(interface)
        if (address := usable_address(text)) is not None
    ]
    return Addresses(
        ipv4=tuple(str(address) for address in found if address.version == 4),
        ipv6=tuple(str(address) for address in found if address.version == 6),
    )


def _texts(interface: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    listed = interface.get("ip-addresses") or []
    for entry in listed:
        yield str(entry.get("ip-address") or "")
    if not listed:
        # Containers before PVE 8.4 have only these two (PVE::LXC::get_interfaces).
        for key in ("inet", "inet6"):
            yield str(interface.get(key) or "").partition("/")[0]


def usable_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address by which a guest can be reached; None when it is loopback, link-local, or no address."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    useless = address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast
    return None if useless else address


_Found = t.TypeVar("_Found")


def _poll(handle: GuestHandle, watch: Deadline, what: str, look: t.Callable[[], _Found]) -> _Found:
    why = ""
    while True:
        began = time.monotonic()
        try:
            found = look()
        except Refused as error:
            why = f": {error.cause.pve_message}"
            if NO_AGENT in why:
                raise InvalidRequest(
                    f"{handle.guest.label} has no guest agent configured, so nobody can wait for {what}: "
                    f"set agent and restart the guest",
                    error.cause,
                ) from error
        except TimedOut:
            pass  # The operation's time ends before that of this wait; the sentence below says more.
        else:
            why = ""
            if found:
                return found
        if watch.expired:
            raise TimedOut(
                f"{what} of {handle.guest.label} on node {handle.guest.node} did not come within "
                f"{in_full(watch.seconds)} s{why}"
            )
        watch.pause(max(PAUSE_SECONDS, time.monotonic() - began))
