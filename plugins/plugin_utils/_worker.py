# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules that run inside the worker which Ansible has forked for the task anyway.

A module is a Python process of its own: it unpacks an archive and imports everything anew. What an action plugin
imports is loaded once, in the process that forks the workers.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import typing as t
from pathlib import Path

from ansible import constants
from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

try:
    # ansible-core 2.22 and newer, where remove_values() is deprecated.
    from ansible.module_utils.secrets import (  # type: ignore[import-not-found, unused-ignore]
        mask_secrets,
        register_secrets,
    )
except ImportError:
    mask_secrets = register_secrets = None

from ..module_utils._ansible.argument_spec import differing_aliases
from ..module_utils._ansible.description import ModuleDescription
from ..module_utils._ansible.environment import wrong_variable
from ..module_utils._ansible.runner import HIDDEN_OPTIONS, ModuleOutcome, carry_out
from ..module_utils._pve.tls import preload, tls_policy

# Seen in the process that forks the workers: these have no terminal of their own from ansible-core 2.19 on.
ON_A_TERMINAL = sys.stderr is not None and sys.stderr.isatty()
SWITCH = "cloudbridge_proxmox_run_in_worker"
VARIABLE = SWITCH.upper()
Variables = dict[str, t.Any]
Result = dict[str, t.Any]

# This module is loaded in the process that forks the workers: each of them inherits what is read here. Tasks that give
# another ca_path than the environment read that file, which is small, themselves.
preload(
    tls_policy(
        boolean(os.environ.get("PROXMOX_VALIDATE_CERTS") or True, strict=False),
        os.environ.get("PROXMOX_CA_PATH"),
        os.environ.get("PROXMOX_FINGERPRINT"),
    )
)


def has_relative_path(spec: t.Mapping[str, t.Any], parameters: t.Mapping[str, t.Any]) -> bool:
    """Whether a path among the options depends on the directory in which it is looked up."""
    return any(_is_relative(spec[name], value) for name, value in parameters.items() if name in spec)


def _is_relative(row: t.Mapping[str, t.Any], value: t.Any) -> bool:
    if isinstance(value, list):
        return any(_is_relative(row, item) for item in value)
    if isinstance(value, dict):
        return has_relative_path(row.get("options") or {}, value)
    is_path = "path" in (row.get("type"), row.get("elements"))
    return is_path and isinstance(value, str) and value != "" and not Path(value).is_absolute()


