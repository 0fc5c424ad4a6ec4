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
from .answers import SenselessAnswer, making_sense
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
                found[name] = PARTS[name].gather(calls)
            except (Refused, SenselessAnswer) as refusal:
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


def _version(info: t.Any) -> dict[str, t.Any]:
    commands = info.get("supported_commands") or ()
    return {
        "version": info.get("version"),
        "commands": sorted(str(entry["name"]) for entry in commands if entry.get("enabled")),
        "disabled_commands": sorted(str(entry["name"]) for entry in commands if not entry.get("enabled")),
    }


def _filesystems(entries: t.Any) -> list[dict[str, t.Any]]:
    return [{**_renamed(entry), "disk": list(map(_renamed, entry.get("disk") or ()))} for entry in entries]


def _time(zone: t.Any, clock: t.Any) -> dict[str, t.Any]:
    """The guest's clock in seconds since 1970, and its time zone."""
    return {"epoch": clock / _NANOSECONDS, "zone": zone.get("zone"), "offset": zone.get("offset")}


def _vcpus(entries: t.Any) -> dict[str, int]:
    return {"total": len(entries), "online": sum(bool(entry.get("online")) for entry in entries)}


def _interfaces(entries: t.Any) -> list[dict[str, t.Any]]:
    return [interface.as_result() for interface in interfaces_in(entries)]


class _Part(t.NamedTuple):
    """Commands of the agent, and what is made of their answers."""

    commands: tuple[str, ...]
    read: t.Callable[..., t.Any]

    def gather(self, calls: AgentCalls) -> t.Any:
        answers = [calls.ask(command) for command in self.commands]
        with making_sense(calls.handle.guest.label, answers[0] if len(answers) == 1 else answers):
            return self.read(*answers)


PARTS = {
    "version": _Part(("info",), _version),
    "os": _Part(("get-osinfo",), _renamed),
    "host_name": _Part(("get-host-name",), lambda answer: answer.get("host-name")),
    "interfaces": _Part(("network-get-interfaces",), _interfaces),
    "filesystems": _Part(("get-fsinfo",), _filesystems),
    "users": _Part(("get-users",), lambda entries: list(map(_renamed, entries))),
    "time": _Part(("get-timezone", "get-time"), _time),
    "vcpus": _Part(("get-vcpus",), _vcpus),
}
