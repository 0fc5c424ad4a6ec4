# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sizes of disks, in bytes and in PVE's words."""

from __future__ import annotations

import re
from decimal import Decimal

from .errors import InvalidRequest

KIBIBYTE = 1024
MEBIBYTE = 1024**2
GIBIBYTE = 1024**3
_UNITS = {"": 1, "K": KIBIBYTE, "M": MEBIBYTE, "G": GIBIBYTE, "T": 1024**4}
_SIZE = re.compile(r"(?P<number>\d+(\.\d+)?)(?P<unit>[KMGT]?)(i?B)?", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Read a size as in 32G, 32768M or 0.5T into bytes; a number without a unit is bytes.

    Raises InvalidRequest when it is none. Units are powers of 1024 (PVE::JSONSchema::parse_size).
    """
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise InvalidRequest(f"{text!r} is not a size: write it as in 32G, 512M or 1T")
    return int(Decimal(match["number"]) * _UNITS[match["unit"].upper()])


def format_size(size: int) -> str:
    """Write bytes as PVE does, in the largest unit that needs no fraction (PVE::JSONSchema::format_size)."""
    for unit in ("T", "G", "M", "K"):
        if size and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)


def whole_kibibytes(size: int) -> int:
    """Round bytes up as PVE does when it makes a volume (PVE::Tools::convert_size)."""
    return -(-size // KIBIBYTE) * KIBIBYTE


def whole_mebibytes(size: int) -> int:
    """Round bytes up to what PVE makes volumes of containers of (PVE::LXC, create_disks)."""
    return -(-size // MEBIBYTE) * MEBIBYTE


def gibibytes(size: int) -> str:
    """Write bytes as the number that allocates a volume, which PVE reads as GiB (PVE::QemuServer::Drive)."""
    whole = Decimal(size) / GIBIBYTE
    return f"{whole.normalize():f}"
