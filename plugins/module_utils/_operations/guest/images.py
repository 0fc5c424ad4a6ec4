# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files that guests are made from."""

from __future__ import annotations

import functools
import typing as t
from dataclasses import replace

from ..._pve.client import PveClient
from ..._pve.errors import NotFound, PermissionDenied, Refused
from ..._pve.storages import storage_of
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


# What PVE says of a file that is not there (70-storage.json: "volume attributes missing"); of what it cannot look into,
# as the volumes of some storages, it says other things.
_MISSING = "failed - no format"


class VolumeLook(t.NamedTuple):
    """What PVE says of a volume: whether it is missing for certain, and the size of the disk in it, if it tells."""

    is_missing: bool = False
    size: int | None = None


def look_at(client: PveClient, source: str, node: str) -> VolumeLook:
    """Look at a volume; nobody can at a path, at the medium of a drive of the node, or at a disk in an archive."""
    if ":" not in source or source.startswith("/") or ".ova/" in source:
        return VolumeLook()
    try:
        # The list of a storage has the sizes of the files only (73-volumes.json).
        return VolumeLook(
            size=int(client.read("nodes", node, "storage", storage_of(source), "content", source)["size"])
        )
    except Refused as error:
        return VolumeLook(is_missing=_MISSING in error.cause.pve_message)
    except (NotFound, PermissionDenied):
        return VolumeLook()


def existing_size(applier: Applier, place: str, source: str, node: str) -> int | None:
    """The size of a volume, if PVE tells it, looked up once in a run; raises NotFound when it is not there."""
    found = applier.once.get(("volume", source, node), lambda: look_at(applier.client, source, node))
    if found.is_missing:
        raise NotFound(f"{place}: there is no {source} on node {node}")
    return found.size
