# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one tree of errors, and what PVE's words mean.

PVE has few status codes: most refusals are a 500 whose reason phrase is the message. Modules and the bridge
therefore decide by ErrorReason, which is read from the message in one place, here.
"""

from __future__ import annotations

import enum
import re
import types
import typing as t

HTTP_BAD_REQUEST = 400  # the first status that is an error
HTTP_UNAUTHORIZED = 401
HTTP_FORBIDDEN = 403
NOT_IMPLEMENTED = 501  # there is no such call in this release
NODE_UNREACHABLE = 595  # pveproxy could not reach the node or its daemon: nothing was done
# A proxy in front of PVE that got no answer from it; PVE itself has none of these.
GATEWAY_ERRORS = frozenset({502, 503, 504})


class ErrorReason(enum.Enum):
    """What a message of PVE says about the guest or the request."""

    OTHER = "other"
    GUEST_ABSENT = "guest_absent"
    SNAPSHOT_ABSENT = "snapshot_absent"
    NODE_ABSENT = "node_absent"
    EXISTS = "exists"
    LOCKED = "locked"
    LOCK_TIMEOUT = "lock_timeout"
    CONFLICT = "conflict"
    NOT_RUNNING = "not_running"
    ALREADY_RUNNING = "already_running"
    NO_QUORUM = "no_quorum"
    AGENT_NOT_ENABLED = "agent_not_enabled"
    AGENT_SILENT = "agent_silent"
    QEMU_TIMEOUT = "qemu_timeout"
    AGENT_FROZEN = "agent_frozen"
    AGENT_FORBIDS = "agent_forbids"
    PROCESS_ABSENT = "process_absent"
    FILE_ABSENT = "file_absent"


# Texts as recorded from PVE 9.2; PVE::QemuServer, PVE::AbstractConfig, PVE::Tools, PVE::Cluster. They are compiled
# when there is a message to be understood.
_REASON_PATTERNS: tuple[tuple[ErrorReason, str], ...] = (
    (ErrorReason.GUEST_ABSENT, r"Configuration file '[^']*' does not exist"),
    (ErrorReason.GUEST_ABSENT, r"unable to find configuration file for (VM|CT) \d+"),
    (ErrorReason.SNAPSHOT_ABSENT, r"snapshot '[^']*' does not exist"),
    (ErrorReason.NODE_ABSENT, r"no such cluster node|hostname lookup '[^']*' failed"),
    (
        ErrorReason.EXISTS,
        r"(VM|CT) \d+ already exists|config file already exists|snapshot name '[^']*' already used",
    ),
    # Two nodes gave one number away at the same time: the cluster's file system refuses the second file.
    (ErrorReason.EXISTS, r"/etc/pve/nodes/[^/]+/(qemu-server|lxc)/\d+\.conf' failed: File exists"),
    (ErrorReason.LOCK_TIMEOUT, r"can't lock file .* - got timeout|cfs-lock .* error: got lock request timeout"),
    (ErrorReason.LOCKED, r"(VM|CT) is locked"),
    # Before PVE 8.3 it was a missmatch.
    (ErrorReason.CONFLICT, r"checksum mis+match \(file change|detected modified configuration"),
    (ErrorReason.NOT_RUNNING, r"(VM|CT) \d+ (is )?not running"),
    (ErrorReason.ALREADY_RUNNING, r"(VM|CT) \d+ already running"),
    (ErrorReason.NO_QUORUM, r"no quorum|/etc/pve/\S+\.tmp\.\d+' - Permission denied"),
    # PVE::QemuServer::Agent and QEMU's qga (75-agent.json); QEMU itself times out with qmp.
    (ErrorReason.AGENT_NOT_ENABLED, r"No QEMU guest agent configured"),
    (ErrorReason.AGENT_SILENT, r"QEMU guest agent is not running"),
    (ErrorReason.QEMU_TIMEOUT, r"(qga|qmp) command '[\w-]+' failed - got timeout"),
    (ErrorReason.AGENT_FROZEN, r"Command guest-[\w-]+ has been disabled: the agent is in frozen state"),
    (ErrorReason.AGENT_FORBIDS, r"Command guest-[\w-]+ has been disabled"),
    (ErrorReason.PROCESS_ABSENT, r"Invalid parameter 'pid'"),
    (ErrorReason.FILE_ABSENT, r"failed to open file .*: No such file or directory"),
)


# What to do about it, where that is the same whatever was asked for.
_ADVICE = {ErrorReason.NO_QUORUM: "the cluster has no quorum, so nothing can be changed: look at pvecm status"}


def error_reason_of(message: str) -> ErrorReason:
    """Say what a message of PVE means; ErrorReason.OTHER when it is none that anybody acts on."""
    for reason, pattern in _REASON_PATTERNS:
        if re.search(pattern, message):
            return reason
    return ErrorReason.OTHER


def with_advice(sentence: str, message: str) -> str:
    """Add to a sentence what to do about the message of PVE that it is about."""
    advice = _ADVICE.get(error_reason_of(message))
    return f"{sentence}; {advice}" if advice else sentence


class Cause(t.NamedTuple):
    """What is known about a failure beyond its sentence; every field may be empty."""

    status: int | None = None
    pve_message: str = ""
    field_errors: t.Mapping[str, str] = types.MappingProxyType({})
    request: str = ""
    upid: str = ""
    log_tail: tuple[str, ...] = ()
    privilege: str = ""
    acl_path: str = ""


class PveError(Exception):
    """Something could not be done; str() is one sentence for the user."""

    kind = "error"
    # What a result has besides.
    facts: t.Mapping[str, t.Any] = types.MappingProxyType({})

    def __init__(self, message: str, cause: Cause | None = None) -> None:
        super().__init__(message)
        self.cause = cause or Cause()

    @property
    def pve_reason(self) -> ErrorReason:
        """What PVE's own words mean."""
        return error_reason_of(self.cause.pve_message)

    def details(self) -> dict[str, t.Any]:
        """Return the failure as data, for the C(error) of a result."""
        cause = self.cause
        return {
            "kind": self.kind,
            "status": cause.status,
            "message": cause.pve_message or str(self),
            "errors": dict(cause.field_errors),
            "request": cause.request,
            "upid": cause.upid,
            "log_tail": list(cause.log_tail),
            "privilege": cause.privilege,
            "path": cause.acl_path,
        }


