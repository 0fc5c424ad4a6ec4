# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a guest belongs while its node is in maintenance: a tag, which lists of guests show and moves keep."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..._pve.client import PveClient
from ..._pve.commands import Command, repeat_on_conflict, run_command
from ..._pve.guests import Guest, GuestHandle
from ..._pve.tasks import Task
from ..facts import split_tags
from ..maintenance_tags import moved_tag, stopped_tag
from ..plan import Change


def was_moved_from(guest: Guest, node: str) -> bool:
    return moved_tag(node, guest.vmid) in _folded(split_tags(guest.tags))


def was_stopped_on(guest: Guest, node: str) -> bool:
    return stopped_tag(node, guest.vmid) in _folded(split_tags(guest.tags))


def remembered_home(tags: t.Iterable[str], vmid: int, nodes: t.Iterable[str]) -> bool:
    """The guest has a node of the cluster to return to already, and keeps that one."""
    return not {moved_tag(node, vmid) for node in nodes}.isdisjoint(_folded(tags))


def _folded(tags: t.Iterable[str]) -> list[str]:
    return [tag.lower() for tag in tags]


@dataclass(frozen=True)
class TagStep:
    """A tag more, or tags less, whatever else is written to the guest at the same time."""

    title: str
    add: str | None = None
    remove: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        return (Change("tags", list(self.before) or None, self._after(self.before) or None),)

    def _after(self, tags: t.Sequence[str]) -> list[str]:
        kept = [tag for tag in tags if tag.lower() not in self.remove]
        return kept if self.add is None or self.add in map(str.lower, kept) else [*kept, self.add]

    def run(self, client: PveClient, handle: GuestHandle | None) -> Task | None:
        """Write the tags that the guest has now, and this one; raises a PveError."""
        if handle is None:
            raise TypeError("tags are about a guest")
        return repeat_on_conflict(client, lambda: self._write(client, handle))

    def _write(self, client: PveClient, handle: GuestHandle) -> Task | None:
        config = handle.read("config")
        tags = split_tags(config.get("tags"))
        wanted = self._after(tags)
        if wanted == list(tags):
            return None
        form = {"tags": ";".join(wanted)} if wanted else {"delete": "tags"}
        guest = handle.guest
        command = Command(
            "PUT", (guest.kind, guest.vmid, "config"), {**form, "digest": config.get("digest")}, node=guest.node
        )
        return run_command(client, command, handle)
