# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make a virtual machine, configure it and start it, in few requests; undo.py takes it down again when that fails.

Other than ensure_vm it makes a new guest always, and believes that PVE made what was asked for: what a clone will look
like is known from its source, so it need not be read again.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..._pve.client import PveClient
from ..._pve.errors import NotFound, PveError
from ..._pve.guests import QEMU, Guest, GuestHandle, Selector, find_guest, is_absent
from ..plan import Applier, Outcome, Plan, outcome
from ..power import PowerRequest, plan_power
from ..vm.vm_request import VmRequest
from .change_plan import plan_changes
from .creation import Creation, Source, plan_clone, plan_create, read_source
from .placement import Cluster
from .state import Origin, config_reader, new_guest_status, read_state, state_result

CREATION_TASKS = ("qmcreate", "qmclone")
RequestFrom = t.Callable[[Source], VmRequest]


@dataclass
class Deployment:
    """A guest on its way. deployment is the text in its notes that no other guest has, and none had before."""

    vmid: int
    node: str
    deployment: str
    ordered: bool = False
    # How many changes the client had sent then.
    changes_before: int = 0
    template: Guest | None = None
    # What is to be done once the guest runs.
    finish: list[Plan] = field(default_factory=list)
    # Called right before PVE is asked for the guest.
    on_order: t.Callable[[Deployment], None] | None = None


def deploy_clone(
    applier: Applier, deployment: Deployment, template: Selector, template_node: str, request_from: RequestFrom
) -> Outcome:
    """Clone a template, configure the clone, and start it. Six requests when nothing has to be looked for.

    request_from gets the template as it was read. Raises a PveError; what was made till then stays for take_down.
    """
    source = find_source(applier.client, template, template_node)
    deployment.template = source.handle.guest
    request = request_from(source)
    creation = plan_clone(request, source)
    return _deploy(applier, deployment, request, creation)


def deploy_new(applier: Applier, deployment: Deployment, request: VmRequest) -> Outcome:
    """Make a guest that is no clone, and start it; raises as deploy_clone does."""
    return _deploy(applier, deployment, request, plan_create(applier.client, request, Cluster((), ())))


def find_source(client: PveClient, template: Selector, node: str) -> Source:
    """Find the template, on this node first, and read it; raises NotFound or Ambiguous.

    A name means templates only: what is none may be called as whoever it belongs to likes.
    """
    try:
        if template.vmid is not None:
            return read_source(GuestHandle(client, Guest(template.vmid, node, QEMU)))
        guest = find_guest(client, template._replace(template=True), node=node)
    except PveError as error:
        if not is_absent(error):
            raise
        guest = None
    if guest is None:
        raise NotFound(f"there is no {template._replace(template=True)} that {client.identity} can see")
    source = read_source(GuestHandle(client, guest))
    found = (source.values.get("name"), source.values.get("template"))
    if template.name is not None and found != (template.name, "1"):
        raise NotFound(f"{guest.label} on node {guest.node} was the {template} until a moment ago: try again")
    return source


def _deploy(applier: Applier, deployment: Deployment, request: VmRequest, creation: Creation) -> Outcome:
    client = applier.client
    if not applier.check_mode:
        deployment.ordered, deployment.changes_before = True, client.changes_sent
        if deployment.on_order is not None:
            deployment.on_order(deployment)
    made = applier.apply(Plan((creation,)))
    handle = creation.handle(client)
    state = creation.expected
    if made and any(disk.parts for disk in request.disks) and state.origin is Origin.CLONED:
        # A drive's properties are written together with the name of its volume, which only PVE knows.
        state = read_state(handle, state.origin, new_guest_status(request.selector.name or ""))
    applier.apply(plan_changes(request, state, config_reader(handle)), handle)
    start = plan_power(PowerRequest(request.selector, "started"), handle.guest, new_guest_status(""))
    for plan in (start, *deployment.finish):
        applier.apply(plan, handle)
    guest, _facts = state_result(state)
    return outcome(applier, guest)
