# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role cloud_template, with an image whose system has a shell on its serial line without a login."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import yaml

from tests.support.embedded_pve import PveHandle
from tests.support.noting_systems import Systems

from .world import NAME_PREFIX

WAY = {"login": False, "ready": "true", "refresh": "true", "install": "true", "agent_service": "true", "clean": []}


def variables_of(world):
    return {
        "cloud_template_name": f"{NAME_PREFIX}template",
        "cloud_template_node": world.settings.node,
        "cloud_template_storage": world.settings.storage,
        "cloud_template_bridge": world.settings.bridge,
        "cloud_template_pool": world.settings.pool,
    }


@pytest.fixture
def role(world, play):
    """Run the role with these variables, and return the result and the name of the template."""

    def run(**variables):
        source = [
            {
                "hosts": "localhost",
                "connection": "local",
                "gather_facts": False,
                "vars": {**variables_of(world), "cloud_template_vmid": world.free_vmid(), **variables},
                "tasks": [
                    {"ansible.builtin.import_role": {"name": "cloudbridge.proxmox.cloud_template"}},
                    {"name": "Show it", "ansible.builtin.debug": {"msg": "{{ cloud_template_full_name }}"}},
                ],
            }
        ]
        result = play(yaml.safe_dump(source, sort_keys=False))
        assert result.returncode == 0, result.stdout
        return result, result.task("Show it").result["msg"]

    return run


@pytest.fixture
def build(world, role):
    """Run the role with an image that needs no network, and with these variables."""
    world.need("serial_shell", "import_image", "bridge", "shuts_down")
    small = {
        "cloud_template_image": {"volume": world.settings.import_image},
        "cloud_template_distribution": "small",
        "cloud_template_distributions": {"small": {**WAY, "agent_package": "agent"}},
        "cloud_template_memory": 256,
        "cloud_template_cores": 1,
    }
    with ExitStack() as stack:
        if isinstance(world.target, PveHandle):
            systems = Systems(world.target, stack, login=False)
            world.target.before("POST", "/status/start$", systems.boot, times=None)
        yield lambda **variables: role(**small, **variables)


def test_a_distribution_becomes_a_template_whose_clone_answers(world, run, role):
    world.need("distribution", "distribution_image", "bridge")
    image = {"url": world.settings.distribution_image}
    made, name = role(cloud_template_distribution=world.settings.distribution, cloud_template_image=image)
    assert any(made.changed)
    run.once(
        "pve_vm",
        {
            "vmid": world.free_vmid(),
            "name": f"{NAME_PREFIX}clone",
            "pool": world.settings.pool,
            "clone": {"source": name},
        },
    )
    started = run.once("pve_vm_power", {"name": f"{NAME_PREFIX}clone", "wait_for": ["agent", "ip"]})
    assert started["addresses"]["ipv4"]


def test_an_image_becomes_a_template_and_another_version_replaces_it(world, run, build):
    first, name = build(cloud_template_keep=1)
    assert any(first.changed)
    (template,) = run.once("pve_vm_info", {"name": name})["guests"]
    assert (template["template"], template["status"]) == (True, "stopped")
    again, _name = build(cloud_template_keep=1)
    assert not any(again.changed), again.stdout
    _second, other = build(cloud_template_keep=1, cloud_template_packages=["more"])
    names = {guest.get("name") for guest in world.own_guests()}
    assert other in names
    assert name not in names
