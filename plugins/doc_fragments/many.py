# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import importlib
import json
import re
import typing as t

import yaml

from ..module_utils._ansible.many import loosened

Options = dict[str, t.Any]
PLUGINS = __package__.rpartition(".")[0]
# What the whole task has, and not each guest.
OF_THE_TASK = ("connection", "attributes")
SEMANTIC = re.compile(r"\b(O|RV)\(([^)#]+)\)")


def options_of(module: str) -> Options:
    """The options of a module for one guest, those of its fragments included."""
    document = yaml.safe_load(importlib.import_module(f"{PLUGINS}.modules.{module}").DOCUMENTATION)
    options: Options = {}
    for reference in document["extends_documentation_fragment"]:
        name, _dot, part = reference.removeprefix("cloudbridge.proxmox.").partition(".")
        if name not in OF_THE_TASK:
            fragment = importlib.import_module(f"{PLUGINS}.doc_fragments.{name}").ModuleDocFragment
            options.update(yaml.safe_load(getattr(fragment, (part or "documentation").upper()))["options"])
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


def fragment(module: str, *, required: bool) -> str:
    """The options that the modules for many guests have from the module for one."""
    text = json.dumps(loosened(with_defaults_in_words(options_of(module)), "suboptions"))
    options: Options = json.loads(SEMANTIC.sub(rf"\1(cloudbridge.proxmox.{module}#module:\2)", text))
    shared = {name: row for name, row in options.items() if name not in ("vmid", "name")}
    return json.dumps(
        {
            "options": {
                "defaults": {
                    "description": [
                        "What is asked for all guests.",
                        "An option of a guest goes before this. Of dictionaries each key does, and a list is replaced.",
                    ],
                    "type": "dict",
                    "suboptions": shared,
                },
                "guests": {
                    "description": [
                        "The guests, each with the options of the module for one guest.",
                        "That two entries mean one guest is an error, and nothing is changed.",
                    ],
                    "type": "list",
                    "elements": "dict",
                    "required": required,
                    "suboptions": options,
                },
            }
        }
    )


class ModuleDocFragment:
    """What modules for many guests have in common, and what they have from the modules for one."""

    DOCUMENTATION = r"""
options:
  parallel:
    description: The most guests that are worked on at the same time.
    type: int
    default: 8
  per_node:
    description:
      - The most changes, with the tasks that they start, that go on at a node at the same time.
      - Without it, O(parallel) is the only limit.
    type: int
  on_failure:
    description:
      - What happens to the guests that are not begun yet when one has failed.
      - V(continue) goes on with them, and V(stop) leaves them alone. What has been begun is finished either way.
      - In both cases the task fails at its end, and says which guests failed and why.
    type: str
    choices: [continue, stop]
    default: continue
  timeout:
    description:
      - Seconds that the whole task may take.
      - Each guest has its own seconds in the option C(timeout) of its entry, or of O(defaults). They do not count while
        it waits for other guests of the task.
    type: int
    default: 7200
"""

    SELECT = r"""
options:
  select:
    description:
      - Which existing guests are meant, in place of O(guests). What O(defaults) says is done to each.
      - The conditions are met by what the cluster's list of guests says. Names and states in it can be ten seconds old.
      - Templates are never selected. That no guest is found is no error.
    type: dict
    suboptions:
      tags:
        description: Tags that the guest has, all of them.
        type: list
        elements: str
      pool:
        description: The pool that the guest is in.
        type: str
      node:
        description: The node that the guest is on.
        type: str
      names:
        description: Shell patterns, of which one fits the guest's name. Case matters.
        type: list
        elements: str
      status:
        description: The state of the guest. A paused one is V(running).
        type: str
        choices: [running, hibernated, stopped]
      guest_type:
        description: Whether virtual machines, V(qemu), or containers, V(lxc), are meant, or both.
        type: str
        choices: [auto, qemu, lxc]
        default: auto
"""

    # Annotated, since ansible-test takes each plain assignment for a text.
    VM: t.ClassVar[str] = fragment("pve_vm", required=True)
    POWER: t.ClassVar[str] = fragment("pve_vm_power", required=False)
    SNAPSHOT: t.ClassVar[str] = fragment("pve_snapshot", required=False)
