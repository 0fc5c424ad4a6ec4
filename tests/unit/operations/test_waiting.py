# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of the addresses that an agent or a container names can be reached from outside."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.waiting import Addresses, addresses_of

addresses = st.ip_addresses()
scribble = st.text(max_size=12)


def useful(address):
    return not (address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast)


def interface(*texts):
    return {"name": "eth0", "ip-addresses": [{"ip-address": text, "prefix": 24} for text in texts]}


@given(st.lists(st.lists(addresses, max_size=4), max_size=4))
def test_every_useful_address_is_kept_in_order(listed):
    found = addresses_of([interface(*map(str, items)) for items in listed])
    wanted = [address for items in listed for address in items if useful(address)]
    assert found.ipv4 == tuple(str(address) for address in wanted if address.version == 4)
    assert found.ipv6 == tuple(str(address) for address in wanted if address.version == 6)
    assert bool(found) is bool(wanted)


@given(st.lists(scribble | addresses.map(str), max_size=6))
def test_what_is_no_address_is_left_out(texts):
    found = addresses_of([interface(*texts)])
    for text in (*found.ipv4, *found.ipv6):
        assert useful(ipaddress.ip_address(text))


@given(st.ip_addresses(v=4), st.ip_addresses(v=6), st.integers(0, 32))
def test_an_old_container_has_one_address_of_each_kind(first, second, prefix):
    old = [{"name": "eth0", "inet": f"{first}/{prefix}", "inet6": f"{second}/{prefix}"}]
    assert addresses_of(old) == addresses_of([interface(str(first), str(second))])


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
    assert addresses_of(interfaces) == Addresses()


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
    assert addresses_of(recorded).as_result() == {"ipv4": ["192.0.2.10"], "ipv6": []}
