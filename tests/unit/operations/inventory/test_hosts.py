# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests as hosts, without anybody to ask."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.addresses import (
    Addresses,
    Interface,
    sorted_addresses,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.inventory.hosts import (
    NEEDS,
    RESERVED_NAMES,
    Known,
    Route,
    configured_addresses,
    default_name,
    doubtful_names,
    exact_status,
    groups_of,
    guest_facts,
    is_template,
    named,
    node_facts,
    route_to,
    unique_names,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.inventory.inventory_request import (
    CONNECT_WITH,
    InventoryRequest,
    check_prefix,
    inventory_request,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.inventory.memory import (
    Memory,
    memory_from_cache,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.inventory.networks import network_devices
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.guests import Guest

vmids = st.integers(100, 120)
names = st.sampled_from(["web", "db", "web-100", "web-101", "web-100-100", "localhost", "all", "x"])
networks = st.sampled_from(
    [ipaddress.ip_network(text) for text in ("10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/24", "2001:db8::/32")]
)
addresses = st.sampled_from(["10.0.0.1", "10.1.0.1", "192.0.2.1", "203.0.113.1", "2001:db8::1", "fe80::1", "127.0.0.1"])
sources = st.lists(st.sampled_from(CONNECT_WITH), unique=True)
knowledge = st.builds(
    lambda config, told, settled: Known(
        config if "config" in settled else None,
        interfaces=(Interface("eth0", "", told),) if "agent" in settled else None,
        settled=frozenset(settled),
    ),
    st.fixed_dictionaries(
        {"name": st.just("web")},
        optional={
            "ipconfig0": st.sampled_from(
                ["ip=dhcp", "ip=192.0.2.9/24,gw=192.0.2.1", "ip6=2001:db8::9/64", "ip=127.0.0.1/8"]
            ),
            "searchdomain": st.just("example.com example.net"),
        },
    ),
    st.sampled_from([(), ("192.0.2.7/24",), ("2001:db8::7/64",), ("192.0.2.7/24", "2001:db8::7/64")]),
    st.sets(st.sampled_from(["config", "agent"])),
)
states = st.sampled_from(["running", "stopped", "unknown"])


@given(st.dictionaries(vmids, names, max_size=12))
def test_every_guest_gets_a_name_of_its_own_and_the_first_keeps_it(wanted):
    given_names = unique_names(wanted.items())
    assert set(given_names) == set(wanted)
    assert len(set(given_names.values())) == len(wanted)
    assert not RESERVED_NAMES & set(given_names.values())
    for vmid, name in wanted.items():
        assert given_names[vmid] == name or re.fullmatch(re.escape(name) + rf"(-{vmid})+", given_names[vmid])
        first = min(other for other, text in wanted.items() if text == name)
        longer = {given_names[other] for other in wanted if other < vmid}
        if vmid == first and name not in RESERVED_NAMES | longer:
            assert given_names[vmid] == name


@given(st.dictionaries(vmids, names, max_size=12), st.randoms())
def test_names_do_not_depend_on_the_order_of_the_list(wanted, random):
    items = list(wanted.items())
    random.shuffle(items)
    assert unique_names(items) == unique_names(wanted.items())


@given(st.lists(addresses), st.lists(networks), st.lists(networks))
def test_the_address_that_is_chosen(candidates, prefer, exclude):
    found = sorted_addresses(candidates, prefer, exclude)
    left = [
        address
        for address in map(ipaddress.ip_address, candidates)
        if not address.is_link_local and not address.is_loopback and not any(address in item for item in exclude)
    ]
    for version, texts in ((4, found.ipv4), (6, found.ipv6)):
        wanted = [address for address in left if address.version == version]
        wanted.sort(key=lambda other: next((rank for rank, item in enumerate(prefer) if other in item), len(prefer)))
        assert texts == tuple(map(str, wanted))


@given(sources, knowledge, states)
def test_a_route_needs_only_what_comes_before_it(connect_with, known, status):
    request = InventoryRequest(connect_with=tuple(connect_with))
    guest = Guest(100, "pve1", "qemu", "web", status, template=False)
    route = route_to(guest, known, request)
    assert route.host is None or route.needs is None
    if route.needs:
        # Asking for it, whatever the answer, ends that need.
        assert route.needs not in known.settled
        settled = dataclasses.replace(known, settled=known.settled | {route.needs})
        assert route_to(guest, settled, request).needs != route.needs
        assert status != "stopped" or route.needs != "agent"
    if "name" in connect_with and not {"proxmox", "agent"} & set(connect_with[: connect_with.index("name")]):
        behind = connect_with[: connect_with.index("name")]
        if not any(NEEDS[source] for source in behind):
            assert route.host == "web"


@given(sources, knowledge)
def test_who_is_fully_known_needs_nothing(connect_with, known):
    assume(known.settled == {"config", "agent"})
    guest = Guest(100, "pve1", "qemu", "web", "running", template=False)
    route = route_to(guest, known, InventoryRequest(connect_with=tuple(connect_with)))
    assert route.needs is None
    if {"name", "proxmox", "agent"} & set(connect_with):
        assert route.host or route.by_agent


@pytest.mark.parametrize(
    ("kind", "config", "ipv4", "ipv6"),
    [
        ("qemu", {}, (), ()),
        ("qemu", {"ipconfig0": "ip=dhcp,ip6=auto"}, (), ()),
        ("qemu", {"ipconfig0": "ip=192.0.2.5/24,gw=192.0.2.1,ip6=2001:db8::5/64"}, ("192.0.2.5",), ("2001:db8::5",)),
        ("qemu", {"ipconfig10": "ip=10.0.0.2/8", "ipconfig9": "ip=10.0.0.1/8"}, ("10.0.0.1", "10.0.0.2"), ()),
        ("qemu", {"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0", "ipconfig": "ip=10.0.0.9/8"}, (), ()),
        ("lxc", {"net0": "name=eth0,bridge=vmbr0,ip=10.0.0.3/8,ip6=manual"}, ("10.0.0.3",), ()),
        ("lxc", {"ipconfig0": "ip=10.0.0.3/8"}, (), ()),
    ],
)
def test_configured_addresses(kind, config, ipv4, ipv6):
    assert configured_addresses(kind, config) == Addresses(ipv4, ipv6)


@pytest.mark.parametrize(
    ("kind", "listed", "config", "name", "host"),
    [
        ("qemu", "web", None, "web", "web"),
        ("qemu", "old", {"name": "new"}, "new", "new"),
        ("qemu", "", None, None, "qemu-100"),
        ("qemu", "", {}, None, "qemu-100"),
        ("qemu", "VM 100", None, None, "qemu-100"),
        ("lxc", "CT100", {"hostname": "ct"}, "ct", "ct"),
        ("lxc", "CT100", None, None, "lxc-100"),
    ],
)
def test_what_a_guest_is_called(kind, listed, config, name, host):
    guest = Guest(100, "pve1", kind, listed)
    assert named(guest, config) == name
    assert default_name(guest, name) == host


def test_templates_are_told_by_the_list_or_else_by_the_configuration():
    assert is_template(Guest(100, "pve1", "qemu", template=True), None)
    assert is_template(Guest(100, "pve1", "qemu"), {"template": 1})
    assert not is_template(Guest(100, "pve1", "qemu"), None)
    assert not is_template(Guest(100, "pve1", "qemu", template=False), {})


def test_groups_have_the_prefix_and_only_the_kinds_wanted():
    guest = Guest(100, "pve1", "qemu", "web", "running", tags="a;b", template=False)
    facts = guest_facts(guest, {"maxmem": 1}, Known(), InventoryRequest())
    assert groups_of(facts, ["tag", "pool", "status"], "x_") == ["x_tag_a", "x_tag_b", "x_status_running"]
    assert facts["maxmem"] == 1
    assert "addresses" not in facts


@given(st.integers(100, 105), knowledge, st.booleans())
def test_what_is_cached_comes_back(vmid, known, missed):
    memory = Memory("here", 1000.0, [{"vmid": vmid, "type": "qemu", "node": "pve1"}])
    for what, answer in (
        ("config", known.config),
        ("agent", [interface.as_result() for interface in known.interfaces or ()]),
    ):
        if what in known.settled:
            memory.keep(what, vmid, answer)
        elif missed:
            memory.miss(what, vmid, 990.0, "why")
    written = json.loads(json.dumps(memory.as_cache()))
    assert memory_from_cache(written, "here", 999.0) == memory
    assert memory_from_cache(written, "there", 999.0) is None
    assert memory_from_cache(written, "here", 1001.0) is None
    memory.forget_misses(995.0)
    assert memory.known(vmid).settled == known.settled


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    ["version", "source", "read_at", "guests", "nodes", "answers", "missed", "config", "agent"]
                ),
                inner,
            )
        ),
    )
)
def test_a_cache_of_another_hand_is_nothing(data):
    assert memory_from_cache(data, "here", 0) is None


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"connect_with": ["agents"]}, "connect_with 'agents' is not known"),
        ({"gather": ["configs"]}, "gather 'configs' is not known: did you mean config?"),
        ({"filters": {"status": ["up"]}}, "filters.status 'up' is not known: known are hibernated, paused"),
        ({"filters": {"types": ["vm"]}}, "filters.types 'vm' is not known"),
        ({"filters": {"tags": {"a": "b"}}}, "filters.tags must be a list"),
        ({"filters": ["status"]}, "filters must be a mapping"),
        ({"prefer_networks": ["192.0.2.1/24"]}, "prefer_networks: 192.0.2.1/24 has host bits set"),
        ({"exclude_networks": ["lan"]}, "exclude_networks: 'lan' does not appear to be"),
        ({"workers_per_node": 0}, "workers_per_node must be from 1 to 16, not 0"),
        ({"agent_budget": -1}, "agent_budget must be from 0.1 to 86400, not -1"),
        ({"agent_timeout": 0}, "agent_timeout must be from 0.1 to 86400, not 0"),
        ({"agent_retry": -1}, "agent_retry must be from 0 to 86400, not -1"),
    ],
)
def test_bad_options(options, reason):
    with pytest.raises(InvalidRequest, match=re.escape(reason)):
        inventory_request(options)


