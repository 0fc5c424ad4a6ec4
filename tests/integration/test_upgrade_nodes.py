# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook upgrade_nodes on three nodes: each is emptied, upgraded and rebooted, and gets its guests back.

The nodes are reached by something in place of ssh that runs their commands here, with commands of PVE in its PATH.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import pytest

from tests.support import playbooks
from tests.support.collection_tree import REPOSITORY
from tests.support.embedded_pve import EmbeddedPve, running_embedded_pve, seed
from tests.support.forks import forking_python

NODES = ("pve1", "pve2", "pve3")
BY_HA = 104
HOMES = {101: "pve1", 102: "pve2", 103: "pve3", BY_HA: "pve2"}
HINT = "Say how to end HA's maintenance mode"
SSH = """\
#!/bin/sh
for word; do host=$last last=$word; done
export NODE=$host PATH="{bin}:$PATH"
cd {state}
if [ -e $NODE.gone ]; then exit 255; fi
# While a node is down it is looked for at least once.
if [ -e $NODE.down ]; then touch $NODE.missed; exit 255; fi
exec /bin/sh -c "$last"
"""
# What the nodes have: the file of pending upgrades, and what an upgrade and a reboot do.
COMMANDS = {
    "look-for-upgrades": 'if [ -e "$NODE.upgraded" ]; then echo nothing; else echo "Inst pve-manager"; fi',
    "upgrade": 'echo "upgrade $NODE" >> log; [ ! -e "$NODE.broken" ] && touch "$NODE.upgraded"',
    "restart-node": 'echo "reboot $NODE" >> log; rm "$NODE.reboot-required"; touch "$NODE.down"',
    "uname": 'echo "$NODE.example.com"',
    "boot-id": 'cat "$NODE.boot"',
    # crm-command node-maintenance enable NODE
    "ha-manager": 'touch "$4.$3"',
}
# The token comes from the environment of ansible-playbook.
PVESH = """\
#!{python} -IS
import json, os, ssl, sys, urllib.request
token = "{token}=" + os.environ["PROXMOX_TOKEN_SECRET"]
request = urllib.request.Request("{url}/api2/json" + sys.argv[2], headers={{"Authorization": "PVEAPIToken=" + token}})
answer = urllib.request.urlopen(request, context=ssl.create_default_context(cafile="{cafile}"))
print(json.dumps(json.load(answer)["data"]))
"""


def guests(server: EmbeddedPve) -> None:
    for vmid, node in HOMES.items():
        seed.add_guest(server, vmid, f"app{vmid}", node=node, status="running", storage="shared")
    server.guest(BY_HA).ha_state = "started"


class Nodes:
    """The machines below the embedded PVE: they go down and come up when they are rebooted."""

    def __init__(self, pve, home: Path) -> None:
        self.pve, self.state, self.bin = pve, home / "nodes", home / "bin"
        self.state.mkdir()
        self.bin.mkdir()
        self.ends = threading.Event()
        self._script(home / "ssh", SSH.format(bin=self.bin, state=self.state))
        pvesh = PVESH.format(python=sys.executable, url=pve.url, token=pve.token_id, cafile=pve.cafile)
        self._script(self.bin / "pvesh", pvesh)
        for name, line in COMMANDS.items():
            self._script(self.bin / name, f"#!/bin/sh\n{line}\n")
        for node in NODES:
            (self.state / f"{node}.boot").write_text("0")
        pve.knobs.ha_seconds = 0.05

    @staticmethod
    def _script(path: Path, text: str) -> None:
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    @property
    def log(self) -> list[str]:
        log = self.state / "log"
        return log.read_text(encoding="utf-8").splitlines() if log.exists() else []

    def set(self, *names: str) -> None:
        for name in names:
            (self.state / name).touch()

    def unset(self, *names: str) -> None:
        for name in names:
            (self.state / name).unlink()

    def run(self) -> None:
        """Do to the cluster what its nodes were asked for."""
        asked = {
            "down": self._reboot,
            "enable": self.pve.enable_ha_maintenance,
            "disable": self.pve.disable_ha_maintenance,
        }
        while not self.ends.wait(0.02):
            for file in [file for what in asked for file in self.state.glob(f"*.{what}")]:
                asked[file.suffix[1:]](file.stem)
                file.unlink()

    def _reboot(self, node: str) -> None:
        """It comes up again once somebody has missed it, and the quorum comes a look later."""
        self.pve.set_node_offline(node)
        while not (self.state / f"{node}.missed").exists() and not self.ends.wait(0.02):
            pass
        boot = self.state / f"{node}.boot"
        boot.write_text(str(int(boot.read_text()) + 1))
        self.pve.lose_quorum()
        self.pve.before("GET", "/cluster/status$", self.pve.regain_quorum, after=1)
        self.pve.set_node_offline(node, offline=False)
        self.unset(f"{node}.missed")


@pytest.fixture
def nodes(tmp_path):
    with running_embedded_pve(guests, nodes=NODES) as pve:
        machines = Nodes(pve, tmp_path)
        thread = threading.Thread(target=machines.run)
        thread.start()
        try:
            yield machines
        finally:
            machines.ends.set()
            thread.join()