class WorkerAction(ActionBase):
    """Runs a module's description in the worker where that is the same as running the module, and else the module."""

    _supports_check_mode = True
    _supports_async = True
    description: ModuleDescription

    def run(self, tmp: t.Any = None, task_vars: Variables | None = None) -> Result:
        """Carry the task out; the result is that of the module."""
        result: Result = super().run(tmp, task_vars)
        variables = task_vars or {}
        answer = None
        reason = self._reason_for_a_process(variables)
        if reason is None:
            answer, reason = self._answer(variables)
        if answer is not None:
            return {**result, **answer}
        Display().vvv(f"{self._task.action} runs in a process of its own: {reason}")
        wrap_async = self._task.async_val
        result.update(self._execute_module(task_vars=task_vars, wrap_async=wrap_async))
        if not wrap_async:
            self._remove_tmp_path(self._connection._shell.tmpdir)  # type: ignore[no-untyped-call]
        return result

    def _reason_for_a_process(self, variables: Variables) -> str | None:
        """Say why the worker is not the place, or return None."""
        if not self._is_switched_on(variables):
            return f"{SWITCH} is false"
        if self._task.async_val:
            return "the task is asynchronous"
        if getattr(self._connection, "transport", None) != "local":
            return "the connection is not local"
        if getattr(self._connection, "become", None) is not None:
            return "the task becomes another user"
        interpreter = self._interpreter(variables)
        if interpreter is not None and os.path.realpath(interpreter) != os.path.realpath(sys.executable):
            return f"it has the interpreter {interpreter}, and Ansible runs with {sys.executable}"
        return None

    def _is_switched_on(self, variables: Variables) -> bool:
        # One that is empty is not set, as with the variables of the connection.
        places = {
            f"variable {SWITCH}": variables.get(SWITCH),
            f"environment variable {VARIABLE}": os.environ.get(VARIABLE),
        }
        for place, text in places.items():
            value = self._templar.template(text)
            if value not in (None, ""):
                try:
                    return bool(boolean(value))
                except TypeError as error:
                    raise AnsibleActionFail(f"the {place} is {value!r}, and must be true or false") from error
        return True

    def _interpreter(self, variables: Variables) -> str | None:
        """The interpreter that the task names; None when Ansible would look for one."""
        delegate = self._task.delegate_to
        if delegate:
            variables = variables.get("ansible_delegated_vars", {}).get(delegate, variables)
        named = variables.get("ansible_python_interpreter")
        if named is None:
            named = constants.config.get_config_value("INTERPRETER_PYTHON")
        name = str(self._templar.template(named)).strip()
        return None if name.startswith("auto") else name

    def _answer(self, variables: Variables) -> tuple[Result | None, str | None]:
        """Run the operation here; without a result, the reason why only a process can say what is to be said."""
        environment: dict[str, str] = {}
        self._compute_environment_string(environment)
        with _environment(environment):
            # A fallback to a variable of the environment is looked up while the options are checked.
            spec = self.description.argument_spec
            checked = ArgumentSpecValidator(spec).validate(dict(self._task.args))
            given = self._task.args
            if checked.error_messages or differing_aliases(spec, given) or wrong_variable(spec, given):
                return None, "its options are refused"
            if checked._warnings or checked._deprecations:
                # Said by AnsibleModule alone, as of an option that is given together with its alias.
                return None, "Ansible warns of its options"
            parameters = checked.validated_parameters
            if has_relative_path(spec, parameters):
                # A module runs in the directory of the playbook, the worker in that of the user.
                return None, "a path is relative"
            answer = carry_out(self.description, parameters, self._task.check_mode, _progress())
        if answer.exception is not None:
            return None, "a library is missing"
        return self._result(answer, parameters, variables), None

    def _result(self, answer: ModuleOutcome, parameters: t.Mapping[str, t.Any], variables: Variables) -> Result:
        """What the module would have printed, and Ansible read."""
        result: Result = {**answer.result, **({"failed": True} if answer.failed else {})}
        if answer.warnings:
            result["warnings"] = list(answer.warnings)
        if self._shows_invocation(variables):
            result["invocation"] = HIDDEN_OPTIONS if self.description.hides_options else {"module_args": parameters}
        preserved = {name: value for name, value in result.items() if value is None or isinstance(value, bool)}
        masked = without_secrets(result, secrets_of(self.description.argument_spec, parameters))
        return t.cast("Result", json.loads(json.dumps({**masked, **preserved}, default=list)))

    def _shows_invocation(self, variables: Variables) -> bool:
        """Whether modules return their options: always up to ansible-core 2.20, and later where it is asked for."""
        try:
            return bool(constants.config.get_config_value("INJECT_INVOCATION", variables=variables))
        except Exception:  # noqa: BLE001 - the setting is not known to older releases, which raise different errors
            return True


def _progress() -> t.Callable[[str], None] | None:
    """Say where progress is told: on the standard error of a terminal, when colours are wanted there, too."""
    if not ON_A_TERMINAL or constants.config.get_config_value("ANSIBLE_NOCOLOR") or os.environ.get("CI"):
        return None
    return lambda line: Display().display(line, stderr=True)


@contextlib.contextmanager
def _environment(variables: t.Mapping[str, str]) -> t.Iterator[None]:
    """Have these variables in the environment for a while."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update({name: str(value) for name, value in variables.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def without_secrets(result: Result, secrets: set[str]) -> Result:
    """The result as modules mask it."""
    if register_secrets is None:
        from ansible.module_utils.common.parameters import remove_values

        return t.cast("Result", remove_values(result, secrets))
    register_secrets(secrets)
    return t.cast("Result", _masked(result))


def _masked(value: t.Any) -> t.Any:
    if isinstance(value, str):
        return mask_secrets(value)
    if isinstance(value, t.Mapping):
        return {name: _masked(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked(item) for item in value]
    return value


def secrets_of(spec: t.Mapping[str, t.Any], parameters: t.Mapping[str, t.Any]) -> set[str]:
    """The values of the options that must not be shown."""
    found: set[str] = set()
    for name, row in spec.items():
        value = parameters.get(name)
        values = value if isinstance(value, list) else [value]
        if row.get("no_log"):
            found.update(str(item) for item in values if item)
        if "options" in row:
            for item in values:
                found.update(secrets_of(row["options"], item or {}))
    return found
