# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for what happens to a guest, and inside it: its status, its agent, its addresses."""

from __future__ import annotations

import time
import typing as t

from .._pve.deadline import Deadline
from .._pve.errors import ErrorReason, InvalidRequest, Refused, TimedOut
from .._pve.guests import GuestHandle
from .._pve.numbers import in_full
from .addresses import (
    Addresses,
    Interface,
    Network,
    addresses_of,
    interfaces_in,
    interfaces_path,
    macs_of,
    own_interfaces,
    sorted_addresses,
)
from .facts import Status, read_status

# A silent agent holds one of the node's three workers for 3 s at each call: the pauses are as long as the calls.
PAUSE_SECONDS = 0.5
MOST_NAMED = 5


def watch_status(handle: GuestHandle, watch: Deadline, is_reached: t.Callable[[Status], bool]) -> tuple[Status, bool]:
    """Read the status until it is what is waited for; return the last one, and whether it is.

    The caller says what has not come in time: that the operation's own time is over as well is no better reason.
    """
    tries, status = watch.tries(watch.seconds), read_status(handle)
    while True:
        try:
            if is_reached(status):
                return status, True
            if not tries.again():
                return status, False
            status = read_status(handle)
        except TimedOut:
            return status, False


def wait_for_agent(handle: GuestHandle, watch: Deadline) -> None:
    """Wait until the guest's agent answers; raises TimedOut, or InvalidRequest when none is configured."""
    _poll(handle, watch, "an answer of the guest agent", lambda: (handle.read("agent", "info"), ""))


def wait_for_addresses(
    handle: GuestHandle, watch: Deadline, prefer: t.Sequence[Network] = (), exclude: t.Sequence[Network] = ()
) -> Addresses:
    """Wait until one of the guest's own network devices has an address that is not excluded.

    Raises TimedOut, or InvalidRequest when it has no agent to tell.
    """
    macs = macs_of(handle.guest.kind, handle.read("config", current=1))

    def look() -> tuple[Addresses, str]:
        interfaces = read_interfaces(handle)
        texts = [text for interface in own_interfaces(interfaces, macs) for text in interface.addresses]
        found = sorted_addresses(texts, prefer, exclude)
        others = addresses_of(interfaces)
        if found or not others:
            return found, ""
        known = ", ".join([*others.ipv4, *others.ipv6][:MOST_NAMED])
        return found, f"{known} do not count, as they are excluded or on none of its network devices"

    return _poll(handle, watch, "an address", look)


def read_interfaces(handle: GuestHandle) -> tuple[Interface, ...]:
    """Ask the agent (or, of a container, the node) for the interfaces; raises Refused when it says an error."""
    return interfaces_in(handle.read(*interfaces_path(handle.guest.kind)))


_Found = t.TypeVar("_Found")


def _poll(handle: GuestHandle, watch: Deadline, what: str, look: t.Callable[[], tuple[_Found, str]]) -> _Found:
    """Look until there is something; what a look says beside nothing is why there is none yet."""
    why = ""
    while True:
        began = time.monotonic()
        try:
            found, reason = look()
        except Refused as error:
            why = f": {error.cause.pve_message}"
            if error.pve_reason is ErrorReason.AGENT_NOT_ENABLED:
                raise InvalidRequest(
                    f"{handle.guest.label} has no guest agent configured, so nobody can wait for {what}: "
                    f"set agent and restart the guest",
                    error.cause,
                ) from error
        except TimedOut:
            pass  # The operation's time ends before that of this wait; the sentence below says more.
        else:
            why = f": {reason}" if reason else ""
            if found:
                return found
        if watch.expired:
            raise TimedOut(
                f"{what} of {handle.guest.label} on node {handle.guest.node} did not come within "
                f"{in_full(watch.seconds)} s{why}"
            )
        watch.pause(max(PAUSE_SECONDS, time.monotonic() - began))
