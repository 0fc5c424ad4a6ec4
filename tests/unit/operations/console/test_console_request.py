# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of pve_console_info, and what is written without asking PVE: links, the websocket's URL, .vv files."""

from __future__ import annotations

import configparser
from types import SimpleNamespace
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.console.console_request import (
    ConsoleRequest,
    console_request,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.console.links import browser_links
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.console.spice import vv_file
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.console.target import ConsoleTarget, Whose
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.channel import websocket_url
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.connection import Endpoint
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest, Refused
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.guests import Guest, GuestHandle, Selector

DEFAULTS = {
    **dict.fromkeys(("vmid", "name", "node", "transport", "serial", "spice_proxy", "width", "height", "host")),
    "guest_type": "auto",
    "type": "info",
    "node_address": "api",
    "require_running": True,
    "include_auth": False,
}
# What PVE makes tickets of: printable ASCII, the password's part of it up to the backquote.
TICKETS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1)


def request(**options):
    return console_request({**DEFAULTS, **options})


def test_a_number_alone_asks_what_there_is():
    assert request(vmid=100) == ConsoleRequest(Whose(Selector(100)))
    assert request(node="pve1").whose == Whose(None, "pve1")
    asked = request(name="web", guest_type="lxc", type="vnc", width=800, height=600, host="[2001:db8::1]:443")
    assert asked.whose.selector == Selector(None, "web", "lxc")
    assert (asked.width, asked.height, asked.host, asked.raw) == (800, 600, "[2001:db8::1]:443", False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "say whose console is meant: a guest's by vmid or name, or a node's by node"),
        ({"vmid": 100, "node": "pve1"}, "node is for a node's own console"),
        ({"vmid": 99}, "vmid must be from 100 to 999999999, not 99"),
        ({"vmid": 100, "transport": "tcp"}, "transport goes with type vnc, not with info"),
        ({"vmid": 100, "type": "vnc", "serial": "serial0"}, "serial goes with type terminal, not with vnc"),
        ({"vmid": 100, "type": "terminal", "width": 800}, "width goes with type vnc, not with terminal"),
        ({"vmid": 100, "type": "spice", "include_auth": True}, "include_auth goes with type vnc or terminal"),
        ({"vmid": 100, "type": "link", "spice_proxy": "pve1"}, "spice_proxy goes with type spice, not with link"),
        ({"vmid": 200, "type": "vnc", "width": 15}, "width must be from 16 to 4096, not 15"),
        ({"vmid": 200, "type": "vnc", "height": 2161}, "height must be from 16 to 2160, not 2161"),
        ({"vmid": 100, "type": "vnc", "transport": "tcp", "include_auth": True}, "does not go with transport tcp"),
        ({"vmid": 100, "host": "pve1", "node_address": "cluster"}, "host does not go with node_address cluster"),
        ({"vmid": 100, "host": "pve 1"}, "host 'pve 1' is not a host name, an address, host:port or https"),
        ({"vmid": 100, "host": "me@pve1"}, "host must not hold credentials"),
        ({"vmid": 100, "type": "spice", "spice_proxy": "http://pve1"}, "spice_proxy 'http://pve1' is not a host name"),
    ],
)
def test_options_that_mean_nothing(options, words):
    with pytest.raises(InvalidRequest) as caught:
        request(**options)
    assert words in str(caught.value)


@given(TICKETS)
def test_the_url_of_the_websocket_gives_the_ticket_back_byte_for_byte(ticket):
    url = urlsplit(websocket_url(Endpoint("2001:db8::1", 443), "/nodes/pve1/qemu/100", 5900, ticket))
    assert (url.scheme, url.netloc) == ("wss", "[2001:db8::1]:443")
    assert url.path == "/api2/json/nodes/pve1/qemu/100/vncwebsocket"
    assert parse_qs(url.query, strict_parsing=True) == {"port": ["5900"], "vncticket": [ticket]}


@given(st.text(min_size=1))
def test_links_are_those_of_the_web_interface(name):
    target = ConsoleTarget(SimpleNamespace(), handle=GuestHandle(SimpleNamespace(), Guest(100, "pve2", "qemu", name)))
    links = browser_links(Endpoint("pve1", 8006), target, name)
    assert links["novnc"].startswith("https://pve1:8006/?console=kvm&novnc=1&vmid=100&vmname=")
    query = dict(parse_qsl(urlsplit(links["xtermjs"]).query, strict_parsing=True))
    assert query == {"console": "kvm", "xtermjs": "1", "vmid": "100", "vmname": name, "node": "pve2"}


def test_links_of_a_node():
    assert browser_links(Endpoint("pve1", 8006), ConsoleTarget(SimpleNamespace(), "pve2"), "") == {
        "novnc": "https://pve1:8006/?console=shell&novnc=1&node=pve2&resize=scale",
        "xtermjs": "https://pve1:8006/?console=shell&xtermjs=1&node=pve2",
    }


def test_a_vv_file_is_what_remote_viewer_reads():
    settings = {"type": "spice", "tls-port": "61000", "ca": "-----BEGIN\\nMII=\\n", "title": "VM 103 - a=b;c"}
    reader = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    reader.read_string(vv_file(settings))
    assert dict(reader["virt-viewer"]) == settings


@pytest.mark.parametrize("setting", [("title", "a\n[ovirt]"), ("ti=tle", "a"), ("title\nb", "a")])
def test_no_setting_is_more_than_a_line_of_a_vv_file(setting):
    with pytest.raises(Refused, match="cannot be a line of a"):
        vv_file(dict([setting]))
