# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Import: the instance gets an existing guest, which the operator names for it in import_map."""

from __future__ import annotations

import typing as t

from ..._operations.guest.state import read_state
from ..._pve.errors import InvalidRequest, NotFound
from ..guests import locate
from ..owned import OwnGuest
from ..ownership import Verdict, foreign, judge, read_mark
from ..run import Run

DETAIL = "import_map"


def imported_vmid(run: Run) -> int | None:
    """The number of the guest that the operator has named for the instance, by its name or UUID; None without one."""
    named, instance = run.details.mapping(DETAIL), run.instance
    text = named.get(instance.uuid) or named.get(instance.name)
    if text is None:
        return None
    if not text.isdigit() or not 100 <= int(text) <= 999_999_999:
        raise InvalidRequest(f"{DETAIL}: {text[:100]!r} for {instance.name} is not the number of a guest")
    return int(text)


def import_own(run: Run, vmid: int) -> OwnGuest:
    """Mark the guest as the instance's, unless it is that already; raises a PveError for one that cannot be.

    Nothing but its notes and its tags is changed.
    """
    if run.vmid != vmid:
        raise InvalidRequest(
            f"{DETAIL} names guest {vmid} for {run.instance.name}, and CloudStack has proxmox_vmid {run.vmid}: nothing "
            f"was changed"
        )
    found = locate(run)
    if found is None:
        raise NotFound(f"there is no guest {vmid}, which {DETAIL} names for {run.instance.name}")
    handle, status = found
    own = OwnGuest(run, run.applier(), handle, read_state(handle, status=status))
    state, label = own.state, own.label
    mark = read_mark(state.values)
    if state.values.get("template") == "1":
        raise InvalidRequest(f"{label} is a template, so it cannot be {run.instance.name}")
    if judge(mark, "", run.instance, "require") is Verdict.OURS:
        return own
    if mark.genuine:
        raise foreign(label, handle.guest.node, mark, run.instance, "require")
    own.mark(mark)
    return own


def import_guest(run: Run) -> dict[str, t.Any]:
    """Give the guest that import_map names the mark of the instance; nothing else of it is changed."""
    vmid = imported_vmid(run)
    if vmid is None:
        raise InvalidRequest(f"{DETAIL} of the site policy names no guest for {run.instance.name}")
    guest = import_own(run, vmid)
    return {"message": f"Instance is {guest.label} on node {guest.handle.guest.node}"}
