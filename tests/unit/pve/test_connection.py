# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection options: every way to write a host, a token, a fingerprint; what is refused, and secrets kept."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.connection import (
    Endpoint,
    connection_options,
    parse_hosts,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest

SECRET = "0f2c9a3e-6b1d-4c7a-9e55-2f8d1b6c4a10"
TOKEN = {
    "api_host": "pve1",
    "api_user": "root@pam",
    "api_token_id": "ci",
    "api_token_secret": SECRET,
    "api_timeout": 30,
}
FINGERPRINT = ":".join(["A1"] * 32)

labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=4).map(".".join)
hosts = st.one_of(names, st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str))
ports = st.integers(1, 65535)


def options(**changes):
    return connection_options({**TOKEN, **changes})


def refusal(**changes):
    with pytest.raises(InvalidRequest) as caught:
        options(**changes)
    return str(caught.value)


def in_brackets(host):
    return f"[{host}]" if ":" in host else host


@pytest.mark.parametrize(
    ("text", "endpoints"),
    [
        ("pve1", [Endpoint("pve1", 8006)]),
        ("PVE1.example.com", [Endpoint("pve1.example.com", 8006)]),
        ("pve1:443", [Endpoint("pve1", 443)]),
        ("pve1.example.com.", [Endpoint("pve1.example.com.", 8006)]),
        ("192.0.2.1", [Endpoint("192.0.2.1", 8006)]),
        ("192.0.2.1:8007", [Endpoint("192.0.2.1", 8007)]),
        ("https://pve1", [Endpoint("pve1", 8006)]),
        ("HTTPS://pve1/", [Endpoint("pve1", 8006)]),
        ("https://pve1:443/api2/json", [Endpoint("pve1", 443)]),
        ("https://[2001:db8::1]:8007/", [Endpoint("2001:db8::1", 8007)]),
        ("2001:db8::1", [Endpoint("2001:db8::1", 8006)]),
        ("[2001:DB8::1]", [Endpoint("2001:db8::1", 8006)]),
        ("[2001:db8::1]:8007", [Endpoint("2001:db8::1", 8007)]),
        ("::ffff:192.0.2.1", [Endpoint("::ffff:192.0.2.1", 8006)]),
        ("https://proxy.example.com/pve", [Endpoint("proxy.example.com", 443, "/pve")]),
        ("https://proxy.example.com:8443/a/b-c/api2/json/", [Endpoint("proxy.example.com", 8443, "/a/b-c")]),
        ("https://pve1:8006/#v1:0:=node%2Fpve1:4:5::::8::", [Endpoint("pve1", 8006)]),
        ("https://pve1/#v1:0:18:4:::::::", [Endpoint("pve1", 443)]),
        ("https://[2001:db8::1]:8006/?console=kvm&vmid=100&node=pve1&user=a@pam", [Endpoint("2001:db8::1", 8006)]),
        ("https://proxy.example.com/pve/#v1:0", [Endpoint("proxy.example.com", 443, "/pve")]),
        (" pve1 , ,pve2:8007,", [Endpoint("pve1", 8006), Endpoint("pve2", 8007)]),
    ],
)
def test_the_ways_to_write_a_host(text, endpoints):
    assert list(parse_hosts(text)) == endpoints


@given(st.lists(st.tuples(hosts, ports), min_size=1, max_size=4), st.sampled_from(["", "https://"]))
def test_hosts_with_ports_survive_writing_and_reading(places, scheme):
    text = ",".join(f"{scheme}{in_brackets(host)}:{port}" for host, port in places)
    assert list(parse_hosts(text)) == [Endpoint(host, port) for host, port in places]


@given(hosts, ports)
def test_a_host_without_a_port_gets_the_default(host, port):
    assert parse_hosts(host, port) == (Endpoint(host, port),)


@given(st.lists(st.tuples(hosts, ports), min_size=1, max_size=4))
def test_the_url_of_an_endpoint_is_read_back_as_the_same(places):
    endpoints = tuple(Endpoint(host, port) for host, port in places)
    assert parse_hosts(",".join(endpoint.url for endpoint in endpoints)) == endpoints


