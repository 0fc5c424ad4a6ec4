# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files that guests are made from."""

from __future__ import annotations

import functools
import typing as t
from dataclasses import replace

from ..plan import Applier
from ..volumes.volume_request import VolumeRequest

if t.TYPE_CHECKING:
    from ..volumes.survey import Survey


def survey_image(applier: Applier, image: VolumeRequest, node: str) -> Survey:
    """Look for a file on the node's storage, once in a run for all guests; raises a PveError."""
    # Few requests have images: its imports, such as hashlib and pathlib, take longer than most of the others.
    from ..volumes.survey import survey_volume

    request = replace(image, nodes=(node,))
    look = functools.partial(survey_volume, applier.client, request, applier.check_mode)
    return applier.once.get(("survey", request), look)


def fetch_image(applier: Applier, image: VolumeRequest, node: str) -> None:
    """Have a file on the node's storage, fetched once in a run for all guests; raises a PveError."""
    from ..volumes.ensure_volume import bring_about

    survey = survey_image(applier, image, node)
    applier.once.get(survey.request, functools.partial(bring_about, applier, survey))
