# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation is whole, agrees with itself, and speaks of nothing that is not there.

That options and argument specs agree is for ansible-test to see; that examples work, for test_examples.py.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
import pytest
import yaml
from ansible.module_utils.common.yaml import yaml_load
from fakepve import schema
from fakepve.shapes import PRIVILEGES

from ansible_collections.cloudbridge.proxmox.plugins.connection import pve_agent
from ansible_collections.cloudbridge.proxmox.plugins.inventory import pve
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._ansible.argument_spec import connection_spec
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.actions import doctor, status
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.details import DETAILS, resolve_details
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.payload import SECTIONS, Payload
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.privileges import needs
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.registry import ACTIONS
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.run import Run
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.plan import Change, Outcome
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.vm.cloud_init import CLOUD_INIT_SPEC
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve import errors
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.vm_config import DISK_BUSES
from ansible_collections.cloudbridge.proxmox.plugins.plugin_utils._worker import SWITCH
from tests.integration.guides import FENCE, blocks, documents, privileges, role_privileges
from tests.support.collection_tree import REPOSITORY
from tests.tooling.many_fragments import FRAGMENTS as FRAGMENT_FILES
from tests.tooling.many_fragments import MANY, fragment_of
from tests.tooling.module_files import ACTION, PARTS, action_plugin, returned_by, with_action_group, with_shared_parts

PACKAGE = "ansible_collections.cloudbridge.proxmox.plugins"
README = REPOSITORY / "README.md"
FIRST_VM = REPOSITORY / "docs" / "first-vm.md"
OPERATOR_GUIDE = REPOSITORY / "docs" / "cloudstack-operator-guide.md"
AWX = REPOSITORY / "docs" / "awx.md"
FROM_COMMUNITY = REPOSITORY / "docs" / "from-community-proxmox.md"
COMMUNITY_PROXMOX = json.loads((REPOSITORY / "tests/support/community_proxmox.json").read_text(encoding="utf-8"))
TROUBLESHOOTING = REPOSITORY / "docs" / "troubleshooting.md"
MODULES = sorted(path.stem for path in (REPOSITORY / "plugins" / "modules").glob("*.py"))
FRAGMENTS = sorted(path.stem for path in (REPOSITORY / "plugins" / "doc_fragments").glob("*.py"))
PLAYBOOKS = sorted((REPOSITORY / "playbooks").glob("*.yml"))
ROLES = sorted(path.name for path in (REPOSITORY / "roles").iterdir())
PAYLOADS = sorted((REPOSITORY / "tests" / "support" / "payloads").glob("*.json"))
DOCUMENTS = documents()
BRIDGE_DOCUMENTS = [README, *(path for path in DOCUMENTS if path.stem.startswith(("cloudstack", "security")))]
# What is written as code in the guides, and is neither a name of this collection nor a file of it.
WORDS_OF_OTHERS = {
    "reservedresourcedetails",
    *("ansible_host", "cache", "compose", "groups", "keyed_groups", "no_log", "unknown"),
    *(
        "ansible_python_interpreter",
        "changed",
        "connection",
        "localhost",
        "module_defaults",
        "ok",
    ),  # Ansible's
    *("args", "got timeout", "local", "unused0", "pct exec"),  # Proxmox VE's
    *("ansible", "changed_when", "no_log", "when"),  # Ansible's
    *("ansible_user", "become", "copy", "fetch", "raw", "reboot", "root", "serial", "throttle", "wait_for_connection"),
    *("binary", "qxl"),  # those of consoles
    *("cryptography", "false", "proxmox", "certifi"),
}


def document_of(module: str, name: str) -> Any:
    return yaml_load(getattr(importlib.import_module(f"{PACKAGE}.modules.{module}"), name))


def options_of(module: str) -> dict[str, Any]:
    """A module's options, those of its fragments included."""
    documentation = document_of(module, "DOCUMENTATION")
    options = dict(documentation["options"])
    for reference in documentation["extends_documentation_fragment"]:
        fragment, _dot, part = reference.removeprefix("cloudbridge.proxmox.").partition(".")
        shared = yaml_load(getattr(fragment_class(fragment), (part or "documentation").upper()))
        options = {**shared["options"], **options}
    return options


