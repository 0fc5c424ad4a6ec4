# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Import: a guest that is there becomes the instance's, because the operator says so."""

from __future__ import annotations

import typing as t

from ..._pve.errors import InvalidRequest
from ..imports import DETAIL, import_own, imported_vmid
from ..run import Run


def import_guest(run: Run) -> dict[str, t.Any]:
    """Give the guest that import_map names the mark of the instance; nothing else of it is changed."""
    vmid = imported_vmid(run)
    if vmid is None:
        raise InvalidRequest(f"{DETAIL} of the site policy names no guest for {run.instance.name}")
    handle, _state = import_own(run, run.applier(), vmid)
    return {"message": f"Instance is {handle.guest.label} on node {handle.guest.node}"}
