# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One call of CloudStack: its time, its payload, its talk with PVE, and what it has to say in the log."""

from __future__ import annotations

import time
import typing as t

from .._pve.client import PveClient
from .._pve.connection import ConnectionOptions, connection_options
from .._pve.deadline import Deadline
from .._pve.errors import InvalidRequest, PveError
from .answer import shorten
from .call_context import CallContext
from .call_log import DEFAULT_MAX_BYTES, CallLog
from .callers import check_caller
from .details import Details, resolve_details
from .payload import Instance, Payload, read_payload
from .policy import read_policy

if t.TYPE_CHECKING:
    from .._operations.plan import Applier
    from .._operations.vm.deployment import Deployment

DEFAULT_WAIT = 600.0
LEAST_MARGIN = 3.0
MARGIN_SHARE = 0.05
# Of the margin, the part that is left for the answer itself.
LAST_WORDS_SHARE = 0.2
LEAST_WORK = 0.1
DEBUG_VARIABLE = "CLOUDBRIDGE_DEBUG"
# Shorter words are found in many a message by accident.
SHORTEST_SECRET = 6
# Of a value in the differences of a dry run.
MOST_SHOWN = 400


class BridgeClient(PveClient):
    """A client that counts its requests, and tells the log of them when debugging."""

    def __init__(
        self, options: ConnectionOptions, deadline: Deadline, log: CallLog, context: CallContext, dry_run: bool = False
    ) -> None:
        super().__init__(options, deadline, context.connect(options))
        self._dry_run = dry_run
        self.requests = 0
        self.own_upids = context.own_upids()
        self._log = log
        self._context = context

    def _send(self, method: str, path: tuple[str | int, ...], form: t.Mapping[str, t.Any]) -> t.Any:
        if self._dry_run and method != "GET":
            raise RuntimeError(f"a dry run must not send {method} /{'/'.join(str(part) for part in path)}")
        began, result = time.monotonic(), "ok"
        try:
            with self._context.turn(self.deadline):
                self.requests += 1
                return super()._send(method, path, form)
        except PveError as error:
            result = str(error)
            raise
        finally:
            where = "/".join(str(part) for part in path)
            shown = ",".join(sorted(form))
            self._log.trace(
                request=f"{method} /{where}", keys=shown, seconds=f"{time.monotonic() - began:.3f}", result=result
            )

    def close(self) -> None:
        self._context.disconnect(self._transport)


