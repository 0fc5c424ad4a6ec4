# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the console proxy is sent, and why there is no relay."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.actions.console import relay_address
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.call_context import CallContext
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.relay import ports
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.relay.settings import RelaySettings
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest

RUN = SimpleNamespace(client=SimpleNamespace(endpoint=SimpleNamespace(host="pve1", port=8006)))


def test_the_address_that_pve_sees_has_to_be_one_that_the_console_proxy_finds(monkeypatch):
    relay = SimpleNamespace(settings=RelaySettings())
    monkeypatch.setattr(ports, "address_towards", lambda _host, _port: "192.0.2.7")
    assert relay_address(RUN, relay) == "192.0.2.7"
    monkeypatch.setattr(ports, "address_towards", lambda _host, _port: "2001:db8::7")
    with pytest.raises(
        InvalidRequest, match=r"PVE sees: '2001:db8::7' is no IPv4 address, and .*; set console_address"
    ):
        relay_address(RUN, relay)
    assert relay_address(RUN, SimpleNamespace(settings=RelaySettings(address="192.0.2.8"))) == "192.0.2.8"


@pytest.mark.parametrize(
    ("environment", "expected", "words"),
    [
        ({}, False, "no service carries out this action"),
        ({}, True, "did not take this action: it is stopped, starting, stuck or of another release; try again"),
        ({"HTTPS_PROXY": "http://192.0.2.9"}, True, "is not asked where HTTPS_PROXY is set"),
    ],
)
def test_why_there_is_no_relay(environment, expected, words):
    context = CallContext(environment, "/run/service.sock", expected)
    assert words in context.no_relay
    assert context.expects_relay is expected