def test_filters_take_one_value_for_a_list_of_one():
    request = inventory_request({"filters": {"status": "running", "pools": None, "nodes": ["pve1", "pve2"]}})
    assert request.filters.status == ("running",)
    assert request.filters.pools == ()
    assert request.filters.fit(Guest(100, "pve2", "qemu", status="running"))
    assert not request.filters.fit(Guest(100, "pve3", "qemu", status="running"))


@pytest.mark.parametrize("prefix", ["", "9x", "a-b", "a b"])
def test_prefixes_that_no_variable_can_have(prefix):
    with pytest.raises(InvalidRequest, match="hostvars_prefix must be letters"):
        check_prefix("hostvars_prefix", prefix)


@pytest.mark.parametrize(
    "name", ["localhost", "localhost.localdomain", "web.localhost", "LOCALHOST", "ip6-localhost", "ip6-loopback"]
)
def test_by_some_names_a_machine_means_itself(name):
    assert unique_names([(3006, name)]) == {3006: f"{name}-3006"}
    assert doubtful_names([(3006, name)]) == {3006}


def test_names_that_others_have_lead_to_these():
    guests = [(3003, "web"), (3004, "web"), (3005, "pve1"), (3007, "db"), (3008, None), (3009, "localhosts")]
    assert doubtful_names(guests, ["pve1"]) == {3004, 3005}
    request = InventoryRequest(connect_with=("name", "fqdn", "proxmox"))
    guest = Guest(3004, "pve2", "qemu", "web", "running", template=False)
    assert route_to(guest, Known(), request).host == "web"
    assert route_to(guest, Known(), request, doubtful=True).host == "pve2"


