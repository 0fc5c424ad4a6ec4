# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Public SSH keys as lines of an authorized_keys file: which lines are keys, and whether OpenSSH takes them.

PVE checks all lines with ssh-keygen and names none of them when one is wrong (PVE::Tools::validate_ssh_public_keys).
"""

from __future__ import annotations

import base64
import binascii
import re
import typing as t

from .errors import InvalidRequest

_POINT_LENGTHS = {"nistp256": 65, "nistp384": 97, "nistp521": 133}
_ED25519_LENGTH = 32
_LENGTH_SIZE = 4
_LEAST_RSA_BITS = 1024  # SSH_RSA_MINIMUM_MODULUS_SIZE of OpenSSH
_TYPES = re.compile(
    r"(?P<plain>ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-ssh-ed25519@openssh\.com"
    r"|sk-ecdsa-sha2-nistp256@openssh\.com)"
    r"|(?P<certificate>(sk-)?(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521))-cert-v01@openssh\.com)"
)
# The options of a line end at the first blank outside of quotation marks (sshkey_advance_past_options of OpenSSH).
_OPTIONS = re.compile(r'(?:\\"|"(?:\\"|[^"])*"|[^\s"])+[ \t]+')


def key_lines(text: str) -> tuple[tuple[int, str], ...]:
    """The lines that are to be keys, with their numbers; blank lines and comments are left out."""
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    return tuple((number, line) for number, line in lines if line and not line.startswith("#"))


def check_keys(option: str, entries: t.Sequence[str]) -> None:
    """Raise InvalidRequest, saying which one it is, when PVE would refuse a key."""
    for index, text in enumerate(entries):
        for number, line in key_lines(text):
            problem = key_problem(line)
            if problem is not None:
                place = f", line {number}," if "\n" in text.strip() else ""
                raise InvalidRequest(f"{option}[{index}]{place} {problem}")


def key_problem(line: str) -> str | None:
    """What is wrong with a line that is to be a public key; None when nothing is. Never repeats what may be secret."""
    if "PRIVATE KEY" in line:
        return "is a private key: give the public one, and regard the private one as disclosed"
    words = line.split(None, 2)
    options = _OPTIONS.match(line)
    if not _TYPES.fullmatch(words[0]) and options:
        words = line[options.end() :].split(None, 2)
    kind = _TYPES.fullmatch(words[0]) if words else None
    if kind is None:
        return "does not begin with a type of key as in ssh-ed25519, nor with options and a type"
    if len(words) == 1:
        return f"has no key after {words[0]}"
    try:
        blob = base64.b64decode(words[1], validate=True)
        fields = _fields(blob)
    except (binascii.Error, ValueError):
        return f"is damaged: what follows {words[0]} is not a whole key in base64"
    if fields[0] != words[0].encode():
        return f"is damaged: it is called {words[0]}, and what follows is another type of key"
    if kind["plain"] and not _is_whole(words[0], fields[1:]):
        return f"is damaged: what follows {words[0]} is no such key"
    return None


def _fields(blob: bytes) -> list[bytes]:
    """The fields of a key, each of which has its length before it (RFC 4251, string); raises ValueError."""
    fields, rest = [], blob
    while rest:
        if len(rest) < _LENGTH_SIZE:
            raise ValueError("the length of a field is cut off")
        length = int.from_bytes(rest[:_LENGTH_SIZE], "big")
        field, rest = rest[_LENGTH_SIZE : _LENGTH_SIZE + length], rest[_LENGTH_SIZE + length :]
        if len(field) != length:
            raise ValueError("a field of the key is cut off")
        fields.append(field)
    if not fields:
        raise ValueError("the key is empty")
    return fields


def _is_whole(kind: str, fields: t.Sequence[bytes]) -> bool:
    hardware = kind.startswith("sk-")
    if hardware:
        # The last field is the application that the key is for.
        fields = fields[:-1]
    if kind == "ssh-rsa":
        lengths = [int.from_bytes(field, "big").bit_length() for field in fields]
        return len(fields) == 2 and lengths[1] >= _LEAST_RSA_BITS
    if "ecdsa" in kind:
        curve = kind.partition("@")[0].rpartition("-")[2]
        return [field[:8] for field in fields[:1]] == [curve.encode()] and _is_point(fields[1:], _POINT_LENGTHS[curve])
    return [len(field) for field in fields] == [_ED25519_LENGTH]


def _is_point(fields: t.Sequence[bytes], length: int) -> bool:
    """Whether it is one uncompressed point, the only form that OpenSSH takes."""
    return len(fields) == 1 and len(fields[0]) == length and fields[0][0] == 4
