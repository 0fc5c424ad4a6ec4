# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The proxy is the one that requests would take; what cannot be used is refused without its password."""

from __future__ import annotations

import os
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.utils import get_environ_proxies, select_proxy

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.connection import parse_endpoint
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.proxy import proxy_for

HOSTS = ("pve1", "pve1.example.com", "notexample.com", "192.0.2.7", "https://pve1.example.com:443/pve", "2001:db8::7")
PROXIES = ("", "http://one.example.net:3128", "http://two.example.net:3128", "http://three.example.net:80")
EXCEPTIONS = (
    *("*", "pve1", "example.com", ".example.com", "pve1.example.com:8006", "pve1.example.com:9", "192.0.2.7"),
    *("192.0.2.0/24", "198.51.100.0/24", "192.0.2.7/33", "nonsense/x", "", "2001:db8::7", "com"),
)


@given(
    host=st.sampled_from(HOSTS),
    environment=st.dictionaries(
        st.sampled_from(("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "http_proxy")),
        st.sampled_from(PROXIES),
    ),
    # Of an empty no_proxy beside NO_PROXY requests makes two things: it reads its own list there, and urllib's here.
    exceptions=st.dictionaries(
        st.sampled_from(("no_proxy", "NO_PROXY")), st.lists(st.sampled_from(EXCEPTIONS), max_size=3).map(", ".join)
    ).filter(lambda exceptions: exceptions.get("no_proxy") != "" or not exceptions.get("NO_PROXY")),
)
def test_the_proxy_is_the_one_that_requests_takes(host, environment, exceptions):
    endpoint = parse_endpoint(host)
    given_names = {**environment, **exceptions}
    with mock.patch.dict(os.environ, given_names, clear=True):
        expected = select_proxy(endpoint.url, get_environ_proxies(endpoint.url)) or None
    found = proxy_for(endpoint, given_names)
    assert (found and f"http://{found.address}") == expected


def test_an_empty_no_proxy_hides_the_other_one_as_in_curl():
    environment = {"HTTPS_PROXY": "http://proxy:3128", "no_proxy": "", "NO_PROXY": "pve1, *"}
    assert proxy_for(parse_endpoint("pve1"), environment).address == "proxy:3128"


def test_a_network_of_ipv6_is_an_exception_too():
    environment = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "2001:db8::/32"}
    assert proxy_for(parse_endpoint("2001:db8::7"), environment) is None


@pytest.mark.parametrize(
    ("url", "address", "authorization"),
    [
        ("http://proxy", "proxy:80", None),
        ("proxy:3128", "proxy:3128", None),
        ("http://[2001:db8::9]:3128/", "[2001:db8::9]:3128", None),
        ("http://jo:se%3Acret%40@proxy:3128", "proxy:3128", "Basic am86c2U6Y3JldEA="),
        ("http://jo@proxy:3128", "proxy:3128", "Basic am86"),
    ],
)
def test_the_ways_to_write_a_proxy(url, address, authorization):
    found = proxy_for(parse_endpoint("pve1"), {"https_proxy": url})
    assert found.address == address
    assert found.headers.get("Proxy-Authorization") == authorization


@pytest.mark.parametrize(
    "url", ["https://jo:secret@proxy:3128", "socks5h://jo:secret@proxy", "http://jo:secret@proxy:x"]
)
def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(url):
    with pytest.raises(InvalidRequest, match="write it as http://host:port") as caught:
        proxy_for(parse_endpoint("pve1"), {"https_proxy": url})
    assert "secret" not in str(caught.value)
    assert "proxy" in str(caught.value)