def fragment_class(name: str) -> type:
    found: type = importlib.import_module(f"{PACKAGE}.doc_fragments.{name}").ModuleDocFragment
    return found


def entries(tree: Mapping[str, Any], deeper: tuple[str, ...], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every option or returned value of a tree of them, with the way to it."""
    for name, entry in tree.items():
        yield f"{path}{name}", entry
        for key in deeper:
            yield from entries(entry.get(key) or {}, deeper, f"{path}{name}.")


def sentences(entry: Mapping[str, Any]) -> list[str]:
    text = entry["description"]
    return [text] if isinstance(text, str) else list(text)


def without_full_stop(tree: Mapping[str, Any], deeper: tuple[str, ...]) -> list[str]:
    return [
        f"{path}: {text}"
        for path, entry in entries(tree, deeper)
        for text in sentences(entry)
        if not text.endswith((".", ":"))
    ]


# ---- modules


@pytest.mark.parametrize("module", MODULES)
def test_everything_of_a_module_is_told_in_sentences(module):
    assert without_full_stop(options_of(module), ("suboptions",)) == []
    assert without_full_stop(document_of(module, "RETURN"), ("contains",)) == []
    assert [text for text in sentences(document_of(module, "DOCUMENTATION")) if not text.endswith(".")] == []


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_everything_of_a_fragment_is_told_in_sentences(fragment):
    parts = [text for name, text in vars(fragment_class(fragment)).items() if name.isupper()]
    for part in parts:
        content = yaml.safe_load(part)
        assert without_full_stop(content["options"], ("suboptions",)) == []
        assert without_full_stop(content.get("attributes") or {}, ()) == []


@pytest.mark.parametrize("module", MODULES)
def test_what_modules_share_is_returned_in_the_same_words_by_all(module):
    path = REPOSITORY / "plugins" / "modules" / f"{module}.py"
    assert with_shared_parts(path) == path.read_text(encoding="utf-8"), "make format writes it"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_that_returns_a_guest_returns_the_failure_too_and_where_the_guest_is(module):
    returned = document_of(module, "RETURN")
    assert "error" in returned
    if "guest" in returned:
        assert {"vmid", "node"} <= set(returned)


def test_a_new_module_names_what_it_returns():
    text = returned_by(
        "pve_new", "guest:\n  sample: {vmid: 100}\nsteps:\nsize:\n  description: Its own.\n  type: str\n"
    )
    returned = yaml_load(text)
    shared = yaml_load(PARTS.read_text(encoding="utf-8"))
    assert returned == {
        "guest": {**shared["guest"], "sample": {"vmid": 100}},
        "steps": shared["steps"],
        "size": {"description": "Its own.", "type": "str"},
    }
    assert returned_by("pve_new", text) == text


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_named_examples_with_full_names(module):
    tasks = document_of(module, "EXAMPLES")
    assert all(task["name"][0].isupper() for task in tasks)
    assert any(f"cloudbridge.proxmox.{module}" in task for task in tasks)
    assert all(any("." in key for key in task) for task in tasks)


def test_every_module_is_in_the_action_group():
    text = (REPOSITORY / "meta" / "runtime.yml").read_text(encoding="utf-8")
    assert sorted(yaml.safe_load(text)["action_groups"]["pve"]) == MODULES
    added = yaml.safe_load(with_action_group(text, [*MODULES, "pve_new"]))
    assert sorted(added["action_groups"]["pve"]) == sorted([*MODULES, "pve_new"])


def test_every_module_has_the_same_action_plugin():
    texts = {path.stem: path.read_text(encoding="utf-8") for path in ACTION.glob("*.py")}
    assert texts == {module: action_plugin(module) for module in MODULES}


# Modules that are about a guest, and have no lock of a guest to wait for.
WITHOUT_LOCK = {
    "pve_backup_job": "it changes a job, and no guest",
    "pve_backup_verify": "the guest is one of its own, and what locks that is waited for in any case",
    "pve_backups_verify": "the same for many guests",
    "pve_guest_exec": "what goes on in a guest does not know PVE's lock",
    "pve_guest_file": "what goes on in a guest does not know PVE's lock",
    "pve_guest_password": "what goes on in a guest does not know PVE's lock",
    "pve_guests_exec": "the same for many guests",
    "pve_console_script": "a console does not know PVE's lock",
}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_that_changes_guests_waits_for_their_locks_if_it_is_asked_to(module):
    description = importlib.import_module(f"{PACKAGE}.module_utils._ansible.modules.{module}").DESCRIPTION
    spec = description.argument_spec
    is_about_guests = {"vmid", "guests", "select", "guest_timeout"} & spec.keys() and not description.only_looks
    places = [spec, *(spec[name]["options"] for name in ("defaults", "guests") if "options" in spec.get(name, {}))]
    waits = "wait_for_lock" in places[-1]
    if not is_about_guests or module in WITHOUT_LOCK:
        assert not waits
        return
    assert waits, f"{module} needs lock_spec()"
    assert {place["wait_for_lock"].get("default", 0) for place in places if "wait_for_lock" in place} == {0}


@pytest.mark.parametrize("many", MANY)
def test_a_module_for_many_guests_documents_what_the_module_for_one_does(many):
    assert (FRAGMENT_FILES / f"{many}.py").read_text(encoding="utf-8") == fragment_of(many), "run `make format`"


def test_every_error_kind_is_explained_and_no_other():
    kinds = {error.kind for error in subclasses(errors.PveError)}
    text = TROUBLESHOOTING.read_text(encoding="utf-8")
    chapter = text.partition("## Kinds of errors")[2].partition("\n## ")[0]
    assert set(re.findall(r"^### (\w+)$", chapter, re.MULTILINE)) == kinds


def subclasses(kind: type[errors.PveError]) -> set[type[errors.PveError]]:
    direct = set(kind.__subclasses__())
    return direct.union(*(subclasses(item) for item in direct))


def test_every_key_of_an_error_is_explained():
    table = TROUBLESHOOTING.read_text(encoding="utf-8").partition("## Kinds of errors")[0]
    rows = [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == set(errors.PveError("no").details())


def test_everything_of_the_inventory_is_told_in_sentences():
    documentation = yaml_load(pve.DOCUMENTATION)
    assert without_full_stop(documentation["options"], ("suboptions",)) == []
    assert [text for text in sentences(documentation) if not text.endswith(".")] == []


def test_the_inventory_has_the_connection_of_the_modules():
    """Its options name their environment variables in a field, and those of modules in a sentence."""
    fragment = fragment_class("connection")
    sentence = r"      - If not set, the environment variable E\((\w+)\) is used\.\n"
    plain = re.sub(sentence, r"    env:\n      - name: \1\n", fragment.DOCUMENTATION.partition("notes:")[0])
    assert plain == fragment.INVENTORY


def test_the_role_cloud_template_knows_the_options_of_cloud_init():
    """What the modules would refuse at the end of a build is refused at its start."""
    text = (REPOSITORY / "roles/cloud_template/meta/argument_specs.yml").read_text(encoding="utf-8")
    options = yaml.safe_load(text)["argument_specs"]["main"]["options"]
    for name in ("cloud_template_cloud_init", "cloud_template_build_cloud_init"):
        assert bare(options[name]["options"]) == bare(CLOUD_INIT_SPEC)


def bare(options: dict[str, Any]) -> dict[str, Any]:
    """Options without what roles cannot have, and without what only one of two says."""
    found = {}
    for name, row in options.items():
        found[name] = {key: value for key, value in row.items() if key not in ("description", "aliases")}
        if "options" in row:
            found[name]["options"] = bare(row["options"])
    return found


# ---- playbooks


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_every_variable_of_a_playbook_is_in_its_first_lines(path):
    text = path.read_text(encoding="utf-8")
    header = [line for line in text.splitlines() if line.startswith("#   ")]
    rows = [found[1] for line in header if (found := re.match(r"#   ([a-z_]+(?:, [a-z_]+)*)  +\S", line))]
    told = {name for row in rows for name in row.split(", ")}
    assert told == variables_of(yaml.safe_load(text)) - set(connection_spec())
    assert re.search(rf"^#   ansible-playbook (-i \S+ )?cloudbridge\.proxmox\.{path.stem}( |$)", text, re.MULTILINE)


def variables_of(plays: list[dict[str, Any]]) -> set[str]:
    """The variables that a user can set: used, and not set by the playbook itself."""
    # A role's result is the last of them.
    texts, own = list[str](), {"omit", "lookup", "now", "item", "node_maintenance_result"}
    collect(plays, "", texts, own)
    environment = jinja2.Environment(autoescape=True)
    # Ansible's own, which only have to be known here.
    filters = ("bool", "combine", "difference", "expanduser", "flatten", "from_json", "strftime", "to_nice_json")
    environment.filters.update(dict.fromkeys(filters, str))
    environment.tests.update(dict.fromkeys(("abs", "failed", "skipped"), bool))
    used = set().union(*(jinja2.meta.find_undeclared_variables(environment.parse(text)) for text in texts))
    return {name for name in used - own if not name.startswith(("ansible_", "inventory_"))}


def collect(node: Any, key: str, texts: list[str], own: set[str]) -> None:
    if isinstance(node, Mapping):
        own.update([node["register"]] if "register" in node else [])
        for name, value in node.items():
            own.update(value if name == "vars" else ())
            collect(value, str(name), texts, own)
    elif isinstance(node, list):
        for item in node:
            collect(item, key, texts, own)
    elif isinstance(node, str) and key in ("when", "that"):
        texts.append(f"{{{{ {node} }}}}")
    elif isinstance(node, str):
        texts.append(node)


# ---- README.md and docs/


def prose(document: Path) -> str:
    return FENCE.sub("", document.read_text(encoding="utf-8"))


def cells(document: Path, heading: str) -> dict[str, list[str]]:
    """The rows of the table below this header, by the code in their first cell."""
    table = document.read_text(encoding="utf-8").partition(heading)[2].strip().partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines()[1:]]
    return {row[0].partition("`")[2].partition("`")[0]: row[1:] for row in rows}


def test_readme_lists_every_module_playbook_and_role():
    assert sorted(cells(README, "| Module | What it does |")) == MODULES
    assert sorted(cells(README, "| Playbook | What it does |")) == [path.stem for path in PLAYBOOKS]
    assert sorted(cells(README, "| Role | What it does |")) == ROLES


def test_readme_lists_every_environment_variable():
    listed = cells(README, "| Environment variable | Option | What it is |")
    spec = {str(option["fallback"][1][0]): name for name, option in connection_spec().items()}
    assert {variable: row[0].strip("`") for variable, row in listed.items()} == spec


def test_readme_speaks_of_privileges_that_proxmox_ve_has():
    rows = privileges(README)
    assert len(rows) > 10
    assert {name for _purpose, names, _path in rows for name in names} <= set(PRIVILEGES)
    named = {module for purpose, _names, _path in rows for module in re.findall(r"`(pve_\w+)`", purpose)}
    assert named <= set(MODULES)


def test_role_of_the_first_guide_has_every_privilege_of_the_readme():
    (role,) = role_privileges(FIRST_VM)
    needed = {name for _purpose, names, _path in privileges(README) for name in names}
    # VM.Snapshot includes the one; the shell of a node, to change all of them, to delete any volume, and to be root in
    # each guest is more than a user of virtual machines should have.
    too_much = {"Sys.Console", "Sys.Modify", "Datastore.Allocate", "VM.GuestAgent.Unrestricted"}
    assert role == needed - {"VM.Snapshot.Rollback", *too_much}


@pytest.mark.parametrize("module", sorted(COMMUNITY_PROXMOX["options"]))
def test_every_option_of_community_proxmox_has_a_successor(module):
    table = FROM_COMMUNITY.read_text(encoding="utf-8").partition(f"| {module} | ")[2].partition("\n\n")[0]
    listed = [name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split(" | ")[0])]
    assert sorted(listed) == COMMUNITY_PROXMOX["options"][module]


def test_role_of_the_operator_guide_has_what_the_doctor_wants():
    (role,) = role_privileges(OPERATOR_GUIDE)
    details = resolve_details(Payload(), {"pool": "cloud", "node": "pve1"})
    wanted = needs(details, 9, ["vmbr0"], ["local-lvm"], raw_console=True)
    assert [need for need in wanted for names in need.privileges if role.isdisjoint(names.split("|"))] == []


def test_the_credential_of_awx_sets_variables_that_are_read():
    inputs, injectors = (
        yaml.safe_load(block.text)
        for name in ("awx-inputs.yml", "awx-injectors.yml")
        for block in blocks(AWX)
        if block.name == name
    )
    spec = {str(option["fallback"][1][0]): option for option in connection_spec().values()}
    assert set(injectors["env"]) <= set(spec)
    fields = {field["id"]: field for field in inputs["fields"]}
    used = jinja2.meta.find_undeclared_variables(jinja2.Environment(autoescape=True).parse(str(injectors)))
    assert used - {"tower"} == set(fields) == set(inputs["required"])
    for name, template in injectors["env"].items():
        assert bool(spec[name].get("no_log")) is bool(fields.get(template.strip("{} "), {}).get("secret"))


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_links_lead_somewhere(document):
    lost = []
    for target in re.findall(r"\]\(([^)]+)\)", prose(document)):
        if target.startswith("https://"):
            continue
        name, _hash, anchor = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        if not path.exists() or (anchor and anchor not in anchors(path)):
            lost.append(target)
    assert lost == []


def test_every_guide_is_linked_from_the_readme():
    text = README.read_text(encoding="utf-8")
    assert [path.name for path in DOCUMENTS[1:] if f"(docs/{path.name})" not in text] == []


@functools.cache
def vocabulary() -> set[str]:
    """Every name that the collection gives to something."""
    known = {"module", SWITCH, SWITCH.upper(), *MODULES, *(path.stem for path in PLAYBOOKS), *ROLES}
    for module in MODULES:
        for tree, deeper in ((options_of(module), ("suboptions",)), (document_of(module, "RETURN"), ("contains",))):
            for path, entry in entries(tree, deeper):
                known.add(path.rpartition(".")[2])
                known.update(map(str, entry.get("choices") or ()))
                known.update(entry.get("aliases") or ())
    inventory = yaml_load(pve.DOCUMENTATION)
    for path, entry in entries(inventory["options"], ("suboptions",)):
        known.add(path.rpartition(".")[2])
        known.update(map(str, entry.get("choices") or ()))
    known.update(re.findall(r"C\((pve_\w+)\)", str(inventory)))
    shared = fragment_class("connection").VARIABLES
    for options in (yaml.safe_load(text)["options"] for text in (pve_agent.DOCUMENTATION, shared)):
        known.update(variable["name"] for row in options.values() for variable in row["vars"])
    for path in PLAYBOOKS:
        known |= variables_of(yaml.safe_load(path.read_text(encoding="utf-8")))
    known |= {error.kind for error in subclasses(errors.PveError)} | set(errors.PveError("no").details())
    known |= set(errors.ScriptFailed("no", "timeout", 1, "").details())
    known |= {"module_utils", *(path.name for path in (REPOSITORY / "plugins" / "module_utils").iterdir())}
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    return known | {f"make {target}" for target in re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)}


@functools.cache
def bridge_vocabulary() -> set[str]:
    """Every name of the CloudStack bridge: its details, actions and role variables, what payloads are made of, and
    the options of a virtual machine that it sets."""
    known = {*SECTIONS, *(action.name for action in ACTIONS)}
    paths = schema.load().paths
    for info in (paths["/nodes/{node}/qemu/{vmid}/config"]["PUT"], paths["/nodes/{node}/vzdump"]["POST"]):
        for name, option in info["parameters"]["properties"].items():
            known |= {name, *option.get("enum", ())}
    known |= {status.POWER_ON, status.POWER_OFF}
    known |= {*inspect.signature(Run).parameters, *Outcome.__annotations__, *Change.__annotations__}
    known |= {f"{bus}{number}" for bus, count in DISK_BUSES.items() for number in range(count)}
    known |= {doctor.OK, doctor.WARNING, doctor.PROBLEM, *doctor.Finding.__annotations__}
    for row in DETAILS.values():
        known |= {row.name, *row.choices, str(row.default), str(row.default).lower()}
    for role in ROLES:
        known |= variables_of_role(role)
    for path in PAYLOADS:
        known |= set(keys_of(json.loads(path.read_text(encoding="utf-8"))))
    variables = yaml.safe_load((REPOSITORY / "roles/cloudstack_extension/vars/main.yml").read_text(encoding="utf-8"))
    for action in variables["__cloudstack_extension_known_actions"].values():
        known |= {parameter["name"] for parameter in action["parameters"]}
    return known


def community_vocabulary() -> set[str]:
    """The names of community.proxmox, and of the settings of PVE that it has options for."""
    options = {name for names in COMMUNITY_PROXMOX["options"].values() for name in names}
    text = FROM_COMMUNITY.read_text(encoding="utf-8")
    groups = set(re.findall(r"`(proxmox_\w+|pve_(?:status|type|node|pool)_\w+)`", text))
    values = {"active", "archive", "current", "moved", "pending", "resized", "rollback", "true"}
    values |= {"all", "auto", "default", "full", "linked", "opportunistic", "options", "mountoptions"}
    settings = {"audio0", "virtiofs0", "numa0", "parallel0", "smbios1"}
    return {*options, *COMMUNITY_PROXMOX["options"], *groups, *values, *settings, "proxmox_", "pve_"}


def test_every_alias_is_in_the_guide_to_move_from_community_proxmox():
    """An alias is there for those who move, and they read it there."""
    chapter = FROM_COMMUNITY.read_text(encoding="utf-8").partition("## Names that are taken as they are")[2]
    told = set(re.findall(r"`(\w+)`", chapter.partition("\n## ")[0]))
    aliases = {
        alias
        for module in MODULES
        for _path, entry in entries(options_of(module), ("suboptions",))
        for alias in entry.get("aliases") or ()
    }
    assert aliases <= told


def variables_of_role(role: str) -> set[str]:
    """A role's variables, with their defaults and choices."""
    specs = yaml.safe_load((REPOSITORY / "roles" / role / "meta/argument_specs.yml").read_text(encoding="utf-8"))
    options = specs["argument_specs"]["main"]["options"]
    values = {
        str(value) for option in options.values() for value in (option.get("default"), *option.get("choices", ()))
    }
    return {*options, *values}


def keys_of(node: Any) -> Iterator[str]:
    """The keys of objects, however deep."""
    if isinstance(node, Mapping):
        yield from map(str, node)
    for item in node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ():
        yield from keys_of(item)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_names_in_the_guides_exist(document):
    known = vocabulary() | WORDS_OF_OTHERS
    if document in BRIDGE_DOCUMENTS:
        known |= bridge_vocabulary()
    if document == FROM_COMMUNITY:
        known |= community_vocabulary()
    unknown = []
    for code in re.findall(r"`([^`\n]+)`", prose(document)):
        name = re.fullmatch(r"([a-z_]+[a-z0-9_]*(?: [a-z]+)?)(?:: .+)?", code)
        if name and name[1] not in known and not (REPOSITORY / code).exists():
            unknown.append(code)
    assert unknown == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_the_guides_use_the_words_that_readers_search_for(path):
    text = prose(path)
    assert re.findall(r"(?i)\b(?:shall|is told|are told|anew|of none|for who|whence|hence|upon|likewise)\b", text) == []


# These explain, and show nothing that runs.
NOT_RUN = {"design", "security", "testing", "troubleshooting", "README"}


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path.stem not in NOT_RUN], ids=lambda path: path.stem)
def test_a_guide_says_what_ran_on_a_real_pve_and_how_to_repeat_it(path):
    text = path.read_text(encoding="utf-8").partition("## On a real Proxmox VE\n")[2]
    assert text, path
    cases = {case.stem.removeprefix("test_") for case in (REPOSITORY / "tests/live").glob("test_*.py")}
    for expression in re.findall(r"`make live ARGS=\"-k '?([a-z_ ]+)'?\"`", text):
        assert set(expression.split(" or ")) <= cases
