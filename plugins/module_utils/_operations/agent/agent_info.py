# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a guest's agent knows, each part on its own."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..._pve.errors import InvalidRequest, PveError, Refused
from ..._pve.guests import Selector
from ..addresses import interfaces_in
from ..plan import Applier, Outcome
from .access import agent_selector, guest_access
from .calls import AgentCalls

_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class AgentInfoRequest:
    """A guest, and what its agent is asked."""

    selector: Selector
    gather: tuple[str, ...]


def agent_info_request(parameters: t.Mapping[str, t.Any]) -> AgentInfoRequest:
    """Check the options of a look at an agent; raises InvalidRequest."""
    gather = tuple(name for name in PARTS if name in (parameters.get("gather") or PARTS))
    if not gather:
        raise InvalidRequest("gather is empty: leave it out to ask for everything")
    return AgentInfoRequest(agent_selector(parameters), gather)


def look_at_agent(applier: Applier, request: AgentInfoRequest) -> Outcome:
    """Ask for each part; raises AgentUnavailable when there is no agent to ask, and PveError when no part is told."""
    found: dict[str, t.Any] = {}
    errors: dict[str, str] = {}
    error: PveError | None = None
    with guest_access(applier, request.selector) as access:
        calls = access.runner.calls
        for name in request.gather:
            found[name] = None
            try:
                found[name] = PARTS[name](calls)
            except Refused as refusal:
                error, errors[name] = refusal, str(refusal)
            except PveError as problem:
                if not errors and len(request.gather) > 1 and problem.kind != "permission":
                    raise
                error, errors[name] = problem, str(problem)
        if error is not None and len(errors) == len(request.gather):
            raise error
    label = access.handle.guest.label
    warnings = tuple(f"the guest agent of {label} does not tell {name}: {why}" for name, why in errors.items())
    return Outcome(changed=False, guest=access.guest, warnings=warnings, facts={"agent": found, "errors": errors})


def _renamed(entry: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The agent's own words, as names of variables."""
    return {str(key).replace("-", "_"): value for key, value in entry.items()}


def _version(calls: AgentCalls) -> dict[str, t.Any]:
    answer = calls.ask("info")
    commands = answer.get("supported_commands") or ()
    return {
        "version": answer.get("version"),
        "commands": sorted(str(entry["name"]) for entry in commands if entry.get("enabled")),
        "disabled_commands": sorted(str(entry["name"]) for entry in commands if not entry.get("enabled")),
    }


def _filesystems(calls: AgentCalls) -> list[dict[str, t.Any]]:
    return [
        {**_renamed(entry), "disk": list(map(_renamed, entry.get("disk") or ()))} for entry in calls.ask("get-fsinfo")
    ]


def _time(calls: AgentCalls) -> dict[str, t.Any]:
    """The guest's clock in seconds since 1970, and its time zone."""
    zone = calls.ask("get-timezone")
    return {"epoch": calls.ask("get-time") / _NANOSECONDS, "zone": zone.get("zone"), "offset": zone.get("offset")}


def _vcpus(calls: AgentCalls) -> dict[str, int]:
    entries = calls.ask("get-vcpus")
    return {"total": len(entries), "online": sum(bool(entry.get("online")) for entry in entries)}


# What is gathered, and how.
PARTS: dict[str, t.Callable[[AgentCalls], t.Any]] = {
    "version": _version,
    "os": lambda calls: _renamed(calls.ask("get-osinfo")),
    "host_name": lambda calls: calls.ask("get-host-name").get("host-name"),
    "interfaces": lambda calls: [
        interface.as_result() for interface in interfaces_in(calls.ask("network-get-interfaces"))
    ],
    "filesystems": _filesystems,
    "users": lambda calls: list(map(_renamed, calls.ask("get-users"))),
    "time": _time,
    "vcpus": _vcpus,
}
