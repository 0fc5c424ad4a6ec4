# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an action may use of the process that carries it out. The resident service has a context of its own."""

from __future__ import annotations

import contextlib
import typing as t

from .._pve.deadline import Deadline
from .._pve.proxy import PROXY_VARIABLES
from .._pve.transport import Transport

if t.TYPE_CHECKING:
    from .._operations.vm.deployment import Deployment
    from .._pve.connection import ConnectionOptions
    from .call_request import CallRequest
    from .ownership import Mark
    from .relay.relay import Relay


class CallInterrupted(BaseException):
    """The action has to end; what it made is removed first."""


class CallContext:
    """The context of an action in a process of its own."""

    # Offers consoles to CloudStack's console proxy.
    relay: Relay | None = None

    def __init__(self, environment: t.Mapping[str, str], service: str = "", expects_relay: bool = False) -> None:
        # The socket of the resident service; empty if none is installed.
        self.service = service
        # A relay is configured, whether this process has it or not.
        self.expects_relay = expects_relay
        # Why this process has no relay.
        self.no_relay = _why_alone(environment, expects_relay)
        # The environment of the executable, or the part of it that concerns the action.
        self.environment = environment
        # The payload, if it is open already.
        self.payload_stream: int | None = None
        # What a failed action may have left in PVE, for the answer.
        self.left_behind = ""

    def deadline(self, seconds: float) -> Deadline:
        """A deadline whose pauses end early when the action is interrupted."""
        return Deadline(seconds)

    def cleanup_seconds(self, left: float) -> float:
        """How long the cleanup may take, given the seconds that are left. From now on nothing interrupts the action."""
        return left

    def on_open(self, request: CallRequest, deadline: Deadline) -> None:
        """The payload has been read; no request has been sent to PVE."""

    def on_create(self, request: CallRequest, deployment: Deployment) -> None:
        """The next request to PVE creates the guest of this deployment."""

    def connect(self, options: ConnectionOptions) -> Transport:
        """A connection to PVE for this action alone; raises a PveError."""
        return Transport(options, environment=self.environment)

    def disconnect(self, transport: Transport) -> None:
        """The action no longer needs the connection."""
        transport.close()

    def follow_up(self) -> CallContext:
        """The context of what is done after the end of the action."""
        return CallContext(self.environment)

    def turn(self, deadline: Deadline) -> t.ContextManager[None]:  # noqa: ARG002
        """Wait until a request may be sent; raises TimedOut."""
        return contextlib.nullcontext()

    def own_upids(self) -> set[str]:
        """The set to which the action adds the tasks that it starts."""
        return set()

    def cached_mark(
        self,
        request: CallRequest,  # noqa: ARG002
        guest: t.Mapping[str, t.Any],  # noqa: ARG002
        read: t.Callable[[], Mark],
    ) -> Mark:
        """The mark of a guest of the request's node: read now, or a short time ago."""
        return read()


def _why_alone(environment: t.Mapping[str, str], expects_relay: bool) -> str:
    """Why the action runs in a process of its own, which has no relay."""
    if not expects_relay:
        return "no service carries out this action (cloudbridge-proxmoxd), and only a service has one"
    proxy = next((name for name in PROXY_VARIABLES if environment.get(name)), None)
    if proxy:
        return f"the service cloudbridge-proxmoxd has it, which is not asked where {proxy} is set"
    return (
        "the service cloudbridge-proxmoxd has it, and did not take this action: it is stopped, starting, stuck or of "
        "another release; try again, and look at its journal"
    )
