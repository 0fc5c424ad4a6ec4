# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One table of logins, certificates, proxies and broken connections, for all that travels to PVE.

A request of the API, one of a client for another thread, and the websocket of a console meet the same answer.
"""

from __future__ import annotations

import base64
import io
import socket

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.channel import open_channel
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.client import PveClient
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.connection import connection_options
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.deadline import Deadline
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import (
    AnswerLost,
    AuthenticationFailed,
    CertificateRejected,
    InvalidRequest,
    TimedOut,
    TransportError,
    Unreachable,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.transport import Transport
from tests.support.embedded_pve import running_embedded_pve, standard_guests
from tests.support.forward_proxy import forward_proxy
from tests.support.strict_server import HOST, StrictServer, answer, make_certificate, reset

PASSWORD = "correct horse; battery=staple & more"
OTHER_FINGERPRINT = "AB:" * 31 + "CD"
CONSOLE = ("nodes", "pve1", "qemu", 101)


@pytest.fixture(scope="module")
def shared_pve():
    with running_embedded_pve(guests=standard_guests) as handle:
        yield handle


@pytest.fixture
def pve(shared_pve):
    shared_pve.reset_record()
    shared_pve.call(lambda: setattr(shared_pve.server, "password", PASSWORD))
    yield shared_pve
    shared_pve.knobs.second_factor = ""
    shared_pve.call(lambda: setattr(shared_pve.server, "tfa", False))


@pytest.fixture
def other_authority(tmp_path):
    return str(make_certificate(tmp_path)[0])


def options_of(pve, other_authority="", **changes):
    user, _mark, token = pve.token_id.partition("!")
    found = {
        "api_host": pve.url,
        "api_user": user,
        "api_token_id": token,
        "api_token_secret": pve.token_secret,
        "api_timeout": 10,
        "ca_path": pve.cafile,
        **changes,
    }
    return connection_options({name: other_authority if value == "another" else value for name, value in found.items()})


def client_of(options, environment):
    return PveClient(options, Deadline(30), Transport(options, environment=environment))


# ---- what carries


def ask(client):
    assert client.read_once("version")["release"] == "9.2"


def ask_in_another_thread(client):
    sibling = client.sibling(Deadline(30))
    ask(sibling)
    sibling.close()


def ask_and_open_a_console(client):
    opened = client.write("POST", *CONSOLE, "vncproxy", websocket=True)
    with client.channel(*CONSOLE, port=int(opened["port"]), ticket=opened["ticket"]) as channel:
        assert channel.wait(10).startswith(b"RFB")


def open_a_console(client):
    """Connect to a console that somebody else has had opened; no request of the API comes before."""
    open_channel(client._transport, "/nodes/pve1/qemu/101", 5900, "PVEVNC:secret")


WORKS = pytest.mark.parametrize("way", [ask, ask_in_another_thread, ask_and_open_a_console])
FAILS = pytest.mark.parametrize("way", [ask, ask_in_another_thread, open_a_console])

# ---- who asks

TICKET = {"api_token_id": None, "api_token_secret": None, "api_password": PASSWORD}


@WORKS
@pytest.mark.parametrize(
    ("login", "code"),
    [({}, ""), (TICKET, ""), ({**TICKET, "api_otp": "123456"}, "totp:123456")],
    ids=["token", "ticket", "second factor"],
)
def test_who_asks_is_known_to_all(pve, way, login, code):
    pve.knobs.second_factor = code
    client = client_of(options_of(pve, **login), {})
    way(client)
    client.close()
    assert pve.summary().count("POST /access/ticket") == (0 if not login else 2 if code else 1)


@pytest.mark.parametrize("way", [ask, ask_in_another_thread, ask_and_open_a_console])
@pytest.mark.parametrize(
    ("login", "code", "words"),
    [
        ({"api_token_secret": "0000-wrong"}, "", "does not accept the credentials"),
        ({**TICKET, "api_password": "wrong"}, "", "does not accept the credentials"),
        (TICKET, "totp:123456", "has a second factor: give api_otp"),
        ({**TICKET, "api_otp": "654321"}, "totp:123456", "does not accept the credentials"),
    ],
    ids=["token", "ticket", "no second factor", "second factor"],
)
def test_who_is_not_known_is_known_to_none(pve, way, login, code, words):
    pve.knobs.second_factor = code
    with pytest.raises(AuthenticationFailed, match=words):
        way(client_of(options_of(pve, **login), {}))


def test_an_answer_without_a_ticket_is_no_login(strict):
    with (
        StrictServer(strict, Breaking(sent=answer(None)), per_connection=1) as server,
        pytest.raises(AuthenticationFailed, match="without a ticket"),
    ):
        ask(breaking_client(server, {}, BY_PASSWORD))


def test_a_ticket_is_renewed_with_itself_before_it_ends(pve, monkeypatch):
    client = client_of(options_of(pve, **TICKET), {})
    ask(client)
    login = client._transport._login
    first = login.headers("GET")
    monkeypatch.setattr(login, "_password", "no longer the password")
    monkeypatch.setattr(login, "_created", login._created - 3601)
    ask(client)
    assert pve.summary().count("POST /access/ticket") == 2
    assert login.headers("GET") != first
    # After two hours it is worth nothing.
    monkeypatch.setattr(login, "_created", login._created - 7200)
    with pytest.raises(AuthenticationFailed):
        ask(client)


# ---- whom to trust

# A name of this machine that the certificate does not hold.
ANOTHER_NAME = "127.1"
TRUSTED = {
    "authority": {},
    "fingerprint": {"ca_path": None, "api_fingerprint": "its own"},
    "both": {"api_fingerprint": "its own"},
    "fingerprint, another name": {"ca_path": None, "api_fingerprint": "its own", "api_host": ANOTHER_NAME},
    "both, another name": {"api_fingerprint": "its own", "api_host": ANOTHER_NAME},
    "nothing checked": {"ca_path": None, "validate_certs": False},
    "nothing checked, another authority, another name": {
        "ca_path": "another",
        "validate_certs": False,
        "api_host": ANOTHER_NAME,
    },
    "nothing checked but the fingerprint": {"ca_path": None, "validate_certs": False, "api_fingerprint": "its own"},
}
NOT_THIS = "is not the one that api_fingerprint names: it is [0-9A-F]{2}:"
NOT_TRUSTED = "is not trusted"
REJECTED = {
    "no authority": ({"ca_path": None}, "set ca_path to the cluster's CA"),
    "another authority": ({"ca_path": "another"}, "set ca_path to the cluster's CA"),
    "another name": ({"api_host": ANOTHER_NAME}, "call it by a name that the certificate holds"),
    "another fingerprint": ({"ca_path": None, "api_fingerprint": OTHER_FINGERPRINT}, NOT_THIS),
    "another fingerprint, nothing else checked": (
        {"ca_path": None, "api_fingerprint": OTHER_FINGERPRINT, "validate_certs": False},
        NOT_THIS,
    ),
    "authority, another fingerprint": ({"api_fingerprint": OTHER_FINGERPRINT}, NOT_THIS),
    "another authority, fingerprint": ({"ca_path": "another", "api_fingerprint": "its own"}, NOT_TRUSTED),
}


def trusting(pve, other_authority, changes):
    changes = dict(changes)
    if changes.get("api_fingerprint") == "its own":
        changes["api_fingerprint"] = pve.fingerprint
    if "api_host" in changes:
        changes["api_host"] = f"{changes['api_host']}:{pve.port}"
    return options_of(pve, other_authority, **changes)


@pytest.fixture(params=[False, True], ids=["straight", "proxy"])
def environment(request):
    """The variables that lead through a proxy, or none."""
    if not request.param:
        yield {}
        return
    with forward_proxy() as proxy:
        yield {"HTTPS_PROXY": proxy.url}
        assert proxy.asked


@WORKS
@pytest.mark.parametrize("case", TRUSTED)
def test_what_is_trusted_is_trusted_by_all(pve, other_authority, environment, way, case):
    client = client_of(trusting(pve, other_authority, TRUSTED[case]), environment)
    way(client)
    ask(client)
    assert client.tls_fingerprint == pve.fingerprint
    assert client.peer == ("" if environment else HOST)
    client.close()


@FAILS
@pytest.mark.parametrize("case", REJECTED)
def test_what_is_not_trusted_is_trusted_by_none(pve, other_authority, environment, way, case):
    changes, words = REJECTED[case]
    for login in ({}, TICKET):
        options = trusting(pve, other_authority, {**changes, **login})
        with pytest.raises(CertificateRejected, match=words) as caught:
            way(client_of(options, environment))
        assert options.endpoints[0].url in str(caught.value)
    assert pve.exchanges == []


@WORKS
def test_a_bundle_of_the_environment_is_not_read(pve, tmp_path, monkeypatch, way):
    (tmp_path / "nonsense.pem").write_text("this is no certificate")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "nonsense.pem"))
    way(client_of(options_of(pve), {}))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, pve.cafile)
    with pytest.raises(CertificateRejected):
        way(client_of(options_of(pve, ca_path=None), {}))


# ---- through whom


@WORKS
def test_a_proxy_is_told_where_to_and_who_asks(pve, way):
    expected = "Basic " + base64.b64encode(b"jo:se:cret").decode()
    with forward_proxy(expected) as proxy:
        environment = {"https_proxy": f"http://jo:se%3Acret@{HOST}:{proxy.port}"}
        way(client_of(options_of(pve), environment))
    assert {target for target, _authorization in proxy.asked} == {f"{HOST}:{pve.port}"}


@WORKS
def test_a_proxy_is_left_aside_where_it_is_not_wanted(pve, way):
    way(client_of(options_of(pve), {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "example.com, 127.0.0.0/8"}))


@FAILS
def test_a_proxy_that_refuses_is_named_without_its_password(pve, way):
    with forward_proxy("Basic anything") as proxy:
        environment = {"ALL_PROXY": f"http://jo:secret@{HOST}:{proxy.port}"}
        with pytest.raises(Unreachable, match="407 Proxy Authentication Required") as caught:
            way(client_of(options_of(pve), environment))
    assert f"cannot connect to {pve.url} through the proxy {HOST}:{proxy.port}: " in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_proxy_gets_an_address_of_ipv6_in_brackets(pve):
    """And the server sees it so, too: nobody listens there, but the proxy knows another way."""
    with forward_proxy(ways={f"[::1]:{pve.port}": (HOST, pve.port)}) as proxy:
        options = options_of(pve, api_host=f"[::1]:{pve.port}", api_fingerprint=pve.fingerprint)
        ask_and_open_a_console(client_of(options, {"HTTPS_PROXY": proxy.url}))
    assert {target for target, _authorization in proxy.asked} == {f"[::1]:{pve.port}"}


@FAILS
def test_a_proxy_that_is_down_is_named(pve, way):
    with pytest.raises(Unreachable, match=r"through the proxy 127\.0\.0\.1:9: .*refused"):
        way(client_of(options_of(pve), {"HTTPS_PROXY": "http://127.0.0.1:9"}))


@FAILS
@pytest.mark.parametrize("url", ["https://jo:secret@proxy.example.com:3129", "socks5://proxy.example.com:1080"])
def test_a_proxy_of_another_kind_is_refused(pve, way, url):
    with pytest.raises(InvalidRequest, match=r"the environment names for .* cannot be used") as caught:
        way(client_of(options_of(pve), {"HTTPS_PROXY": url}))
    assert "secret" not in str(caught.value)


# ---- where it breaks


class Breaking:
    """A server that ends each connection at one point; `sent` begins an answer that never ends."""

    def __init__(self, greet=lambda connection, number: True, sent=b""):
        self.greet, self.sent = greet, sent

    def __call__(self, _request):
        return self.sent


def hang_up(connection, _number):
    reset(connection)
    return False


def speak_plainly(connection, _number):
    connection.recv(10)
    connection.sendall(b"HTTP/1.0 400 bad request\r\n\r\n")
    return False


def read(client):
    client.read_once("version")


def change(client):
    client.write("POST", "nodes", "pve1", "qemu", 100, "status", "start")


def upload(client):
    source = io.BytesIO(b"content")
    client.upload("upload", fields={}, file_field="filename", file_name="a.iso", source=source, size=7)


BREAKS = {
    "before TLS": (Breaking(hang_up), Unreachable, "cannot connect to"),
    "no TLS": (Breaking(speak_plainly), Unreachable, "cannot connect to"),
    "before the answer": (Breaking(), AnswerLost, "broke during"),
    "in the head": (Breaking(sent=b"HTTP/1.1 200 OK\r\nContent-Ty"), AnswerLost, "no usable answer to"),
    "in the body": (Breaking(sent=b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"), AnswerLost, "broke during"),
    "half an answer": (Breaking(sent=answer(body='{"da')), AnswerLost, "no usable answer to"),
}


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("strict"))


BY_TOKEN = {"api_token_id": "root@pam!ci", "api_token_secret": "s" * 36}
BY_PASSWORD = {"api_user": "root@pam", "api_password": PASSWORD}


def breaking_client(server, environment, login=None):
    login = login or BY_TOKEN
    names = {"api_host": f"{HOST}:{server.port}", "api_timeout": 10, "ca_path": server.cafile, **login}
    return client_of(connection_options(names), environment)


@pytest.mark.parametrize("way", [read, change, upload])
@pytest.mark.parametrize("point", BREAKS)
def test_a_connection_that_breaks_says_whether_pve_can_have_got_the_request(strict, environment, way, point):
    server, kind, words = BREAKS[point]
    with StrictServer(strict, server, server.greet, per_connection=1) as strict_server:
        client = breaking_client(strict_server, environment)
        with pytest.raises(TransportError, match=words) as caught:
            way(client)
        assert caught.type is kind
        assert "\n" not in str(caught.value)
        client.close()
    assert len(strict_server.requests) == (kind is AnswerLost)


@pytest.mark.parametrize("way", [read, change, upload])
@pytest.mark.parametrize("point", BREAKS)
def test_a_login_that_breaks_says_that_the_request_was_not_sent(strict, way, point):
    server, kind, words = BREAKS[point]
    # A read may be repeated in any case.
    expected = kind if way is read else Unreachable
    words = words if expected is kind else r"; so POST /\S+ was not sent"
    with StrictServer(strict, server, server.greet, per_connection=1) as strict_server:
        with pytest.raises(TransportError, match=words) as caught:
            way(breaking_client(strict_server, {}, BY_PASSWORD))
        assert caught.type is expected
        assert PASSWORD not in str(caught.value)
    assert [request.path for request in strict_server.requests] == ["/access/ticket"] * (kind is AnswerLost)


@pytest.mark.parametrize("point", BREAKS)
def test_a_console_that_breaks_ends_the_same_way(strict, environment, point):
    server, kind, _words = BREAKS[point]
    with (
        StrictServer(strict, server, server.greet, per_connection=1) as strict_server,
        pytest.raises((Unreachable, TimedOut)) as caught,
    ):
        open_a_console(breaking_client(strict_server, environment))
    if kind is Unreachable:
        assert caught.type is Unreachable
    assert "\n" not in str(caught.value)
    assert "PVEVNC:secret" not in str(caught.value)


def test_a_server_that_is_silent_is_waited_for_as_long_as_was_said(strict):
    """The socket of each way has its limit."""
    with socket.create_server((HOST, 0)) as silent:
        names = {"api_host": f"{HOST}:{silent.getsockname()[1]}", "api_token_id": "root@pam!ci", "api_timeout": 0.2}
        options = connection_options({**names, "api_token_secret": "s" * 36, "validate_certs": False})
        for way in (ask, open_a_console):
            with pytest.raises(Unreachable, match=r"no connection within 0\.2 s"):
                way(client_of(options, {}))
