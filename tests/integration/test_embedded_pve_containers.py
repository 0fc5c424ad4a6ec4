# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a real PVE 9.2.11 answered about containers beside the recordings.

Of storages with snapshots only the source was at hand (pve-container 6.1.10).
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.api_client import ApiClient

TEMPLATE = "local:vztmpl/debian-13-standard_13.0-1_amd64.tar.zst"
LXC = "/nodes/pve1/lxc"
ONE = f"{LXC}/210"
CONFIG = f"{ONE}/config"
MAC = "BC:24:11:00:00:01"
CARD = f"name=eth0,bridge=vmbr0,hwaddr={MAC},type=veth"
GONE = "bridge 'vmbr9' does not exist"


@pytest.fixture
def made(api: ApiClient) -> ApiClient:
    """Container 210, stopped, on the storage that can snapshot."""
    form = {"vmid": 210, "ostemplate": TEMPLATE, "rootfs": "local-lvm:1", "hostname": "box", "net0": CARD}
    assert api.task("POST", LXC, **form) == "OK"
    return api


def config_of(api: ApiClient) -> dict[str, Any]:
    return {key: value for key, value in api.data("GET", CONFIG).items() if key != "digest"}


def start(api: ApiClient) -> None:
    assert api.task("POST", f"{ONE}/status/start") == "OK"


def test_a_new_container_has_what_its_template_tells(made) -> None:
    assert config_of(made) == {
        "arch": "amd64",
        "hostname": "box",
        "memory": 512,
        "net0": CARD,
        "ostype": "debian",
        "rootfs": "local-lvm:vm-210-disk-0,size=1G",
        "swap": 512,
        "unprivileged": 1,
    }


def test_what_is_stored_of_a_value(made) -> None:
    made.data(
        "PUT", CONFIG, cpulimit="1.5", features="nesting=yes", description="x\n\n", tags="", nameserver="1.1.1.1,::1"
    )
    stored = config_of(made)
    assert (stored["cpulimit"], stored["features"], stored["description"]) == ("1.5", "nesting=yes", "x\n")
    assert (stored["tags"], stored["nameserver"]) == (" ", "1.1.1.1 ::1")
    made.data("PUT", CONFIG, mp0="local-lvm:0.1,backup=no,ro=yes,mp=/data", description="")
    stored = config_of(made)
    assert stored["mp0"] == "local-lvm:vm-210-disk-1,mp=/data,backup=0,ro=1,size=102M"
    assert "description" not in stored


def test_the_root_is_written_as_it_comes(made) -> None:
    """Neither its size is looked up, nor is a volume made of `storage:size`."""
    volume = "local-lvm:vm-210-disk-0"
    made.data("PUT", CONFIG, rootfs=f"{volume},mountoptions=noatime")
    assert config_of(made)["rootfs"] == f"{volume},mountoptions=noatime"
    made.data("PUT", CONFIG, rootfs="local-lvm:8")
    assert config_of(made)["rootfs"] == "local-lvm:8"


def test_a_mount_point_that_gets_another_volume_leaves_its_old_one(made) -> None:
    made.data("PUT", CONFIG, mp0="local-lvm:1,mp=/data")
    made.data("PUT", CONFIG, mp0="local-lvm:2,mp=/data")
    stored = config_of(made)
    assert stored["mp0"] == "local-lvm:vm-210-disk-2,mp=/data,size=2G"
    assert stored["unused0"] == "local-lvm:vm-210-disk-1"


def test_a_card_on_a_bridge_that_is_not_there_is_written_and_told_at_each_write(made) -> None:
    other = CARD.replace("vmbr0", "vmbr9")
    answer = made("PUT", CONFIG, net0=other)
    assert (answer.status_code, answer.reason) == (500, GONE)
    assert config_of(made)["net0"] == other
    answer = made("PUT", CONFIG, memory=600)
    assert (answer.status_code, config_of(made)["memory"]) == (500, 600)
    assert made.task("POST", f"{ONE}/status/start") == GONE


