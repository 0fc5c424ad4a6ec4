# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finding what a run has begun, when it has to be called off."""

from __future__ import annotations

from dataclasses import dataclass

from .._pve.client import PveClient
from .._pve.commands import LATE_SECONDS
from .._pve.errors import AnswerLost
from .._pve.guests import GuestHandle
from .._pve.tasks import Upid, find_own_task, parse_upid


@dataclass(frozen=True)
class Moment:
    """A moment of a run: the server's time, and how many changes had been sent."""

    server_time: int
    changes_sent: int

    @classmethod
    def now(cls, client: PveClient) -> Moment:
        return cls(client.server_time, client.changes_sent)


def own_tasks(handle: GuestHandle, task_type: str, before: Moment) -> list[Upid]:
    """The tasks of this type that the run has begun since then; none when it has sent nothing since.

    Raises AnswerLost when it has sent something, and PVE shows no task of it: it may still begin with it.
    """
    client, guest = handle.client, handle.guest
    upids = [upid for upid in map(parse_upid, sorted(client.own_upids)) if upid.type == task_type]
    if upids or client.changes_sent == before.changes_sent:
        return upids
    tries = client.deadline.tries(LATE_SECONDS)
    while True:
        lost = find_own_task(client, guest.node, task_type, str(guest.vmid), before.server_time)
        if lost is not None:
            return [lost]
        if not tries.again():
            raise AnswerLost(
                f"PVE did not say whether it began with it, and shows no task {task_type} of {guest.label} on node "
                f"{guest.node}: look at its tasks"
            )
