# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Somebody who types what a document shows."""

from __future__ import annotations

import functools
import itertools
import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import yaml
from fakepve.shapes import PRIVILEGES

from tests.integration.guides import Block, Command
from tests.support import playbooks
from tests.support.api_client import ApiClient
from tests.support.collection_tree import REPOSITORY, link_collection
from tests.support.embedded_pve import PveHandle
from tests.support.person import Person, run_console
from tests.support.processes import child_environment
from tests.tooling.working_copy import update_copy

OTHER_COLLECTION = "community.proxmox.proxmox"
COMMUNITY_PROXMOX = json.loads((REPOSITORY / "tests/support/community_proxmox.json").read_text(encoding="utf-8"))
# What these ask for happens each time.
REPEATED = {"rolled_back", "restarted", "reset"}
# Roles that PVE has, as far as the guides use them.
PVE_ROLES = {
    "PVEAuditor": ["VM.Audit"],
    "PVEAdmin": [name for name in PRIVILEGES if name.startswith(("VM.", "Datastore.", "SDN.", "Pool.", "Sys.Audit"))],
    "PVEDatastoreAdmin": [name for name in PRIVILEGES if name.startswith("Datastore.")],
}
AGAIN = "Once more"
SECRET = "b1f7a4b2-5d0c-4c38-9c56-2f8f2d6f1c11"
# What the examples say of guests' own passwords.
GUEST = {"GUEST_PASSWORD": SECRET}
MAKE_TARGETS = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
REPOSITORY_URL = yaml.safe_load((REPOSITORY / "galaxy.yml").read_text(encoding="utf-8"))["repository"]