def test_a_card_needs_a_bridge(made) -> None:
    answer = made("PUT", CONFIG, net0="name=eth0")
    assert (answer.status_code, answer.reason) == (500, "bridge '' does not exist")


def test_without_an_architecture_each_write_is_an_error(made) -> None:
    for form in ({"delete": "arch"}, {"memory": 600}):
        assert "missing 'arch'" in made("PUT", CONFIG, **form).reason
    assert config_of(made)["memory"] == 600


@pytest.mark.parametrize(
    ("key", "value"),
    [("timezone", "Nope"), ("nameserver", "x"), ("entrypoint", ""), ("env", "A"), ("mp0", "local-lvm:1"), ("tty", 7)],
)
def test_values_that_are_refused_by_name(made, key: str, value: Any) -> None:
    answer = made("PUT", CONFIG, **{key: value})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [key])


@pytest.mark.parametrize(
    ("path", "form", "status"),
    [
        (
            LXC,
            {"vmid": 211, "ostemplate": TEMPLATE, "storage": "local-lvm"},
            "unable to create CT 211 - received interrupt",
        ),
        (f"{ONE}/clone", {"newid": 211}, "clone failed: interrupted by signal"),
        (f"{ONE}/move_volume", {"volume": "rootfs", "storage": "vmstore"}, "received interrupt"),
    ],
    ids=["create", "clone", "move"],
)
def test_a_task_that_is_stopped_cleans_up(pve, made, path: str, form: dict[str, Any], status: str) -> None:
    pve.knobs.default_task_seconds, pve.knobs.clean_up_seconds = 60, 0.0
    upid = made.data("POST", path, **form)
    made.data("DELETE", f"/nodes/pve1/tasks/{upid}")
    assert made.finish(upid) == status
    assert (pve.vmids().count(211), pve.guest(210).lock) == (0, None)


def test_a_running_container_loses_a_card_whose_new_one_cannot_be_plugged(made) -> None:
    start(made)
    answer = made("PUT", CONFIG, net0="name=eth0,bridge=vmbr9")
    assert answer.json()["errors"] == {"net0": f"unable to hotplug net0: {GONE}\n"}
    assert "net0" not in made.data("GET", CONFIG, current=1)
    assert config_of(made)["net0"] == "name=eth0,bridge=vmbr9"
    answer = made("PUT", CONFIG, net0=CARD)
    assert (answer.status_code, config_of(made)["net0"]) == (200, CARD)


def test_a_running_container_keeps_a_card_with_its_address_when_the_bridge_is_refused(made) -> None:
    start(made)
    assert made("PUT", CONFIG, net0=CARD.replace("vmbr0", "vmbr9")).status_code == 400
    assert config_of(made)["net0"] == CARD


def test_what_a_running_container_takes_at_once(pve, made) -> None:
    start(made)
    live = {
        "memory": 256,
        "swap": 0,
        "cores": 2,
        "cpulimit": "2",
        "cpuunits": 50,
        "hostname": "b",
        "tags": "a",
        "onboot": 1,
    }
    made.data("PUT", CONFIG, **live, net1="name=eth1,bridge=vmbr1", mp0="local-lvm:1,mp=/a", timezone="host", tty=3)
    assert pve.pending(210) == {"timezone": "host", "tty": 3}
    made.data("PUT", CONFIG, delete="cpulimit,swap,cores,net1,tty,mp0", ostype="unmanaged")
    assert pve.pending(210) == {"timezone": "host", "tty": 3, "mp0": None, "ostype": "unmanaged"}
    made.data("PUT", CONFIG, revert="mp0,ostype,tty")
    assert pve.pending(210) == {"timezone": "host"}


def test_a_value_wins_over_a_deletion_that_waits_beside_it(pve, made) -> None:
    made.data("PUT", CONFIG, timezone="host")
    start(made)
    made.data("PUT", CONFIG, timezone="Europe/Berlin")
    made.data("PUT", CONFIG, delete="timezone")
    waiting = [item for item in made.data("GET", f"{ONE}/pending") if item["key"] == "timezone"]
    assert waiting == [{"key": "timezone", "value": "host", "pending": "Europe/Berlin", "delete": 1}]
    assert made.task("POST", f"{ONE}/status/reboot") == "OK"
    assert (config_of(made)["timezone"], pve.pending(210)) == ("Europe/Berlin", {})


