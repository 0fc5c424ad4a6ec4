# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backup jobs of the cluster: what is asked for, what there is, and what has to be sent."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ..._pve.client import PveClient
from ..._pve.commands import Command
from ..._pve.errors import InvalidRequest, NotFound
from ..._pve.guests import Selector, get_guest
from ..._pve.numbers import in_full
from ..plan import Applier, Change, Outcome, Plan, PlanStep, outcome
from .backup_request import KEEP_SPEC, STATES, VZDUMP_SPEC, vzdump_options
from .refusals import with_advice
from .restore_place import Surroundings
from .retention import retention_from
from .schedule import comparable_schedule
from .vzdump import COMPRESSIONS, MODES

GUESTS_MODES = ("set", "add", "remove")
# A number alone in a schedule is a minute of each hour (PVE::CalendarEvent).
_LAST_MINUTE = 59
JOB_SPEC: dict[str, dict[str, t.Any]] = {
    "job": {"type": "str", "required": True},
    "state": {"type": "str", "choices": list(STATES), "default": "present"},
    "enabled": {"type": "bool"},
    "schedule": {"type": "str"},
    "comment": {"type": "str"},
    "repeat_missed": {"type": "bool"},
    "storage": {"type": "str"},
    "node": {"type": "str"},
    "guests": {"type": "list", "elements": "str"},
    "guests_mode": {"type": "str", "choices": list(GUESTS_MODES), "default": "set"},
    "all_guests": {"type": "bool"},
    "pool": {"type": "str"},
    "exclude": {"type": "list", "elements": "str"},
    "mode": {"type": "str", "choices": list(MODES)},
    "compress": {"type": "str", "choices": list(COMPRESSIONS)},
    "notes_template": {"type": "str"},
    "protected": {"type": "bool"},
    **VZDUMP_SPEC,
    **KEEP_SPEC,
}
# Which guests are meant is one thing, whichever of these says it.
SELECTION = ("vmid", "all", "pool")
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]+")
_LISTS = frozenset({"vmid", "exclude", "mailto"})
_TRUTHS = frozenset({"enabled", "all", "repeat-missed", "protected"})
# What PVE takes a key to be that is not there.
_ABSENT = {"enabled": "1", "all": "0", "repeat-missed": "0", "protected": "0", "mode": "snapshot", "compress": "0"}
# Nothing that was asked for.
_KEEPS_ITSELF = frozenset({"id", "type", "next-run", "digest"})


@dataclass(frozen=True)
class JobRequest:
    """A job by its name; values are PVE's keys, where None deletes one, and what is not in it stays as it is."""

    job: str
    state: str = "present"
    values: t.Mapping[str, t.Any] = field(default_factory=dict)
    guests: tuple[str, ...] = ()
    guests_mode: str = "set"
    exclude: tuple[str, ...] = ()


def job_request(parameters: t.Mapping[str, t.Any]) -> JobRequest:
    """Check the options; raises InvalidRequest."""
    job, state = parameters["job"], parameters["state"]
    if not _ID.fullmatch(job):
        raise InvalidRequest(f"job {job!r} is no name of a job: letters, digits, '-' and '_', beginning with a letter")
    if state == "absent":
        return JobRequest(job, state)
    guests, exclude = tuple(parameters.get("guests") or ()), tuple(parameters.get("exclude") or ())
    pool, every = parameters.get("pool"), parameters.get("all_guests")
    meant = [name for name, given in (("guests", guests), ("all_guests", every), ("pool", pool)) if given]
    if len(meant) > 1:
        raise InvalidRequest(f"{' and '.join(meant)} do not go together: say in one way which guests are meant")
    if parameters.get("guests") == []:
        raise InvalidRequest("guests is empty: a job needs guests, all_guests or pool")
    if every is False:
        raise InvalidRequest("all_guests=false says of no guest that it is meant: give guests or pool")
    if exclude and (guests or pool):
        # PVE takes it and does not look at it (PVE::VZDump, get_included_guests).
        wrong = "guests" if guests else "pool"
        raise InvalidRequest(
            f"exclude does not go with {wrong}, but with all_guests: leave out those that are not meant"
        )
    _check_schedule(parameters.get("schedule"))
    mode = parameters["guests_mode"]
    if mode != "set" and not guests:
        raise InvalidRequest(f"guests_mode={mode} needs guests")
    values: dict[str, t.Any] = {
        "enabled": parameters.get("enabled"),
        "schedule": parameters.get("schedule"),
        "comment": parameters.get("comment"),
        "repeat-missed": parameters.get("repeat_missed"),
        "storage": parameters.get("storage"),
        "node": parameters.get("node"),
        "mode": parameters.get("mode"),
        "compress": parameters.get("compress"),
        "notes-template": _one_line(parameters.get("notes_template")),
        "protected": parameters.get("protected"),
        **vzdump_options(parameters),
    }
    given = {key: value for key, value in values.items() if value is not None}
    if parameters.get("mailto") == []:
        given["mailto"] = None
    retention = retention_from(parameters)
    if retention is not None:
        given["prune-backups"] = None if retention.as_storage else retention.text
    if every or pool:
        given.update({"all": True if every else None, "pool": pool, "vmid": None})
        given["exclude"] = None
    return JobRequest(job, state, given, guests, mode, exclude)


