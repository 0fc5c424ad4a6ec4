# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What carries a run: a process of its own, which ends with it; the resident service has another one."""

from __future__ import annotations

import contextlib
import typing as t

from .._pve.deadline import Deadline
from .._pve.proxy import PROXY_VARIABLES
from .._pve.transport import Transport

if t.TYPE_CHECKING:
    from .._operations.vm.deployment import Deployment
    from .._pve.connection import ConnectionOptions
    from .ownership import Mark
    from .relay.relay import Relay
    from .run import Run


class CallInterrupted(BaseException):
    """Somebody wants the action to end; what it made is taken down first."""


class CallContext:
    """A process that carries out one action."""

    # Where consoles are offered to CloudStack's console proxy.
    relay: Relay | None = None

    def __init__(self, environment: t.Mapping[str, str], service: str = "", expects_relay: bool = False) -> None:
        # Where the resident service listens; empty when there is to be none.
        self.service = service
        # There is to be a relay, whether there is one or not.
        self.expects_relay = expects_relay
        # Why there is none.
        self.no_relay = _why_alone(environment, expects_relay)
        # The environment of the executable, or what of it concerns the action.
        self.environment = environment
        # The payload, when somebody has opened it already.
        self.payload_stream: int | None = None

    def deadline(self, seconds: float) -> Deadline:
        """A deadline whose pauses end early when the action is to end."""
        return Deadline(seconds)

    def last_seconds(self, left: float) -> float:
        """How long taking things down may last, when so many seconds are left; from now on nothing interrupts it."""
        return left

    def opened(self, run: Run) -> None:
        """The run knows what it is about; nothing was asked of PVE yet."""

    def connect(self, options: ConnectionOptions) -> Transport:
        """A way to talk to PVE, for this run alone; raises a PveError."""
        return Transport(options, environment=self.environment)

    def disconnect(self, transport: Transport) -> None:
        """The run needs the connection no more."""
        transport.close()

    def afterwards(self) -> CallContext:
        """What carries what an action has left to be done when it has ended."""
        return CallContext(self.environment)

    def turn(self, deadline: Deadline) -> t.ContextManager[None]:  # noqa: ARG002
        """Wait until a request may be sent; raises TimedOut."""
        return contextlib.nullcontext()

    def own_upids(self) -> set[str]:
        """Where the run keeps the tasks that are its own."""
        return set()

    def ordered(self, run: Run, deployment: Deployment) -> None:
        """PVE is asked for the guest of this deployment next."""

    def remembered(
        self,
        run: Run,  # noqa: ARG002
        guest: t.Mapping[str, t.Any],  # noqa: ARG002
        read: t.Callable[[], Mark],
    ) -> Mark:
        """The mark of a guest of the run's node, as it was read lately or is read now."""
        return read()


def _why_alone(environment: t.Mapping[str, str], expects_relay: bool) -> str:
    """Why a process of its own, which has no relay, carries out the action."""
    if not expects_relay:
        return "no service carries out this action (cloudbridge-proxmoxd), and only a service has one"
    proxy = next((name for name in PROXY_VARIABLES if environment.get(name)), None)
    if proxy:
        return f"the service cloudbridge-proxmoxd has it, which is not asked where {proxy} is set"
    return (
        "the service cloudbridge-proxmoxd has it, and did not take this action: it is stopped, starting, stuck or of "
        "another release; try again, and look at its journal"
    )
