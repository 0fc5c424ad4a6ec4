# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the documentation shows works: the examples of every module, and every block of README.md and docs/."""

from __future__ import annotations

import functools
import gzip
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import yaml

from ansible_collections.cloudbridge.proxmox.plugins.inventory import pve as pve_inventory
from tests.integration.guides import blocks, documents, privileges
from tests.integration.reader import GUEST, REPEATED, SECRET, Reader
from tests.support.api_client import ApiClient
from tests.support.collection_tree import REPOSITORY
from tests.support.embedded_pve import EmbeddedPve, PveHandle, running_embedded_pve, seed, standard_guests
from tests.support.forks import forking_python
from tests.support.inventories import read_inventory
from tests.support.real_shell import RealShell
from tests.support.web_server import WebServer, qcow2, running_web_server

COLLECTION = "cloudbridge.proxmox."
# tests/integration/role/test_operator_guide.py follows these.
OPERATORS = {"cloudstack-operator-guide", "cloudstack-actions"}
# These need what the module for one guest needs, as README.md says.
FOR_ONE = {
    "pve_guests_exec": "pve_guest_exec",
    "pve_containers": "pve_container",
    "pve_migrations": "pve_migrate",
    "pve_vms": "pve_vm",
    "pve_vms_power": "pve_vm_power",
    "pve_snapshots": "pve_snapshot",
    "pve_backups": "pve_backup",
    "pve_backups_verify": "pve_backup_verify",
}
MODULES = sorted(path.stem for path in (REPOSITORY / "plugins" / "modules").glob("*.py"))


# ---- the worlds that the examples are about


def familiar_guests(server: EmbeddedPve) -> None:
    """The usual guests, with what the examples say of them."""
    standard_guests(server)
    web = server.guest(100)
    web.config.update(agent="1", tags="prod;web", description="old notes")
    web.config["scsi1"] = "local-lvm:vm-100-disk-1,size=4G"
    server.guest(101).config.update(vga="qxl", serial0="socket")
    seed.allocate_volumes(server, web)
    server.store_file("local", "debian.iso", 700 * 1024**2)


def start_web(pve: PveHandle) -> None:
    ApiClient(pve).task("POST", "/nodes/pve1/qemu/100/status/start")


def add_snapshots(pve: PveHandle) -> None:
    db = pve.guest(101)
    for number in range(4):
        db.snapshots[f"test-{number}"] = {**db.config, "snaptime": 1795000000 + number}


def add_backups(pve: PveHandle) -> None:
    for days in range(2, 7):
        pve.add_backup(100, age=days * 86400)


def add_young_backups(pve: PveHandle) -> None:
    for vmid in (100, 101):
        pve.add_backup(vmid, age=3600)


def begin_a_task(pve: PveHandle) -> None:
    """It ends when it is waited for."""
    pve.task_seconds["qmsnapshot"] = 60
    pve.before("GET", "/tasks/[^/]+/status$", pve.server.hurry.set)
    ApiClient(pve).data("POST", "/nodes/pve1/qemu/101/snapshot", snapname="slow")


def run_a_shell(pve: PveHandle) -> None:
    """There is a login on the serial line of db, and a shell behind it; the console of the container is a shell."""
    pve.console(101).run(RealShell({"root": SECRET}))
    ApiClient(pve).task("POST", "/nodes/pve1/lxc/200/status/start")
    pve.console(200).run(RealShell(None))


def run_a_shell_in_the_container(pve: PveHandle) -> None:
    """The container of the guide has a shell as soon as its console is opened."""
    shell = RealShell(None)
    pve.before("POST", "/lxc/210/termproxy$", lambda: pve.console(210).run(shell))


def have_images(pve: PveHandle) -> None:
    """The web server of the test has the images of the examples, and PVE's list of templates names it."""
    template = "alpine-3.22-default_20250617_amd64.tar.xz"
    pve.add_appliance(template, f"{IMAGES}{template}", b"a template")


def have_containers(pve: PveHandle) -> None:
    """One to clone, and one with a volume to detach."""
    ApiClient(pve).data("PUT", "/nodes/pve1/lxc/200/config", mp0="local-lvm:1,mp=/srv", description="old notes")
    pve.add_container(9002, "debian-container", config={"net0": "name=eth0,bridge=vmbr0"})
    ApiClient(pve).data("POST", "/nodes/pve1/lxc/9002/template")
    backup = {
        "content": "backup",
        "format": "tar.zst",
        "size": 1024,
        "vmid": 200,
        "subtype": "lxc",
        "ctime": 1795000000,
    }
    config = {**pve.config(200), "unprivileged": 0, "rootfs": "local-lvm:vm-200-disk-0,size=8G"}
    volumes = pve.server.storages["local"]["volumes"]
    volumes["backup/vzdump-lxc-200-2026_11_27-04_00_00.tar.zst"] = {**backup, "guest": config}


