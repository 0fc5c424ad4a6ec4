# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options and filters of an inventory file, evaluated with Ansible's templating."""

from __future__ import annotations

import functools
import re
import typing as t
from dataclasses import dataclass, field

from ansible.errors import AnsibleParserError
from ansible.module_utils.parsing.convert_bool import boolean

_harmless: t.Callable[[str], t.Any]
_foreign: t.Callable[[str], t.Any]
try:
    # ansible-core 2.19 and newer trust nothing that is not marked.
    from ansible.template import trust_as_template
except ImportError:
    from ansible.utils.unsafe_proxy import wrap_var

    _harmless, _foreign = str, wrap_var
else:
    _harmless, _foreign = trust_as_template, str

# These are evaluated for each host.
PER_HOST = frozenset({"compose", "groups", "keyed_groups", "hostname"})
# Without delimiters of Jinja, the # that can choose others, and operators of a condition.
_HARMLESS = re.compile(r"[A-Za-z0-9 ._:/@+,;=%-]*")
# With these a condition can read every variable.
_ALL_VARIABLES = frozenset({"vars", "hostvars", "lookup", "query", "q"})

Variables = t.Mapping[str, t.Any]


def template_options(templar: t.Any, config: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Render the templates in the values of an inventory file, but not those that are meant for each host."""
    return {
        name: value if name in PER_HOST else _rendered(templar, value, ("include", "exclude"))
        for name, value in config.items()
    }


def _rendered(templar: t.Any, value: t.Any, kept: tuple[str, ...] = ()) -> t.Any:
    if isinstance(value, t.Mapping):
        return {name: item if name in kept else _rendered(templar, item) for name, item in value.items()}
    # A value that is no template stays as it is, a secret of ansible-vault and a mark of trust included.
    return templar.template(value) if templar.is_template(value) else value


def as_variable(value: t.Any) -> t.Any:
    """Mark text from outside, so that it is never evaluated as a template.

    Text that cannot be one is marked as what it is, harmless, and so ansible-inventory shows it as it is.
    """
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return {name: as_variable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [as_variable(item) for item in value]
    return value


@functools.lru_cache(maxsize=1024)
def _text(value: str) -> t.Any:
    # Most guests of a cluster have the same few states, nodes and tags.
    return _harmless(value) if _HARMLESS.fullmatch(value) else _foreign(value)


def holds(templar: t.Any, condition: t.Any, variables: Variables) -> bool:
    """Evaluate a condition as `when` does."""
    templar.available_variables = variables
    if hasattr(templar, "evaluate_conditional"):
        return bool(templar.evaluate_conditional(condition))
    text = f"{{% if {condition} %}}True{{% else %}}False{{% endif %}}"
    return bool(boolean(templar.template(text)))


@functools.lru_cache(maxsize=128)
def names_in(condition: t.Any) -> frozenset[str] | None:
    """Return the names of the variables in a condition; None when it may use any."""
    import jinja2
    from jinja2 import nodes

    try:
        tree = jinja2.Environment(autoescape=False).parse(f"{{{{ ({condition}) }}}}")  # noqa: S701 - it is only parsed
    except jinja2.TemplateError:
        return None
    names = frozenset(node.name for node in tree.find_all(nodes.Name))
    return None if names & _ALL_VARIABLES else names


@dataclass
class HostFilters:
    """filters.include and filters.exclude; those that use a variable of late are evaluated after the queries."""

    include: tuple[t.Any, ...]
    exclude: tuple[t.Any, ...]
    late: frozenset[str]
    strict: bool
    templar: t.Any
    _failed: dict[str, tuple[int, str]] = field(default_factory=dict)

    def any(self, waited: bool) -> bool:
        """Whether there are conditions to evaluate before the queries, or, if waited, after them."""
        return any(self._waits(item) is waited for item in (*self.include, *self.exclude))

    def keep(self, variables: Variables, waited: bool) -> bool:
        """Whether a host stays, by the conditions before the queries, or, if waited, by those after them.

        Raises AnsibleParserError with strict when one cannot be evaluated.
        """
        return all(self._holds(item, variables) for item in self.include if self._waits(item) is waited) and not any(
            self._holds(item, variables) for item in self.exclude if self._waits(item) is waited
        )

    def warnings(self) -> list[str]:
        """Name the conditions that could not be evaluated."""
        return [
            f"the filter {condition!r} could not be evaluated for {count} guests and counts as not met: {why}"
            for condition, (count, why) in self._failed.items()
        ]

    def _waits(self, condition: t.Any) -> bool:
        names = names_in(condition)
        return names is None or bool(names & self.late)

    def _holds(self, condition: t.Any, variables: Variables) -> bool:
        try:
            return holds(self.templar, condition, variables)
        except Exception as error:
            if self.strict:
                raise AnsibleParserError(f"the filter {str(condition)!r} cannot be evaluated: {error}") from error
            count, why = self._failed.get(str(condition), (0, " ".join(str(error).split())))
            self._failed[str(condition)] = (count + 1, why)
            return False
