# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role cloud_template: a machine is booted once, a real shell runs on its console, and it becomes a template."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import yaml

from tests.support.embedded_pve import PveHandle
from tests.support.noting_systems import Systems
from tests.support.web_server import qcow2, running_web_server, sha256

OWN_WAY = {"login": False, **dict.fromkeys(("ready", "refresh", "install", "agent_package", "agent_service"), "true")}
IMAGE = {"volume": "local:import/debian-13.qcow2"}


@pytest.fixture
def systems(pve: PveHandle) -> Iterator[Systems]:
    with ExitStack() as stack:
        systems = Systems(pve, stack)
        pve.before("POST", "/status/start$", systems.boot, times=None)
        yield systems


@pytest.fixture
def build(play):
    """Run the role."""

    def run(*, check=False, **variables):
        given = {
            "cloud_template_name": "debian-13",
            "cloud_template_image": IMAGE,
            "cloud_template_packages": ["htop"],
            **variables,
        }
        role = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [
            {"name": "Make it", "ansible.builtin.import_role": {"name": "cloudbridge.proxmox.cloud_template"}},
            {"name": "Show it", "ansible.builtin.debug": {"msg": "{{ cloud_template_full_name }}"}},
        ]}  # fmt: skip
        return play(yaml.safe_dump([{**role, "vars": given}], sort_keys=False), check=check)

    return run


def name_of(result) -> str:
    return str(result.task("Show it").result["msg"])


def templates(pve) -> dict[str, int]:
    """Those of the role: name and number."""
    listed = pve.call(lambda: [(vm.name, vm.vmid, vm.template) for vm in pve.server.vms])
    return {name: vmid for name, vmid, is_template in listed if name.startswith("debian-13-") and is_template}


def writes(pve) -> list[str]:
    return [line for line in pve.summary() if not line.startswith("GET ")]


def test_an_image_becomes_a_template_once(pve, systems, build):
    check = build(check=True)
    assert check.returncode == 0, check.stdout
    assert writes(pve) == []
    made = build()
    assert made.returncode == 0, made.stdout
    vmid = templates(pve)[name_of(made)]
    config = pve.config(vmid)
    assert {"ciuser", "cipassword"} & set(config) == set()
    assert config["description"].startswith("cloud_template: debian-13\nversion: ")
    assert config["scsi0"].startswith("local-lvm:base-")
    calls = systems.calls(vmid)
    assert calls[:3] == [
        "cloud-init status --wait",
        "apt-get -q update",
        "apt-get -q -y -o DPkg::Lock::Timeout=600 --no-install-recommends install qemu-guest-agent htop",
    ]
    assert "truncate -s 0 /etc/machine-id" in calls
    assert calls[-1] == "sync"
    assert [user for user, _password in systems.shells[vmid].logins] == ["root", "root"]
    pve.reset_record()
    again = build()
    assert not any(again.changed), again.stdout
    assert len(pve.exchanges) == 4


def test_the_image_is_downloaded_once(pve, systems, build):
    with running_web_server() as web:
        web.add("genericcloud.qcow2", qcow2())
        image = {"url": web.url("genericcloud.qcow2"), "checksum": f"sha256:{sha256(qcow2())}"}
        made = build(cloud_template_image=image)
        assert made.returncode == 0, made.stdout
        assert not any(build(cloud_template_image=image).changed)
        other = build(cloud_template_image=image, cloud_template_packages=[])
        assert other.returncode == 0, other.stdout
    assert set(templates(pve)) == {name_of(made), name_of(other)}
    assert web.asked.count("GET /genericcloud.qcow2") == 1


def test_other_content_is_another_version_and_old_ones_go_unless_they_have_clones(pve, systems, build):
    first = name_of(build(cloud_template_keep=1))
    pve.add_guest(
        500, "clone", config={"scsi0": f"local-lvm:base-{templates(pve)[first]}-disk-0/vm-500-disk-0,size=2G"}
    )
    second = name_of(build(cloud_template_keep=1, cloud_template_packages=["htop", "vim"]))
    assert set(templates(pve)) == {first, second}
    pve.remove_guest(500)
    third = name_of(build(cloud_template_keep=1, cloud_template_commands=["sync now"]))
    assert set(templates(pve)) == {third}
    assert len({first, second, third}) == 3


