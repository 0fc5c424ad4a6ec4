# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Generated configurations of containers converge, also where something waits for the next start already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.container.container_request import (
    ContainerRequest,
    container_request,
    container_spec,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.plan import Outcome
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest, PveError
from tests.support.api_client import ApiClient
from tests.support.clients import converge
from tests.support.embedded_pve import PveHandle, running_embedded_pve
from tests.support.vm_model import complete

VMID = 150
STORAGES = ("vmstore", "local-lvm")
CONFIG: dict[str, Any] = {
    "features": "nesting=1",
    "mp0": f"vmstore:{VMID}/vm-{VMID}-disk-1.raw,mp=/srv,size=4G",
    "mp1": f"local-lvm:vm-{VMID}-disk-2,mp=/data,backup=1,size=2G",
    "nameserver": "192.0.2.1",
    "net0": "name=eth0,bridge=vmbr0,gw=192.0.2.1,hwaddr=BC:24:11:00:15:00,ip=192.0.2.5/24,type=veth",
    "rootfs": f"vmstore:{VMID}/vm-{VMID}-disk-0.raw,size=8G",
    "startup": "order=1",
}
# What somebody else has done before, by a call of the API each; most of it waits for the next start.
BEFORE: dict[str, dict[str, Any]] = {
    "mount options": {"mp0": f"{CONFIG['mp0']},mountoptions=noatime"},
    "a mount point that goes": {"delete": "mp1"},
    "a mount point that goes and comes again": {"mp1": f"{CONFIG['mp1']},ro=1"},
    "other servers": {"nameserver": "192.0.2.9", "searchdomain": "example.org"},
    "no servers": {"delete": "nameserver"},
    "another system": {"ostype": "alpine", "console": 0, "timezone": "UTC"},
    "other features": {"features": "nesting=0"},
    "root options": {"rootfs": f"{CONFIG['rootfs']},acl=1"},
}
# Why a request is refused, and then before anything is sent.
REASONS = ("stop the guest first", "is not there yet", "can be grown only then")
# To look for a smaller example takes longer than to read a large one.
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)


def kept(slot: str, sizes: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    options: dict[str, st.SearchStrategy[Any]] = {
        "size": st.sampled_from(sizes),
        "storage": st.sampled_from(STORAGES),
        "mount_options": st.sampled_from([[], ["noatime"], ["nodev", "noatime"]]),
        "ro": st.booleans(),
        "acl": st.booleans(),
    }
    return st.fixed_dictionaries({"slot": st.just(slot)} if slot else {}, optional=options)


def gone(slot: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"slot": st.just(slot), "state": st.sampled_from(["detached", "absent"])})


def new(slot: str) -> st.SearchStrategy[dict[str, Any]]:
    made = {"slot": st.just(slot), "path": st.just("/new"), "storage": st.sampled_from(STORAGES), "size": st.just("1G")}
    return st.fixed_dictionaries(made, optional={"backup": st.booleans()})


MOUNT_POINTS = st.lists(
    st.one_of(kept("mp0", ["4G", "5G"]), kept("mp1", ["2G", "3G"]), gone("mp0"), gone("mp1"), gone("mp3"), new("mp3")),
    unique_by=lambda entry: entry["slot"],
    max_size=3,
)
ADDRESS = st.fixed_dictionaries(
    {"slot": st.just("net0")},
    optional={
        "ip": st.sampled_from(["", "dhcp", "192.0.2.7/24"]),
        "ip6": st.sampled_from(["auto", "2001:db8::7/64"]),
        "vlan": st.sampled_from([0, 7]),
        "mtu": st.sampled_from([0, 1400]),
        "firewall": st.booleans(),
    },
)
WANTED = st.fixed_dictionaries(
    {},
    optional={
        "mount_points": MOUNT_POINTS,
        "rootfs": kept("", ["8G", "9G"]),
        "networks": st.one_of(
            st.lists(ADDRESS, min_size=1, max_size=1),
            st.just([{"slot": "net0", "state": "absent"}]),
            st.just([{"slot": "net1", "bridge": "vmbr0"}]),
        ),
        "features": st.sampled_from([{}, {"nesting": True}, {"nesting": False}]),
        "nameservers": st.sampled_from([[], ["192.0.2.1"], ["192.0.2.2", "192.0.2.1"]]),
        "search_domains": st.sampled_from([[], ["example.org"]]),
        "memory": st.sampled_from([256, 512]),
        "swap": st.sampled_from([0, 512]),
        "cores": st.sampled_from([1, 2]),
        "cpulimit": st.sampled_from([0.0, 0.5]),
        "console": st.booleans(),
        "tty": st.sampled_from([0, 2]),
        "cmode": st.sampled_from(["tty", "shell"]),
        "ostype": st.sampled_from(["debian", "alpine"]),
        "timezone": st.sampled_from(["UTC", "host"]),
        "startup": st.sampled_from([{}, {"order": 2}, {"up": 3}]),
        "description": st.sampled_from(["", "notes"]),
        "tags": st.sampled_from([[], ["b", "a"]]),
    },
)


@pytest.fixture(scope="module")
def pve() -> Iterator[PveHandle]:
    with running_embedded_pve() as handle:
        yield handle


def desired(options: dict[str, Any]) -> ContainerRequest:
    parameters = complete({"vmid": {}, "name": {}, **container_spec()}, {"vmid": VMID, **options})
    return container_request(parameters)


def make_container(pve: PveHandle, status: str, before: list[str]) -> None:
    api = ApiClient(pve)
    if pve.guest(VMID) is not None:
        api("DELETE", f"/nodes/pve1/lxc/{VMID}", force=1, **{"destroy-unreferenced-disks": 1})
    pve.add_container(VMID, "pending", status=status, config=CONFIG)
    for name in before:
        api("PUT", f"/nodes/pve1/lxc/{VMID}/config", **BEFORE[name])


def restart(pve: PveHandle) -> None:
    def act() -> None:
        pve.server.halt_guest(pve.guest(VMID))
        pve.server.run_guest(pve.guest(VMID))

    pve.call(act)


def volumes(pve: PveHandle) -> set[str]:
    """What the configuration names, used or not."""
    config = pve.config(VMID)
    return {str(text).partition(",")[0] for key, text in config.items() if key.startswith(("rootfs", "mp", "unused"))}


def is_lost(known: set[str], there: set[str], options: dict[str, Any]) -> bool:
    """A volume is named nowhere any more, and was neither deleted as asked for, nor moved."""
    entries = [options.get("rootfs") or {}, *options.get("mount_points", ())]
    may_go = sum(entry.get("state") == "absent" or "storage" in entry for entry in entries)
    return len(known - there) > may_go or len(there) < len(known) - may_go


@settings(max_examples=max(40, settings().max_examples), phases=NO_SHRINKING, deadline=None)
@given(
    status=st.sampled_from(["running", "stopped"]),
    before=st.lists(st.sampled_from(sorted(BEFORE)), unique=True, max_size=3),
    options=WANTED,
)
def test_converge_restart_converge(pve: PveHandle, status: str, before: list[str], options: dict[str, Any]) -> None:
    make_container(pve, status, before)
    known = volumes(pve)
    applier, result = converge(pve, desired(options), 60)
    assert not is_lost(known, volumes(pve), options)
    if isinstance(result, PveError):
        assert isinstance(result, InvalidRequest), result
        assert applier.done == []
        assert any(words in str(result) for words in REASONS), result
        return
    restart(pve)
    assert not is_lost(known, volumes(pve), options)
    _applier, again = converge(pve, desired(options), 60)
    assert isinstance(again, Outcome), again
    assert again.steps == ()
