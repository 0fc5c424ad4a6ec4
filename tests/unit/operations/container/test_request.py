# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wrong requests for containers are refused with one sentence; right ones become what PVE wants."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.container.container_request import (
    ContainerRequest,
    container_request,
    container_spec,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.container.for_root import check_root
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.facts import parse_status
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.guest.change_plan import (
    config_changes,
    plan_changes,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.guest.creation import plan_create
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.guest.state import GuestState
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.container_config import value_type_of
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest, PermissionDenied
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.guests import LXC, Guest
from tests.support.vm_model import complete

GUEST = Guest(200, "pve1", LXC, "ct")
TEMPLATE = "local:vztmpl/debian-13.tar.zst"
VALUES = {
    "features": "nesting=1",
    "hostname": "ct",
    "memory": "512",
    "mp0": "local:vm-200-disk-1,mp=/srv,size=4G",
    "mp1": "/tank/data,mp=/data",
    "net0": "name=eth0,bridge=vmbr0,gw=192.0.2.1,hwaddr=BC:24:11:00:02:00,ip=192.0.2.5/24,type=veth",
    "ostype": "debian",
    "rootfs": "local:vm-200-disk-0,size=8G",
    "swap": "512",
    "unprivileged": "1",
}
# For what asks nobody.
UNUSED: Any = None


def request(**options: Any) -> ContainerRequest:
    parameters = complete({"vmid": {}, "name": {}, **container_spec()}, {"vmid": 200, **options})
    return container_request(parameters)


def state(status: str = "stopped", **values: str) -> GuestState:
    return GuestState(GUEST, {**VALUES, **values}, parse_status({"status": status, "name": "ct"}))


def sent(wanted: ContainerRequest, there: GuestState) -> list[tuple[str, dict[str, Any]]]:
    commands = [step.command for step in plan_changes(wanted, there).steps]
    return [
        (
            f"{command.method} {command.tail[-1]}",
            {key: value for key, value in command.form.items() if value is not None},
        )
        for command in commands
    ]


def network(**options: Any) -> dict[str, Any]:
    return {"networks": [{"slot": "net0", **options}]}


def mount(slot: str = "mp0", **options: Any) -> dict[str, Any]:
    return {"mount_points": [{"slot": slot, **options}]}


def device(**options: Any) -> dict[str, Any]:
    return {"devices": [{"slot": "dev0", **options}]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"template": "local:iso/x.iso"},
            "template 'local:iso/x.iso' is no volume as in local:vztmpl/debian-13.tar.zst",
        ),
        (
            {"template": TEMPLATE, "clone": {"source": "1"}},
            "template and clone exclude each other: a container is made",
        ),
        ({"image": {"storage": "local"}}, "image: say where the file comes from by one of"),
        ({"restore": {"backup": TEMPLATE}}, f"restore: backup '{TEMPLATE}' is no volume as in local:backup/"),
        ({"password": "abcd"}, "password must have 5 characters or more"),
        (
            {"password": "abcde", "clone": {"source": "200"}},
            "password is set only in a container that is made of a temp",
        ),
        (
            {"ssh_keys": ["ssh-ed25519 x"]},
            "ssh_keys[0] is damaged: what follows ssh-ed25519 is not a whole key in base64",
        ),
        ({"config": {"lxc.idmap": "u 0 1 1"}}, "config: lxc.idmap cannot be set: PVE's API does not write lxc.* lines"),
        ({"remove": ["lxc.idmap"]}, "remove: lxc.idmap cannot be set: PVE's API does not write lxc.* lines"),
        ({"config": {"name": "x"}}, "config: name is called hostname by PVE: use name"),
        ({"config": {"hostname": "x"}}, "config: hostname has an option of its own"),
        ({"config": {"mp0": "local:1"}}, "config: mp0 is a volume: use rootfs and mount_points"),
        ({"config": {"dev0": "/dev/null"}}, "config: dev0 is a device of the node: use devices"),
        ({"remove": ["memory"]}, "remove: PVE has no container without memory: give it another value"),
        ({"remove": ["arch"]}, "remove: PVE has no container without arch: give it another value"),
        ({"remove": ["mp0"]}, "remove: mp0 is a disk: set its state to detached or absent in mount_points"),
        (device(path="/tmp/x"), "devices: dev0: path '/tmp/x' is not a device of the node as in /dev/ttyUSB0"),
        (device(path="/dev/null", mode="660"), "devices: dev0: mode '660' is not a mode as in 0660"),
        (device(path="/dev/null", uid=-1), "devices: dev0: uid must be 0 or more, not -1"),
        (device(state="absent", path="/dev/null"), "devices: dev0 is absent, so path cannot be set"),
        ({"devices": [{"slot": "dev256"}]}, "devices: 'dev256' is not a slot: the slots are dev0 to dev255"),
        (mount("mp256"), "mount_points: 'mp256' is not a slot: the slots are mp0 to mp255"),
        (mount("rootfs"), "mount_points: 'rootfs' is not a slot"),
        (mount("unused0"), "mount_points: unused0 can only be absent, which deletes its volume"),
        (mount(state="absent", size="1G"), "mount_points: mp0 is absent, so size cannot be set"),
        (mount(volume="x"), "mount_points: mp0: volume 'x' is no volume as in local-lvm:vm-100-disk-1"),
        (mount(volume="a1:b", host_path="/x"), "mount_points: mp0: volume and host_path exclude each other"),
        (
            mount(host_path="/x", storage="local"),
            "mount_points: mp0: host_path says what it is, so storage cannot be set",
        ),
        (mount(host_path="/x", size="1G"), "mount_points: mp0: host_path is a directory of the node, so size cannot"),
        (mount(path="/srv/../etc"), "mount_points: mp0: path '/srv/../etc' is not an absolute path without . and .."),
        (mount(storage="-"), "mount_points: mp0: storage '-' is not the name of a storage"),
        ({"rootfs": {"size": "0"}}, "rootfs: size must be more than 0, not '0'"),
        (network(ip="dhcp", gateway="192.0.2.1"), "networks: net0: gateway needs an address in ip"),
        (network(ip="192.0.2.1"), "networks: net0: ip '192.0.2.1' is neither dhcp nor manual nor an address as in"),
        (network(gateway6="192.0.2.1"), "networks: net0: gateway6: '192.0.2.1' is not an IPv6 address"),
        (network(trunks=["10-20"]), "networks: net0: trunks '10-20' is a range, and a container takes single VLANs"),
        (network(mtu=20), "networks: net0: mtu must be from 64 to 65535, not 20"),
        (network(name="eth 0"), "networks: net0: name 'eth 0' is not the name of an interface"),
        (
            {"networks": [{"slot": "net0", "name": "eth0"}, {"slot": "net1", "name": "eth0"}]},
            "networks: net0 and net1 are both called eth0 in the container",
        ),
        ({"env": {"A B": "1"}}, "env: 'A B' is not the name of a variable"),
        ({"env": {"A": "1\n2"}}, "env: A must be one line of text"),
        ({"entrypoint": "a\nb"}, "entrypoint must be one line"),
        ({"nameservers": ["dns.example"]}, "nameservers: 'dns.example' is not an address"),
        ({"tty": 7}, "tty must be from 0 to 6, not 7"),
    ],
)
def test_a_wrong_request_is_refused_by_name(options: dict[str, Any], message: str):
    with pytest.raises(InvalidRequest) as caught:
        request(**options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "there", "message"),
    [
        (
            {"unprivileged": False},
            state(),
            "unprivileged: guest 200 (ct) is unprivileged, and PVE does not change that: back it up, and make a",
        ),
        ({"unprivileged": True}, state(unprivileged="0"), "guest 200 (ct) is privileged, and PVE does not change that"),
        (device(mode="0660"), state(), "devices: dev0 is not there yet: give its path"),
        ({"networks": [{"slot": "net1", "name": "eth1"}]}, state(), "networks: net1 is not there yet: give its bridge"),
        (mount("mp2", path="/x"), state(), "mount_points: mp2 is not there yet: give path, and storage and size, or"),
        (mount("mp2", storage="local", size="1G"), state(), "mount_points: mp2 is not there yet: give path, and"),
        ({"rootfs": {"size": "1G"}}, state(), "rootfs: size 1G is less than the 8G that guest 200 (ct) has"),
        ({"rootfs": {"volume": "local:x"}}, state(), "rootfs of guest 200 (ct) is the volume local:vm-200-disk-0, not"),
        (
            mount(volume="local:x"),
            state(),
            "mount_points: mp0 of guest 200 (ct) holds local:vm-200-disk-1, not local:x",
        ),
        (mount(host_path="/x"), state(), "mount_points: mp0 of guest 200 (ct) holds local:vm-200-disk-1, not /x"),
        (
            mount("mp1", size="1G"),
            state(),
            "mount_points: mp1 of guest 200 (ct) is /tank/data of the node, which has no",
        ),
        (mount(storage="fast"), state("running"), "PVE moves no volume of a container that runs: stop the guest first"),
        (mount(state="absent"), state("running"), "cannot be deleted while the guest runs: PVE would detach it"),
        (
            mount(ro=True),
            state(protection="1"),
            "mount_points: guest 200 (ct) is protected, so PVE refuses to change mp0",
        ),
    ],
)
def test_what_cannot_be_changed_is_said_before_anything_is_sent(
    options: dict[str, Any], there: GuestState, message: str
):
    with pytest.raises(InvalidRequest) as caught:
        plan_changes(request(**options), there)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"features": {"nesting": True, "keyctl": False}}, []),
        (network(ip="192.0.2.5/24", gateway="192.0.2.1", mac="bc:24:11:00:02:00"), []),
        (mount(path="/srv", storage="local", size="4G", mount_options=[], ro=False), []),
        (mount("mp1", path="/data", host_path="/tank/data"), []),
        (mount("mp1", state="absent"), [("PUT config", {"delete": "mp1"})]),
        (mount(state="detached"), [("PUT config", {"delete": "mp0"})]),
        (
            network(ip="dhcp", vlan=0),
            [("PUT config", {"net0": "bridge=vmbr0,hwaddr=BC:24:11:00:02:00,ip=dhcp,name=eth0,type=veth"})],
        ),
        (
            {"networks": [{"slot": "net3", "bridge": "vmbr1", "ip6": "auto", "host_managed": True, "rate": 1.5}]},
            [("PUT config", {"net3": "bridge=vmbr1,host-managed=1,ip6=auto,name=eth3,rate=1.5"})],
        ),
        ({"features": {"mount": ["nfs", "cifs"]}}, [("PUT config", {"features": "mount=nfs;cifs,nesting=1"})]),
        ({"features": {}}, [("PUT config", {"delete": "features"})]),
        ({"env": {"A": "1", "B": "x y"}}, [("PUT config", {"env": "A=1\0B=x y"})]),
        ({"nameservers": ["192.0.2.53", "fe80::1%eth0"]}, [("PUT config", {"nameserver": "192.0.2.53 fe80::1%eth0"})]),
        ({"cpulimit": 0.5, "tty": 2, "console": True}, [("PUT config", {"cpulimit": "0.5"})]),
        (
            device(path="/dev/ttyS0", mode="0660", gid=20, deny_write=True),
            [("PUT config", {"dev0": "/dev/ttyS0,deny-write=1,gid=20,mode=0660"})],
        ),
        (
            mount(storage="fast", size="5G", quota=True),
            [
                ("POST move_volume", {"volume": "mp0", "delete": 1, "storage": "fast"}),
                ("PUT resize", {"disk": "mp0", "size": "5G"}),
                ("PUT config", {"mp0": "local:vm-200-disk-1,mp=/srv,quota=1,size=4G"}),
            ],
        ),
        ({"rootfs": {"size": "8193M"}}, [("PUT resize", {"disk": "rootfs", "size": "8193M"})]),
    ],
)
def test_only_what_differs_is_sent(options: dict[str, Any], expected: list[tuple[str, dict[str, Any]]]):
    assert sent(request(**options), state()) == expected


