# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which certificates are accepted, for every connection to PVE: one policy, and one context for each."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import sys
import typing as t

from .errors import MissingLibrary

# As ssl.create_default_context() has it since Python 3.13: what the file of authorities holds is trusted, also when
# it is no root. Its other flag, VERIFY_X509_STRICT, refuses the authority that PVE makes for itself.
_PARTIAL_CHAIN = 0x80000

_Version = t.Tuple[int, ...]  # noqa: UP006 - Python 3.9 evaluates it


class TlsPolicy(t.NamedTuple):
    """What a certificate must be."""

    checks_authority: bool = True
    # The file of authorities; without one, those that are known to the public.
    ca_path: str | None = None
    # SHA-256, in lower case without colons. It names one certificate, whatever host name is in that.
    fingerprint: str | None = None

    @property
    def checks_host_name(self) -> bool:
        return self.checks_authority and self.fingerprint is None


def tls_policy(validate_certs: bool, ca_path: str | None, fingerprint: str | None) -> TlsPolicy:
    """The policy that the options of a connection mean: a fingerprint alone is enough."""
    return TlsPolicy(validate_certs and (not fingerprint or bool(ca_path)), ca_path or None, fingerprint or None)


class FingerprintMismatch(Exception):
    """The certificate is another one than was named."""


class Tls:
    """Secures connections by one policy, and resumes the sessions of earlier ones; raises what context_for does."""

    def __init__(self, policy: TlsPolicy) -> None:
        self._policy = policy
        # A session belongs to one context, so that a changed file of authorities needs another Tls.
        self._context = context_for(policy)
        # By host and port.
        self.sessions: dict[tuple[str, int], ssl.SSLSession] = {}

    def wrap(self, plain: socket.socket, host: str, port: int) -> ssl.SSLSocket:
        """Do the handshake; raises OSError, of which ssl.SSLError is one, or FingerprintMismatch."""
        session = self.sessions.get((host, port))
        # In bytes, so that no codec for international names has to be imported; the host is ASCII.
        secured = self._context.wrap_socket(plain, server_hostname=host.encode(), session=session)
        if self._policy.fingerprint:
            certificate = secured.getpeercert(binary_form=True) or b""
            if fingerprint_of(certificate) != self._policy.fingerprint:
                secured.close()
                raise FingerprintMismatch(f"it is {printed_fingerprint(certificate)}")
        return secured


# By file of authorities and whether host names are checked; with the version of the file that was read.
_contexts: dict[tuple[str | None, bool], tuple[_Version, ssl.SSLContext]] = {}


def context_for(policy: TlsPolicy) -> ssl.SSLContext:
    """The context of a policy, made once in a process and in all that it forks, until the file changes.

    To read a file of many authorities takes 20 to 100 ms. Raises OSError, ValueError for a path that is none, or
    MissingLibrary.
    """
    path = (policy.ca_path or _public_authorities()) if policy.checks_authority else None
    version = file_version(path) if path else ()
    key = path, policy.checks_host_name
    found = _contexts.get(key)
    if found is None or found[0] != version:
        found = _contexts[key] = version, _new_context(path, policy.checks_host_name)
    return found[1]


def preload(policy: TlsPolicy) -> None:
    """Make the context of a policy now, before processes are forked; whoever needs it is told what is wrong with it."""
    with contextlib.suppress(OSError, ValueError, MissingLibrary):
        context_for(policy)


def _new_context(path: str | None, checks_host_name: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = checks_host_name
    if path:
        context.verify_flags |= _PARTIAL_CHAIN
        context.load_verify_locations(path)
    else:
        context.verify_mode = ssl.CERT_NONE
    return context


def file_version(path: str) -> tuple[int, ...]:
    """What tells one version of a file from the next; raises OSError or ValueError."""
    found = os.stat(path)  # noqa: PTH116 - pathlib takes longer to import
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def fingerprint_of(certificate: bytes) -> str:
    """The SHA-256 fingerprint of a certificate, as a policy has it."""
    import hashlib

    return hashlib.sha256(certificate).hexdigest()


def printed_fingerprint(certificate: bytes) -> str:
    """The same as PVE prints it; empty when there is no certificate."""
    digest = fingerprint_of(certificate).upper() if certificate else ""
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def _public_authorities() -> str:
    if sys.flags.no_site and "site" not in sys.modules:
        # The bridge starts Python without it (python -S), for the sake of its time; what pip has installed needs it.
        import site

        site.main()
    try:
        import certifi
    except ImportError as error:
        message = "the Python library certifi is required where neither ca_path nor api_fingerprint is given"
        raise MissingLibrary(message, "certifi", str(error)) from error
    return certifi.where()
