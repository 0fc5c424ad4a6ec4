# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""VNC's handshakes, in whatever pieces they arrive, with right and wrong passwords and in every version."""

from __future__ import annotations

import builtins
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import (
    AuthenticationFailed,
    MissingLibrary,
    Refused,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.rfb import (
    ClientHandshake,
    ServerHandshake,
    SharedSession,
    challenge_response,
)
from tests.support.cutting import pieces_of

LABEL = "guest 100 (web)"
BANNER = b"RFB 003.008\n"
CHALLENGE = bytes(range(16))
OK = bytes(4)
REASON = b"\0\0\0\1" + b"\0\0\0\x16" + b"Authentication failed\0"


CUTS = st.lists(st.integers(min_value=0), max_size=6)


# ---- the password


def test_the_standard_vector_of_des_with_the_bits_of_the_key_reversed():
    # FIPS 46: key 133457799BBCDFF1; the lowest bit of each byte is parity, which nobody looks at.
    response = challenge_response("H,j\x1eY={\x0f", bytes.fromhex("0123456789abcdef" * 2))
    assert response.hex() == "85e813540f0ab405" * 2


def test_eight_bytes_of_a_password_count():
    assert challenge_response("ABCDEFGH", CHALLENGE) == challenge_response("ABCDEFGH:PVEVNC:xx", CHALLENGE)
    assert challenge_response("ABCDEFG", CHALLENGE) != challenge_response("ABCDEFGH", CHALLENGE)


def test_nothing_is_said_of_old_algorithms():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        challenge_response("secret", CHALLENGE)


def test_the_library_may_be_missing(monkeypatch):
    real = builtins.__import__

    def without_cryptography(name, *rest):
        if name.startswith("cryptography"):
            raise ImportError(f"no {name}")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_cryptography)
    with pytest.raises(MissingLibrary) as caught:
        challenge_response("secret", CHALLENGE)
    assert caught.value.library == "cryptography"


# ---- towards a server

SERVERS = {
    "PVE": (BANNER + b"\1\2" + CHALLENGE + OK, True),
    "several types": (BANNER + b"\3\x13\1\2" + CHALLENGE + OK, True),
    "no password": (BANNER + b"\1\1" + OK, False),
    "3.7": (b"RFB 003.007\n\1\2" + CHALLENGE + OK, True),
    "3.7, no password": (b"RFB 003.007\n\1\1", False),
    "3.3": (b"RFB 003.003\n" + bytes([0, 0, 0, 2]) + CHALLENGE + OK, True),
    "3.3, no password": (b"RFB 003.003\n" + bytes([0, 0, 0, 1]), False),
    "newer than the standard": (b"RFB 004.001\n\1\2" + CHALLENGE + OK, True),
}


@pytest.mark.parametrize("name", SERVERS)
@given(cuts=CUTS, beyond=st.binary(max_size=40))
def test_logging_in(name, cuts, beyond):
    script, asks_password = SERVERS[name]
    handshake = ClientHandshake("secret", LABEL)
    sent = b"".join(handshake.feed(piece) for piece in pieces_of(script + beyond, cuts))
    assert handshake.done
    assert handshake.rest == beyond
    assert sent.startswith(b"RFB 003.00")
    assert sent.endswith(challenge_response("secret", CHALLENGE)) is asks_password


def test_what_is_sent_is_what_the_standard_says():
    handshake = ClientHandshake("secret", LABEL)
    assert handshake.feed(BANNER) == BANNER
    assert handshake.feed(b"\2\1\2") == b"\2"
    assert handshake.feed(CHALLENGE) == challenge_response("secret", CHALLENGE)
    assert not handshake.done
    assert handshake.feed(OK) == b""
    assert handshake.done
    old = ClientHandshake("secret", LABEL)
    assert old.feed(b"RFB 003.005\n" + bytes([0, 0, 0, 2])) == b"RFB 003.003\n"


@given(cuts=CUTS)
def test_a_refused_password_comes_with_the_words_of_the_server(cuts):
    handshake = ClientHandshake("secret", LABEL)
    pieces = pieces_of(BANNER + b"\1\2" + CHALLENGE + REASON, cuts)
    with pytest.raises(AuthenticationFailed, match=r"guest 100 \(web\) .*\(Authentication failed\)"):
        b"".join(handshake.feed(piece) for piece in pieces)
    assert not handshake.done


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (b"HTTP/1.1 400", "does not speak VNC, but began with b'HTTP/1.1 400'"),
        (BANNER + b"\0" + b"\0\0\0\x04busy", "refuses connections: busy"),
        (b"RFB 003.003\n" + bytes(4) + b"\0\0\0\x04busy", "refuses connections: busy"),
        (BANNER + b"\1\x13", r"offers the security types \[19\], of which none is known"),
        (BANNER + b"\0" + b"\xff\xff\xff\xff" + b"x" * 1024, "refuses connections: x{1024}$"),
    ],
)
def test_servers_that_cannot_be_talked_to(script, words):
    with pytest.raises(Refused, match=words):
        ClientHandshake("secret", LABEL).feed(script)


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        (b"", Refused, "before its greeting"),
        (BANNER, Refused, "before its security types"),
        (BANNER + b"\1\2" + CHALLENGE, AuthenticationFailed, "closed the connection"),
    ],
)
def test_a_server_that_hangs_up(script, kind, words):
    handshake = ClientHandshake("secret", LABEL)
    handshake.feed(script)
    error = handshake.broken_off()
    assert isinstance(error, kind)
    assert words in str(error)
    assert LABEL in str(error)


