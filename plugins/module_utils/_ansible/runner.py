# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a module's description to its result: the one place where a PveError becomes a failure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .._operations.many.running import GuestOutcome, ManyOutcome
from .._operations.plan import Applier, Change, Outcome
from .._pve.client import PveClient
from .._pve.deadline import Deadline
from .._pve.errors import InvalidRequest, MissingLibrary, PveError, TimedOut, TransportError
from .argument_spec import check_lock_option, connection_from, differing_aliases
from .description import ModuleDescription, Parameters
from .environment import wrong_variable

# ansible-core up to 2.20 puts the options into each result, later ones when inject_invocation is set.
HIDDEN_OPTIONS: dict[str, dict[str, t.Any]] = {"module_args": {}}


@dataclass(frozen=True)
class ModuleOutcome:
    """What a run of a module says: its result, warnings beside it, and whether it has failed."""

    result: dict[str, t.Any]
    warnings: tuple[str, ...] = ()
    failed: bool = False
    # The traceback of the import that failed, for -vvv.
    exception: str | None = field(default=None, repr=False)


def carry_out(
    description: ModuleDescription,
    parameters: Parameters,
    check_mode: bool,
    progress: t.Callable[[str], None] | None = None,
) -> ModuleOutcome:
    """Check the parameters, run the operation, and answer with its outcome or its failure."""
    client: PveClient | None = None
    applier: Applier | None = None
    try:
        if parameters["timeout"] <= 0:
            raise InvalidRequest(f"timeout must be more than 0 seconds, not {parameters['timeout']}")
        check_lock_option(parameters)
        request = description.request_from(parameters)
        client = PveClient(connection_from(parameters), Deadline(parameters["timeout"]))
        client.wait_for_lock = parameters.get("wait_for_lock")
        applier = Applier(client, check_mode=check_mode, progress=progress)
        outcome = description.operation(applier, request)
    except PveError as error:
        return _failure(error, applier)
    finally:
        if client is not None:
            client.close()
    if isinstance(outcome, ManyOutcome):
        return _outcome_of_many(outcome)
    render = info_of if description.only_looks else result_of
    return ModuleOutcome(render(outcome), tuple(outcome.warnings))


def run_module(description: ModuleDescription) -> t.NoReturn:
    """Run as a module of Ansible, in a process of its own."""
    from ansible.module_utils.basic import AnsibleModule

    class Module(AnsibleModule):
        """Shows its options nowhere, when the description says so."""

        def _load_params(self) -> None:
            super()._load_params()  # type: ignore[no-untyped-call]
            # As they were given: Ansible lets an alias take the place of its option.
            self.given = dict(self.params)

        def _log_invocation(self) -> None:
            if not description.hides_options:
                super()._log_invocation()  # type: ignore[no-untyped-call]

    module = Module(argument_spec=dict(description.argument_spec), supports_check_mode=True)  # type: ignore[no-untyped-call]
    spec = description.argument_spec
    refused = differing_aliases(spec, module.given) or wrong_variable(spec, module.given)
    if refused:
        answer = _failure(InvalidRequest(refused), None)
    else:
        answer = carry_out(description, module.params, module.check_mode)
    for warning in answer.warnings:
        module.warn(warning)
    result = {**answer.result, **({"invocation": HIDDEN_OPTIONS} if description.hides_options else {})}
    if answer.failed:
        extra = {} if answer.exception is None else {"exception": answer.exception}
        module.fail_json(**result, **extra)
    module.exit_json(**result)


def _goes_on(error: PveError, applier: Applier) -> bool:
    """PVE still works on what this run has started."""
    return isinstance(error, (TimedOut, TransportError)) and error.cause.upid in applier.client.own_upids


def _failure(error: PveError, applier: Applier | None) -> ModuleOutcome:
    """One sentence, the structured error, and what had been done before."""
    if isinstance(error, MissingLibrary):
        from ansible.module_utils.basic import missing_required_lib

        result = {"msg": missing_required_lib(error.library), "error": error.details()}
        return ModuleOutcome(result, failed=True, exception=error.import_error)
    result = {
        **error.facts,
        "msg": str(error),
        "error": error.details(),
        "changed": bool(applier and (applier.done or _goes_on(error, applier))),
        "steps": list(applier.done) if applier else [],
        "tasks": [task.as_result() for task in applier.tasks] if applier else [],
    }
    return ModuleOutcome(result, failed=True)


def _outcome_of_many(outcome: ManyOutcome) -> ModuleOutcome:
    """The answer of each guest, and a sentence on all; a failure when one of them has failed."""
    failed = [guest for guest in outcome.guests if guest.error is not None]
    left = [guest for guest in outcome.guests if guest.error is None and guest.outcome is None]
    changed = sum(guest.changed for guest in outcome.guests)
    counts = {
        "changed": changed,
        "unchanged": sum(guest.outcome is not None and not guest.changed for guest in outcome.guests),
        "failed": len(failed),
        "not begun": len(left),
    }
    parts = [f"{count} {what}" for what, count in counts.items() if count or what in ("changed", "unchanged")]
    number = len(outcome.guests)
    result = {
        "changed": outcome.changed,
        **outcome.facts,
        "results": [_result_of_one(guest) for guest in outcome.guests],
        "diff": [_section(guest) for guest in outcome.guests if guest.outcome and guest.outcome.changes],
        "summary": f"{number} guest{'' if number == 1 else 's'}: {', '.join(parts)}",
    }
    if failed:
        why = "; ".join(f"{guest.label}: {guest.error}" for guest in failed)
        not_begun = f"; not begun: {', '.join(guest.label for guest in left)}" if left else ""
        result["msg"] = f"{len(failed)} of {number} guest{'' if number == 1 else 's'} failed: {why}{not_begun}"
    return ModuleOutcome(result, tuple(outcome.warnings), failed=bool(failed))


def _result_of_one(guest: GuestOutcome) -> dict[str, t.Any]:
    if guest.outcome is not None:
        return result_of(guest.outcome)
    if guest.error is not None:
        return {"failed": True, **_failure(guest.error, guest.applier).result}
    return {"changed": False, "skipped": True, "msg": f"{guest.label} was not begun, because another guest failed"}


def _section(guest: GuestOutcome) -> dict[str, t.Any]:
    changes = guest.outcome.changes if guest.outcome else ()
    # A new guest has no number in check mode, and the diff is the same there.
    header = str(guest.entry.selector) if guest.entry.selector.vmid is None else guest.label
    return {"before_header": header, "after_header": header, **diff_of(changes)}


def result_of(outcome: Outcome) -> dict[str, t.Any]:
    """The outcome as a module's result."""
    return {
        "steps": list(outcome.steps),
        "tasks": [task.as_result() for task in outcome.tasks],
        "diff": diff_of(outcome.changes),
        **info_of(outcome),
    }


def info_of(outcome: Outcome) -> dict[str, t.Any]:
    """What was found, without what was done."""
    result: dict[str, t.Any] = {"changed": outcome.changed, **outcome.facts}
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
