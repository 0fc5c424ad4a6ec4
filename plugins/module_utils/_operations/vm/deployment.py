# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A virtual machine that is made, configured and started in one go; cleanup.py removes it again when that fails."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..._pve.client import PveClient
from ..._pve.guests import Guest
from ..guest.creation import Source, plan_clone, plan_create
from ..guest.ensure_guest import create_guest
from ..guest.state import new_guest_status
from ..plan import Applier, Plan
from ..power import PowerRequest, plan_power
from .vm_request import VmRequest


@dataclass
class Deployment:
    """A guest on its way. deployment is the text in its notes that no other guest has, and none had before."""

    vmid: int
    node: str
    deployment: str
    requested: bool = False
    # How many changes the client had sent then.
    changes_before: int = 0
    template: Guest | None = None
    # What is to be done once the guest runs.
    finish: list[Plan] = field(default_factory=list)
    # Called right before PVE is asked for the guest.
    on_request: t.Callable[[Deployment], None] | None = None

    def begin(self, client: PveClient) -> None:
        """Note that PVE is asked for the guest now."""
        self.requested, self.changes_before = True, client.changes_sent
        if self.on_request is not None:
            self.on_request(self)


def deploy(applier: Applier, deployment: Deployment, request: VmRequest, source: Source | None = None) -> None:
    """Make the guest, as a clone of the source if there is one, configure it, and start it.

    Six requests for a clone when nothing has to be looked for. Raises a PveError; what was made until then stays.
    """
    if source is not None:
        deployment.template = source.handle.guest
    creation = plan_clone(request, source) if source else plan_create(applier.client, request)
    if not applier.check_mode:
        deployment.begin(applier.client)
    handle, _state = create_guest(applier, request, creation)
    start = plan_power(PowerRequest(request.selector, "started"), handle.guest, new_guest_status(""))
    for plan in (start, *deployment.finish):
        applier.apply(plan, handle)