def test_a_failed_start_is_not_the_failure_of_the_creation(pve, api) -> None:
    form = {"vmid": 211, "ostemplate": TEMPLATE, "storage": "local-lvm", "net0": "name=eth0,bridge=vmbr9", "start": 1}
    assert api.task("POST", LXC, **form) == "OK"
    assert {task["type"]: task["exitstatus"] for task in pve.tasks()} == {"vzstart": GONE, "vzcreate": "OK"}
    assert pve.status(211) == "stopped"


def test_a_template_is_made_by_a_task_that_is_not_named(pve, made) -> None:
    assert made.data("POST", f"{ONE}/template") is None
    assert [task["exitstatus"] for task in pve.tasks("vztemplate")] == ["OK"]
    assert config_of(made)["rootfs"] == "local-lvm:base-210-disk-0,size=1G"


def test_a_linked_clone_on_lvm_is_called_as_every_volume(pve, made) -> None:
    """Its template can be deleted (PVE::Storage::LvmThinPlugin, clone_image)."""
    made.data("POST", f"{ONE}/template")
    assert made.task("POST", f"{ONE}/clone", newid=212, hostname="copy") == "OK"
    assert pve.config(212)["rootfs"] == "local-lvm:vm-212-disk-0,size=1G"
    assert made.task("DELETE", ONE) == "OK"


def test_a_linked_clone_on_zfs_holds_its_template(pve, made) -> None:
    pve.call(lambda: pve.server.storages["local-lvm"].update(type="zfspool"))
    made.data("POST", f"{ONE}/template")
    assert made.task("POST", f"{ONE}/clone", newid=212, hostname="copy") == "OK"
    assert pve.config(212)["rootfs"] == "local-lvm:base-210-disk-0/vm-212-disk-0,size=1G"
    assert made.task("DELETE", ONE) == "base volume 'base-210-disk-0' is still in use by linked cloned"
    assert made.task("DELETE", f"{LXC}/212") == "OK"
    assert made.task("DELETE", ONE) == "OK"


def test_a_clone_that_ends_badly_leaves_nothing_and_unlocks_its_source(pve, made) -> None:
    pve.next_task_fails("vzclone", "clone failed: no space")
    assert made.task("POST", f"{ONE}/clone", newid=213, full=1) == "clone failed: no space"
    assert 213 not in pve.vmids()
    assert pve.guest(210).lock is None


def test_snapshots_keep_their_volumes_and_a_rollback_brings_the_configuration_back(pve, made) -> None:
    assert made.task("POST", f"{ONE}/snapshot", snapname="one", description="before") == "OK"
    made.data("PUT", CONFIG, memory=600, mp0="local-lvm:1,mp=/data")
    start(made)
    assert made.task("POST", f"{ONE}/snapshot/one/rollback") == "OK"
    stored = config_of(made)
    assert (stored["memory"], stored["unused0"], stored["parent"]) == (512, "local-lvm:vm-210-disk-1", "one")
    assert pve.status(210) == "stopped"
    assert made.task("DELETE", f"{ONE}/snapshot/one") == "OK"
    assert "parent" not in config_of(made)


def test_a_resize_needs_the_privilege_of_options_as_well(pve, made) -> None:
    """The name of the volume counts as an option."""
    pve.add_token("user@pve!t", "secret")
    pve.grant("user@pve", "/", "VM.Config.Disk", "Datastore.AllocateSpace")
    user = ApiClient(pve, "user@pve!t=secret")
    answer = user("PUT", f"{ONE}/resize", disk="rootfs", size="2G")
    assert answer.reason == "Permission check failed (/vms/210, VM.Config.Options)"
    pve.grant("user@pve", "/", "VM.Config.Options")
    assert user.task("PUT", f"{ONE}/resize", disk="rootfs", size="2G") == "OK"
