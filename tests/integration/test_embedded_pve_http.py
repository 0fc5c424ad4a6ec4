# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP, authentication, planted faults and the record."""

from __future__ import annotations

import gzip
import http.client
import json
import ssl
import time
import urllib.error
import urllib.request

import pytest
import requests

from tests.support.api_client import ApiClient
from tests.support.embedded_pve import running_embedded_pve

WEB = "/nodes/pve1/qemu/100"


def raw(pve, method, path, body=None, **headers):
    """One request without a library's help; returns (answer, body, connection)."""
    context = ssl.create_default_context(cafile=pve.cafile)
    connection = http.client.HTTPSConnection(pve.host, pve.port, context=context, timeout=10)
    headers.setdefault("Authorization", f"PVEAPIToken={pve.token_id}={pve.token_secret}")
    connection.request(method, "/api2/json" + path, body, headers)
    answer = connection.getresponse()
    return answer, answer.read(), connection


@pytest.mark.parametrize("path", ["/version", "/version/", "//version", "/nodes/pve1//qemu/100/config/"])
def test_empty_fragments_of_a_path_do_not_matter(pve, path):
    assert raw(pve, "GET", path)[0].status == 200


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_content_is_refused_where_none_belongs(pve, method):
    answer, body, _headers = raw(pve, method, WEB, "purge=1")
    assert (answer.status, answer.reason, body) == (501, f"Unexpected content for method '{method}'", b"")


def test_chunked_bodies_are_refused(api):
    answer = api.session.put(api.base + WEB + "/config", data=iter([b"cores=2"]))
    assert (answer.status_code, answer.reason) == (501, "chunked transfer encoding not supported")


def test_a_body_that_contradicts_the_path_is_refused(api):
    answer = api("PUT", WEB + "/config", vmid=101, cores=2)
    assert answer.status_code == 400
    assert answer.json()["errors"] == {"vmid": "duplicate parameter (already defined in URI) with conflicting values!"}


def test_every_error_closes_the_connection(pve, api):
    for path in ("/version", "/version", "/nope", "/version"):
        api("GET", path)
    assert [exchange.connection for exchange in pve.exchanges] == [1, 1, 1, 2]
    assert pve.connection_count == 2


def test_an_idle_connection_is_closed():
    with running_embedded_pve(idle_timeout=0.1) as pve:
        api = ApiClient(pve)
        api("GET", "/version")
        time.sleep(0.4)
        api("GET", "/version")
        assert pve.connection_count == 2


def test_large_answers_are_compressed_for_those_who_ask(pve):
    answer, body, _headers = raw(pve, "GET", "/cluster/resources", **{"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(body))["data"]


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"Authorization": "PVEAPIToken=root@pam!ansible=wrong"}, "Authentication failed!"),
        ({"Authorization": "PVEAPIToken=nobody@pam!x=3f4bd2a6"}, "Authentication failed!"),
        ({"Authorization": "Bearer 3f4bd2a6"}, "No ticket"),
        ({"Authorization": "", "Cookie": "PVEAuthCookie=stale"}, "Authentication failed!"),
    ],
)
def test_a_401_has_no_body_and_closes(pve, headers, reason):
    answer, body, _headers = raw(pve, "GET", "/version", **headers)
    assert (answer.status, answer.reason, body) == (401, reason, b"")
    assert answer.headers["Connection"] == "close"


def test_a_401_takes_its_time():
    with running_embedded_pve(auth_failure_delay=0.2) as pve:
        began = time.monotonic()
        assert ApiClient(pve, "root@pam!ansible=wrong")("GET", "/version").status_code == 401
        assert time.monotonic() - began >= 0.2


def test_a_privilege_separated_token_needs_its_own_grants(pve):
    pve.add_token("ops@pve!full", "s1")
    pve.add_token("ops@pve!narrow", "s2", privilege_separation=True)
    pve.grant("ops@pve", "/vms", "VM.Audit", "VM.PowerMgmt")
    full, narrow = ApiClient(pve, "ops@pve!full=s1"), ApiClient(pve, "ops@pve!narrow=s2")
    assert full("GET", WEB + "/config").status_code == 200
    assert narrow("GET", WEB + "/config").reason == "Permission check failed (/vms/100, VM.Audit)"
    assert narrow.data("GET", "/cluster/resources", type="vm") == []
    pve.grant("ops@pve!narrow", "/vms/100", "VM.Audit")
    assert narrow("GET", WEB + "/config").status_code == 200
    assert [guest["vmid"] for guest in narrow.data("GET", "/cluster/resources", type="vm")] == [100]
    assert narrow("POST", WEB + "/status/start").status_code == 403


