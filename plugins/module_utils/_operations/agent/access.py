# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the guest that a module means to its agent."""

from __future__ import annotations

import contextlib
import typing as t

from ..._pve.client import PveClient
from ..._pve.errors import AgentUnavailable, AnswerLost, PveError
from ..._pve.guests import QEMU, Guest, GuestHandle, Selector, get_guest
from ..._pve.turns import Places
from ..facts import RUNNING, guest_result
from ..plan import Applier
from ..selection import read_confirmed, select_guest, selector_from
from .calls import AgentCalls, check_kind, not_running
from .guest_shell import GuestShell
from .posix_shell import PosixShell
from .powershell import PowerShell
from .running import GuestRunner

SHELLS: dict[str, type[GuestShell]] = {"sh": PosixShell, "powershell": PowerShell}
DEFAULT_SHELL = "sh"


class GuestAccess(t.NamedTuple):
    """A guest that runs, its facts, and what runs commands in it."""

    handle: GuestHandle
    guest: t.Mapping[str, t.Any]
    runner: GuestRunner


def agent_selector(parameters: t.Mapping[str, t.Any]) -> Selector:
    """Read which virtual machine is meant; raises InvalidRequest."""
    return selector_from(parameters, QEMU)


def guest_for_connection(client: PveClient, selector: Selector, node: str | None) -> GuestHandle:
    """Find the virtual machine and make certain of its name; node is where it was last, if that is known.

    Raises Ambiguous when it has another name than the selector says.
    """
    if selector.vmid is not None and node:
        handle = GuestHandle(client, Guest(selector.vmid, node, QEMU, selector.name or ""))
    else:
        handle = GuestHandle(client, get_guest(client, selector))
    read_confirmed(handle, selector)
    check_kind(handle.guest)
    return handle


def explained(runner: GuestRunner, error: AnswerLost) -> PveError:
    """The error, or a clearer one: an agent never answers when /bin/sh is not there, as in Windows (75-agent.json)."""
    handle = runner.calls.handle
    if not runner.shell.has_modes:
        return error
    ostype = str(handle.client.read(*handle.path, "config").get("ostype") or "")
    if not ostype.startswith("w"):
        return error
    return AgentUnavailable(
        f"{handle.guest.label} is a Windows by its configuration (ostype {ostype}), and has no {runner.shell.name}: "
        "use shell: powershell, or over the connection the variable ansible_shell_type: powershell",
        error.cause,
    )


@contextlib.contextmanager
def guest_access(applier: Applier, selector: Selector, shell: str = DEFAULT_SHELL) -> t.Iterator[GuestAccess]:
    """Find the guest and use its agent, within the limits of the run; raises AgentUnavailable when it is stopped."""
    handle, status = select_guest(applier.client, selector, applier.guests)
    if status.condition != RUNNING:
        raise not_running(handle.guest, status.condition, status.template)
    runner = GuestRunner(AgentCalls(handle), SHELLS[shell]())
    with applier.client.turns.taken(Places(node=handle.guest.node), applier.client.deadline):
        try:
            yield GuestAccess(handle, guest_result(handle.guest, status), runner)
        except AnswerLost as error:
            raise explained(runner, error) from error
        finally:
            runner.close()