def run_agents(pve: PveHandle) -> None:
    """The agents run real programs, in a system of their own as far as the examples see it."""
    for vmid in (100, 101):
        agent = pve.run_agent(vmid, pve.server.directory / str(vmid))
        for name in ("systemctl", "psql"):
            agent.add_program(name)
        agent.moved += ["/etc/", "/var/log/"]
        for path in ("etc/app", "etc/network/interfaces.d", "var/log"):
            (agent.root / path).mkdir(parents=True)
        agent.add_users(root="!", app="*")
        (agent.root / "var/log/cloud-init.log").write_text("it ran\n")
        (agent.root / "etc/nologin").write_text("not yet\n")


def run_agents_of_new_guests(pve: PveHandle) -> None:
    """A guest that is started has an agent that runs real programs."""

    def begin() -> None:
        for vm in pve.server.vms:
            if not hasattr(vm, "agent_process"):
                agent = pve.run_agent(vm.vmid, pve.server.directory / str(vm.vmid))
                agent.add_program("systemctl")
                agent.moved.append("/etc/")
                (agent.root / "etc/network/interfaces.d").mkdir(parents=True)

    pve.before("POST", "/status/start$", begin, times=None)


# Modules whose examples are about guests in another state than the usual one.
STAGES: Mapping[str, tuple[Callable[[PveHandle], None], ...]] = {
    "pve_backup": (add_backups,),
    "pve_backup_info": (add_backups,),
    "pve_restore": (add_backups,),
    "pve_backup_verify": (add_young_backups,),
    "pve_backups_verify": (add_young_backups,),
    "pve_guest_exec": (start_web, run_agents),
    "pve_guests_exec": (start_web, run_agents),
    "pve_guest_file": (run_agents,),
    "pve_guest_password": (run_agents,),
    "pve_snapshot": (start_web, add_snapshots),
    "pve_vm_info": (start_web,),
    "pve_task_info": (begin_a_task,),
    "pve_console_script": (run_a_shell,),
    "pve_container": (have_containers,),
    "pve_volume": (have_images,),
}
# Modules whose examples are about several nodes.
THREE = ("pve1", "pve2", "pve3")
NODES = dict.fromkeys(("pve_migrate", "pve_migrations", "pve_node_maintenance"), THREE)
# What a node finds at cloud.example.com, by the names of the files.
IMAGES = "https://cloud.example.com/images/"
FILES = {
    "debian-13-generic-amd64.qcow2": qcow2(),
    "noble-server-cloudimg-amd64.img": qcow2(),
    "AlmaLinux-9-GenericCloud-latest.x86_64.qcow2": qcow2(),
    "opnsense.iso.gz": gzip.compress(b"an image of a disc"),
    "alpine-3.22-default_20250617_amd64.tar.xz": b"a template",
}


@pytest.fixture
def web() -> Iterator[WebServer]:
    with running_web_server() as server:
        server.files.update(FILES)
        yield server


def limited_to(pve: PveHandle, module: str) -> dict[str, str]:
    """A privilege separated token that has what README.md says of the module, and nothing else."""
    token_id = "ansible@pve!automation"
    pve.add_token(token_id, SECRET, privilege_separation=True)
    named = f"`{FOR_ONE.get(module, module)}`"
    for purpose, names, path in privileges(REPOSITORY / "README.md"):
        if "all modules" in purpose or named in purpose:
            for identity in ("ansible@pve", token_id):
                pve.grant(identity, path, *names)
    return {"PROXMOX_USER": "ansible@pve", "PROXMOX_TOKEN_ID": "automation", "PROXMOX_TOKEN_SECRET": SECRET, **GUEST}


# ---- the examples of the modules


def examples_of(module: str) -> list[dict[str, Any]]:
    imported = importlib.import_module(f"ansible_collections.cloudbridge.proxmox.plugins.modules.{module}")
    tasks = yaml.safe_load(imported.EXAMPLES)
    assert isinstance(tasks, list)
    return tasks


def action_of(task: Mapping[str, Any]) -> str | None:
    return next((key for key in task if key.startswith(COLLECTION)), None)


def is_repeated(arguments: Mapping[str, Any]) -> bool:
    if arguments.get("max_age") == "0":
        return True
    of_each = arguments.get("defaults") or (arguments.get("guests") or [{}])[0]
    if {"argv", "command"} & {*arguments, *of_each} and "creates" not in arguments:
        return True
    return arguments.get("state") in REPEATED or arguments.get("cloud_init", {}).get("update_password") == "always"


def foretold(task: Mapping[str, Any]) -> dict[str, Any]:
    """The task in check mode, which no other learns of."""
    unheard = {key: value for key, value in task.items() if key != "register"}
    return {**unheard, "name": f"{task['name']} (foretold)", "check_mode": True}