def _check_schedule(text: str | None) -> None:
    """Refuse the number that YAML makes of a time without quotes: 22:30 is 1350 there."""
    if text is not None and text.isdecimal() and int(text) > _LAST_MINUTE:
        hours, minutes = divmod(int(text), 60)
        raise InvalidRequest(
            f"schedule {text[:100]} is no time: write it in quotes, as '{hours:02}:{minutes:02}' if that is meant"
        )


def _one_line(text: str | None) -> str | None:
    """A template of notes as PVE wants it, which knows what stands between two braces."""
    return None if text is None else text.replace("\\", "\\\\").replace("\n", "\\n")


def ensure_job(applier: Applier, request: JobRequest) -> Outcome:
    """Bring a job into the state asked for. One request when it is there without a selection; raises a PveError."""
    client = applier.client
    with with_advice():
        found = _find(client, request.job)
        if request.state == "absent":
            if found is not None:
                applier.apply(_removal(client, request.job, found))
            return outcome(applier, None, job=None)
        wanted = _with_guests(client, request, found)
        if found is None and not {"schedule", "storage"} <= wanted.keys():
            missing = next(key for key in ("schedule", "storage") if key not in wanted)
            raise InvalidRequest(f"there is no job {request.job}, and a new one needs {missing}")
        if found is None and not any(wanted.get(key) for key in SELECTION):
            raise InvalidRequest(f"there is no job {request.job}, and a new one needs guests, all_guests or pool")
        _check_places(client, wanted, found or {})
        plan = _creation(client, request.job, wanted) if found is None else _changes(request.job, found, wanted)
        if applier.apply(plan):
            found = _find(client, request.job)
        elif applier.titles:
            found = {**(found or {"id": request.job}), **{key: value for key, value in wanted.items() if value}}
    return outcome(applier, None, job=job_result(found))


def _find(client: PveClient, job: str) -> dict[str, t.Any] | None:
    jobs = client.read("cluster", "backup")
    return next((dict(entry) for entry in jobs if entry.get("id") == job), None)


def _with_guests(client: PveClient, request: JobRequest, found: t.Mapping[str, t.Any] | None) -> dict[str, t.Any]:
    """The values with the numbers of the guests that are named."""
    wanted = dict(request.values)
    if not request.guests and not request.exclude:
        return wanted
    guests = Surroundings.read(client).guests

    def numbers(names: t.Sequence[str], may_be_gone: bool = False) -> set[int]:
        gone = {int(name) for name in names if may_be_gone and name.isdigit()}
        rest = [name for name in names if not (may_be_gone and name.isdigit())]
        selectors = (Selector(int(name)) if name.isdigit() else Selector(name=name) for name in rest)
        return gone | {get_guest(client, one, guests).vmid for one in selectors}

    if request.guests:
        named = numbers(request.guests, may_be_gone=request.guests_mode == "remove")
        listed = _listed(request, named, found)
        wanted.update({"vmid": _joined(listed), "all": None, "pool": None, "exclude": None})
    if request.exclude and found is not None and not {**found, **wanted}.get("all"):
        raise InvalidRequest(f"job {request.job} does not back up all guests, and PVE excludes none of any other job")
    if request.exclude:
        wanted["exclude"] = _joined(numbers(request.exclude))
    return wanted


def _listed(request: JobRequest, named: set[int], found: t.Mapping[str, t.Any] | None) -> set[int]:
    """The guests that the job is to list; raises InvalidRequest when it has no list that could be changed."""
    mode = request.guests_mode
    if mode == "set" or (mode == "add" and found is None):
        return named
    if found is None:
        raise InvalidRequest(f"there is no job {request.job} from which guests could be removed")
    if not found.get("vmid"):
        what = f"pool {found['pool']}" if found.get("pool") else "all guests"
        raise InvalidRequest(f"job {request.job} backs {what} up, and lists none: leave out guests_mode={mode}")
    before = {int(vmid) for vmid in str(found["vmid"]).split(",")}
    if mode == "add":
        return before | named
    if before <= named:
        raise InvalidRequest(f"job {request.job} would have no guests any more: delete it with state=absent")
    return before - named


def _joined(vmids: t.Iterable[int]) -> str:
    return ",".join(map(str, sorted(vmids)))


