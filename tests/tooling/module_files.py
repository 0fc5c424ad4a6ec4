# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What follows from a module is written, not copied: its action plugin, its place in the action group, what it returns
as other modules do, and what a module for many guests has from the module for one.

    .venv/bin/python -m tests.tooling.module_files

What several modules return is described once, in returned.yml. A new module names what it returns, as in `guest:`, and
has the rest filled in. Its `returned` and its `sample` are its own. OWN_WORDS says where a description is, too.
Older releases of ansible-core have no fragments for RETURN.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from tests.tooling.many_fragments import FRAGMENTS, MANY, fragment_of
from tests.tooling.working_copy import REPOSITORY

MODULES = sorted((REPOSITORY / "plugins/modules").glob("*.py"))
PARTS = Path(__file__).with_name("returned.yml")
ACTION = REPOSITORY / "plugins/action"
RUNTIME = REPOSITORY / "meta/runtime.yml"
# Where a module returns a part under another name.
OTHER_NAMES = {
    "pve_backup_info": {"backups": "backup"},
    "pve_snapshot_info": {"snapshots": "snapshot"},
    "pve_task_info": {"tasks": "task"},
    "pve_vm_info": {"guests": "guest"},
}
# What is no part, although it is called as one is.
NO_PARTS = {"pve_restore": {"backup"}, "pve_console_script": {"tasks"}}
OWN_WORDS = {
    "pve_backup": {"backup"},
    "pve_backup_info": {"backups"},
    "pve_backups": {"error", "results"},
    "pve_backup_verify": {"guest"},
    "pve_backups_verify": {"error", "results"},
    "pve_restore": {"guest"},
    "pve_console_info": {"error", "node", "vmid"},
    "pve_console_script": {"error", "node", "steps", "vmid"},
    "pve_guests_exec": {"error", "results"},
    "pve_containers": {"error", "results"},
    "pve_migrations": {"error", "results"},
    "pve_node_maintenance": {"error", "results"},
    "pve_snapshot": {"guest", "guest.status"},
    "pve_snapshot_info": {"guest", "guest.status", "snapshots"},
    "pve_snapshots": {"error", "results"},
    "pve_task_info": {"tasks"},
    "pve_container": {"guest", "guest.type", "tasks"},
    "pve_vm": {"guest", "guest.type", "pending", "tasks"},
    "pve_vm_info": {"guests", "guests.status"},
    "pve_volume": {"volumes"},
    "pve_vms": {"error", "results"},
    "pve_vms_power": {"error", "results"},
}
ORDER = ("description", "returned", "type", "elements", "contains", "sample")
RETURN = re.compile(r'(?<=\nRETURN = r"""\n).*?(?=""")', re.DOTALL)
# What each key of a mapping has: the rest of its line, and the lines below, without their indentation.
Section = tuple[str, list[str]]


def sections(lines: list[str]) -> dict[str, Section]:
    """Take a mapping in block style apart."""
    found: dict[str, Section] = {}
    for line in lines:
        if line.startswith(" "):
            list(found.values())[-1][1].append(line.removeprefix("  "))
        elif ":" in line and not line.startswith("#"):
            key, _colon, rest = line.partition(":")
            found[key] = (rest, [])
    return found


def lines_of(mapping: dict[str, Section]) -> list[str]:
    """Put a mapping together again."""
    return [
        line for key, (rest, below) in mapping.items() for line in (f"{key}:{rest}", *(f"  {line}" for line in below))
    ]


def filled(own: Section, part: Section, words: set[str], path: str, type_is_own: bool = False) -> Section:
    """An entry with what it shares; words are the paths of the entries that keep their description."""
    mine, shared = sections(own[1]), sections(part[1])
    its_own = {"returned", "sample"} | ({"description"} if path in words else set())
    its_own |= {"type", "elements"} if type_is_own else set()
    entry: dict[str, Section] = {}
    for field in ORDER:
        if field == "contains" and field in shared:
            entry[field] = ("", lines_of(_contained(mine.get(field, ("", [])), shared[field], words, path)))
        elif field in mine and (field in its_own or field not in shared):
            entry[field] = mine[field]
        elif field in shared:
            entry[field] = shared[field]
    return ("", lines_of(entry))


def _contained(own: Section, part: Section, words: set[str], path: str) -> dict[str, Section]:
    mine, shared = sections(own[1]), sections(part[1])
    both = {key: filled(mine.get(key, ("", [])), entry, words, f"{path}.{key}") for key, entry in shared.items()}
    return {**both, **{key: entry for key, entry in mine.items() if key not in shared}}


def returned_by(module: str, text: str) -> str:
    """The RETURN of a module with all that it shares with others."""
    parts = sections(PARTS.read_text(encoding="utf-8").partition("\n---\n")[2].splitlines())
    others, words = OTHER_NAMES.get(module, {}), OWN_WORDS.get(module, set())
    entries = sections(text.splitlines())
    for name, entry in entries.items():
        part = others.get(name, name)
        if part in parts and name not in NO_PARTS.get(module, ()):
            entries[name] = filled(entry, parts[part], words, name, type_is_own=name in others)
    return "\n".join(lines_of(entries)) + "\n"


def with_shared_parts(path: Path) -> str:
    """The text of a module, with what it returns filled in."""
    text = path.read_text(encoding="utf-8")
    return RETURN.sub(lambda found: returned_by(path.stem, found[0]), text)


def action_plugin(module: str) -> str:
    """The text of the plugin that runs a module in Ansible's worker; they differ by the name alone."""
    return (ACTION / "pve_vm.py").read_text(encoding="utf-8").replace("pve_vm", module)


def with_action_group(text: str, modules: Iterable[str]) -> str:
    """The text of meta/runtime.yml with the modules that the group lacks."""
    missing = [name for name in modules if f"    - {name}\n" not in text]
    return text + "".join(f"    - {name}\n" for name in missing)


if __name__ == "__main__":
    for module in MODULES:
        module.write_text(with_shared_parts(module), encoding="utf-8")
        (ACTION / module.name).write_text(action_plugin(module.stem), encoding="utf-8")
    for many in MANY:
        (FRAGMENTS / f"{many}.py").write_text(fragment_of(many), encoding="utf-8")
    group = with_action_group(RUNTIME.read_text(encoding="utf-8"), (module.stem for module in MODULES))
    RUNTIME.write_text(group, encoding="utf-8")
