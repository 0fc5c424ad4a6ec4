# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the machinery has to know of a kind of guest; everything else is the same for all of them."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..._pve.guests import KIND_NAMES
from ..._pve.value_types import ValueType


@dataclass(frozen=True)
class GuestKind:
    """A kind of guest as data: how PVE's API calls it, and what its keys mean."""

    # Below a node, as in /nodes/pve1/qemu.
    path: str
    # How the names of its tasks begin, as in qmcreate.
    task_prefix: str
    value_type_of: t.Callable[[str], ValueType]
    # The name of a clone that was not given one, by that of its source.
    clone_name: str
    # The option that has its volumes.
    volumes_option: str
    # How a volume is moved: the endpoint, its parameter for the slot, and the task.
    move: tuple[str, str, str]
    # The key that tells a guest of this run from one of somebody else, and a new value of it.
    mark: tuple[str, t.Callable[[], str]] | None = None
    # The keys that make a guest this one and no other, should its number be given to another meanwhile.
    identity: tuple[str, ...] = ()
    # Of a source's settings, those that a clone has anew or not at all, and what it has of one instead.
    not_cloned: frozenset[str] = frozenset()
    cloned: t.Mapping[str, t.Callable[[str], str]] = field(default_factory=dict)
    # The keys that are written and never read back.
    write_only: frozenset[str] = frozenset()
    # The keys that no such guest is without.
    required_keys: frozenset[str] = frozenset()
    # POST writes the configuration in a task, for what takes longer than the 30 s after which PUT is given up.
    writes_in_tasks: bool = False
    # One call deletes a key and its volume; else the volume becomes an unused one first, which is deleted then.
    deletes_volumes: bool = False
    # To delete a key takes back what is pending for it, which else comes true after the deletion (PVE::LXC::Config,
    # vmconfig_apply_pending).
    deletes_pending: bool = True
    # The volumes of a running guest can be moved.
    moves_running: bool = True
    # PVE names the task that makes a template, and does not answer before it has ended.
    names_template_task: bool = True
    # The feature in `hotplug` by which a running guest gives up some of a key, which takes long.
    unplugged_by: t.Mapping[str, str] = field(default_factory=dict)
    # Keys that are no settings, those that cannot be written by their name, and those that have an option of their own,
    # with words that say so.
    reserved_keys: frozenset[str] = frozenset()
    unwritable: tuple[tuple[t.Pattern[str], str], ...] = ()
    elsewhere: tuple[tuple[t.Pattern[str], str], ...] = ()

    @property
    def noun(self) -> str:
        """How messages call such a guest."""
        return KIND_NAMES[self.path]

    def task(self, name: str) -> str:
        """PVE's name of a task of such guests."""
        return f"{self.task_prefix}{name}"

    @property
    def creation_tasks(self) -> frozenset[str]:
        """The tasks that make such guests."""
        return frozenset(self.task(name) for name in ("create", "clone", "restore"))
