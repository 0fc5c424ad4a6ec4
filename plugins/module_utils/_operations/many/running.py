# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many guests in one task: one read of the cluster, then the operation of each guest, several at a time."""

from __future__ import annotations

import queue
import threading
import time
import typing as t
from dataclasses import dataclass

from ..._pve.client import PveClient
from ..._pve.errors import PveError, TimedOut
from ..._pve.guests import Guest
from ..._pve.nodes import check_node
from ..guest.placement import Cluster, read_cluster
from ..plan import Applier, Outcome
from .many_request import Entry, ManyRequest, check_distinct
from .turns import GuestDeadline, Limits, SharedTurns

# So old may the list be by which a guest counts as not there yet; whoever looks later reads it anew.
LIST_SECONDS = 5.0
# A signal that comes just before the wait for a thread begins is heeded only when that wait ends.
SIGNAL_SECONDS = 1.0


@dataclass(frozen=True)
class GuestOutcome:
    """What came of one guest: an outcome, an error, or neither when it was not begun."""

    entry: Entry
    applier: Applier | None = None
    outcome: Outcome | None = None
    error: PveError | None = None

    @property
    def label(self) -> str:
        """How messages call the guest."""
        guest = self.outcome.guest if self.outcome else None
        if guest and guest.get("vmid"):
            return Guest(guest["vmid"], "", "", str(guest.get("name") or "")).label
        return str(self.entry.selector)

    @property
    def changed(self) -> bool:
        """Something was changed, or in check mode would be."""
        return bool(self.outcome.changed if self.outcome else self.applier and self.applier.done)


@dataclass(frozen=True)
class ManyOutcome(Outcome):
    """What came of all guests, in the order of the task."""

    guests: tuple[GuestOutcome, ...] = ()


def ensure_many(applier: Applier, request: ManyRequest) -> ManyOutcome:
    """Carry the operation out for each guest; raises a PveError only before anything has been changed."""
    listing = _Listing(applier.client)
    cluster = listing.cluster
    entries = request.entries
    unmet: tuple[str, ...] = ()
    if request.selection is not None and request.entry_of is not None:
        node = request.selection.conditions.node
        if node is not None:
            check_node(node, cluster.node_names)
        chosen = sorted(filter(request.selection.selects, cluster.guests), key=lambda guest: guest.vmid)
        unmet = tuple(request.selection.unmet(cluster.guests, chosen))
        entries = tuple(map(request.entry_of, chosen))
    check_distinct(entries, cluster.guests)
    done = _Run(applier, request, entries, listing).run() if entries else ()
    warnings = (warning for guest in done if guest.outcome for warning in guest.outcome.warnings)
    return ManyOutcome(
        changed=any(guest.changed for guest in done),
        guests=tuple(done),
        warnings=tuple(dict.fromkeys((*unmet, *warnings))),
    )


class _Listing:
    """The cluster as all entries see it, read again for those that look later and do not find their guest."""

    def __init__(self, client: PveClient) -> None:
        self._lock = threading.Lock()
        self._read(client)

    def _read(self, client: PveClient) -> None:
        self.cluster = read_cluster(client)
        self._read_at = time.monotonic()

    def for_entry(self, client: PveClient, entry: Entry) -> Cluster:
        """Return the cluster, no older than the entry can bear; raises a PveError."""
        with self._lock:
            selector = entry.selector
            known = any(guest.vmid == selector.vmid or selector.names(guest) for guest in self.cluster.guests)
            if not known and time.monotonic() - self._read_at > LIST_SECONDS:
                self._read(client)
            return self.cluster


class _Run:
    """Threads that take entry after entry; the calling thread hears of each that is done."""

    def __init__(self, applier: Applier, request: ManyRequest, entries: t.Sequence[Entry], listing: _Listing) -> None:
        self._applier = applier
        self._request = request
        self._listing = listing
        self._limits = Limits(request.per_node, request.per_storage)
        self._done = [GuestOutcome(entry) for entry in entries]
        self._waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[int | BaseException | None] = queue.SimpleQueue()
        self._ends = threading.Event()
        for number in range(len(entries)):
            self._waiting.put(number)

    def run(self) -> tuple[GuestOutcome, ...]:
        """Return what came of the guests; raises what is a mistake of the program, when all threads have ended."""
        client = self._applier.client
        count = min(self._request.parallel, len(self._done))
        clients = [client.sibling(client.deadline) for dummy in range(count)]
        # They end with the task; a thread in a look-up of a name must not keep the process alive.
        threads = [threading.Thread(target=self._work, args=(sibling,), daemon=True) for sibling in clients]
        try:
            for thread in threads:
                thread.start()
            self._listen(count)
        finally:
            self._ends.set()
        for sibling in clients:
            client.own_upids.update(sibling.own_upids)
            sibling.close()
        return tuple(self._done)

    def _listen(self, workers: int) -> None:
        finished = 0
        mistake: BaseException | None = None
        while workers:
            try:
                news = self._news.get(timeout=SIGNAL_SECONDS)
            except queue.Empty:
                continue
            if news is None:
                workers -= 1
            elif isinstance(news, BaseException):
                # The guests that are begun come to their end first, and remove what was made for them.
                self._ends.set()
                mistake = mistake or news
                workers -= 1
            else:
                finished += 1
                self._tell(finished, self._done[news])
        if mistake is not None:
            raise mistake

    def _tell(self, finished: int, guest: GuestOutcome) -> None:
        if self._applier.progress:
            came = "changed" if guest.changed else "ok"
            what = f"failed: {guest.error}" if guest.error else came
            self._applier.progress(f"{finished}/{len(self._done)} {guest.label}: {what}")

    def _work(self, client: PveClient) -> None:
        try:
            while not self._ends.is_set():
                try:
                    number = self._waiting.get_nowait()
                except queue.Empty:
                    break
                self._done[number] = done = self._carry_out(client, self._done[number].entry)
                if done.error is not None and self._request.on_failure == "stop":
                    self._ends.set()
                self._news.put(number)
        except BaseException as mistake:  # noqa: BLE001 - it is raised in the thread that waits
            self._news.put(mistake)
        else:
            self._news.put(None)

    def _carry_out(self, client: PveClient, entry: Entry) -> GuestOutcome:
        task = self._applier.client.deadline
        if task.expired:
            return GuestOutcome(entry, error=TimedOut(f"the time of {task.seconds:g} s was over before it was begun"))
        client.deadline, client.turns = GuestDeadline(entry.seconds, task), SharedTurns(self._limits)
        client.wait_for_lock = entry.wait_for_lock
        applier = Applier(client, check_mode=self._applier.check_mode, once=self._applier.once)
        try:
            applier.cluster = self._listing.for_entry(client, entry)
            return GuestOutcome(entry, applier, self._request.operation(applier, entry.request))
        except PveError as error:
            return GuestOutcome(entry, applier, error=error)
