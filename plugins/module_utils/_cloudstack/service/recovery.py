# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests that were left half made, by a service that crashed or by an executable that was killed, are removed.

For that a credential is needed, and none is written down: it comes from the payload of the deployment, when that file
is still there, or from the next call for the same endpoint by the same token. Only the guest is removed whose notes
have the text of the very deployment; the taking back of a run does it in the same way.
"""

from __future__ import annotations

import os
import threading
import time
import typing as t
from concurrent.futures import Executor
from dataclasses import dataclass

from ..._operations.vm.deploy import Deployment
from ..._operations.vm.undo import take_down
from ..._pve.client import PveClient
from ..._pve.connection import ConnectionOptions
from ..._pve.deadline import Deadline
from ..._pve.errors import PveError
from ..._pve.guests import QEMU, Guest
from ..host import Host
from .journal import OLDEST_SECONDS, Entry, NotedUpids
from .resources import Resources
from .say import say

if t.TYPE_CHECKING:
    from ..run import Run

CLEAN_UP_SECONDS = 600.0
RETRY_SECONDS = 30.0
# A deployment that comes after one that is being removed leaves this much of its time for itself.
KEPT_SECONDS = 5.0
FACTS = ("instance", "vmid", "node", "deployment", "identity", "endpoints")


@dataclass(eq=False)
class _Remnant:
    """A guest that was left half made. due is when to try next, on the monotonic clock."""

    entry: Entry
    due: float = 0.0
    # Set while somebody is at work on it.
    done: threading.Event | None = None

    def fits(self, options: ConnectionOptions) -> bool:
        facts = self.entry.facts
        urls = {endpoint.url for endpoint in options.endpoints}
        return facts["identity"] == options.identity and not urls.isdisjoint(facts["endpoints"])


class Recovery:
    """Finds what was left half made and removes it."""

    def __init__(self, resources: Resources, executor: Executor) -> None:
        self._resources = resources
        self._executor = executor
        self._lock = threading.Lock()
        self._remnants: list[_Remnant] = []
        # By instance: deployments that take back themselves what they have made.
        self._broken_off: dict[str, list[threading.Event]] = {}

    def break_off(self, instance: str) -> t.Callable[[], None]:
        """A deployment of this instance takes itself back from now on; returns what to call when it has."""
        done = threading.Event()
        with self._lock:
            self._broken_off.setdefault(instance, []).append(done)

        def end() -> None:
            with self._lock:
                left = [item for item in self._broken_off.pop(instance, []) if item is not done]
                if left:
                    self._broken_off[instance] = left
            done.set()

        return end

    @property
    def waiting(self) -> int:
        """How many guests are left to be removed."""
        return len(self._remnants)

    @property
    def busy(self) -> bool:
        """Whether one is being removed right now."""
        with self._lock:
            return any(remnant.done is not None for remnant in self._remnants)

    def describe(self) -> list[dict[str, t.Any]]:
        """The guests that are left to be removed."""
        with self._lock:
            facts = [remnant.entry.facts for remnant in self._remnants]
        return [{name: item.get(name) for name in ("name", "vmid", "node", "identity")} for item in facts]

    def scan(self) -> None:
        """Look for what a service that is gone has left behind, and begin with what can be removed at once."""
        for entry in self._resources.journal.left_behind():
            facts = entry.facts
            if entry.answered or not all(name in facts for name in FACTS):
                # CloudStack may know of the guest, or PVE was never asked for it.
                entry.remove()
            elif entry.age > OLDEST_SECONDS:
                say(f"guest {facts['vmid']} on node {facts['node']} may be half made, and is too old to be touched")
                entry.remove()
            else:
                say(f"guest {facts['vmid']} on node {facts['node']} ({facts.get('name')}) was left half made")
                self.add(entry)
        for remnant in self._claim(lambda item: item.due == 0.0 and os.path.exists(item.entry.facts["payload"])):  # noqa: PTH110
            self._executor.submit(self._use_payload, remnant)

    def add(self, entry: Entry, options: ConnectionOptions | None = None) -> None:
        """Take charge of a guest that is to be removed, at once when the credential is there."""
        remnant = _Remnant(entry)
        with self._lock:
            self._remnants.append(remnant)
            if options is not None:
                remnant.done = threading.Event()
        if options is not None:
            self._executor.submit(self._remove, remnant, options)

    def offer(self, run: Run, wait: bool) -> None:
        """Use the credential of a call. With wait, the guest of the same instance, or number, is waited for."""
        if not self._remnants and not self._broken_off:
            return
        try:
            options, instance = run.connection(), run.payload.instance() if run.payload.vm else None
        except PveError:
            return  # The run finds that out for itself.
        for remnant in self._claim(lambda item: item.fits(options)):
            self._executor.submit(self._remove, remnant, options)
        if not wait or instance is None:
            return
        with self._lock:
            mine = [item.done for item in self._remnants if item.entry.facts["instance"] == instance.uuid]
            mine += self._broken_off.get(instance.uuid, [])
        for done in mine:
            if done is not None:
                done.wait(max(0.0, run.deadline.remaining - KEPT_SECONDS))

    def _claim(self, wanted: t.Callable[[_Remnant], bool]) -> list[_Remnant]:
        now = time.monotonic()
        with self._lock:
            claimed = [item for item in self._remnants if item.done is None and item.due <= now and wanted(item)]
            for remnant in claimed:
                remnant.done = threading.Event()
        return claimed

    def _use_payload(self, remnant: _Remnant) -> None:
        """Take the credential from the payload of the deployment, when it is still that."""
        from ..run import Run

        settings, facts = self._resources.settings, remnant.entry.facts
        try:
            run = Run("create", "", settings.policy_file, "", time.monotonic(), Host({}))
            run.open(facts["payload"])
            options = run.connection()
            if run.instance.uuid != facts["instance"] or not remnant.fits(options):
                raise PveError("the payload is of another deployment")
        except PveError:
            self._release(remnant)
            return
        self._remove(remnant, options)

    def _remove(self, remnant: _Remnant, options: ConnectionOptions) -> None:
        facts = remnant.entry.facts
        label = f"guest {facts['vmid']} on node {facts['node']} ({facts.get('name')})"
        try:
            problem = self._take_down(remnant.entry, options)
        except Exception as error:  # noqa: BLE001 - it is tried again later
            problem = f"{type(error).__name__}: {error}"
        if problem:
            say(f"{label} is still half made, and is looked at again later")
            self._release(remnant)
            return
        say(f"{label} is not, or no longer, half made")
        self._resources.counters.add("removed")
        remnant.entry.remove()
        with self._lock:
            self._remnants.remove(remnant)
        if remnant.done is not None:
            remnant.done.set()

    def _release(self, remnant: _Remnant) -> None:
        with self._lock:
            remnant.due = time.monotonic() + RETRY_SECONDS
            done, remnant.done = remnant.done, None
        if done is not None:
            done.set()

    def _take_down(self, entry: Entry, options: ConnectionOptions) -> str:
        """Remove the guest; says why it could not be."""
        facts = entry.facts
        transport = self._resources.sessions.borrow(options)
        try:
            client = PveClient(options, Deadline(CLEAN_UP_SECONDS), transport)
            client.own_upids = NotedUpids(entry.note_task, facts.get("upids") or ())
            template = facts.get("template")
            deployment = Deployment(
                int(facts["vmid"]),
                facts["node"],
                facts["deployment"],
                ordered=True,
                template=Guest(int(template[0]), str(template[1]), QEMU) if template else None,
            )
            return take_down(client, deployment, None, age=entry.age)
        finally:
            self._resources.sessions.give_back(transport)