def test_names_of_hosts_of_other_files_are_taken():
    assert unique_names([(100, "web"), (101, "db")], ["web", "web-100"]) == {100: "web-100-100", 101: "db"}


def test_a_paused_guest_is_what_it_says_itself():
    guest = Guest(100, "pve1", "qemu", "web", "running", template=False)
    paused = Known(status={"status": "paused", "qmpstatus": "paused"}, settled=frozenset({"status"}))
    assert (exact_status(guest, Known()), exact_status(guest, paused)) == ("running", "paused")
    request = inventory_request({"gather": ["status", "agent"], "connect_with": ["agent_ipv4"]})
    facts = guest_facts(guest, {}, paused, request)
    assert (facts["status"], facts["qmpstatus"], facts["addresses"]) == ("paused", "paused", None)
    # Its agent would hold a worker of the node for 3 s.
    assert route_to(guest, paused, request) == Route()


@pytest.mark.parametrize(
    ("wanted", "listed", "exact", "fits"),
    [
        ([], "running", None, True),
        (["running"], "running", None, True),
        (["running"], "running", "paused", False),
        (["paused"], "running", None, True),
        (["paused"], "running", "running", False),
        (["paused"], "running", "paused", True),
        (["paused"], "stopped", None, False),
        (["prelaunch", "stopped"], "running", "prelaunch", True),
    ],
)
def test_the_state_as_far_as_it_is_known(wanted, listed, exact, fits):
    request = inventory_request({"filters": {"status": wanted}})
    assert request.asks_status is bool({"paused", "prelaunch"} & set(wanted))
    assert request.filters.fits_status(Guest(100, "pve1", "qemu", status=listed), exact) is fits


