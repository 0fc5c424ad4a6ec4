# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The extension made known to CloudStack: by its API, and by the CloudMonkey commands that the role writes."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest
import yaml

from tests.support.collection_tree import REPOSITORY, link_collection

MODULE = "ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.registration"
ROLE = REPOSITORY / "roles" / "cloudstack_extension"
ACTIONS = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text("utf-8"))["cloudstack_extension_custom_actions"]
SNAPSHOT = {
    "name": "CreateSnapshot",
    "description": "Create a snapshot",
    "parameters": [
        {"name": "snap_name", "type": "STRING", "required": True},
        {"name": "snap_save_memory", "type": "BOOLEAN", "required": False},
    ],
    "allowedroletypes": ["Admin", "User"],
    "successmessage": "Snapshot created for [instance]",
    "errormessage": "Snapshot creation failed for [instance]",
    "timeout": 600,
}
RESET = {**SNAPSHOT, "name": "Reset", "parameters": []}

pytestmark = pytest.mark.timeout(400)


def register(cloudstack, *actions, check=False, api=None, clusters=None, **extension):
    """Run the registration as the role does; returns what it printed."""
    order = {
        "check": check,
        "api": {
            "url": cloudstack.url,
            "key": cloudstack.key,
            "secret": cloudstack.secret,
            "validate_certs": True,
            "ca_path": "",
            "timeout": 10,
            **(api or {}),
        },
        "extension": {
            "name": "Pve",
            "path": "Pve/pve.py",
            "description": "Proxmox VE",
            "enabled": True,
            "details": {},
            **extension,
        },
        "custom_actions": list(actions),
        "clusters": clusters or {},
    }
    program = f"""\
import sys
sys.path.insert(0, {str(link_collection())!r})
from {MODULE} import main
sys.exit(main({json.dumps(json.dumps(order))}))
"""
    completed = subprocess.run(
        [sys.executable, "-IB", "-"], input=program, capture_output=True, text=True, timeout=60, check=False
    )
    assert completed.stderr == ""
    answer = json.loads(completed.stdout)
    assert completed.returncode == (1 if "error" in answer else 0)
    return answer


@pytest.fixture
def prepared(cloudstack):
    """CloudStack, with the executable in place."""
    path = cloudstack.extensions_root / "Pve" / "pve.py"
    path.parent.mkdir(parents=True)
    path.touch()
    return cloudstack


def test_nothing_is_left_to_do_the_second_time(prepared):
    first = register(prepared, SNAPSHOT, RESET, details={"url": "pve", "secret": "s3"})
    assert first["changes"] == ["create extension Pve", "add custom action CreateSnapshot", "add custom action Reset"]
    (extension,) = prepared.extensions
    assert extension["orchestratorrequirespreparevm"] is True
    assert extension["reservedresourcedetails"] == "proxmox_vmid"
    assert extension["details"] == {"url": "pve", "secret": "s3"}
    action = prepared.actions[0]
    assert (action["timeout"], action["enabled"], action["resourcetype"]) == (600, True, "VirtualMachine")
    assert action["successmessage"] == "Snapshot created for {{resourceName}}"
    assert [parameter["required"] for parameter in action["parameters"]] == [True, False]

    prepared.calls.clear()
    assert register(prepared, SNAPSHOT, RESET, details={"url": "pve"}) == {
        "changed": False,
        "changes": [],
        "warnings": [],
    }
    assert prepared.changes == []


def test_check_mode_only_asks(prepared):
    assert register(prepared, SNAPSHOT, check=True)["changes"] == [
        "create extension Pve",
        "add custom action CreateSnapshot",
    ]
    register(prepared)
    assert register(prepared, SNAPSHOT, check=True)["changes"] == ["add custom action CreateSnapshot"]
    assert prepared.changes == ["createExtension"]


def test_only_what_differs_is_updated(prepared):
    register(prepared, SNAPSHOT, RESET)
    (extension,) = prepared.extensions
    extension.update(state="Disabled", reservedresourcedetails="mine", details={"url": "old", "node": "pve1"})
    prepared.actions[0].update(timeout=60, parameters=prepared.actions[0]["parameters"][:1])
    prepared.actions[1].update(enabled=False, parameters=prepared.actions[0]["parameters"])
    prepared.actions.append({"id": "x", "name": "Mine", "extensionid": extension["id"]})
    answer = register(prepared, SNAPSHOT, RESET, details={"url": "new"})
    assert answer["changes"] == [
        "update extension Pve: details, reservedresourcedetails, state",
        "update custom action CreateSnapshot: parameters, timeout",
        "update custom action Reset: enabled, parameters",
    ]
    assert extension["reservedresourcedetails"] == "mine,proxmox_vmid"
    assert extension["details"] == {"url": "new", "node": "pve1"}
    assert prepared.actions[1]["parameters"] == []
    assert prepared.actions[2]["name"] == "Mine"
    assert register(prepared, SNAPSHOT, RESET, details={"url": "new"})["changes"] == []