@pytest.fixture
def upgrade(nodes, tmp_path):
    inventory = tmp_path / "nodes.yml"

    def upgrade(*hosts, **options):
        content = {"proxmox_nodes": {"hosts": {host: {} for host in hosts or NODES}}}
        inventory.write_text(json.dumps(content), encoding="utf-8")
        given = {
            "ansible_ssh_executable": str(tmp_path / "ssh"),
            "ansible_pipelining": True,
            "ansible_ssh_args": "",
            "refresh_command": "true",
            "look_command": "look-for-upgrades",
            "upgrade_command": "upgrade",
            "reboot_flag": str(nodes.state / "{{ inventory_hostname }}.reboot-required"),
            "reboot_command": str(nodes.bin / "restart-node"),
            "boot_command": "boot-id",
            "wait_delay": 0,
            "api_port": nodes.pve.port,
            **options,
        }
        path = REPOSITORY / "playbooks" / "upgrade_nodes.yml"
        return playbooks.play(
            path,
            "-i",
            str(inventory),
            home=tmp_path,
            connection=nodes.pve.environment,
            extra_vars=given,
            interpreter=str(forking_python()),
        )

    return upgrade


def test_nodes_are_upgraded_one_after_the_other_and_the_play_goes_on_after_a_stop(nodes, upgrade):
    """The second node cannot be upgraded at first, and the third one has nothing to upgrade."""
    pve = nodes.pve
    nodes.set("pve2.broken", "pve3.upgraded")
    stopped = upgrade()
    assert [(task.task, task.host) for task in stopped.tasks if task.failed] == [("Upgrade it", "pve2")], stopped.stdout
    assert (stopped.tasks[-1].task, stopped.tasks[-1].outcome) == (HINT, "skipped")
    assert nodes.log == ["upgrade pve1", "reboot pve1", "upgrade pve2"]
    assert {vmid for vmid, home in HOMES.items() if pve.guest(vmid).node != home} == {102, BY_HA}
    looks = [task.result["attempts"] for task in stopped.tasks if task.task.startswith("Wait for the quorum")]
    assert looks == [2]

    # HA keeps its guest on the node unless its maintenance mode is on.
    pve.add_ha_rule("home", f"vm:{BY_HA}", nodes="pve2:2,pve1:1,pve3:1")
    pve.move_guest(BY_HA, "pve2")
    nodes.unset("pve2.broken")
    done = upgrade(ha_maintenance=True)
    assert not done.failed, done.stdout
    assert {task.outcome for task in done.tasks if task.task == HINT} == {"skipped"}
    assert nodes.log[3:] == ["upgrade pve2", "reboot pve2"]
    assert {vmid: pve.guest(vmid).node for vmid in HOMES} == HOMES
    assert {pve.status(vmid) for vmid in HOMES} == {"running"}
    assert not [vmid for vmid in HOMES if "tags" in pve.config(vmid)]


def test_a_host_that_is_another_node_is_left_alone(nodes, upgrade):
    """The host pve1 counts by mistake as the node pve2, which would be emptied while pve1 is rebooted."""
    refused = upgrade("pve1", proxmox_node="pve2")
    assert refused.tasks[-1].msg == (
        "The host pve1 is to be the node pve2, but it calls itself pve1.example.com: nothing was changed. "
        "Set proxmox_node to the name that the node has in the cluster."
    )
    assert nodes.log == []
    assert {vmid: nodes.pve.guest(vmid).node for vmid in HOMES} == HOMES


def test_a_node_that_cannot_be_reached_ends_the_play(nodes, upgrade):
    nodes.set("pve1.gone")
    ended = upgrade()
    assert "UNREACHABLE" in ended.stdout, ended.stdout
    assert {task.host for task in ended.tasks} <= {"pve1"}
    assert {vmid: nodes.pve.guest(vmid).node for vmid in HOMES} == HOMES


def test_a_node_on_which_a_guest_runs_that_the_plan_did_not_have_is_not_rebooted(nodes, upgrade):
    """The token does not see it, or it came after the plan: the node itself knows it."""
    pve = nodes.pve
    pve.call(lambda: pve.server.guest(101).config.update(hostpci0="0000:01:00"))
    pve.before("GET", "/nodes/pve1/qemu$", lambda: pve.add_guest(800, "late", status="running", storage="shared"))
    refused = upgrade("pve1", unmovable="leave", ha_maintenance=True)
    (failed,) = [task for task in refused.tasks if task.failed]
    assert refused.failed
    assert failed.msg == (
        "Guests run on node pve1 that the plan did not leave there (800): it is not rebooted. "
        "Move or stop them, and run the play again."
    )
    assert refused.tasks[-1].msg == (
        "HA's maintenance mode of node pve1 was set and is not ended, since the play failed. Run the play again, or "
        "end the mode on any node: ha-manager crm-command node-maintenance disable pve1"
    )
    assert nodes.log == []
    assert not (nodes.state / "pve1.reboot-required").exists()