@pytest.mark.parametrize(
    ("options", "unprivileged", "what"),
    [
        ({"features": {"nesting": False}}, "1", ""),
        ({"features": {"keyctl": True}}, "1", "the feature keyctl of guest 200 (ct) is for root@pam with its password"),
        ({"features": {"nesting": False}}, "0", "the feature nesting of"),
        ({"hookscript": "local:snippets/x.sh"}, "1", "a hookscript of"),
        (device(path="/dev/null"), "1", "the device dev0 of"),
        (mount("mp2", path="/x", host_path="/tank/a:b"), "1", "the mount point mp2 of /tank/a:b of the node of"),
        (mount("mp1", ro=True), "1", "the mount point mp1 of /tank/data of the node of"),
        (mount("mp1", path="/data"), "1", ""),
        (mount("mp1", state="absent"), "1", ""),
    ],
)
def test_what_is_for_root_alone_is_told(options: dict[str, Any], unprivileged: str, what: str):
    wanted, there = request(**options), state(unprivileged=unprivileged)
    changes = config_changes(wanted, there, wanted.volume_changes(there))
    check_root("root@pam", changes, None)
    if not what:
        check_root("root@pam!ci", changes, None)
        return
    with pytest.raises(PermissionDenied, match="this task runs as root@pam!ci") as caught:
        check_root("root@pam!ci", changes, None)
    assert what in str(caught.value)