@given(st.text(max_size=60))
def test_whatever_is_not_refused_is_a_host_and_a_port(text):
    try:
        endpoints = parse_hosts(text)
    except InvalidRequest as error:
        message, endpoints = str(error), ()
    else:
        message = "api_host"
    assert message.startswith("api_host")
    assert "\n" not in message
    for endpoint in endpoints:
        assert 0 < endpoint.port < 65536
        if ":" in endpoint.host:
            ipaddress.IPv6Address(endpoint.host)
        else:
            assert endpoint.host.isascii()
            assert not set(endpoint.host) & set(" /\\?#@%[]\t\r\n\0")


@pytest.mark.parametrize("text", ["http://pve1", "http://pve1:8006", "HTTP://pve1"])
def test_plain_http_is_refused(text):
    assert "https" in refusal(api_host=text)


@pytest.mark.parametrize("text", ["https://root:geheim@pve1", "root@pve1", "root%40pam:geheim@pve1:8006"])
def test_credentials_in_a_url_are_refused_and_not_repeated(text):
    message = refusal(api_host=text)
    assert "credentials" in message
    assert "geheim" not in message


@pytest.mark.parametrize(
    "text",
    [
        "ftp://pve1",
        "https://",
        "https://pve1:",
        "https://pve1:0",
        "pve1:65536",
        "pve1:99999999999999999999",
        "pve1:8006:1",
        "pve1:-1",
        "pve1:\uff18\uff10\uff10\uff16",
        "pve 1",
        "pve1\nX-Header: 1",
        "https://pve\t1",
        "pve1/api2/extjs",
        "pve1/pve",
        "https://pve1/../etc",
        "https://pve1/a//b",
        "https://pve1/a%2fb",
        "pve1?x=1",
        "pve1#x",
        "pve1\\x",
        "pve1%00",
        "fe80::1%eth0",
        "[fe80::1%25eth0]",
        "[pve1]",
        "[::1]junk",
        "[::1",
        "::1]",
        "1::2::3",
        "pvé",
        ".pve1",
        "pve1..example",
        "a" * 64,
        "../etc",
        "$(id)",
        "https://https://pve1",
    ],
)
def test_hostile_hosts_are_refused_by_name(text):
    message = refusal(api_host=text)
    assert message.startswith("api_host")
    assert "\n" not in message


@pytest.mark.parametrize("text", [None, "", " ", ",,"])
def test_a_host_is_needed(text):
    assert "api_host is required" in refusal(api_host=text)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_must_be_one(port):
    assert f"api_port: {port} is not a port number" in refusal(api_port=port)


def test_the_port_option_is_for_hosts_without_one():
    assert options(api_host="a,b:1", api_port=443).endpoints == (Endpoint("a", 443), Endpoint("b", 1))


@pytest.mark.parametrize(
    ("user", "token_id"),
    [
        ("root@pam", "ci"),
        ("root@pam", "root@pam!ci"),
        (None, "root@pam!ci"),
        ("", "root@pam!ci"),
        ("root@pam!ci", None),
        ("root@pam!ci", "ci"),
        ("root@pam!ci", "root@pam!ci"),
    ],
)
def test_a_token_in_both_spellings(user, token_id):
    found = options(api_user=user, api_token_id=token_id)
    assert (found.user, found.token_name, found.identity) == ("root@pam", "ci", "root@pam!ci")


def test_a_user_name_may_hold_an_at_sign():
    assert options(api_user="jo@example.com@ldap").identity == "jo@example.com@ldap!ci"


@pytest.mark.parametrize(
    ("user", "in_header"),
    [("a=b@pve", "a=b@pve"), ("we!rd@pve", "we!rd@pve"), ("100%;@pve", "100%25%3B@pve"), ("jö@pve", "j%C3%B6@pve")],
)
def test_a_user_name_may_hold_what_pve_allows(user, in_header):
    for found in (options(api_user=user), options(api_user=None, api_token_id=f"{user}!ci")):
        assert (found.user, found.token_name, found.user_in_header) == (user, "ci", in_header)