class Run:
    """What an action works with. wait is CloudStack's third argument, started the process's start (monotonic).

    A dry run only reads, and its answer says what would be done.
    """

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
        self.action = action
        self.dry_run = dry_run
        self.context = context
        self.log = CallLog(log_file, debug=context.environment.get(DEBUG_VARIABLE, "") not in ("", "0", "false"))
        self.policy_file = policy_file
        self.secrets: set[str] = set()
        # What the user has to know of besides the failure itself.
        self.left_behind = ""
        self.wait = parse_wait(wait)
        self.margin = margin_of(self.wait)
        self._started = started
        self.deadline = self._deadline(self.wait - self.margin - self.elapsed)
        self.payload = Payload()
        self._details: Details | None = None
        self._options: ConnectionOptions | None = None
        self._client: BridgeClient | None = None
        self._instance: Instance | None = None
        self._appliers: list[Applier] = []

    def open(self, payload_file: str) -> None:
        """Read the payload and the site policy; raises InvalidRequest."""
        self.payload = read_payload(payload_file, self.context.payload_stream)
        policy = read_policy(self.policy_file)
        self.log.debug = self.log.debug or policy.get("log_debug") is True
        most = policy.get("log_max_bytes")
        self.log.max_bytes = most if isinstance(most, int) else DEFAULT_MAX_BYTES
        for section in (*self.payload.sections.values(), policy):
            self._keep_secret(section.get("secret"))
        self._details = resolve_details(self.payload, policy)
        check_caller(self._details, self.payload.caller, self.action)
        self.context.opened(self)

    @property
    def elapsed(self) -> float:
        """Seconds since the process was started."""
        return time.monotonic() - self._started

    @property
    def details(self) -> Details:
        if self._details is None:
            raise InvalidRequest("the payload has not been read")
        return self._details

    @property
    def instance(self) -> Instance:
        """The VM that the call is about; raises InvalidRequest when the payload says of none."""
        if self._instance is None:
            self._instance = self.payload.instance()
        return self._instance

    @property
    def vmid(self) -> int:
        """The number that the VM has in PVE; raises InvalidRequest when CloudStack knows none."""
        vmid = self.instance.vmid
        if vmid is None:
            raise InvalidRequest(f"{self.instance.name} has no proxmox_vmid: it was never prepared for PVE")
        return vmid

    @property
    def node(self) -> str:
        """The node of the host that CloudStack chose; raises InvalidRequest, which names all that is missing."""
        self.connection()
        return self.details.required("node")

    @property
    def client(self) -> BridgeClient:
        """The session with PVE; the first request opens its connection."""
        if self._client is None:
            self._client = BridgeClient(self.connection(), self.deadline, self.log, self.context, self.dry_run)
        return self._client

    @property
    def requests(self) -> int:
        return self._client.requests if self._client else 0

    def afterwards(self, seconds: float) -> Run:
        """The same call when it has ended, for what is left to be done: a session of its own, for so many seconds."""
        import copy

        run = copy.copy(self)
        run.context, run._client = self.context.afterwards(), None
        run.deadline = run.context.deadline(seconds)
        return run

    def applier(self) -> Applier:
        """Carries the plans of this run out."""
        from .._operations.plan import Applier

        applier = Applier(self.client, check_mode=self.dry_run)
        self._appliers.append(applier)
        return applier

    def told(self, answer: dict[str, t.Any]) -> dict[str, t.Any]:
        """The answer of the action; of a dry run what would be sent, and what would differ then."""
        if not self.dry_run:
            return answer
        steps = [title for applier in self._appliers for title in applier.titles]
        changes = [change for applier in self._appliers for change in applier.changes]
        if steps:
            # What an action says of itself holds only once it is done.
            answer = {"message": f"Dry run: nothing was sent, {len(steps)} steps would be taken"}
        shown = [
            {"key": change.key, "before": _shown(change.before), "after": _shown(change.after)} for change in changes
        ]
        return {**answer, "dry_run": True, "steps": steps, "changes": shown}

    def enter_margin(self) -> None:
        """Give what is left until CloudStack kills the process to taking things down."""
        left = self.wait - self.elapsed - self.margin * LAST_WORDS_SHARE
        self.deadline = self._deadline(self.context.last_seconds(left))
        if self._client is not None:
            self._client.deadline = self.deadline

    def ordered(self, deployment: Deployment) -> None:
        """Say that PVE is asked for a guest next, which is to be taken down when the run comes to a bad end."""
        self.context.ordered(self, deployment)

    def log_trouble(self, error: BaseException) -> None:
        """Leave in the log what the answer is too short for."""
        if isinstance(error, PveError):
            self.log.trace(error=error.details())
        else:
            import traceback

            self.log.line(
                action=self.action,
                trouble="".join(traceback.format_exception(type(error), error, error.__traceback__)[-8:]),
            )

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
            seconds=f"{self.elapsed:.2f}",
            requests=self.requests,
            result=document.get("status", "error"),
            error=document.get("error"),
        )

    def connection(self) -> ConnectionOptions:
        """Where PVE is and who asks; raises InvalidRequest when the details do not say."""
        if self._options is None:
            self._options = self._read_connection()
        return self._options

    def _read_connection(self) -> ConnectionOptions:
        details = self.details
        missing = [name for name in ("url", "user", "token", "node") if not details.text(name)]
        secret = details.text("secret")
        secret_file = details.text("secret_file")
        if secret_file and not secret:
            secret = _read_secret(secret_file)
            self._keep_secret(secret)
        if not secret:
            missing.insert(min(3, len(missing)), "secret")
        if missing:
            raise InvalidRequest(f"missing required details: {', '.join(missing)} (set them on the host or extension)")
        return connection_options(
            {
                "api_host": details.text("url"),
                "api_user": details.text("user"),
                "api_token_id": details.text("token"),
                "api_token_secret": secret,
                "validate_certs": details.flag("verify_tls_certificate"),
                "ca_path": details.text("ca_file"),
                "api_fingerprint": details.text("fingerprint"),
                "api_timeout": details.number("api_timeout"),
            }
        )

    def _deadline(self, seconds: float) -> Deadline:
        return self.context.deadline(round(max(LEAST_WORK, seconds), 1))

    def _keep_secret(self, secret: t.Any) -> None:
        if isinstance(secret, str) and len(secret) >= SHORTEST_SECRET:
            self.secrets.add(secret)
            self.log.secrets.add(secret)


def _shown(value: t.Any) -> t.Any:
    return shorten(value, MOST_SHOWN) if isinstance(value, str) else value


def parse_wait(text: str) -> float:
    """CloudStack's wait in seconds; the default when it says nothing sensible."""
    try:
        seconds = int(text)
    except ValueError:
        return DEFAULT_WAIT
    return float(seconds) if 0 < seconds <= 10**6 else DEFAULT_WAIT


def margin_of(wait: float) -> float:
    """The part of the wait that is kept for taking down what was made, before CloudStack kills the process."""
    return min(max(LEAST_MARGIN, wait * MARGIN_SHARE), wait / 2)


def _read_secret(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123 - pathlib costs 10 ms
            return file.read(4096).strip()
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"secret_file {path!r} cannot be read: {getattr(error, 'strerror', error)}") from error
