# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Data as it may arrive: in pieces. Runs on Python 3.9, as what it is given to does."""

from __future__ import annotations

from collections.abc import Iterable


def pieces_of(data: bytes, cuts: Iterable[int] = ()) -> list[bytes]:
    """The data cut at these places, which are taken modulo its length; equal ones make an empty piece."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in zip(edges, edges[1:])]  # noqa: B905, RUF007