def test_a_token_of_root_is_not_root(pve, api):
    assert api("PUT", WEB + "/config", args="-foo").reason == "only root can set 'args' config"
    answer = api("POST", WEB + "/status/start", skiplock=1)
    assert answer.json()["errors"] == {"skiplock": "Only root may use this option."}


def test_a_dropped_request_is_not_carried_out(pve, api):
    pve.fault("PUT", "/config$", "drop")
    with pytest.raises(requests.ConnectionError):
        api("PUT", WEB + "/config", cores=4)
    assert pve.config(100)["cores"] == 2
    assert pve.exchanges[-1].status == 0
    api.data("PUT", WEB + "/config", cores=4)


def test_a_lost_answer_was_carried_out(pve, api):
    pve.fault("PUT", "/config$", "lose_answer")
    with pytest.raises(requests.ConnectionError):
        api("PUT", WEB + "/config", cores=4)
    assert pve.config(100)["cores"] == 4


def test_596_comes_after_the_change_and_595_instead_of_it(pve, api):
    pve.fault("PUT", "/config$", "595")
    pve.fault("PUT", "/config$", "596")
    answer = api("PUT", WEB + "/config", cores=3)
    assert (answer.status_code, answer.reason, answer.text) == (595, "No route to host", "")
    assert pve.config(100)["cores"] == 2
    answer = api("PUT", WEB + "/config", cores=4)
    assert (answer.status_code, answer.reason, answer.text) == (596, "Connection timed out", "")
    assert pve.config(100)["cores"] == 4


def test_half_an_answer(pve, api):
    pve.fault("GET", "/cluster/resources$", "truncate")
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        api("GET", "/cluster/resources")


def test_planted_status_html_and_delay(pve, api):
    pve.fault("GET", "/version", "status", status=500, message="boom", after=1)
    pve.fault("GET", "/version", "html", after=1)
    pve.fault("GET", "/version", "delay", seconds=0.1, times=None)
    began = time.monotonic()
    answers = [api("GET", "/version") for _call in range(4)]
    assert time.monotonic() - began >= 0.4
    assert [answer.status_code for answer in answers] == [200, 500, 502, 200]
    assert answers[1].json()["message"] == "boom\n"
    assert answers[2].headers["Content-Type"].startswith("text/html")


def test_a_callback_runs_before_the_request(pve, api):
    pve.before("POST", "/clone$", lambda: pve.add_guest(110, "faster"))
    answer = api("POST", "/nodes/pve1/qemu/9000/clone", newid=110)
    assert answer.reason == "unable to create VM 110: config file already exists"


def test_a_failing_callback_is_not_lost():
    def fails_inside():
        with running_embedded_pve() as pve:
            pve.before("GET", "/version", lambda: 1 / 0)
            ApiClient(pve)("GET", "/version")

    with pytest.raises(ZeroDivisionError):
        fails_inside()


def test_the_record_has_what_was_sent(pve, api):
    api("PUT", WEB + "/config", description="a=b;c&d", ciuser="")
    api("GET", "/cluster/resources", type="vm")
    change, listing = pve.exchanges
    assert (change.method, change.path, change.status) == ("PUT", WEB + "/config", 200)
    assert change.form == {"description": "a=b;c&d", "ciuser": ""}
    assert b"a%3Db%3Bc%26d" in change.raw_body
    assert listing.query == {"type": "vm"}
    assert listing.headers["Authorization"].endswith(pve.token_secret)
    assert pve.summary() == [f"PUT {WEB}/config", "GET /cluster/resources"]
    assert pve.forms("PUT", "/config$") == [change.form]
    pve.reset_record()
    assert (pve.exchanges, pve.connection_count) == ([], 0)


def test_the_certificate_is_the_one_whose_fingerprint_is_told(pve):
    pem = ssl.get_server_certificate((pve.host, pve.port))
    import hashlib

    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest().upper()
    assert pve.fingerprint.replace(":", "") == digest
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(pve.url + "/api2/json/version", timeout=5)
