# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From AnsibleModule to an operation and back: the one place where a PveError becomes a failure."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from .._operations.plan import Applier, Change, Outcome
from .._pve.client import PveClient
from .._pve.connection import connection_options
from .._pve.deadline import Deadline
from .._pve.errors import InvalidRequest, MissingLibrary, PveError, TimedOut, TransportError

Parameters = t.Mapping[str, t.Any]
Operation = t.Callable[[Applier, t.Any], Outcome]


def run_module(
    module: AnsibleModule,
    request_from: t.Callable[[Parameters], t.Any],
    operation: Operation,
) -> t.NoReturn:
    """Check the parameters, run the operation, and exit with its outcome as the module's result."""
    _run(module, request_from, operation, result_of)


def run_info_module(
    module: AnsibleModule,
    request_from: t.Callable[[Parameters], t.Any],
    operation: Operation,
) -> t.NoReturn:
    """Do the same for a module that only looks, whose result has neither steps nor a diff."""
    _run(module, request_from, operation, info_of)


def _run(
    module: AnsibleModule,
    request_from: t.Callable[[Parameters], t.Any],
    operation: Operation,
    render: t.Callable[[Outcome], dict[str, t.Any]],
) -> t.NoReturn:
    client: PveClient | None = None
    applier: Applier | None = None
    try:
        if module.params["timeout"] <= 0:
            raise InvalidRequest(f"timeout must be more than 0 seconds, not {module.params['timeout']}")
        request = request_from(module.params)
        client = PveClient(connection_options(module.params), Deadline(module.params["timeout"]))
        applier = Applier(client, check_mode=module.check_mode)
        result = render(operation(applier, request))
    except PveError as error:
        fail(module, error, applier)
    finally:
        if client is not None:
            client.close()
    for warning in result.pop("_warnings"):
        module.warn(warning)
    module.exit_json(**result)


def _goes_on(error: PveError, applier: Applier) -> bool:
    """PVE still works on what this run has started."""
    return isinstance(error, (TimedOut, TransportError)) and error.cause.upid in applier.client.own_upids


def fail(module: AnsibleModule, error: PveError, applier: Applier | None = None) -> t.NoReturn:
    """Exit with one sentence, the structured error, and what had been done before."""
    if isinstance(error, MissingLibrary):
        module.fail_json(msg=missing_required_lib(error.library), exception=error.import_error, error=error.details())
    module.fail_json(
        msg=str(error),
        error=error.details(),
        changed=bool(applier and (applier.done or _goes_on(error, applier))),
        steps=list(applier.done) if applier else [],
        tasks=[task.as_result() for task in applier.tasks] if applier else [],
    )


def result_of(outcome: Outcome) -> dict[str, t.Any]:
    """The outcome as a module's result; its warnings are under _warnings."""
    return {
        "steps": list(outcome.steps),
        "tasks": [task.as_result() for task in outcome.tasks],
        "diff": diff_of(outcome.changes),
        **info_of(outcome),
    }


def info_of(outcome: Outcome) -> dict[str, t.Any]:
    """What was found, without what was done."""
    result: dict[str, t.Any] = {"changed": outcome.changed, "_warnings": list(outcome.warnings), **outcome.facts}
    if outcome.guest is not None:
        result.update(guest=dict(outcome.guest), vmid=outcome.guest.get("vmid"), node=outcome.guest.get("node"))
    return result


def diff_of(changes: t.Iterable[Change]) -> dict[str, dict[str, t.Any]]:
    """What differs, and nothing else: Ansible prints it as before and after."""
    before: dict[str, t.Any] = {}
    after: dict[str, t.Any] = {}
    for change in changes:
        # Of two changes of one key the first knows what was there, the last what will be.
        if change.before is not None and change.key not in after:
            before.setdefault(change.key, change.before)
        after[change.key] = change.after
    return {"before": before, "after": {key: value for key, value in after.items() if value is not None}}