def test_only_the_own_network_devices_where_the_configuration_is_known():
    config = {"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0"}
    interfaces = (
        Interface("docker0", "02:42:AC:11:00:01", ("172.17.0.1/16",)),
        Interface("eth0", "BC:24:11:00:00:01", ("192.0.2.1/24",)),
    )
    guest = Guest(100, "pve1", "qemu", "web", "running", template=False)
    request = inventory_request({"gather": ["config", "agent"], "connect_with": ["agent_ipv4"]})
    for read, addresses in ((config, ["192.0.2.1"]), (None, ["172.17.0.1", "192.0.2.1"])):
        known = Known(config=read, interfaces=interfaces, settled=frozenset({"agent", "config"}))
        facts = guest_facts(guest, {}, known, request)
        assert facts["addresses"]["ipv4"] == addresses
        assert [item["name"] for item in facts["interfaces"]] == ["docker0", "eth0"]
        assert route_to(guest, known, request).host == addresses[0]


def test_network_devices_are_data():
    config = {
        "net10": "e1000=BC:24:11:00:00:0A,bridge=vmbr1,link_down=1",
        "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=20,firewall=1,mtu=1400,queues=4,rate=12.5,trunks=10;20-30",
        "ipconfig0": "ip=192.0.2.5/24,gw=192.0.2.1,ip6=auto",
        "name": "web",
    }
    assert network_devices("qemu", config) == [
        {
            "slot": "net0",
            "model": "virtio",
            "mac": "BC:24:11:00:00:01",
            "bridge": "vmbr0",
            "vlan": 20,
            "firewall": True,
            "mtu": 1400,
            "queues": 4,
            "rate": "12.5",
            "trunks": ["10", "20-30"],
            "ip": "192.0.2.5/24",
            "gateway": "192.0.2.1",
            "ip6": "auto",
        },
        {"slot": "net10", "model": "e1000", "mac": "BC:24:11:00:00:0A", "bridge": "vmbr1", "link_down": True},
    ]
    container = {"net0": "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:02,ip=dhcp,host-managed=1,tag=7,type=veth"}
    assert network_devices("lxc", container) == [
        {
            "slot": "net0",
            "name": "eth0",
            "bridge": "vmbr0",
            "mac": "BC:24:11:00:00:02",
            "ip": "dhcp",
            "host_managed": True,
            "vlan": 7,
        }
    ]


def test_a_node_has_the_same_variables():
    request = inventory_request({"cluster": "east", "gather": ["config", "agent", "snapshots", "status"]})
    entry = {"node": "pve1", "status": "online", "uptime": 7, "maxcpu": 4}
    facts = node_facts(entry, request)
    guest = guest_facts(Guest(100, "pve1", "qemu", "web", "running"), {}, Known(), request)
    assert facts.keys() == guest.keys()
    assert (facts["name"], facts["node"], facts["type"], facts["status"]) == ("pve1", "pve1", "node", "online")
    assert (facts["vmid"], facts["uptime"], facts["maxcpu"], facts["cluster"]) == (None, 7, 4, "east")
    kinds = ["status", "type", "node", "node_type", "pool", "tag", "cluster"]
    assert groups_of(facts, kinds, "") == ["status_online", "type_node", "cluster_east"]
    assert groups_of(guest, kinds, "") == [
        "status_running", "type_qemu", "node_pve1", "node_type_pve1_qemu", "cluster_east",
    ]  # fmt: skip
