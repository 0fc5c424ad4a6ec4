# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files that guests are made from."""

from __future__ import annotations

import functools
from dataclasses import replace

from ..plan import Applier
from ..volumes.volume_request import VolumeRequest


def fetch_image(applier: Applier, image: VolumeRequest, node: str) -> None:
    """Have a file on the node's storage, fetched once in a run for all guests; raises a PveError."""
    # Few requests have images: its imports, such as hashlib and pathlib, take longer than most of the others.
    from ..volumes.ensure_volume import ensure_volume

    request = replace(image, nodes=(node,))
    applier.once.get(request, functools.partial(ensure_volume, applier, request))
