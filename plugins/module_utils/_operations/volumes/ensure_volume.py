# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bring a file on a storage into the state asked for: read, plan, apply."""

from __future__ import annotations

import typing as t

from ..._pve.errors import Refused
from ..._pve.storages import NodeStorage, Volume, find_volume
from ..plan import Applier, Outcome, outcome
from .file_names import normalised
from .sources import Verdict
from .survey import Survey, survey_volume
from .volume_plan import plan_volume
from .volume_request import VolumeRequest


def ensure_volume(applier: Applier, request: VolumeRequest) -> Outcome:
    """Have a file on a storage, or have it gone; raises a PveError.

    When it is as asked, that takes a request for the storages, one for each of them to see the file, and one or two to
    compare it with the checksum or with the size at its source.
    """
    return bring_about(applier, survey_volume(applier.client, request, applier.check_mode))


def bring_about(applier: Applier, survey: Survey) -> Outcome:
    """Do what a survey leaves to be done; raises a PveError."""
    request, states = survey.request, survey.states
    made = applier.apply(plan_volume(request, states, applier.progress))
    volumes = [state.volume for state in states]
    if request.state != "absent":
        if made:
            volumes = [find_volume(applier.client, request.volid, state.storage.node) for state in states]
            _check_made(request, [state.storage for state in states], volumes)
        else:
            volumes = [state.volume or _predicted(request, state.storage, survey.size) for state in states]
    verdicts: list[Verdict] = [state.verdict for state in states if state.verdict]
    return outcome(
        applier,
        None,
        survey.warnings,
        volid=request.volid,
        volumes=[volume.as_result() for volume in volumes if volume is not None],
        compared_by=verdicts[0].compared_by if verdicts else None,
        awaited_tasks=list(survey.awaited),
    )


def _check_made(request: VolumeRequest, storages: t.Sequence[NodeStorage], volumes: t.Sequence[Volume | None]) -> None:
    for storage, volume in zip(storages, volumes):
        if volume is None:
            raise Refused(
                f"{request.volid} is not on node {storage.node} although PVE's task to make it ended well: "
                f"look at the node's tasks"
            )


def _predicted(request: VolumeRequest, storage: NodeStorage, size: int | None) -> Volume:
    """The file as it would be listed, in check mode."""
    ending = normalised(request.file_name).rpartition(".")[2]
    form = "iso" if request.content == "iso" else ending if request.content == "import" else f"t{ending}"
    return Volume(request.volid, storage.node, request.content, form, size, {})
