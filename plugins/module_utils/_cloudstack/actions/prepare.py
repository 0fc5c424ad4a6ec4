# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""prepare: the number of a new guest. It imports little, since it does little."""

from __future__ import annotations

import os
import typing as t

from ..._operations.selection import check_vmid
from ..._pve.errors import AlreadyExists, InvalidRequest, NotFound
from ..guest_names import check_guest_name
from ..guests import is_free
from ..run import Run
from ..tags import check_tags

VMID_TRIES = 20


def prepare(run: Run) -> dict[str, t.Any]:
    """Choose the number of the guest: CloudStack reads it from this answer alone, and not from that of create."""
    if run.details.mapping("import_map"):
        imported = _imported(run)
        if imported is not None:
            return {"details": {"proxmox_vmid": str(imported)}}
    check_guest_name(run)
    if run.instance.vmid is not None:
        # It was prepared before, and CloudStack retries.
        _clear(run, run.instance.vmid)
    # CloudStack always prepares what it creates, so that create need not ask.
    check_tags(run, lambda: _tags_of_template(run))
    return {"details": {"proxmox_vmid": str(_choose_vmid(run))}}


def _imported(run: Run) -> int | None:
    """The number of the guest that the operator has named for the instance; create takes it as it is."""
    from .imports import imported_vmid

    vmid = imported_vmid(run)
    if vmid is not None and is_free(run, vmid):
        raise NotFound(f"there is no guest {vmid}, which import_map names for {run.instance.name}")
    return vmid


def _tags_of_template(run: Run) -> t.Iterable[str]:
    from .create import tags_of_template

    return tags_of_template(run)


def _choose_vmid(run: Run) -> int:
    offset = run.details.number("vmid_offset")
    if offset is not None:
        if run.instance.id is None:
            raise InvalidRequest("vmid_offset needs cloudstack.vm.details.id, which is missing")
        vmid = offset + run.instance.id
        check_vmid("vmid_offset", vmid)
        if not is_free(run, vmid) and not _clear(run, vmid):
            raise AlreadyExists(
                f"guest {vmid} (vmid_offset {offset} and CloudStack's id {run.instance.id}) is there already"
            )
        return vmid
    lowest, highest = (int(text) for text in run.details.required("vmid_range").split("-"))
    check_vmid("vmid_range", lowest)
    check_vmid("vmid_range", highest)
    if lowest > highest:
        raise InvalidRequest(f"vmid_range: {lowest} is more than {highest}")
    for _try in range(VMID_TRIES):
        # PVE reserves no number. Random ones make it unlikely that two calls choose the same.
        vmid = lowest + int.from_bytes(os.urandom(8), "big") % (highest - lowest + 1)
        if is_free(run, vmid):
            return vmid
    raise AlreadyExists(f"{VMID_TRIES} numbers from {lowest} to {highest} were taken: give a wider vmid_range")


def _clear(run: Run, vmid: int) -> bool:
    """Remove what an earlier deployment of the instance has left under this number; False when it is none."""
    from ..owned import remove_unfinished

    return remove_unfinished(run, vmid)