def test_a_new_container_is_what_was_asked_for():
    made = request(
        name="ct",
        node="pve1",
        template=TEMPLATE,
        unprivileged=False,
        password="correct horse",
        rootfs={"storage": "local", "size": "100M", "mount_options": ["nodev", "discard"]},
        pool="prod",
    )
    creation = plan_create(UNUSED, made)
    form = creation.command(UNUSED, 200).form
    assert {key: value for key, value in form.items() if value is not None} == {
        "vmid": 200,
        "hostname": "ct",
        "ostemplate": TEMPLATE,
        "password": "correct horse",
        "pool": "prod",
        "rootfs": "local:0.09765625,mountoptions=discard;nodev",
        "unprivileged": "0",
    }
    assert "correct horse" not in f"{made} {made!r} {creation.changes} {creation.title}"
    with pytest.raises(InvalidRequest, match="rootfs is not there yet: give storage and size"):
        plan_create(UNUSED, request(node="pve1", template=TEMPLATE))
    with pytest.raises(
        InvalidRequest, match="there is no container 200: say by template, image, clone or restore what"
    ):
        plan_create(UNUSED, request(node="pve1"))


@pytest.mark.parametrize(
    ("key", "one", "other", "same"),
    [
        ("features", "nesting=1,mount=nfs;cifs", "mount=cifs;nfs,fuse=0,nesting=on", True),
        ("net0", "name=eth0,ip6=FD00::1/64,type=veth", "name=eth0,ip6=fd00::1/64,firewall=0", True),
        ("net0", "name=eth0,ip=dhcp", "name=eth0", False),
        ("mp0", "local:x,mp=/a,backup=0,size=1024M", "volume=local:x,mp=/a,size=1G", True),
        ("mp0", "local:x,mp=/a,acl=0", "local:x,mp=/a", False),
        ("env", "A=1\0B=2", "B=2\0A=1", True),
        ("swap", None, "512", True),
        ("cores", None, "1", False),
        ("dev0", "/dev/null,deny-write=0", "path=/dev/null", True),
        ("entrypoint", None, "/sbin/init", True),
        ("nameserver", "192.0.2.1 192.0.2.2", "192.0.2.1, 192.0.2.2", True),
    ],
)
def test_values_are_compared_by_meaning(key: str, one: str | None, other: str, same: bool):
    assert value_type_of(key).same(one, other) is same
