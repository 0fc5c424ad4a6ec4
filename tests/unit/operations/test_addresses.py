# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of the addresses that an agent or a container names can be reached from outside."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.addresses import (
    Addresses,
    Interface,
    addresses_of,
    interfaces_in,
    macs_of,
    own_interfaces,
    read_networks,
    sorted_addresses,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import Refused

addresses = st.ip_addresses()
scribble = st.text(max_size=12)


def useful(address):
    return not (address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast)


def interface(*texts):
    return {"name": "eth0", "ip-addresses": [{"ip-address": text, "prefix": 24} for text in texts]}


def addresses_in(listed):
    return addresses_of(interfaces_in({"result": listed}))


@given(st.lists(st.lists(addresses, max_size=4), max_size=4))
def test_every_useful_address_is_kept_in_order(listed):
    found = addresses_in([interface(*map(str, items)) for items in listed])
    wanted = [address for items in listed for address in items if useful(address)]
    assert found.ipv4 == tuple(str(address) for address in wanted if address.version == 4)
    assert found.ipv6 == tuple(str(address) for address in wanted if address.version == 6)
    assert bool(found) is bool(wanted)


@given(st.lists(scribble | addresses.map(str), max_size=6))
def test_what_is_no_address_is_left_out(texts):
    found = addresses_in([interface(*texts)])
    for text in (*found.ipv4, *found.ipv6):
        assert useful(ipaddress.ip_address(text))


@given(st.ip_addresses(v=4), st.ip_addresses(v=6), st.integers(0, 32))
def test_an_old_container_has_one_address_of_each_kind(first, second, prefix):
    old = [{"name": "eth0", "inet": f"{first}/{prefix}", "inet6": f"{second}/{prefix}"}]
    assert addresses_in(old) == addresses_in([interface(str(first), str(second))])


@pytest.mark.parametrize(
    "interfaces",
    [
        [],
        [{}],
        [{"name": "lo"}],
        [interface("127.0.0.1", "::1")],
        [interface("fe80::1%eth0", "169.254.1.1")],
        [interface("")],
    ],
)
def test_a_guest_that_nobody_can_reach_has_none(interfaces):
    assert addresses_in(interfaces) == Addresses()


def test_what_an_agent_says():
    recorded = [
        {"name": "lo", "ip-addresses": [{"ip-address-type": "ipv4", "ip-address": "127.0.0.1", "prefix": 8}]},
        {"name": "eth0", "hardware-address": "bc:24:11:00:00:01"},
        {
            "name": "eth1",
            "ip-addresses": [
                {"ip-address-type": "ipv6", "ip-address": "fe80::be24:11ff:fe00:1", "prefix": 64},
                {"ip-address-type": "ipv4", "ip-address": "192.0.2.10", "prefix": 24},
            ],
        },
    ]
    assert addresses_in(recorded).as_result() == {"ipv4": ["192.0.2.10"], "ipv6": []}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (
            {"result": {"error": {"class": "CommandNotFound", "desc": "The command has not been found"}}},
            "the agent answers The command has not been found",
        ),
        ({"result": {"error": "no"}}, "the agent answers {'error': 'no'}"),
        ({"result": ["unsupported"]}, "its answer makes no sense: unsupported"),
        ({"result": [None, 7]}, "its answer makes no sense: None"),
        ({"result": "x" * 1000}, "its answer makes no sense: " + "x" * 200),
        ("text", "its answer makes no sense: text"),
        (7, "its answer makes no sense: 7"),
    ],
)
def test_an_answer_that_is_an_error_is_told_in_the_agents_words(answer, why):
    with pytest.raises(Refused) as caught:
        interfaces_in(answer)
    assert (str(caught.value), caught.value.cause.pve_message) == (why, why)


@pytest.mark.parametrize("answer", [None, [], {}, {"result": None}, {"result": []}])
def test_an_answer_without_interfaces_is_none(answer):
    assert interfaces_in(answer) == ()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | scribble,
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(
            st.sampled_from(["result", "error", "desc", "name", "ip-addresses", "ip-address"]) | scribble, values
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_whatever_an_agent_says_it_is_no_traceback(answer):
    try:
        found = interfaces_in(answer)
    except Refused as error:
        assert "\n" not in str(error)
    else:
        assert all(isinstance(interface, Interface) for interface in found)


def test_the_interfaces_are_returned_as_they_are():
    listed = [
        {"name": "lo", "hardware-address": "00:00:00:00:00:00", "ip-addresses": [{"ip-address": "::1", "prefix": 128}]},
        {"name": "Ethernet", "hardware-address": "bc-24-11-00-00-01", "ip-addresses": [{"ip-address": "192.0.2.1"}]},
        {"name": "odd", "hardware-address": "nothing", "ip-addresses": "nothing"},
    ]
    assert [interface.as_result() for interface in interfaces_in({"result": listed})] == [
        {"name": "lo", "mac": "00:00:00:00:00:00", "addresses": ["::1/128"]},
        {"name": "Ethernet", "mac": "BC:24:11:00:00:01", "addresses": ["192.0.2.1"]},
        {"name": "odd", "mac": None, "addresses": []},
    ]


DOCKER = Interface("docker0", "02:42:AC:11:00:01", ("172.17.0.1/16",))
ETHERNET = Interface("eth0", "BC:24:11:00:00:01", ("192.0.2.1/24", "10.0.0.1/8"))
BRIDGE = Interface("br0", "BC:24:11:00:00:01", ("198.51.100.1/24",))
NAMELESS = Interface("eth0", "", ("192.0.2.1/24",))
CONFIG = {"net0": "virtio=bc:24:11:00:00:01,bridge=vmbr0", "name": "web", "net1": "e1000,bridge=vmbr1"}


def test_a_guests_own_devices_are_told_apart_by_their_mac():
    macs = macs_of("qemu", CONFIG)
    assert macs == {"BC:24:11:00:00:01"}
    assert own_interfaces([DOCKER, ETHERNET, BRIDGE], macs) == (ETHERNET, BRIDGE)
    assert own_interfaces([DOCKER], macs) == ()
    assert own_interfaces([DOCKER, NAMELESS], macs) == ()


def test_all_are_taken_when_nothing_tells_them_apart():
    assert own_interfaces([NAMELESS], macs_of("qemu", CONFIG)) == (NAMELESS,)
    assert own_interfaces([DOCKER, ETHERNET], macs_of("qemu", {"hostpci0": "mapping=card"})) == (DOCKER, ETHERNET)


def test_the_own_devices_of_a_container():
    assert macs_of("lxc", {"net0": "name=eth0,bridge=vmbr0,hwaddr=bc:24:11:00:00:02"}) == {"BC:24:11:00:00:02"}


def test_preferred_networks_come_first_and_excluded_ones_not_at_all():
    texts = ["10.0.0.1/8", "172.17.0.1/16", "192.0.2.1/24", "2001:db8::1/64"]
    prefer, exclude = read_networks("prefer_networks", ["192.0.2.0/24"]), read_networks("", ["172.16.0.0/12"])
    assert sorted_addresses(texts, prefer, exclude) == Addresses(("192.0.2.1", "10.0.0.1"), ("2001:db8::1",))
