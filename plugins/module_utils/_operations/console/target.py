# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guest or node that a console belongs to."""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import dataclass

from ..._pve.client import PveClient
from ..._pve.deadline import Deadline
from ..._pve.errors import InvalidRequest, NotFound, PveError
from ..._pve.guests import GuestHandle, Selector, is_absent
from ..facts import Status
from ..selection import select_guest, selector_from

NODE = "node"
Result = t.TypeVar("Result")


class ConsoleTarget:
    """A guest, which is followed when it moves, or a node; every console call has the target's path."""

    def __init__(
        self, client: PveClient, node: str = "", handle: GuestHandle | None = None, found: Status | None = None
    ) -> None:
        """Give the node for a console of the node itself, or the handle of a guest."""
        self.client = client
        self.handle = handle
        # The guest's status as it was when it was found.
        self.found = found
        self._node = node

    @property
    def kind(self) -> str:
        """qemu, lxc or node."""
        return self.handle.guest.kind if self.handle else NODE

    @property
    def node(self) -> str:
        """The node, or the one that the guest is on."""
        return self.handle.guest.node if self.handle else self._node

    @property
    def vmid(self) -> int | None:
        """The guest's number, or None for a node."""
        return self.handle.guest.vmid if self.handle else None

    @property
    def label(self) -> str:
        """How messages call it."""
        return self.handle.guest.label if self.handle else f"node {self._node}"

    @property
    def path(self) -> tuple[str | int, ...]:
        """The path in the API."""
        return self.handle.path if self.handle else ("nodes", self._node)

    @property
    def acl_path(self) -> str:
        """The path that privileges are granted on."""
        return f"/vms/{self.vmid}" if self.handle else f"/nodes/{self._node}"

    @contextlib.contextmanager
    def looking(self, seconds: float) -> t.Iterator[None]:
        """Give what is asked meanwhile so many seconds of its own: for a look that fails rather than lasts."""
        kept, self.client.deadline = self.client.deadline, Deadline(seconds)
        try:
            yield
        finally:
            self.client.deadline = kept

    def following(self, call: t.Callable[[], Result]) -> Result:
        """Make a call; when the guest has left its node, follow it there and call once more."""
        try:
            return call()
        except PveError as error:
            if self.handle is None or not is_absent(error) or not self.handle.follow():
                raise
        return call()


@dataclass(frozen=True)
class Whose:
    """Whose console is meant: that of a guest, or of a node when there is no selector."""

    selector: Selector | None
    node: str = ""


def whose_console(parameters: t.Mapping[str, t.Any]) -> Whose:
    """Read vmid, name, guest_type and node: vmid or name mean a guest, wherever it is, node alone means the node.

    Raises InvalidRequest.
    """
    if parameters.get("vmid") is not None or parameters.get("name"):
        if parameters.get("node"):
            raise InvalidRequest("node is for a node's own console: a guest is found by vmid or name on any node")
        return Whose(selector_from(parameters))
    if not parameters.get("node"):
        raise InvalidRequest("say whose console is meant: a guest's by vmid or name, or a node's by node")
    return Whose(None, str(parameters["node"]))


def find_target(client: PveClient, whose: Whose) -> ConsoleTarget:
    """Find a guest and its status, by two requests, or a node, by one; raises NotFound or Ambiguous."""
    if whose.selector is not None:
        handle, status = select_guest(client, whose.selector)
        return ConsoleTarget(client, handle=handle, found=status)
    known = sorted(str(entry["node"]) for entry in client.read("nodes"))
    if whose.node not in known:
        raise NotFound(f"there is no node {whose.node!r}: the cluster has {', '.join(known)}")
    return ConsoleTarget(client, whose.node)


def console_target(client: PveClient, parameters: t.Mapping[str, t.Any]) -> ConsoleTarget:
    """Find what the options vmid, name, guest_type and node mean; raises InvalidRequest, NotFound or Ambiguous."""
    return find_target(client, whose_console(parameters))
