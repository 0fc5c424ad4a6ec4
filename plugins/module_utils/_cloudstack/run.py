# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One call of CloudStack while it runs: its request, its time, its connection to PVE and its log."""

from __future__ import annotations

import typing as t

from .._pve.deadline import Deadline
from .._pve.errors import PveError, TimedOut, TransportError
from .answer import shorten
from .bridge_client import BridgeClient
from .call_context import CallContext
from .call_log import CallLog
from .call_request import CallRequest
from .call_time import CallTime
from .policy import check_caller

if t.TYPE_CHECKING:
    from .._operations.plan import Applier, Change
    from .._operations.vm.deployment import Deployment

Result = t.TypeVar("Result")
DEBUG_VARIABLE = "CLOUDBRIDGE_DEBUG"
LEAST_WORK = 0.1
# The most characters of a value in the differences of a dry run.
MOST_SHOWN = 400


class Run(CallRequest):
    """What an action works with. A dry run only reads, and its answer says what would be done."""

    def __init__(
        self,
        action: str,
        wait: str,
        policy_file: str,
        log_file: str,
        started: float,
        context: CallContext,
        dry_run: bool = False,
    ) -> None:
        super().__init__(action, policy_file)
        self.dry_run = dry_run
        self.context = context
        self.time = CallTime(wait, started)
        debug = context.environment.get(DEBUG_VARIABLE, "") not in ("", "0", "false")
        self.log = CallLog(log_file, debug, self.secrets)
        self.deadline = self._deadline(self.time.for_work())
        self._client: BridgeClient | None = None
        self._appliers: list[Applier] = []

    def open(self, payload_file: str) -> None:
        """Read what CloudStack asks for; raises InvalidRequest, PermissionDenied for a caller who may not."""
        self.read(payload_file, self.context.payload_stream)
        self.log.configure(self.policy)
        check_caller(self.details, self.payload.caller, self.action)
        self.context.on_open(self, self.deadline)

    @property
    def client(self) -> BridgeClient:
        """The session with PVE; the first request opens its connection."""
        if self._client is None:
            self._client = BridgeClient(self.connection(), self.deadline, self.log, self.context, self.dry_run)
        return self._client

    def follow_up(self, seconds: float) -> Run:
        """The same call after its end, for what is done later: with a connection of its own, for so many seconds."""
        import copy

        run = copy.copy(self)
        run.context, run._client = self.context.follow_up(), None
        run.deadline = run.context.deadline(seconds)
        return run

    def applier(self) -> Applier:
        """What applies the plans of this run."""
        from .._operations.plan import Applier

        applier = Applier(self.client, check_mode=self.dry_run)
        self._appliers.append(applier)
        return applier

    def answer(self, fields: dict[str, t.Any]) -> dict[str, t.Any]:
        """The answer of the action; that of a dry run lists what would be sent, and what would differ then."""
        if not self.dry_run:
            return fields
        steps = [title for applier in self._appliers for title in applier.titles]
        changes = [_shown(change) for applier in self._appliers for change in applier.changes]
        if steps:
            # The action's own message holds only once it is done.
            fields = {"message": f"Dry run: nothing was sent, {len(steps)} steps would be taken"}
        return {**fields, "dry_run": True, "steps": steps, "changes": changes}

    def begin_cleanup(self) -> None:
        """Use the time that is left until CloudStack kills the process to remove what was made."""
        self.deadline = self._deadline(self.context.cleanup_seconds(self.time.for_cleanup()))
        if self._client is not None:
            self._client.deadline = self.deadline

    def call_off(self, error: BaseException, what: str, abandon: t.Callable[[], Result]) -> Result:
        """Abandon what this error has ended the wait for; any other error, and one of abandon, is raised."""
        if self.dry_run or (isinstance(error, PveError) and not isinstance(error, (TimedOut, TransportError))):
            raise error
        self.begin_cleanup()
        try:
            return abandon()
        except PveError as problem:
            self.context.left_behind = f"the {what} may still come into being: {problem}"
            raise error from None

    def on_create(self, deployment: Deployment) -> None:
        """PVE is asked for a guest next, which has to be removed if the run fails."""
        self.context.on_create(self, deployment)

    def log_failure(self, error: BaseException) -> None:
        """Write to the log what the answer is too short for."""
        if isinstance(error, PveError):
            self.log.trace(error=error.details())
        else:
            import traceback

            lines = traceback.format_exception(type(error), error, error.__traceback__)
            self.log.line(action=self.action, trouble="".join(lines[-8:]))

    def close(self, document: t.Mapping[str, t.Any]) -> None:
        """Close the connection and write the call's line to the log."""
        if self._client is not None:
            self._client.close()
        instance = self._instance
        self.log.line(
            action=self.action,
            dry_run="yes" if self.dry_run else None,
            vm=instance.name if instance else self.payload.name[:100],
            vmid=instance.vmid if instance else None,
            caller=str(self.payload.caller)[:300],
            seconds=f"{self.time.elapsed:.2f}",
            requests=self._client.requests if self._client else 0,
            result=document.get("status", "error"),
            error=document.get("error"),
        )

    def _deadline(self, seconds: float) -> Deadline:
        return self.context.deadline(round(max(LEAST_WORK, seconds), 1))


def _shown(change: Change) -> dict[str, t.Any]:
    before, after = (
        shorten(value, MOST_SHOWN) if isinstance(value, str) else value for value in (change.before, change.after)
    )
    return {"key": change.key, "before": before, "after": after}
