# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part of VNC's protocol that comes before the picture (RFC 6143, sections 7.1 to 7.3), on both sides.

Nothing here reads or writes: what was received is fed in, and what is to be sent comes out.
"""

from __future__ import annotations

import hmac
import re
import secrets
import string
import traceback
import typing as t

from .errors import AuthenticationFailed, MissingLibrary, Refused, one_line

NONE = 1
VNC_AUTHENTICATION = 2
# Only so many bytes of a password count.
PASSWORD_BYTES = 8
_LETTERS = string.ascii_letters + string.digits
_BANNER = re.compile(rb"RFB (\d{3})\.(\d{3})\n")
_BANNER_BYTES = 12
_CHALLENGE_BYTES = 16
_OK = (0).to_bytes(4, "big")
_FAILED = (1).to_bytes(4, "big")
# A server could announce gigabytes of reason.
_MAX_REASON_BYTES = 1024
# DES takes the bits of each byte of the key from the other end than VNC does.
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))

Talk = t.Generator[int, bytes, None]


def challenge_response(password: str, challenge: bytes) -> bytes:
    """Encrypt a challenge with the password, as VNC authentication wants it; raises MissingLibrary."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.ciphers import Cipher, modes

        try:
            from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
        except ImportError:  # before cryptography 43
            from cryptography.hazmat.primitives.ciphers.algorithms import TripleDES
    except ImportError as error:
        raise MissingLibrary(
            "the Python library cryptography is required", "cryptography", traceback.format_exc()
        ) from error
    key = password.encode()[:PASSWORD_BYTES].ljust(PASSWORD_BYTES, b"\0").translate(_REVERSED)
    try:
        # Three times the same key, 3DES is DES.
        encryptor = Cipher(TripleDES(3 * key), modes.ECB()).encryptor()  # noqa: S305  # VNC has no other
        return encryptor.update(challenge) + encryptor.finalize()
    except UnsupportedAlgorithm as error:
        # A system in FIPS mode.
        raise MissingLibrary(
            "VNC authentication needs DES, which this system has switched off", "cryptography", traceback.format_exc()
        ) from error


def require_des() -> None:
    """Raise MissingLibrary where VNC authentication cannot be had."""
    challenge_response("", bytes(_CHALLENGE_BYTES))


def new_password() -> str:
    """Make up a password for one viewer, as long as VNC's can be."""
    return "".join(secrets.choice(_LETTERS) for _number in range(PASSWORD_BYTES))


class Handshake:
    """A dialogue that says how many bytes it needs next, and gets exactly those."""

    def __init__(self) -> None:
        self._unread = bytearray()
        self._unsent = bytearray()
        self._dialogue = self._steps()
        self._needed = next(self._dialogue)
        self._ended = False

    def feed(self, received: bytes) -> bytes:
        """Take what was received, in whatever pieces, and return what is to be sent."""
        self._unread += received
        while not self._ended and len(self._unread) >= self._needed:
            part = bytes(self._unread[: self._needed])
            del self._unread[: self._needed]
            try:
                self._needed = self._dialogue.send(part)
            except StopIteration:
                self._ended = True
        unsent = bytes(self._unsent)
        self._unsent.clear()
        return unsent

    @property
    def rest(self) -> bytes:
        """What was received beyond the handshake: the first bytes of the session."""
        return bytes(self._unread) if self._ended else b""

    def _steps(self) -> Talk:
        raise NotImplementedError

    def _say(self, message: bytes) -> None:
        self._unsent += message


class ClientHandshake(Handshake):
    """Logging in to a VNC server, up to where the client would send ClientInit.

    label is how messages call what the console belongs to. feed() raises AuthenticationFailed when the server refuses
    the password, and Refused when there is no talking to it.
    """

    def __init__(self, password: str, label: str) -> None:
        self._password = password
        self.label = label
        self._at = "greeting"
        super().__init__()

    @property
    def done(self) -> bool:
        """Whether the server has let us in."""
        return self._ended

    def broken_off(self) -> Refused | AuthenticationFailed:
        """Return the error that it is when the server closes the connection here."""
        if self._at == "answer":
            return self._refused_password("it closed the connection")
        # qm vncproxy ends without a word when it cannot set a password (PVE::CLI::qm).
        return Refused(
            f"the VNC console of {self.label} closed the connection before its {self._at}: "
            f"look whether it runs and has a display, and at the log of PVE's task"
        )

    def _steps(self) -> Talk:
        banner = yield _BANNER_BYTES
        version = _version(banner)
        if version is None:
            raise Refused(f"the VNC console of {self.label} does not speak VNC, but began with {banner!r}")
        self._say(b"RFB 003.%03d\n" % version)
        self._at = "security types"
        security = yield from self._choose_security(version)
        if security == VNC_AUTHENTICATION:
            challenge = yield _CHALLENGE_BYTES
            self._at = "answer"
            self._say(challenge_response(self._password, challenge))
        elif version < 8:
            return
        self._at = "answer"
        if (yield 4) == _OK:
            return
        reason = (yield from self._reason()) if version >= 8 else ""
        raise self._refused_password(reason or "no reason given")

    def _choose_security(self, version: int) -> t.Generator[int, bytes, int]:
        if version < 7:
            offered = [int.from_bytes((yield 4), "big")]
            none_offered = offered == [0]
        else:
            count = (yield 1)[0]
            offered = list((yield count)) if count else []
            none_offered = not offered
        if none_offered:
            reason = yield from self._reason()
            raise Refused(f"the VNC console of {self.label} refuses connections: {reason}")
        security = next((known for known in (VNC_AUTHENTICATION, NONE) if known in offered), None)
        if security is None:
            raise Refused(
                f"the VNC console of {self.label} offers the security types {offered}, of which none is known here: "
                f"known are {VNC_AUTHENTICATION} (VNC authentication) and {NONE} (none)"
            )
        if version >= 7:
            self._say(bytes([security]))
        return security

    def _reason(self) -> t.Generator[int, bytes, str]:
        length = int.from_bytes((yield 4), "big")
        text = (yield min(length, _MAX_REASON_BYTES)) if length else b""
        return one_line(text.decode(errors="replace").replace("\0", ""))

    def _refused_password(self, reason: str) -> AuthenticationFailed:
        return AuthenticationFailed(
            f"the VNC console of {self.label} refused the password that PVE gave for it ({reason}): "
            f"another console opened at the same time has a password that takes its place, so try again"
        )


