# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many guests that are to be on other nodes: where several will do, one plan spreads them all."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ..._pve.guests import Guest
from ..many.many_request import Entry, ManyRequest
from ..many.running import GuestOutcome, ManyOutcome, ensure_many
from ..plan import Applier, Outcome
from .ensure_migration import Look, look_at_move
from .migration_request import MigrationRequest
from .spreading import Move, spread

_LOOK = "look"


def ensure_migrations(applier: Applier, request: ManyRequest) -> ManyOutcome:
    """Have each guest on one of its nodes; raises a PveError only before anything has been changed."""
    if not _may_choose(request):
        return ensure_many(applier, request)
    looks = look_at_moves(applier, request)
    return ensure_many(applier, replace(request, entries=planned(looks), selection=None, entry_of=None))


def look_at_moves(applier: Applier, request: ManyRequest) -> tuple[GuestOutcome, ...]:
    """Read all guests, and what stands in the way of moving them, several at a time; nothing is changed."""

    def look(at: Applier, guest: MigrationRequest) -> Outcome:
        return Outcome(changed=False, facts={_LOOK: look_at_move(at, guest)})

    looking = Applier(applier.client, check_mode=True, once=applier.once)
    return ensure_many(looking, replace(request, operation=look, per_node=None, on_failure="continue")).guests


def look_of(guest: GuestOutcome) -> Look | None:
    """What was seen of a guest; None when it could not be looked at."""
    return guest.outcome.facts[_LOOK] if guest.outcome is not None else None


def planned(looks: t.Sequence[GuestOutcome]) -> tuple[Entry, ...]:
    """The entries with the node that the plan for all of them has for each."""
    moving = [(guest.entry, look) for guest in looks for look in [look_of(guest)] if look and look.preconditions]
    free = moving[0][1].free if moving else {}
    chosen: dict[int, str | None] = {}
    for overcommit in (False, True):
        some = [
            Move(look.handle.guest.vmid, look.memory, look.suitable)
            for entry, look in moving
            if entry.request.overcommit_memory is overcommit
        ]
        found = spread(some, free, overcommit=overcommit)
        chosen.update(found)
        for move in some:
            target = found[move.vmid]
            if target is not None:
                free[target] = free.get(target, 0) - move.memory
    entries = []
    for guest in looks:
        look, request = look_of(guest), guest.entry.request
        if look is not None and look.preconditions is not None:
            request = replace(request, planned=chosen[look.handle.guest.vmid], free=free)
        entries.append(replace(guest.entry, request=request))
    return tuple(entries)


def _may_choose(request: ManyRequest) -> bool:
    entries = request.entries
    if request.entry_of is not None and request.selection is not None:
        entries = (request.entry_of(Guest(100, "", "")),)
    return any(len(entry.request.nodes) > 1 for entry in entries)