class InvalidRequest(PveError):
    """The request itself is wrong; nothing was sent."""

    kind = "invalid_request"


class MissingLibrary(PveError):
    """A Python library that the collection needs is not installed."""

    kind = "missing_library"

    def __init__(self, message: str, library: str, import_error: str) -> None:
        super().__init__(message)
        self.library = library
        self.import_error = import_error


class AuthenticationFailed(PveError):
    """needs_code says that the password is right, and that PVE wants a second factor besides."""

    kind = "authentication"

    def __init__(self, message: str, cause: Cause | None = None, needs_code: bool = False) -> None:
        super().__init__(message, cause)
        self.needs_code = needs_code


class PermissionDenied(PveError):
    kind = "permission"


class NotFound(PveError):
    kind = "not_found"


class Ambiguous(PveError):
    kind = "ambiguous"


class AlreadyExists(PveError):
    kind = "exists"


class Locked(PveError):
    kind = "locked"


class Conflict(PveError):
    """The configuration was changed by somebody else meanwhile."""

    kind = "conflict"


class Refused(PveError):
    """PVE understood the request and said no."""

    kind = "refused"


class TaskFailed(PveError):
    kind = "task_failed"


class TaskDenied(TaskFailed, PermissionDenied):
    """A task that failed because a privilege is missing, which PVE looked for only there."""

    kind = "permission"


class TimedOut(PveError):
    kind = "timed_out"