def test_the_extension_that_comes_with_cloudstack_keeps_its_description(prepared):
    register(prepared, description="CloudStack's own")
    prepared.extensions[0]["isuserdefined"] = False
    assert register(prepared)["changes"] == []


def test_a_release_that_cannot_reserve_details_is_told_and_not_asked_for_ever(prepared):
    prepared.reserves_details = False
    assert "CVE-2026-25199" in register(prepared)["warnings"][0]
    second = register(prepared)
    assert second["changes"] == []
    assert "user.vm.denied.details" in second["warnings"][0]


CLUSTER = "0a3a1b8e-4a5f-4a43-9f4e-000000000001"


class TestClusters:
    @pytest.fixture
    def prepared(self, prepared):
        prepared.clusters.append(CLUSTER)
        return prepared

    def test_registered_once_and_then_brought_up_to_date(self, prepared):
        wanted = {CLUSTER: {"network_bridge": "vmbr0", "ha": True}}
        first = register(prepared, clusters=wanted)
        assert first["changes"] == ["create extension Pve", f"register extension Pve with cluster {CLUSTER}"]
        (resource,) = prepared.extensions[0]["resources"]
        assert resource["details"] == {"network_bridge": "vmbr0", "ha": "true"}
        assert register(prepared, clusters=wanted)["changed"] is False

        resource["details"]["pool"] = "mine"
        wanted[CLUSTER]["network_bridge"] = "vmbr7"
        said = [f"update extension Pve in cluster {CLUSTER}: network_bridge"]
        prepared.calls.clear()
        assert register(prepared, clusters=wanted, check=True)["changes"] == said
        assert prepared.changes == []
        assert register(prepared, clusters=wanted)["changes"] == said
        assert resource["details"] == {"network_bridge": "vmbr7", "ha": "true", "pool": "mine"}
        assert prepared.changes == ["updateRegisteredExtension"]
        assert register(prepared, clusters=wanted)["changed"] is False

    def test_a_release_that_cannot_change_them_is_told(self, prepared):
        prepared.updates_registrations = False
        register(prepared, clusters={CLUSTER: {"node": "pve1"}})
        answer = register(prepared, clusters={CLUSTER: {"node": "pve2"}})
        assert answer["changed"] is False
        assert f"cannot change the details of cluster {CLUSTER}, which 4.23 and newer can" in answer["warnings"][0]
        assert register(prepared, clusters={CLUSTER: {"node": "pve1"}})["warnings"] == []

    def test_a_cluster_that_is_none(self, prepared):
        answer = register(prepared, clusters={"nowhere": {"secret": "s3cret-of-pve"}})
        assert "CloudStack refused registerExtension: Invalid cluster ID specified" in answer["error"]
        assert "s3cret-of-pve" not in json.dumps(answer)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"api": {"secret": "wr0ng-secret"}}, "refused listExtensions: unable to verify user credentials"),
        ({"api": {"url": "http://127.0.0.1:1/client/api"}}, "did not answer listExtensions"),
        ({"path": "Pve/missing.py"}, "its path is not ready"),
    ],
)
def test_refusals_come_in_cloudstacks_own_words_without_the_secret(prepared, change, words):
    answer = register(prepared, SNAPSHOT, **change)
    assert words in answer["error"]
    assert "secret" not in answer["error"]


def test_an_extension_with_another_executable_is_not_taken_for_this_one(prepared):
    register(prepared)
    assert "cloudstack_extension_entry_point" in register(prepared, path="Pve/other.py")["error"]