# ---- towards a viewer


def greet(handshake, version=b"RFB 003.008\n"):
    """A viewer of this version, up to the challenge."""
    assert handshake.feed(b"") == BANNER
    reply = handshake.feed(version)
    if version.endswith(b"3\n"):
        assert reply[:4] == bytes([0, 0, 0, 2])
        return reply[4:]
    assert reply == b"\1\2"
    return handshake.feed(b"\2")


@pytest.mark.parametrize("version", [b"RFB 003.003\n", b"RFB 003.007\n", b"RFB 003.008\n"])
def test_a_viewer_that_knows_the_password(version):
    handshake = ServerHandshake(["other", "one-time"])
    challenge = greet(handshake, version)
    assert len(challenge) == 16
    assert handshake.feed(challenge_response("one-time", challenge) + b"\0more") == b""
    assert handshake.proved
    assert handshake.password == "one-time"
    assert not handshake.done
    assert handshake.accept() == OK
    assert handshake.done
    assert handshake.rest == b"\0more"


@pytest.mark.parametrize(("version", "reason"), [(b"RFB 003.003\n", False), (b"RFB 003.008\n", True)])
def test_a_viewer_that_does_not(version, reason):
    handshake = ServerHandshake(["one-time"])
    challenge = greet(handshake, version)
    answer = handshake.feed(challenge_response("guess", challenge))
    assert answer == (b"\0\0\0\1" + b"\0\0\0\x15" + b"Authentication failed" if reason else b"\0\0\0\1")
    assert handshake.refused
    assert not handshake.proved
    assert not handshake.done


def test_a_password_that_is_gone_lets_nobody_in():
    passwords = {"one-time"}
    handshake = ServerHandshake(passwords)
    challenge = greet(handshake)
    passwords.clear()
    handshake.feed(challenge_response("one-time", challenge))
    assert handshake.refused


def test_challenges_differ():
    assert greet(ServerHandshake(["a"])) != greet(ServerHandshake(["a"]))


def test_a_viewer_that_proved_itself_can_still_be_told_why_there_is_no_console():
    handshake = ServerHandshake(["one-time"])
    handshake.feed(challenge_response("one-time", greet(handshake)))
    assert handshake.refuse("guest 100 is stopped") == b"\0\0\0\1" + b"\0\0\0\x14" + b"guest 100 is stopped"
    assert handshake.refused
    assert not handshake.proved


@pytest.mark.parametrize(
    ("version", "offer", "choice", "result"),
    [
        (b"RFB 003.003\n", bytes([0, 0, 0, 1]), b"", b""),
        (b"RFB 003.007\n", b"\1\1", b"\1", b""),
        (b"RFB 003.008\n", b"\1\1", b"\1", OK),
    ],
)
def test_without_a_password(version, offer, choice, result):
    handshake = ServerHandshake(None)
    handshake.feed(b"")
    assert handshake.feed(version) == offer
    handshake.feed(choice)
    assert handshake.proved
    assert handshake.accept() == result
    assert handshake.done


@pytest.mark.parametrize("passwords", [["one-time"], None])
def test_a_security_type_that_was_not_offered_is_no_way_in(passwords):
    handshake = ServerHandshake(passwords)
    handshake.feed(BANNER)
    assert b"not offered" in handshake.feed(b"\1" if passwords else b"\2")
    assert handshake.refused
    assert not handshake.proved


def test_no_password_at_all_is_not_the_same_as_letting_everybody_in():
    handshake = ServerHandshake([])
    handshake.feed(challenge_response("", greet(handshake)))
    assert handshake.refused


def test_something_else_than_a_viewer():
    handshake = ServerHandshake(["one-time"])
    assert handshake.feed(b"GET / HTTP/1.1\r\n") == BANNER
    assert handshake.refused


# ---- both together, and the session behind them


@given(st.lists(st.integers(min_value=1, max_value=30), min_size=1, max_size=50), st.sampled_from([["one-time"], None]))
def test_both_sides_agree(lengths, passwords):
    client, server = ClientHandshake("one-time", LABEL), ServerHandshake(passwords)
    to_client, to_server = server.feed(b""), b""
    for turn in range(200):
        length = lengths[turn % len(lengths)]
        piece, to_client = to_client[:length], to_client[length:]
        to_server += client.feed(piece)
        piece, to_server = to_server[:length], to_server[length:]
        to_client += server.feed(piece)
        if server.proved:
            to_client += server.accept()
    assert client.done
    assert server.done


@given(st.binary(max_size=60), CUTS)
def test_a_session_is_carried_byte_for_byte_but_always_shared(data, cuts):
    session = SharedSession()
    carried = b"".join(session.to_server(piece) for piece in pieces_of(data, cuts))
    assert carried == (b"\1" + data[1:] if data else b"")
