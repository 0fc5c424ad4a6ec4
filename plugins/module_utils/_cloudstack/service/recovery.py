# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removes guests that were left unfinished by a crashed service or a killed executable.

That needs a credential, and none is stored: it comes from the payload of the deployment, if that file still exists, or
from the next call with the same endpoint and token. A guest is removed only if its notes contain the text of the
deployment; an action that cleans up after itself uses the same function.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import typing as t
from concurrent.futures import Executor
from dataclasses import dataclass

from ..._operations.vm.cleanup import remove_deployment
from ..._operations.vm.deployment import Deployment
from ..._pve.client import PveClient
from ..._pve.connection import ConnectionOptions
from ..._pve.deadline import Deadline
from ..._pve.errors import PveError
from ..._pve.guests import QEMU, Guest
from ..call_request import CallRequest
from .journal import OLDEST_SECONDS, Entry, NotedUpids
from .resources import Resources
from .say import say

CLEAN_UP_SECONDS = 600.0
RETRY_SECONDS = 30.0
# A deployment that comes after one that is being removed leaves this much of its time for itself.
KEPT_SECONDS = 5.0
FACTS = ("instance", "vmid", "node", "deployment", "identity", "endpoints")


@dataclass(eq=False)
class _Remnant:
    """An unfinished guest. due is the time of the next attempt, on the monotonic clock."""

    entry: Entry
    due: float = 0.0
    # Set while it is being removed.
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

    def break_off(self, instance: str, over: threading.Event) -> None:
        """A deployment of this instance takes itself back from now on; over is set when it has ended."""
        with self._lock:
            self._broken_off.setdefault(instance, []).append(over)

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
        """Look for guests that an earlier service has left unfinished, and remove those whose payload still exists."""
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
        """Add a guest that has to be removed; it is removed at once if the credential is known."""
        remnant = _Remnant(entry)
        with self._lock:
            self._remnants.append(remnant)
            if options is not None:
                remnant.done = threading.Event()
        if options is not None:
            self._executor.submit(self._remove, remnant, options)

    def offer(self, request: CallRequest, deadline: Deadline, wait: bool) -> None:
        """Use the credential of a call. With wait, wait until the unfinished guests of its instance are removed."""
        if not self._remnants and not self._broken_off:
            return
        try:
            options, instance = request.connection(), request.instance if request.payload.vm else None
        except PveError:
            return  # The action fails for the same reason.
        for remnant in self._claim(lambda item: item.fits(options)):
            self._executor.submit(self._remove, remnant, options)
        if not wait or instance is None:
            return
        left = deadline.within(max(0.0, deadline.remaining - KEPT_SECONDS))
        # What a deployment has not taken back itself is a remnant next.
        while not left.expired:
            under_way = self._under_way(instance.uuid)
            if not under_way:
                return
            under_way[0].wait(left.remaining)

    def _under_way(self, instance: str) -> list[threading.Event]:
        """What ends the removals of guests of this instance that go on right now."""
        with self._lock:
            for name, events in list(self._broken_off.items()):
                self._broken_off[name] = [event for event in events if not event.is_set()]
                if not self._broken_off[name]:
                    del self._broken_off[name]
            remnants = [item.done for item in self._remnants if item.entry.facts["instance"] == instance]
            return [*self._broken_off.get(instance, []), *(done for done in remnants if done is not None)]

    def _claim(self, wanted: t.Callable[[_Remnant], bool]) -> list[_Remnant]:
        now = time.monotonic()
        with self._lock:
            claimed = [item for item in self._remnants if item.done is None and item.due <= now and wanted(item)]
            for remnant in claimed:
                remnant.done = threading.Event()
        return claimed

    def _use_payload(self, remnant: _Remnant) -> None:
        """Take the credential from the payload of the deployment, when it is still that."""
        with self._at_work(remnant) as finish:
            options = self._options_of(remnant)
            if options is not None:
                finish(self._removed(remnant, options))

    def _remove(self, remnant: _Remnant, options: ConnectionOptions) -> None:
        with self._at_work(remnant) as finish:
            finish(self._removed(remnant, options))

    @contextlib.contextmanager
    def _at_work(self, remnant: _Remnant) -> t.Iterator[t.Callable[[bool], None]]:
        """Work on a claimed guest; afterwards its event is set, also after an error."""
        removed: list[bool] = []
        try:
            yield removed.append
        except Exception as error:  # noqa: BLE001 - it is tried again later
            say(f"{_label(remnant.entry)} could not be looked at: {type(error).__name__}")
        finally:
            with self._lock:
                if any(removed):
                    self._remnants.remove(remnant)
                remnant.due = time.monotonic() + RETRY_SECONDS
                done, remnant.done = remnant.done, None
            if done is not None:
                done.set()

    def _options_of(self, remnant: _Remnant) -> ConnectionOptions | None:
        facts = remnant.entry.facts
        request = CallRequest("create", self._resources.settings.policy_file)
        try:
            request.read(facts["payload"])
            options = request.connection()
            is_same = request.instance.uuid == facts["instance"] and remnant.fits(options)
        except PveError:
            return None
        return options if is_same else None

    def _removed(self, remnant: _Remnant, options: ConnectionOptions) -> bool:
        """Remove a guest; False when that has to be tried again."""
        label = _label(remnant.entry)
        problem = self._take_down(remnant.entry, options)
        if problem:
            say(f"{label} is still half made, and is looked at again later: {problem}")
            return False
        say(f"{label} is not, or no longer, half made")
        self._resources.counters.add("removed")
        remnant.entry.remove()
        return True

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
                requested=True,
                template=Guest(int(template[0]), str(template[1]), QEMU) if template else None,
            )
            return remove_deployment(client, deployment, None, age=entry.age)
        finally:
            self._resources.sessions.give_back(transport)


def _label(entry: Entry) -> str:
    facts = entry.facts
    return f"guest {facts['vmid']} on node {facts['node']} ({facts.get('name')})"