class ServerHandshake(Handshake):
    """Asking a viewer for a password, up to where it would send ClientInit.

    Begin by sending feed(b""). When the viewer is proved, which says that it has given one of the passwords, send
    accept() or refuse(). When it is refused, send what feed() returned and close the connection.
    """

    def __init__(self, passwords: t.Collection[str] | None) -> None:
        """passwords are those that let a viewer in when its answer arrives, or None to let everybody in."""
        self._passwords = passwords
        self._version = 8
        self._password: str | None = None
        self._accepted = self._refused = self._mistaken = False
        super().__init__()

    @property
    def proved(self) -> bool:
        """Whether the viewer waits for accept() or refuse()."""
        return self._ended and not self._accepted and not self._refused

    @property
    def refused(self) -> bool:
        """Whether the connection is to be closed."""
        return self._refused

    @property
    def mistaken(self) -> bool:
        """Whether the viewer gave a password that is none of them."""
        return self._mistaken

    @property
    def done(self) -> bool:
        """Whether the viewer has been let in."""
        return self._accepted

    @property
    def password(self) -> str | None:
        """The password that the viewer knew."""
        return self._password

    def accept(self) -> bytes:
        """Let the viewer in; returns what is to be sent."""
        self._accepted = True
        return _OK if self._tells_result else b""

    def refuse(self, reason: str) -> bytes:
        """Turn the viewer away; returns what is to be sent, with the reason if the viewer's version has room for it."""
        self._refused = True
        if not self._tells_result:
            return b""
        text = reason.encode()[:_MAX_REASON_BYTES]
        return _FAILED + (len(text).to_bytes(4, "big") + text if self._version >= 8 else b"")

    @property
    def _tells_result(self) -> bool:
        return self._passwords is not None or self._version >= 8

    def _steps(self) -> Talk:
        self._say(b"RFB 003.008\n")
        version = _version((yield _BANNER_BYTES))
        if version is None:
            self._refused = True
            return
        self._version = version
        security = NONE if self._passwords is None else VNC_AUTHENTICATION
        if version < 7:
            self._say(security.to_bytes(4, "big"))
        else:
            self._say(bytes([1, security]))
            if (yield 1)[0] != security:
                self._say(self.refuse("that security type was not offered"))
                return
        if self._passwords is None:
            return
        challenge = secrets.token_bytes(_CHALLENGE_BYTES)
        self._say(challenge)
        response = yield _CHALLENGE_BYTES
        for password in tuple(self._passwords):
            # All of them, so that the time tells nothing.
            if hmac.compare_digest(challenge_response(password, challenge), response):
                self._password = password
        self._mistaken = self._password is None
        if self._mistaken:
            self._say(self.refuse("Authentication failed"))


class SharedSession:
    """What goes between viewer and server after both handshakes: everything, byte for byte, but one.

    The first byte of the viewer, ClientInit, would have the server close everybody else's console.
    """

    def __init__(self) -> None:
        self._begun = False

    def to_server(self, received: bytes) -> bytes:
        """Return what the server gets of what the viewer has sent."""
        if self._begun or not received:
            return received
        self._begun = True
        return b"\1" + received[1:]


def _version(banner: bytes) -> int | None:
    """The minor version that both sides then speak: 3, 7 or 8; None when it is not VNC."""
    found = _BANNER.fullmatch(banner)
    if found is None or int(found[1]) < 3:
        return None
    # What is not in the standard is to be taken for 3.3 (RFC 6143, 7.1.1), but some servers call themselves 4 or 5.
    minor = int(found[2]) if int(found[1]) == 3 else 8
    return minor if minor in (7, 8) else 3
