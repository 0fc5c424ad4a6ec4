# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which instances run: one, or all of a node."""

from __future__ import annotations

import re
import typing as t

from ..._operations.facts import HIBERNATED, PAUSED, RUNNING, STOPPED, Status, read_status
from ..._pve.errors import Ambiguous, NotFound, PermissionDenied, TimedOut, TransportError
from ..._pve.guests import QEMU, UNSETTLED_LOCKS, Guest, GuestHandle
from ..guests import briefly, check_online, check_owner, is_half_made, locate
from ..ownership import is_instance_name, read_mark
from ..run import Run

POWER_ON = "poweron"
POWER_OFF = "poweroff"
_SEES_GUESTS = re.compile(r"/|/vms(/.*)?|/pool(/.*)?")


def status(run: Run) -> dict[str, t.Any]:
    """Say whether the instance runs; two requests. A paused guest is on: its memory and its devices are in use."""
    found = locate(run)
    if found is None:
        raise NotFound(f"{run.instance.name} is gone: there is no guest {run.vmid} in the cluster")
    handle, current = found
    if not is_half_made(current):
        check_owner(run, handle, current, handle.read("config"))
    return _state(current)


def _state(current: Status) -> dict[str, t.Any]:
    state = POWER_ON if current.condition in (RUNNING, PAUSED) else POWER_OFF
    more = {"guest_state": current.condition} if current.condition in (PAUSED, HIBERNATED) else {}
    return {"power_state": state, **more}


def statuses(run: Run) -> dict[str, t.Any]:
    """The power states of the node's instances, by instance name: of all, or the action fails.

    CloudStack considers an instance that is missing here to be stopped.
    """
    guests = _read_node(run)
    known: dict[str, list[t.Mapping[str, t.Any]]] = {}
    for guest in guests:
        name = _instance_name(run, guest)
        if name:
            known.setdefault(name, []).append(guest)
    states = {name: _power(run, _only_one(run, name, group)) for name, group in known.items()}
    return {"power_state": states}


def _read_node(run: Run) -> list[t.Mapping[str, t.Any]]:
    guests = _list_node(run)
    if not guests:
        # PVE leaves out the guests that the token may not see, without an error (PVE::API2::Qemu, vmlist).
        paths: t.Mapping[str, t.Mapping[str, t.Any]] = run.client.read("access", "permissions")
        if not any(_SEES_GUESTS.fullmatch(path) and "VM.Audit" in rights for path, rights in paths.items()):
            raise PermissionDenied(f"{run.client.identity} cannot see guests: grant VM.Audit on /vms")
    return [guest for guest in guests if not guest.get("template") and guest.get("lock") not in UNSETTLED_LOCKS]


def _list_node(run: Run) -> list[t.Mapping[str, t.Any]]:
    """The guests of the node; raises at once if it is down, since CloudStack then asks for each instance."""
    path = ("nodes", run.node, QEMU)
    guests: list[t.Mapping[str, t.Any]]
    try:
        with briefly(run):
            guests = run.client.read_once(*path)
    except (TransportError, TimedOut):
        with briefly(run):
            check_online(run.node, run.client.read_once("nodes"))
        guests = run.client.read(*path)
    return guests


def _instance_name(run: Run, guest: t.Mapping[str, t.Any]) -> str:
    """The instance that a guest is, by its name or else by its notes; empty when it is none."""
    name, tags = str(guest.get("name") or ""), str(guest.get("tags") or "")
    if run.details.text("cloud"):
        return _name_in_cloud(run, guest, name, tags)
    if is_instance_name(name):
        # A guest without a mark can be CloudStack's only where existing guests are adopted.
        return name if _is_tagged(run, tags) or run.details.text("ownership") != "require" else ""
    if not _is_tagged(run, tags):
        return ""
    mark = read_mark(_config(run, guest))
    return mark.instance if mark.genuine else ""


def _name_in_cloud(run: Run, guest: t.Mapping[str, t.Any], name: str, tags: str) -> str:
    """The same where several clouds share the cluster: the notes say to which of them a guest belongs."""
    adopts = run.details.text("ownership") != "require"
    if not _is_tagged(run, tags) and not (adopts and is_instance_name(name)):
        return ""
    mark = run.context.cached_mark(run, guest, lambda: read_mark(_config(run, guest)))
    if mark.cloud not in ("", run.details.text("cloud")):
        return ""
    if is_instance_name(name):
        return name
    return mark.instance if mark.genuine else ""


def _is_tagged(run: Run, tags: str) -> bool:
    return run.details.required("tag").lower() in re.split(r"[;,\s]+", tags.lower())


def _only_one(run: Run, name: str, group: t.Sequence[t.Mapping[str, t.Any]]) -> t.Mapping[str, t.Any]:
    """Of several guests with the name of one instance, the one that is not a copy."""
    if len(group) == 1:
        return group[0]
    genuine = [guest for guest in group if _is_genuine(run, name, guest)]
    if len(genuine) != 1:
        vmids = ", ".join(str(guest["vmid"]) for guest in group)
        raise Ambiguous(
            f"the guests {vmids} on node {run.node} all go by the name {name}: rename those that are copies"
        )
    return genuine[0]


def _is_genuine(run: Run, name: str, guest: t.Mapping[str, t.Any]) -> bool:
    mark = read_mark(_config(run, guest))
    return mark.genuine and mark.instance == name


def _config(run: Run, guest: t.Mapping[str, t.Any]) -> t.Mapping[str, t.Any]:
    config: t.Mapping[str, t.Any] = run.client.read("nodes", run.node, QEMU, guest["vmid"], "config")
    return config


def _power(run: Run, guest: t.Mapping[str, t.Any]) -> str:
    if guest.get("status") != RUNNING:
        return POWER_OFF
    if guest.get("lock") == "backup":
        # In the list, a stopped guest that is being backed up looks like a running one.
        handle = GuestHandle(run.client, Guest(int(guest["vmid"]), run.node, QEMU))
        return POWER_OFF if read_status(handle).condition == STOPPED else POWER_ON
    return POWER_ON