def test_a_command_that_fails_removes_the_machine_and_says_which(pve, systems, build):
    before = pve.vmids()
    systems.fails.add("apt-get")
    result = build()
    assert result.returncode != 0
    assert "was not built: Install, configure and clean: step 1 (1. apt-get -q update)" in result.stdout
    assert "it ended with status 100" in result.stdout
    assert pve.vmids() == before


def test_what_a_killed_run_left_is_removed_and_nothing_else(pve, systems, build):
    name = name_of(build(check=True))
    mark = "cloud_template: debian-13\nversion: 0\nstate: building"
    pve.add_guest(501, name, config={"description": mark}, status="running")
    pve.add_guest(502, "debian-13-00000000", config={"description": "mine"})
    pve.add_guest(503, "other", config={"description": mark})
    made = build()
    assert made.returncode == 0, made.stdout
    assert templates(pve) == {name: templates(pve)[name]}
    assert {502, 503} <= set(pve.vmids())
    assert 501 not in pve.vmids() or templates(pve)[name] == 501


def test_a_guest_of_that_name_that_is_somebody_elses_is_an_error(pve, systems, build):
    name = name_of(build(check=True))
    pve.add_guest(501, name, config={"description": "mine"})
    result = build()
    assert result.returncode != 0
    assert f"A guest named {name} exists that this role has not made" in result.stdout
    assert writes(pve) == []


@pytest.mark.parametrize(
    ("distribution", "install"),
    [("rocky", "dnf -q -y install qemu-guest-agent htop"), ("alpine", "apk -q add qemu-guest-agent htop")],
)
def test_distributions_have_their_ways(pve, systems, build, distribution, install):
    made = build(cloud_template_distribution=distribution)
    assert made.returncode == 0, made.stdout
    assert install in systems.calls(templates(pve)[name_of(made)])


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"cloud_template_image": {}}, "cloud_template_image must have either url or volume"),
        ({"cloud_template_keep": 0}, "cloud_template_keep must be at least 1, not 0"),
        ({"cloud_template_step_timeout": 0}, "cloud_template_step_timeout must be more than 0 seconds"),
        (
            {"cloud_template_cloud_init": {"usr": "admin"}},
            "cloud_template_cloud_init.usr. Supported parameters include",
        ),
        ({"cloud_template_build_cloud_init": {"ipconfig": [{"ip": "dhcp"}]}}, "missing required arguments: slot"),
        ({"cloud_template_distribution": "suse"}, "cloud_template_distribution 'suse' is none of alpine, debian,"),
        ({"cloud_template_name": "größe"}, "cloud_template_name 'größe' must be of letters, digits and hyphens"),
        (
            {"cloud_template_distribution": "x", "cloud_template_distributions": {"x": {"login": False}}},
            "cloud_template_distributions.x must have the keys agent_package,",
        ),
        (
            {"cloud_template_distribution": "x", "cloud_template_distributions": {"x": {**OWN_WAY, "clean": "sync"}}},
            "cloud_template_distributions.x.clean must be a list of commands",
        ),
    ],
)
def test_wrong_variables_are_named_before_anything_is_asked(pve, build, variables, says):
    result = build(check=True, **variables)
    assert result.returncode != 0
    assert says in result.stdout
    assert pve.exchanges == []


def test_defaults_of_clones_that_are_wrong_are_named_before_anything_is_made(pve, systems, build):
    result = build(cloud_template_cloud_init={"ipconfig": [{"slot": "net0", "ip": "192.0.2.300/24"}]})
    assert result.returncode != 0
    assert "cloud_init: ipconfig: net0: ip '192.0.2.300/24' is neither dhcp nor an address" in result.stdout
    assert writes(pve) == []