def _check_places(client: PveClient, wanted: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any]) -> None:
    """Raise a PveError for a storage or a node that does not do: PVE takes any name, and the job fails at night."""
    changed = {key for key in ("storage", "node") if wanted.get(key) and wanted[key] != found.get(key)}
    if not changed:
        return
    around = Surroundings.read(client)
    names = sorted(node.name for node in around.nodes)
    if "node" in changed and wanted["node"] not in {storage.node for storage in around.storages} | set(names):
        raise NotFound(f"there is no node {wanted['node']}: the cluster has {', '.join(names)}")
    if "storage" in changed:
        storages = around.with_storage(wanted["storage"])
        if not any("backup" in storage.contents for storage in storages):
            raise InvalidRequest(
                f"storage {wanted['storage']} takes no backups: name another one, or allow them in its configuration"
            )


def _creation(client: PveClient, job: str, wanted: t.Mapping[str, t.Any]) -> Plan:
    form = {key: value for key, value in wanted.items() if value is not None}
    command = Command("POST", ("cluster", "backup"), {"id": job, **form}, done=lambda: _find(client, job) is not None)
    changes = tuple(Change(key, None, _shown(key, value)) for key, value in sorted(form.items()))
    return Plan((PlanStep(f"make the backup job {job}", command),), changes)


def _changes(job: str, found: t.Mapping[str, t.Any], wanted: t.Mapping[str, t.Any]) -> Plan:
    """What differs by meaning; of a selection that changes, the other ways to say it are taken away."""
    wanted = _with_limits_kept(found, wanted)
    different = {key: value for key, value in wanted.items() if not _same(key, found.get(key), value)}
    if not different:
        return Plan()
    form = {key: value for key, value in different.items() if value is not None}
    deleted = sorted(key for key, value in different.items() if value is None)
    command = Command("PUT", ("cluster", "backup", job), {**form, "delete": ",".join(deleted) or None})
    changes = tuple(
        Change(
            key,
            None if found.get(key) is None else _shown(key, found[key]),
            None if value is None else _shown(key, value),
        )
        for key, value in sorted(different.items())
    )
    return Plan((PlanStep(f"change the backup job {job}", command),), changes)


def _with_limits_kept(found: t.Mapping[str, t.Any], wanted: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The values with those limits of the job that the task does not name: PVE has them in one key."""
    if not wanted.get("performance") or not found.get("performance"):
        return dict(wanted)
    both = {**_pairs(_shown("performance", found["performance"])), **_pairs(wanted["performance"])}
    return {**wanted, "performance": ",".join(f"{key}={value}" for key, value in sorted(both.items()))}


def _pairs(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.split(","))


def _removal(client: PveClient, job: str, found: t.Mapping[str, t.Any]) -> Plan:
    command = Command("DELETE", ("cluster", "backup", job), done=lambda: _find(client, job) is None)
    before = {key: _shown(key, value) for key, value in sorted(found.items()) if key not in _KEEPS_ITSELF}
    return Plan((PlanStep(f"delete the backup job {job}", command),), (Change(job, before, None),))


def _same(key: str, one: t.Any, other: t.Any) -> bool:
    return _comparable(key, one) == _comparable(key, other)


def _comparable(key: str, value: t.Any) -> t.Hashable:
    """What a value means, however PVE returns it and the task writes it."""
    if value is None or value == "":
        value = _ABSENT.get(key)
        if value is None:
            return None
    if key == "schedule":
        return comparable_schedule(str(value))
    text = _shown(key, value)
    if key in _LISTS or isinstance(value, (list, tuple)):
        return frozenset(text.split(","))
    if "=" in text and key in ("prune-backups", "fleecing", "performance"):
        pairs = (part.partition("=") for part in text.split(","))
        return frozenset((name, number) for name, _equals, number in pairs if number not in ("", "0"))
    return text.rstrip() if key == "comment" else text


def _shown(key: str, value: t.Any) -> str:
    """A value as one text, whichever of PVE's forms it has."""
    if isinstance(value, t.Mapping):
        return ",".join(f"{name}={_shown(name, item)}" for name, item in sorted(value.items()))
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    if key in _TRUTHS or isinstance(value, bool):
        return "1" if str(value).lower() in ("1", "true", "yes", "on") else "0"
    return in_full(value) if isinstance(value, float) else str(value)


def job_result(found: t.Mapping[str, t.Any] | None) -> dict[str, t.Any] | None:
    """The job as modules return it."""
    if found is None:
        return None
    vmids = [int(vmid) for vmid in str(found.get("vmid") or "").split(",") if vmid]
    return {
        "id": str(found["id"]),
        "enabled": _shown("enabled", found.get("enabled", 1)) == "1",
        "schedule": found.get("schedule"),
        "next_run": found.get("next-run"),
        "storage": found.get("storage"),
        "node": found.get("node"),
        "vmids": vmids,
        "all_guests": _shown("all", found.get("all", 0)) == "1",
        "pool": found.get("pool"),
        "exclude": [int(vmid) for vmid in str(found.get("exclude") or "").split(",") if vmid],
        "mode": found.get("mode") or "snapshot",
        "compress": found.get("compress") or "0",
        "retention": _shown("prune-backups", found["prune-backups"]) if found.get("prune-backups") else None,
        "comment": found.get("comment"),
    }
