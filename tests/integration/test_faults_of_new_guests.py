# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbooks about new guests that failed on a real PVE do what their first lines say."""

from __future__ import annotations

import re
from pathlib import Path

from tests.integration.guides import blocks
from tests.support.web_server import qcow2, running_web_server

FAULTS = Path(__file__).parent / "faults"
FIRST_VM = Path(__file__).parents[2] / "docs" / "first-vm.md"


def test_check_mode_says_that_a_guest_with_a_cloud_init_drive_would_be_made(pve, play) -> None:
    pve.server.storages["local"]["content"] += ",images"
    name = FAULTS / "05-check-of-a-new-cloud-init-drive.yml"
    results = [play(name, "-c", "local", check=check) for check in (True, False, True)]
    assert [(result.failed, result.changed) for result in results] == [
        (False, [True]),
        (False, [True]),
        (False, [False]),
    ]


def test_check_mode_of_the_guide_s_template_says_that_it_would_be_made(pve, play, tmp_path) -> None:
    text = next(block.text for block in blocks(FIRST_VM) if block.name == "template.yml")
    path = tmp_path / "template.yml"
    with running_web_server() as web:
        url = web.add("cloud.qcow2", qcow2())
        path.write_text(re.sub(r"https://\S+\.qcow2", url, text), encoding="utf-8")
        result = play(path, "-c", "local", check=True)
    assert (result.failed, result.changed) == (False, [True]), result.stdout
    assert result.tasks[0].result["steps"][-2:] == [
        "create guest almalinux-9 on node pve1",
        "make the new guest almalinux-9 a template",
    ]


def test_guests_go_where_their_images_are(pve_cluster, play) -> None:
    pve_cluster.add_file("local", "import/only-on-pve2.qcow2", "import", node="pve2")
    pve_cluster.add_file("local", "iso/only-on-pve2.iso", "iso", node="pve2")
    result = play(FAULTS / "07-import-and-iso-of-one-node.yml", "-c", "local")
    assert not result.failed, result.stdout
    assert [task.result["node"] for task in result.tasks] == ["pve2", "pve2"]


def test_the_template_of_the_node_is_cloned(pve_cluster, play) -> None:
    pve_cluster.remove_guest(9000)
    for number, node in enumerate(("pve1", "pve2")):
        pve_cluster.add_template(9100 + number, node=node)
    result = play(FAULTS / "12-templates-of-one-name.yml", "-c", "local")
    assert not result.failed, result.stdout
    assert result.tasks[0].result["node"] == "pve2"
    assert [line for line in pve_cluster.summary() if line.endswith("/clone")] == ["POST /nodes/pve2/qemu/9101/clone"]