class ScriptFailed(PveError):
    """A script on a console did not get the answer that it waited for.

    reason is timeout, silent, ended, login, status or pattern. screen is the end of what the console shows; step is 0
    before the first one. Secrets are masked in all of it.
    """

    kind = "script"

    def __init__(self, message: str, reason: str, step: int, transcript: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.step = step
        self.transcript = transcript

    @property
    def screen(self) -> list[str]:
        """The last lines that are not empty."""
        return [line for line in self.transcript.splitlines() if line.strip()][-20:]

    def details(self) -> dict[str, t.Any]:
        more = {"reason": self.reason, "step": self.step, "screen": self.screen, "transcript": self.transcript}
        return {**super().details(), **more}


class AgentUnavailable(PveError):
    """The guest agent cannot do what is asked, or what it did cannot be known."""

    kind = "agent"


class CommandFailed(PveError):
    """A command in a guest ended with another status than 0."""

    kind = "command"

    def __init__(self, message: str, facts: t.Mapping[str, t.Any]) -> None:
        super().__init__(message)
        self.facts = facts


class GuestFileError(PveError):
    """A file in a guest cannot be read or written."""

    kind = "file"

    def __init__(self, message: str, path: str, is_absent: bool = False) -> None:
        super().__init__(message)
        self.path = path
        self.is_absent = is_absent


class BadBackup(PveError):
    """A backup was restored to see whether that works, and it does not; report is what was found."""

    kind = "bad_backup"

    def __init__(self, message: str, cause: Cause | None = None, report: t.Mapping[str, t.Any] | None = None) -> None:
        super().__init__(message, cause)
        self.report = dict(report or {})

    def details(self) -> dict[str, t.Any]:
        return {**super().details(), "report": self.report}


class TransportError(PveError):
    """The connection to PVE failed, or what answered was not PVE."""

    kind = "transport"


class Unreachable(TransportError):
    """PVE did not get the request: nothing was done."""

    kind = "unreachable"


class CertificateRejected(TransportError):
    kind = "certificate"


class AnswerLost(TransportError):
    """PVE may or may not have done what was asked: look before sending it again.

    late says that PVE may also be about to do it.
    """

    kind = "answer_lost"

    def __init__(self, message: str, cause: Cause | None = None, late: bool = False) -> None:
        super().__init__(message, cause)
        self.late = late


_ERROR_CLASSES: dict[ErrorReason, type[PveError]] = {
    ErrorReason.GUEST_ABSENT: NotFound,
    ErrorReason.SNAPSHOT_ABSENT: NotFound,
    ErrorReason.NODE_ABSENT: NotFound,
    ErrorReason.EXISTS: AlreadyExists,
    ErrorReason.LOCKED: Locked,
    ErrorReason.LOCK_TIMEOUT: Locked,
    ErrorReason.CONFLICT: Conflict,
}
# A tag that is not free for all is named behind the privilege (PVE::GuestHelpers assert_tag_permissions).
_PERMISSION = re.compile(
    r"Permission check failed \((?P<path>/[^,)]*), (?P<privilege>[\w.|]+)(?P<purpose> for [^)]*)?\)"
)
# PVE::API2::Qemu check_vm_modify_config_perm and check_*_perm, and PVE::LXC check_ct_modify_config_perm, for what no
# privilege allows.
_FOR_ROOT = re.compile(
    r"only root can (set|modify|delete) '[\w-]+' config|Only root can pass arbitrary filesystem paths"
    r"|is only allowed for root@pam"
)


def error_from_answer(
    request: str, status: int, reason: str, body: t.Mapping[str, t.Any] | None, identity: str
) -> PveError:
    """Turn an answer of status >= 400 into the error that it means.

    reason is the HTTP reason phrase (the first line of PVE's message), body the decoded JSON, if there was any.
    """
    body = body or {}
    message = str(body.get("message") or reason or "").strip()
    raw_errors = body.get("errors")
    field_errors = (
        {str(name): str(text).strip() for name, text in raw_errors.items()} if isinstance(raw_errors, dict) else {}
    )
    cause = with_denial(Cause(status=status, pve_message=message, field_errors=field_errors, request=request))
    words = one_line("; ".join([message, *("{}: {}".format(*item) for item in sorted(field_errors.items()))]))
    if status == HTTP_UNAUTHORIZED:
        return AuthenticationFailed(
            f"PVE does not accept the credentials of {identity} ({words or status}): "
            f"check api_user, api_token_id and the secret or password",
            cause,
        )
    denial = denial_of(identity, request, cause)
    if status == HTTP_FORBIDDEN or denial:
        return PermissionDenied(denial or f"{identity} may not do {request}: {words}", cause)
    if status == NODE_UNREACHABLE:
        return Unreachable(f"PVE could not reach the node for {request}: {words}", cause)
    if status > NODE_UNREACHABLE or status in GATEWAY_ERRORS:
        return AnswerLost(f"PVE gave no answer to {request}: {status} {words}", cause, late=True)
    kind = _ERROR_CLASSES.get(error_reason_of(message), Refused)
    return kind(with_advice(f"PVE refused {request}: {words or status}", message), cause)


def with_denial(cause: Cause) -> Cause:
    """Add the privilege that PVE found missing, and its path, when its message names them."""
    found = _PERMISSION.search(cause.pve_message)
    return cause._replace(privilege=found["privilege"], acl_path=found["path"]) if found else cause


def denial_of(identity: str, what: str, cause: Cause) -> str:
    """Say which right is missing for what, and what to do; empty when PVE's message speaks of none that it names."""
    if _FOR_ROOT.search(cause.pve_message):
        words = one_line(cause.pve_message).rstrip(".")
        return f"PVE refused {what}: {words}: it takes root@pam with a password, no privilege and no token will do"
    found = _PERMISSION.search(cause.pve_message)
    if not found:
        return ""
    return "{} lacks the privilege {} on {}{} for {}: grant it with a role on that path".format(
        identity,
        found["privilege"].replace("|", " or "),
        found["path"],
        f"{found['purpose']}, and so" if found["purpose"] else "",
        what,
    )


MOST_WORDS = 200


def brief(said: object) -> str:
    """What somebody said who is not to be trusted, for a message: one line of printable characters, and not long."""
    text = str(said)[: 2 * MOST_WORDS]
    return one_line("".join(letter if letter.isprintable() else " " for letter in text))[:MOST_WORDS]


def one_line(text: str) -> str:
    """Fold a message of several lines into one."""
    return " ".join(text.split())
