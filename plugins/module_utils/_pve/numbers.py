# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Numbers as people and PVE read them."""

from __future__ import annotations

import math

from .errors import InvalidRequest

_SMALLEST_DIGIT = 20


def in_full(value: float) -> str:
    """Write a number without an exponent, and without a fraction that is 0."""
    text = str(value)
    if "e" in text:
        text = f"{value:.{_SMALLEST_DIGIT}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def write_number(value: float) -> str:
    """Write a number as PVE takes it, or raise InvalidRequest for what is none."""
    if not math.isfinite(value):
        raise InvalidRequest(f"{value} is not a number that PVE can store")
    return in_full(value)
