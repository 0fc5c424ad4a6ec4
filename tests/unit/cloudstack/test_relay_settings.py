# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operator may say about the console relay, and whom it admits."""

from __future__ import annotations

import argparse
import re

import jinja2
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.relay.settings import (
    DEFAULT_PORTS,
    RelaySettings,
    add_relay_words,
    parse_ports,
    parse_sources,
    read_relay_words,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.service.daemon import (
    _parse as parse_words,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest
from tests.support.collection_tree import REPOSITORY


def settings_of(*words):
    parser = argparse.ArgumentParser()
    add_relay_words(parser)
    return read_relay_words(parser.parse_args(words))


@given(st.integers(1024, 65535), st.integers(0, 65535))
def test_ports(first, more):
    last = min(65535, first + more)
    assert parse_ports(f"{first}-{last}") == (first, last)
    assert parse_ports(f" {first} ") == (first, first)


@pytest.mark.parametrize("text", ["", "-", "80-90", "2000-1999", "65000-65536", "1e3-2000", "-5000", "a", "٢٠٠٠"])
def test_ports_that_are_none(text):
    with pytest.raises(InvalidRequest, match="the ports of the relay must be"):
        parse_ports(text)


@pytest.mark.parametrize(
    ("sources", "address", "admitted"),
    [
        ("", "203.0.113.9", True),
        ("192.0.2.0/24", "192.0.2.200", True),
        ("192.0.2.0/24", "192.0.3.1", False),
        ("192.0.2.0/24,198.51.100.7", "198.51.100.7", True),
        ("192.0.2.0/24", "::ffff:192.0.2.1", True),
        ("192.0.2.0/24", "2001:db8::1", False),
        ("fe80::/10", "fe80::1%eth0", True),
    ],
)
def test_sources(sources, address, admitted):
    assert RelaySettings(sources=parse_sources(sources)).admits(address) is admitted


@pytest.mark.parametrize("text", ["192.0.2.1/24", "all", "192.0.2.0/33"])
def test_sources_that_are_none(text):
    with pytest.raises(InvalidRequest, match="the sources of the relay must be networks"):
        parse_sources(text)


def test_the_command_line():
    assert settings_of() is None
    assert settings_of("--console-ports", DEFAULT_PORTS) == RelaySettings()
    assert settings_of("--console-ports", "20000", "--console-address", "192.0.2.7").address == "192.0.2.7"
    for words in (
        ["--console-seconds", "0"],
        ["--console-idle-seconds", "-1"],
        ["--console-reconnect-seconds", "-1"],
        ["--most-consoles", "0"],
        ["--most-consoles-per-guest", "0"],
    ):
        with pytest.raises(InvalidRequest):
            settings_of("--console-ports", DEFAULT_PORTS, *words)
    with pytest.raises(InvalidRequest, match="--console-bind is an address or a name"):
        settings_of("--console-ports", DEFAULT_PORTS, "--console-bind", "a b")


@pytest.mark.parametrize("address", ["mgmt1.example.com", "2001:db8::1", "a b", "192.0.2.256", "::ffff:192.0.2.1"])
def test_an_address_that_the_console_proxy_does_not_find(address):
    with pytest.raises(InvalidRequest, match=r"--console-address: '.*' is no IPv4 address, and CloudStack's"):
        settings_of("--console-ports", DEFAULT_PORTS, "--console-address", address)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"cloudstack_extension_console_ports": ""},
        {
            "cloudstack_extension_console_address": "192.0.2.8",
            "cloudstack_extension_console_bind": "192.0.2.7",
            "cloudstack_extension_console_sources": ["192.0.2.0/24", "2001:db8::/32"],
        },
    ],
)
def test_the_unit_starts_the_service_with_words_that_it_knows(changes):
    role = REPOSITORY / "roles" / "cloudstack_extension"
    unit = (role / "templates" / "cloudbridge-proxmoxd.service.j2").read_text("utf-8")
    command = unit[unit.index("ExecStart=") : unit.index("# A newer release")]
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text("utf-8"))
    files = dict.fromkeys(re.findall(r"{{ (\w+) }}", command), "/some/where")
    rendered = jinja2.Environment(autoescape=False, trim_blocks=True).from_string(command)
    words = rendered.render({**files, **defaults, **changes}).replace("\\\n", " ").split()
    relay = parse_words(words[1:], "release").settings.relay
    if changes.get("cloudstack_extension_console_ports") == "":
        assert relay is None
    elif changes:
        assert (relay.address, relay.bind, len(relay.sources)) == ("192.0.2.8", "192.0.2.7", 2)
    else:
        assert relay == RelaySettings()