class Reader:
    """Somebody who does what a document says, from its first block to its last."""

    def __init__(self, pve: PveHandle, home: Path) -> None:
        self.pve = pve
        self.home = home
        self.directory = home
        self.roles: dict[str, list[str]] = {}
        self.connection = {**pve.environment, **GUEST}
        self.installed = False
        self.waiting: list[Block] = []

    def read(self, block: Block) -> None:
        """Do what the block says; of tasks only once finish is called, or a block needs what they have done."""
        if OTHER_COLLECTION in block.text and not block.name:
            check_options_of_others(block)
        elif block.language == "yaml" and not block.name:
            if uses_results(block, self.waiting):
                self.finish()
            self.waiting.append(block)
        else:
            self.finish()
            self.act_on(block)

    def act_on(self, block: Block) -> None:
        if block.language == "console":
            for command in block.commands():
                self.type(command)
        elif block.name:
            (self.home / block.name).write_text(block.text, encoding="utf-8")
        else:
            self.keep_credentials(block)

    def finish(self) -> None:
        """Run the tasks of the blocks that wait, each twice, in one process: its start is most of what it takes."""
        waiting, self.waiting = self.waiting, []
        if not waiting:
            return
        plays = [play for number, block in enumerate(waiting) for play in played_twice(block, f"{AGAIN}, {number}")]
        path = self.home / "block.yml"
        path.write_text(yaml.safe_dump(plays, sort_keys=False), encoding="utf-8")
        done = self.shell(["ansible-playbook", str(path)])
        assert done.returncode == 0, done.stdout
        shown = done.stdout.split("\nPLAY ")
        for number, block in enumerate(waiting):
            second = [play for play in shown if play.startswith(f"[{AGAIN}, {number}]")]
            assert second, done.stdout
            if not REPEATED & set(re.findall(r"state: (\w+)", block.text)):
                assert not any("\nchanged: " in play for play in second), f"line {block.line}: {done.stdout}"

    def type(self, command: Command) -> None:
        if command.prompt == "#":
            self.as_root(command.words)
            return
        program, *words = command.words
        if program == "export":
            self.export(words[0])
        elif program == "make":
            assert words[0] in MAKE_TARGETS
        elif program == "git":
            assert words == ["clone", REPOSITORY_URL]
        elif program == "cd":
            assert words == [REPOSITORY_URL.rpartition("/")[2]]
        elif program == "pip":
            assert words[:2] == ["install", "-r"]
            assert (REPOSITORY / words[2]).is_file()
        elif program == "pve-console":
            self.sit_at_terminal(command)
        else:
            assert program in (
                "ansible",
                "ansible-playbook",
                "ansible-inventory",
                "ansible-doc",
                "ansible-galaxy",
                "ansible-builder",
            )
            self.ansible(command)

    def ansible(self, command: Command) -> None:
        if command.words[:2] == ["ansible-galaxy", "collection"] and not self.installed:
            # From here on there is no checkout, but what the document says how to install.
            self.directory, self.installed = update_copy("examples"), True
        # The machines that a playbook is run on are somebody else's, unless they are guests of the embedded PVE.
        options = command.words[:-1] if command.words[0] == "ansible-playbook" else []
        inventories = [after for before, after in pairwise(options) if before == "-i"]
        elsewhere = ["--syntax-check"] if inventories and not inventories[0].endswith(".pve.yml") else []
        check_output(command, self.shell([*command.words, *elsewhere]))
        if command.words[:3] == ["ansible-galaxy", "collection", "install"]:
            self.directory = self.home
            self.check_installation()

    def sit_at_terminal(self, command: Command) -> None:
        """Look at what is shown, and leave with the escape key."""
        words = command.words[1:]
        if {"--completion", "--script"} & set(words):
            done = run_console(self.home, self.connection, *words)
            shown, code = done.stderr + done.stdout, done.returncode
        else:
            with Person(self.home, self.connection, *words) as person:
                person.connected().expect(rb"serial0\r\n|its own login")
                code, shown = person.leave(), person.seen.decode()
                assert person.terminal_is_as_before
        missing = command.missing_in(shown)
        assert (code, missing) == (0, None), f"{command.line}\n{shown}"

    def keep_credentials(self, block: Block) -> None:
        """The clusters of the file are all the embedded PVE."""
        first, _end, text = block.text.partition("\n")
        path = self.home / first.removeprefix("# ~/")
        path.parent.mkdir(parents=True)
        standing_for = {
            "/etc/ssl/pve-root-ca.pem": self.pve.cafile,
            "ansible@pve!automation": self.pve.token_id,
            "00000000-0000-0000-0000-000000000000": self.pve.token_secret,
            "api_password = secret": f"api_password = {self.pve.server.password}",
        }
        text = functools.reduce(lambda text, item: text.replace(*item), standing_for.items(), text)
        path.write_text(re.sub(r"\w+\.example\.com", f"{self.pve.host}:{self.pve.port}", text), encoding="utf-8")
        path.chmod(0o600)

    def check_installation(self) -> None:
        installed = self.home / ".ansible" / "collections" / "ansible_collections" / "cloudbridge" / "proxmox"
        names = {path.name for path in installed.iterdir()}
        assert {"plugins", "playbooks", "meta", "docs", "README.md"} <= names
        assert not {"tests", "Makefile", ".cache"} & names

    def export(self, assignment: str) -> None:
        """Who asks is as the document says; where PVE is, and the secret, are not."""
        name, _equals, value = assignment.partition("=")
        assert name in self.connection, name
        if name in ("PROXMOX_USER", "PROXMOX_TOKEN_ID"):
            self.connection[name] = value
        if name == "PROXMOX_TOKEN_SECRET":
            self.connection[name] = SECRET

    def as_root(self, words: list[str]) -> None:
        """What pveum does, as far as the guides use it; other commands of PVE only have to be such."""
        options = dict(itertools.pairwise(words))
        match words:
            case ["pveum", "role", "add", name, "--privs", _]:
                self.roles[name] = options["--privs"].split()
                known = set(ApiClient(self.pve).data("GET", "/access/permissions")["/"])
                assert set(self.roles[name]) <= known
            case ["pveum", "user", "add", _] | ["pveum", "user", "token", "permissions" | "remove", *_]:
                pass
            case ["pveum", "acl", "modify", path, "--users", user, "--roles", role]:
                self.pve.grant(user, path, *(self.roles | PVE_ROLES)[role])
            case ["pveum", "user", "token", "add", user, name, "--privsep", separated]:
                self.pve.add_token(f"{user}!{name}", SECRET, separated == "1")
            case _:
                assert words[0] in ("qm", "ha-manager", "pvesm"), words

    def shell(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        settings: dict[str, str | None] = {
            "ANSIBLE_CONFIG": str(playbooks.SETTINGS),
            "ANSIBLE_COLLECTIONS_PATH": None if self.installed else str(link_collection()),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "ANSIBLE_NOCOLOR": "1",
            "COLUMNS": "500",
        }
        if self.installed:
            settings["PYTHONPATH"] = None
        return subprocess.run(
            [str(Path(sys.executable).parent / words[0]), *words[1:]],
            env=child_environment(self.home, settings, self.connection),
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=180,
        )


def uses_results(block: Block, before: list[Block]) -> bool:
    """Whether it has a name that a block before has registered: each has to work without the other's variables."""
    registered = {name for one in before for name in re.findall(r"register: (\w+)", one.text)}
    return bool(registered & set(re.findall(r"\w+", block.text)))


def played_twice(block: Block, again: str) -> list[dict[str, object]]:
    """The plays of a block, or of its tasks, and once more under this name."""
    content = yaml.safe_load(block.text)
    tasks = {"hosts": "localhost", "gather_facts": False, "tasks": content}
    plays = content if "hosts" in content[0] else [tasks]
    return [*plays, *({**play, "name": again} for play in plays)]


def check_output(command: Command, done: subprocess.CompletedProcess[str]) -> None:
    """It went well, and what the document shows below the command came."""
    assert done.returncode == 0, f"{command.line}\n{done.stdout}"
    missing = command.missing_in(done.stdout)
    assert missing is None, f"{command.line}\nhas not {missing!r} in\n{done.stdout}"


def check_options_of_others(block: Block) -> None:
    """The tasks that a guide begins with are somebody else's: they only have to be such."""
    for task in yaml.safe_load(block.text):
        for action, arguments in task.items():
            if action.startswith(OTHER_COLLECTION):
                assert set(arguments) <= set(COMMUNITY_PROXMOX["options"][action.rpartition(".")[2]]), task["name"]