def test_an_api_port_that_is_given_holds_for_a_path_too():
    assert options(api_host="https://proxy/pve", api_port=8443).endpoints == (Endpoint("proxy", 8443, "/pve"),)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"api_user": None}, "api_user is required"),
        ({"api_user": "root"}, "has no name or no realm"),
        ({"api_user": "@pam"}, "has no name or no realm"),
        ({"api_user": "root@"}, "has no name or no realm"),
        ({"api_user": "ro ot@pam"}, "api_user 'ro ot@pam' holds a character"),
        ({"api_user": "root@pam\nX: 1"}, "holds a character"),
        ({"api_user": "ro/ot@pam"}, "holds a character"),
        ({"api_user": "ro:ot@pam"}, "holds a character"),
        ({"api_user": "root@1pam"}, "holds a character"),
        ({"api_user": "jo@pve", "api_token_id": "root@pam!ci"}, "differ"),
        ({"api_user": "root@pam!a", "api_token_id": "b"}, "different tokens"),
        ({"api_token_id": "c=i"}, "api_token_id 'c=i'"),
        ({"api_token_id": "root@pam!a!b"}, "api_token_id 'a!b'"),
        ({"api_token_secret": None}, "api_token_secret is required"),
        ({"api_token_id": None}, "api_token_id is required"),
        ({"api_token_id": None, "api_token_secret": None}, "give api_token_id and api_token_secret, or api_password"),
        ({"api_timeout": 0}, "api_timeout"),
        ({"api_timeout": -1}, "api_timeout"),
        ({"api_timeout": float("nan")}, "api_timeout"),
        ({"api_timeout": float("inf")}, "api_timeout"),
        ({"api_timeout": None}, "api_timeout"),
        ({"ca_path": "/nowhere/ca.pem"}, "ca_path '/nowhere/ca.pem' cannot be read"),
        ({"ca_path": __file__}, "ca_path"),
    ],
)
def test_what_is_refused_names_the_option(changes, words):
    message = refusal(**changes)
    assert words in message
    assert SECRET not in message


@pytest.mark.parametrize("secret", [SECRET + "\n", "gehe im", "gehe\r\nX: 1", "gehëim", "gehe\0im"])
def test_a_secret_that_no_header_can_hold_is_refused_and_not_repeated(secret):
    message = refusal(api_token_secret=secret)
    assert message.startswith("api_token_secret")
    assert secret.strip() not in message


def test_the_password_is_left_aside_when_there_is_a_token():
    found = options(api_password="geheim")
    assert (found.password, found.token_secret) == (None, SECRET)


def test_a_password_may_hold_anything():
    found = options(api_token_id=None, api_token_secret=None, api_password="ä=&;\n %", api_user="jö@pve")
    assert (found.password, found.identity) == ("ä=&;\n %", "jö@pve")


@given(st.binary(min_size=32, max_size=32), st.booleans(), st.booleans())
def test_a_fingerprint_in_any_form_is_the_same(digest, upper, colons):
    text = digest.hex(":") if colons else digest.hex()
    found = options(api_fingerprint=f" {text.upper() if upper else text} ")
    assert found.fingerprint == digest.hex()


@pytest.mark.parametrize(
    "text", ["A1:B2", "sha256:" + FINGERPRINT, FINGERPRINT[:-1] + "G", FINGERPRINT + ":A1", "A1" * 20]
)
def test_what_is_no_sha256_fingerprint_is_refused(text):
    assert refusal(api_fingerprint=text).startswith("api_fingerprint")


@pytest.mark.parametrize("text", [None, ""])
def test_no_fingerprint_is_none(text):
    assert options(api_fingerprint=text).fingerprint is None


printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8)


@given(printable, printable, printable)
def test_no_secret_is_shown(secret, password, otp):
    token = options(api_token_secret=secret)
    ticket = options(api_token_id=None, api_token_secret=None, api_password=password, api_otp=otp)
    shown = f"{token!r} {token} {ticket!r} {ticket}"
    public = "ConnectionOptions(root@pam!ci, https://pve1:8006)"
    for hidden in (secret, password, otp):
        assert hidden not in shown or hidden in public
