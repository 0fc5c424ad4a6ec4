# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options that a module for many guests has from the module for one, as the text of its documentation fragment.

`make format` writes them: plugins/doc_fragments/pve_vms.py is what pve_vms has from pve_vm. A new module for many
guests needs a line in MANY and the fragment of its own name.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import yaml
from ansible.module_utils.common.yaml import yaml_load

from tests.support.collection_tree import REPOSITORY, put_on_path

put_on_path()

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._ansible.many import loosened  # noqa: E402

Options = dict[str, Any]
PLUGINS = REPOSITORY / "plugins"
FRAGMENTS = PLUGINS / "doc_fragments"
# The modules for many guests, the module for one, and whether the list of guests must be given.
MANY = {
    "pve_backups": ("pve_backup", False),
    "pve_guests_exec": ("pve_guest_exec", False),
    "pve_containers": ("pve_container", True),
    "pve_backups_verify": ("pve_backup_verify", False),
    "pve_migrations": ("pve_migrate", False),
    "pve_snapshots": ("pve_snapshot", False),
    "pve_vms": ("pve_vm", True),
    "pve_vms_power": ("pve_vm_power", False),
}
# What the whole task has, and not each guest.
OF_THE_TASK = ("connection", "attributes")
# What only an entry has, as it says which guest is meant.
OF_AN_ENTRY = ("vmid", "name")
SEMANTIC = re.compile(r"\b(O|RV)\(([^)#]+)\)")
FRAGMENT = '''\
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Written by `make format` from the documentation of {one}.

from __future__ import annotations


class ModuleDocFragment:
    """What {many} has from {one}."""

    DOCUMENTATION = r"""
{text}"""
'''


class _Dumper(yaml.SafeDumper):
    """Writes lists as the other documentation has them, indented, and each option in full."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def text_in(path: Path, name: str) -> str:
    """The text that a plugin assigns to a name."""
    found = re.search(rf'^ *{name} = r"""\n(.*?)"""', path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert found, f"{path} has no {name}"
    return found[1]


def options_of(module: str) -> Options:
    """The options of a module for one guest, those of its fragments included."""
    document = yaml_load(text_in(PLUGINS / f"modules/{module}.py", "DOCUMENTATION"))
    options: Options = {}
    for reference in document["extends_documentation_fragment"]:
        name, _dot, part = reference.removeprefix("cloudbridge.proxmox.").partition(".")
        if name not in OF_THE_TASK:
            options.update(yaml_load(text_in(FRAGMENTS / f"{name}.py", (part or "documentation").upper()))["options"])
    return {**options, **document["options"]}


def with_defaults_in_words(options: Options) -> Options:
    """Each default as a sentence, since it is only used when neither the guest nor the defaults have the option."""
    found = {}
    for name, row in options.items():
        found[name] = dict(row)
        if "default" in row:
            default = yaml.safe_dump(row["default"], default_flow_style=True).partition("\n")[0]
            words = row["description"]
            said = [words] if isinstance(words, str) else list(words)
            found[name]["description"] = [*said, f"V({default}) is used when nothing says otherwise."]
        if row["type"] == "dict" and "suboptions" in row:
            found[name]["suboptions"] = with_defaults_in_words(row["suboptions"])
    return found


def fragment_of(many: str) -> str:
    """The text of the file plugins/doc_fragments/<many>.py."""
    one, required = MANY[many]
    text = json.dumps(loosened(with_defaults_in_words(options_of(one)), "suboptions"))
    options: Options = json.loads(SEMANTIC.sub(rf"\1(cloudbridge.proxmox.{one}#module:\2)", text))
    shared = {name: row for name, row in options.items() if name not in OF_AN_ENTRY}
    own = {name: row for name, row in options.items() if name in OF_AN_ENTRY}
    text = TEXT.format(shared=_dumped(shared, 6), own=_dumped(own, 6), required="true" if required else "false")
    return FRAGMENT.format(many=many, one=one, text=text)


def _dumped(options: Options, indentation: int) -> str:
    text = yaml.dump(options, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=sys.maxsize)
    return "\n".join(wrapped for line in text.splitlines() for wrapped in _wrapped(" " * indentation + line))


def _wrapped(line: str) -> list[str]:
    """A line that is no longer than others: PyYAML would break it after the word that is too much."""
    deeper = " " * (len(line) - len(line.lstrip(" -")) + (0 if line.lstrip().startswith("-") else 2))
    return textwrap.wrap(line, 120, subsequent_indent=deeper, break_long_words=False, break_on_hyphens=False)


TEXT = """\
options:
  defaults:
    description:
      - What is asked for all guests.
      - An option of a guest goes before this. Of dictionaries each key does, and a list is replaced.
    type: dict
    suboptions: &shared
{shared}
  guests:
    description:
      - The guests, each with the options of the module for one guest.
      - That two entries mean one guest is an error, and nothing is changed.
    type: list
    elements: dict
    required: {required}
    suboptions:
{own}
      <<: *shared
"""