def in_turns(tasks: list[dict[str, Any]], way: Callable[[], bool]) -> list[dict[str, Any]]:
    """Each task foretold, run and run again, and each of these in the other way than the one before."""
    process = {"cloudbridge_proxmox_run_in_worker": False, "ansible_python_interpreter": str(forking_python())}
    return [
        copy if way() else {**copy, "vars": {**copy.get("vars", {}), **process}}
        for task in tasks
        for copy in (foretold(task), task, {**task, "name": again(task)})
    ]


def again(task: Mapping[str, Any]) -> str:
    return f"{task['name']} (again)"


@pytest.mark.smoke
@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module_work_with_the_privileges_in_the_readme(module, play, web, tmp_path):
    (tmp_path / "appliance.qcow2").write_bytes(qcow2())
    tasks = examples_of(module)
    three_times = [copy for task in tasks for copy in (foretold(task), task, {**task, "name": again(task)})]
    with running_embedded_pve(familiar_guests, nodes=NODES.get(module, ("pve1",))) as pve:
        pve.agents_answer_from_the_start()
        pve.knobs.web_servers["https://"] = web.url("")
        for prepare in STAGES.get(module, ()):
            prepare(pve)
        text = yaml.safe_dump(three_times, sort_keys=False)
        result = play(text, env=limited_to(pve, module), on=pve, interpreter=None)
    assert not result.failed, result.stdout + result.stderr
    assert any(action_of(task) == COLLECTION + module for task in tasks)
    for task in tasks:
        name, action = task["name"], action_of(task)
        if action is None:
            continue
        before, first, second = (result.task(name) for name in (foretold(task)["name"], name, again(task)))
        assert before.outcome == first.outcome == second.outcome == "ok", f"{module}: {name}"
        # An example that changes nothing here is one that the world above was not prepared for.
        only_looks = action.endswith(("_info", "_verify")) or task[action].get("state") == "read"
        assert before.changed is first.changed is not only_looks, f"{module}: {name}"
        assert second.changed is is_repeated(task[action]), f"{module}: {name}, again"


# ---- the examples of the inventory plugin


@pytest.mark.smoke
@pytest.mark.parametrize("number", range(6))
def test_the_examples_of_the_inventory_work(number, tmp_path):
    examples = pve_inventory.EXAMPLES.strip().split("---\n")[1:]
    assert len(examples) == 6
    with running_embedded_pve(familiar_guests) as pve:
        standing_for = {
            "pve1.example.com,pve2.example.com": f"{pve.host}:{pve.port}",
            "ansible@pve!inventory": pve.token_id,
            "/etc/ssl/pve-root-ca.pem": pve.cafile,
            # As an extra variable it would be on the command line, and ansible-core 2.18 would list it for each host.
            "{{ pve_token_secret }}": "{{ lookup('env', 'PROXMOX_TOKEN_SECRET') }}",
        }
        text = functools.reduce(lambda text, item: text.replace(*item), standing_for.items(), examples[number])
        pve.agents_answer_from_the_start()
        start_web(pve)
        found = read_inventory(text, home=tmp_path, connection=pve.environment)
    assert found.hosts
    assert found.stderr == ""


# ---- the blocks of the guides


def nothing_yet(server: EmbeddedPve) -> None:
    """The cluster of somebody who begins."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "document", [path for path in documents() if path.stem not in OPERATORS], ids=lambda path: path.stem
)
def test_every_block_of_a_document_works(document, tmp_path, web, in_worker):
    (tmp_path / "appliance.qcow2").write_bytes(qcow2())
    nodes = THREE if document.stem in ("maintenance", "from-community-proxmox") else ("pve1",)
    with running_embedded_pve(nothing_yet if document.stem == "first-vm" else familiar_guests, nodes=nodes) as pve:
        pve.agents_answer_from_the_start()
        have_images(pve)
        pve.knobs.web_servers["https://"] = web.url("")
        if document.stem == "console-scripts":
            run_a_shell(pve)
        if document.stem == "agent":
            run_agents_of_new_guests(pve)
        if document.stem == "containers":
            run_a_shell_in_the_container(pve)
        reader = Reader(pve, tmp_path)
        if document.stem == "agent":
            # The guests have it, too.
            reader.connection["ANSIBLE_PYTHON_INTERPRETER"] = sys.executable
        elif not in_worker():
            # Another interpreter than Ansible's own.
            reader.connection["ANSIBLE_PYTHON_INTERPRETER"] = str(forking_python())
        for block in blocks(document):
            assert block.language in ("yaml", "console", "ini"), f"{document.name}:{block.line} cannot be tested"
            try:
                reader.read(block)
            except AssertionError as problem:
                raise AssertionError(f"{document.name}, up to line {block.line}: {problem}") from problem
        reader.finish()
