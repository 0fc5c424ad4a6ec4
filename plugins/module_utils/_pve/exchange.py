# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a connection is trusted, how answers are read, and what is said of a connection that failed."""

from __future__ import annotations

import json
import ssl
import typing as t

from .connection import ConnectionOptions
from .errors import AnswerLost, Cause, CertificateRejected, TransportError, Unreachable
from .numbers import in_full

# pveproxy closes an idle connection after 5 s; a request on one that is just closing would be lost.
IDLE_SECONDS = 4.0
# A read is repeated when it is lost; a change goes on a connection that has just been seen to work, or on a new one.
IDLE_SECONDS_BEFORE_CHANGE = 1.0
CONNECT_SECONDS = 10.0


class UnreadableAnswer(Exception):
    """An answer that is not PVE's; is_foreign says that somebody else has written it, and not PVE a half."""

    def __init__(self, message: str, is_foreign: bool) -> None:
        super().__init__(message)
        self.is_foreign = is_foreign


def trusted_seconds(method: str) -> float:
    """How long a connection may have been idle for a request of this method."""
    return IDLE_SECONDS if method == "GET" else IDLE_SECONDS_BEFORE_CHANGE


def read_data(content: bytes, content_type: str) -> t.Any:
    """The data of an answer; raises UnreadableAnswer for half an answer, or for one of somebody else."""
    try:
        return json.loads(content.decode("utf-8"))["data"]
    except (UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        kind = content_type or "of no type"
        raise UnreadableAnswer(
            f"the answer ({kind}) is not PVE's JSON", bool(content) and "json" not in kind
        ) from error


def read_errors(content: bytes) -> dict[str, t.Any] | None:
    """The body of a refusal, when it is JSON."""
    try:
        body = json.loads(content.decode("utf-8"))
    except (UnicodeDecodeError, ValueError):
        return None
    return body if isinstance(body, dict) else None


def certificate_rejected(
    url: str, root: BaseException, options: ConnectionOptions, cause: Cause
) -> CertificateRejected:
    """Say what is wrong with the certificate, and what to do."""
    if options.fingerprint and not isinstance(root, ssl.SSLCertVerificationError):
        return CertificateRejected(f"the certificate of {url} is not the one that api_fingerprint names: {root}", cause)
    why = (getattr(root, "verify_message", None) or str(root)).rstrip(".")
    authorities = f"by the authorities in ca_path {options.ca_path}"
    if options.fingerprint:
        return CertificateRejected(
            f"the certificate of {url} is not trusted {authorities} ({why}), which are checked before api_fingerprint: "
            f"correct ca_path, or leave it out, as the fingerprint alone is enough",
            cause,
        )
    if "mismatch" in why:
        what, cure = "is not trusted", "call it by a name that the certificate holds"
    else:
        what = f"is not trusted {authorities}" if options.ca_path else "is not trusted"
        cure = "set ca_path to the cluster's CA"
    return CertificateRejected(
        f"the certificate of {url} {what} ({why}): {cure}, "
        f"or set api_fingerprint to the certificate's SHA-256 fingerprint",
        cause,
    )


def no_connection(url: str, root: BaseException, cause: Cause, late_after: float | None) -> Unreachable:
    """Say why there is no connection; late_after is how many seconds were waited, when that was all."""
    return Unreachable(f"cannot connect to {url}: {_why(root, 'connection', late_after)}", cause)


def lost_connection(url: str, root: BaseException, cause: Cause, late_after: float | None) -> AnswerLost:
    """Say how the connection ended before the answer; late_after is how many seconds were waited, when that was all."""
    why = _why(root, "answer", late_after)
    return AnswerLost(f"the connection to {url} broke during {cause.request}: {why}", cause, late_after is not None)


def _why(root: BaseException, missing: str, late_after: float | None) -> str:
    if late_after is None:
        return str(root) or type(root).__name__
    return f"no {missing} within {in_full(round(late_after, 3))} s"


def unusable_answer(url: str, error: UnreadableAnswer, cause: Cause, reached: bool) -> TransportError:
    """Say whose the answer is: somebody else's, where PVE has never answered, or else half of PVE's."""
    if not reached and error.is_foreign:
        return Unreachable(f"{url} is not PVE's API: {error}", cause)
    return AnswerLost(f"{url} gave no usable answer to {cause.request}: {error}", cause)


def redirected(url: str, cause: Cause) -> Unreachable:
    """Say that somebody else answered."""
    return Unreachable(f"{url} is not PVE's API: it redirects elsewhere", cause)