@pytest.mark.smoke
def test_the_role_registers_and_finds_nothing_to_do_the_second_time(server, cloudstack):
    variables = server.home / "api.json"
    server.home.mkdir(exist_ok=True)
    api = {"url": cloudstack.url, "key": cloudstack.key, "secret": cloudstack.secret}
    variables.write_text(json.dumps({f"cloudstack_extension_api_{name}": value for name, value in api.items()}))
    for expected in (["create extension CloudbridgeProxmox", *(f"add custom action {name}" for name in ACTIONS)], []):
        cloudstack.calls.clear()
        result = server.install("-vvv", "-e", f"@{variables}")
        assert result.returncode == 0, result.stdout + result.stderr
        shown = next(task for task in result.tasks if task.task.endswith("Show what CloudStack said"))
        assert shown.result["msg"] == (
            expected or ["CloudStack knows the extension and its custom actions as they are."]
        )
        assert len(cloudstack.changes) == len(expected)
        assert cloudstack.secret not in result.stdout + result.stderr + json.dumps([t.result for t in result.tasks])
    assert [task.task for task in result.tasks if task.changed] == []


CMK = """\
import json, os, sys
from pathlib import Path
state = Path(os.environ["CMK_STATE"])
known = json.loads(state.read_text()) if state.exists() else []
assert sys.argv[1:3] == ["-o", "json"], sys.argv
verb, noun, *rest = sys.argv[3:]
words = dict(word.split("=", 1) for word in rest)
with open(os.environ["CMK_LOG"], "a") as log:
    log.write(json.dumps([verb, noun, words]) + "\\n")
if noun == "apis":
    print(json.dumps({"api": [{"params": [{"name": os.environ.get("CMK_KNOWS", "reservedresourcedetails")}]}]}))
elif verb == "list":
    if words["name"] in known:
        print(json.dumps({"count": 1, noun: [{"id": "id-of-" + words["name"]}]}, indent=2))
elif verb in ("create", "add"):
    state.write_text(json.dumps([*known, words["name"]]))
"""


def test_the_cloudmonkey_commands_do_what_the_registration_does(installed, tmp_path):
    cmk = tmp_path / "cmk"
    cmk.write_text(f"#!{sys.executable}\n{textwrap.dedent(CMK)}")
    cmk.chmod(0o755)
    log = tmp_path / "log"
    environment: dict[str, str] = {
        "CMK": str(cmk),
        "CMK_STATE": str(tmp_path / "state"),
        "CMK_LOG": str(log),
        "PATH": "/usr/bin:/bin",
    }

    def commands():
        log.unlink(missing_ok=True)
        subprocess.run([str(installed.directory / "register-extension.sh")], env=environment, check=True, timeout=60)
        return [call for call in map(json.loads, log.read_text().splitlines()) if call[0] != "list"]

    create, *adds = commands()
    assert create == [
        "create",
        "extension",
        {
            "name": "CloudbridgeProxmox",
            "type": "Orchestrator",
            "path": "CloudbridgeProxmox/cloudbridge-proxmox.py",
            "description": "Instances on Proxmox VE, by cloudbridge.proxmox",
            "orchestratorrequirespreparevm": "true",
            "reservedresourcedetails": "proxmox_vmid",
            "state": "Enabled",
        },
    ]
    assert [(verb, noun, words["name"]) for verb, noun, words in adds] == [
        ("add", "customaction", name) for name in ACTIONS
    ]
    assert adds[1][2] == {
        "extensionid": "id-of-CloudbridgeProxmox",
        "name": "CreateSnapshot",
        "description": "Create a snapshot of the instance",
        "resourcetype": "VirtualMachine",
        "enabled": "true",
        "timeout": "600",
        "allowedroletypes": "Admin,ResourceAdmin,DomainAdmin,User",
        "parameters[0].name": "snap_name",
        "parameters[0].type": "STRING",
        "parameters[0].required": "true",
        "parameters[1].name": "snap_description",
        "parameters[1].type": "STRING",
        "parameters[1].required": "false",
        "parameters[2].name": "snap_save_memory",
        "parameters[2].type": "BOOLEAN",
        "parameters[2].required": "false",
        "successmessage": "Snapshot created for {{resourceName}}",
        "errormessage": "Snapshot creation failed for {{resourceName}}",
    }
    again = commands()
    assert [verb for verb, _noun, _words in again] == ["update"] * (1 + len(ACTIONS))
    assert again[0][2]["reservedresourcedetails"] == "proxmox_vmid"
    environment["CMK_KNOWS"] = "name"
    assert "reservedresourcedetails" not in commands()[0][2]
    assert again[2][2]["id"] == "id-of-CreateSnapshot"
