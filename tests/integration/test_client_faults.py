# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The API client through whole modules: logins, certificates, and every fault of network and server."""

from __future__ import annotations

import asyncio
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.embedded_pve.runner import TOKEN_SECRET, certificate
from tests.support.strict_server import HOST, SmallPve, StrictServer, answer, make_certificate, reset

NAME = "pve_vm_power"
STATUS = r"/tasks/.*/status$"
PASSWORD = "correct horse; battery=staple & more"
WITHOUT_TOKEN = {"PROXMOX_TOKEN_ID": None, "PROXMOX_TOKEN_SECRET": None}
LOCK_TIMEOUT = "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout"


def posts(pve, action=""):
    return [line for line in pve.summary() if line.startswith("POST ") and line.endswith(action)]


def polls(pve):
    return [item for item in pve.exchanges if item.path.endswith("/status") and "/tasks/" in item.path]


def span(pve):
    """Seconds from the first request to the last, on the server's clock: how fast processes start does not count."""
    return pve.exchanges[-1].when - pve.exchanges[0].when


def good(result):
    assert not result.failed, (result.msg, result.stderr)
    return result


def bad(result, kind, *words):
    """A failure in one sentence and as data, without any secret."""
    assert result.failed
    assert "Traceback" not in result.stdout + result.stderr
    assert "\n" not in result.msg
    for word in words:
        assert word in result.msg, result.msg
    assert result["error"]["kind"] == kind
    spared(result, TOKEN_SECRET)
    return result


def spared(result, *secrets):
    for secret in secrets:
        assert secret not in result.stdout + result.stderr


# ---- who asks


@pytest.fixture
def password(pve):
    pve.call(lambda: setattr(pve.server, "password", PASSWORD))
    return {**WITHOUT_TOKEN, "PROXMOX_PASSWORD": PASSWORD}


def test_a_login_with_a_password_takes_one_request_more_and_no_second_connection(pve, run_module, password):
    result = good(run_module(NAME, {"vmid": 100}, env=password))
    assert pve.summary()[0] == "POST /access/ticket"
    assert len(pve.exchanges) == 7
    assert pve.connection_count == 1
    assert pve.tasks("qmstart")[0]["user"] == "root@pam"
    spared(result, PASSWORD)


def test_a_wrong_password_is_told(pve, run_module, password):
    env = {**password, "PROXMOX_PASSWORD": "wrong-secret"}
    result = bad(run_module(NAME, {"vmid": 100}, env=env), "authentication", "credentials of root@pam", "api_user")
    spared(result, "wrong-secret")
    assert pve.summary() == ["POST /access/ticket"]


def test_a_login_that_flaps_is_repeated(pve, run_module, password):
    for kind in ("drop", "595", "596", "html"):
        pve.fault("POST", "access/ticket", kind)
    good(run_module(NAME, {"vmid": 101}, env=password))
    assert pve.summary().count("POST /access/ticket") == 5


def test_a_second_factor_is_asked_for_when_it_is_missing(pve, run_module, password):
    pve.call(lambda: setattr(pve.server, "tfa", True))
    result = run_module(NAME, {"vmid": 100}, env=password)
    bad(result, "authentication", "root@pam has a second factor: give api_otp")


@pytest.fixture
def strict(tmp_path):
    return make_certificate(tmp_path)


def test_a_one_time_password_answers_the_challenge(strict, pve, run_module):
    small = SmallPve(password=PASSWORD, otp="123456")
    env = {**WITHOUT_TOKEN, "PROXMOX_PASSWORD": PASSWORD, "PROXMOX_OTP": "123456"}
    with StrictServer(strict, small) as server:
        good(run_module(NAME, {"vmid": 100}, env={**env, **server.environment}))
    first, second, *others = server.requests
    assert first.form == {"username": "root@pam", "password": PASSWORD}
    assert second.form == {"username": "root@pam", "password": "totp:123456", "tfa-challenge": "PVE:!tfa!half"}
    assert {request.headers["cookie"] for request in others} == {"PVEAuthCookie=PVE:root@pam:whole"}
    assert server.connections == 1


def test_a_wrong_one_time_password_is_told(strict, pve, run_module):
    env = {**WITHOUT_TOKEN, "PROXMOX_PASSWORD": PASSWORD, "PROXMOX_OTP": "654321"}
    with StrictServer(strict, SmallPve(password=PASSWORD, otp="123456")) as server:
        result = run_module(NAME, {"vmid": 100}, env={**env, **server.environment})
    spared(bad(result, "authentication", "root@pam"), PASSWORD, "654321")


def test_a_ticket_carries_the_csrf_token_where_it_is_needed(strict, pve, run_module):
    env = {**WITHOUT_TOKEN, "PROXMOX_PASSWORD": PASSWORD}
    with StrictServer(strict, SmallPve(running=False, password=PASSWORD)) as server:
        good(run_module(NAME, {"vmid": 100}, env={**env, **server.environment}))
    for request in server.requests[1:]:
        assert ("csrfpreventiontoken" in request.headers) is (request.method == "POST")


def test_a_bad_token_has_no_body_and_is_told(pve, run_module):
    pve.knobs.auth_failure_delay = 0.5
    result = run_module(NAME, {"vmid": 100, "api_token_secret": "0000-wrong"})
    bad(result, "authentication", "root@pam!ansible", "Authentication failed!", "api_token_id")
    assert result["error"]["status"] == 401
    assert len(pve.exchanges) == 1
    spared(result, "0000-wrong")


@pytest.mark.parametrize(
    ("granted", "check", "privilege"),
    [(["VM.Audit"], False, "VM.PowerMgmt"), (["VM.PowerMgmt"], False, None)],
)
def test_a_token_that_may_not_is_told_what_it_lacks(pve, run_module, granted, check, privilege):
    pve.add_token("root@pam!small", "small-secret", privilege_separation=True)
    pve.grant("root@pam!small", "/vms/100", *granted)
    arguments = {"vmid": 100, "api_token_id": "root@pam!small", "api_token_secret": "small-secret"}
    result = run_module(NAME, arguments)
    if privilege is None:
        bad(result, "not_found", "there is no guest 100 that root@pam!small can see", "VM.Audit")
        return
    bad(result, "permission", f"root@pam!small lacks the privilege {privilege} on /vms/100")
    assert (result["error"]["privilege"], result["error"]["path"]) == (privilege, "/vms/100")
    assert result["error"]["status"] == 403


# ---- where it is


@pytest.fixture
def closed_port():
    """A port that refuses connections: taken, but nobody listens on it."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        yield taken.getsockname()[1]


def test_an_unreachable_host_is_told_at_once(pve, run_module, closed_port):
    began = time.monotonic()
    result = run_module(NAME, {"vmid": 100, "api_host": f"{HOST}:{closed_port}"})
    bad(result, "unreachable", f"cannot connect to https://{HOST}:{closed_port}", "refused")
    assert time.monotonic() - began < 20, "patience is for hosts that were there"


def test_an_unknown_name_is_told(pve, run_module):
    result = run_module(NAME, {"vmid": 100, "api_host": "no-such-host.invalid"})
    bad(result, "unreachable", "cannot connect to https://no-such-host.invalid:")


def test_the_first_host_that_answers_is_used(pve, run_module, closed_port):
    hosts = f"{HOST}:{closed_port},no-such-host.invalid,{pve.host}:{pve.port},{HOST}:{closed_port}"
    good(run_module(NAME, {"vmid": 100, "api_host": hosts}))
    assert pve.connection_count == 1


def test_when_every_host_is_down_the_last_one_is_told(pve, run_module, closed_port):
    hosts = f"no-such-host.invalid,{HOST}:{closed_port}"
    bad(run_module(NAME, {"vmid": 100, "api_host": hosts}), "unreachable", f"https://{HOST}:{closed_port}")


def test_a_host_that_hangs_is_left_for_the_next(strict, pve, run_module):
    def hang(request):
        time.sleep(1.5)
        return answer()

    with StrictServer(strict, hang) as server:
        hosts = f"{HOST}:{server.port},{pve.host}:{pve.port}"
        both = strict[0].parent / "both.pem"
        both.write_text(strict[0].read_text() + Path(pve.cafile).read_text())
        good(run_module(NAME, {"vmid": 100, "api_host": hosts, "api_timeout": 1, "ca_path": str(both)}))
    assert len(server.requests) == 1
    assert len(pve.exchanges) == 6


def test_an_ipv6_address_in_each_form_is_asked(pve, run_module, closed_port):
    port = closed_port
    for text in ("::1", "[::1]", f"[::1]:{port}", f"https://[::1]:{port}"):
        result = run_module(NAME, {"vmid": 100, "api_host": text, "api_port": port})
        bad(result, "unreachable", f"cannot connect to https://[::1]:{port}")


# ---- whom to trust


def test_an_unknown_certificate_is_refused_before_anything_is_sent(pve, run_module):
    for env in (None, {**WITHOUT_TOKEN, "PROXMOX_PASSWORD": "secret-password"}):
        result = run_module(NAME, {"vmid": 100}, env={"PROXMOX_CA_PATH": None, **(env or {})})
        bad(result, "certificate", "is not trusted (self-signed certificate)", "ca_path", "api_fingerprint")
        spared(result, "secret-password", pve.token_secret)
    assert pve.exchanges == []


@pytest.mark.parametrize(
    ("name", "days", "words"),
    [("pve1.example.com", 1, "call it by a name that the certificate holds"), (HOST, -1, "certificate has expired")],
)
def test_a_wrong_name_and_an_expired_certificate_are_refused(tmp_path, pve, run_module, name, days, words):
    with StrictServer(make_certificate(tmp_path, name, days), SmallPve()) as server:
        result = run_module(NAME, {"vmid": 100}, env=server.environment)
        bad(result, "certificate", "is not trusted", words)
        assert server.requests == []
        good(run_module(NAME, {"vmid": 100, "validate_certs": False}, env=server.environment))


def test_the_right_fingerprint_is_trusted_alone_and_with_the_ca(pve, run_module):
    for fingerprint in (pve.fingerprint, pve.fingerprint.replace(":", "").lower()):
        good(run_module(NAME, {"vmid": 101, "api_fingerprint": fingerprint}, env={"PROXMOX_CA_PATH": None}))
        good(run_module(NAME, {"vmid": 101, "api_fingerprint": fingerprint}))


@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize("ca", [True, False])
def test_a_server_with_another_fingerprint_gets_no_secret(pve, run_module, validate, ca):
    other = "AB:" * 31 + "CD"
    env = {} if ca else {"PROXMOX_CA_PATH": None}
    for login in ({}, {**WITHOUT_TOKEN, "PROXMOX_PASSWORD": "secret-password"}):
        arguments = {"vmid": 100, "api_fingerprint": other, "validate_certs": validate}
        result = run_module(NAME, arguments, env={**env, **login})
        bad(result, "certificate", "is not the one that api_fingerprint names")
    assert pve.exchanges == []


def test_the_fingerprint_alone_does_not_outweigh_the_ca(tmp_path, pve, run_module):
    other = make_certificate(tmp_path)
    result = run_module(NAME, {"vmid": 100, "api_fingerprint": pve.fingerprint, "ca_path": str(other[0])})
    bad(result, "certificate", "is not trusted")
    assert pve.exchanges == []


def test_certificates_can_be_left_unchecked(pve, run_module):
    good(run_module(NAME, {"vmid": 101, "validate_certs": False}, env={"PROXMOX_CA_PATH": None}))
    good(run_module(NAME, {"vmid": 101}, env={"PROXMOX_CA_PATH": None, "PROXMOX_VALIDATE_CERTS": "false"}))


@pytest.mark.parametrize(
    ("variable", "bundle"),
    [
        ("REQUESTS_CA_BUNDLE", "nonsense.pem"),
        ("REQUESTS_CA_BUNDLE", "/nowhere/at/all.pem"),
        ("REQUESTS_CA_BUNDLE", None),
        ("CURL_CA_BUNDLE", "nonsense.pem"),
    ],
)
def test_bundles_in_the_environment_change_nothing(pve, run_module, password, tmp_path, variable, bundle):
    (tmp_path / "nonsense.pem").write_text("this is no certificate")
    env = {variable: bundle and str(tmp_path / bundle)}
    alone = {**env, "PROXMOX_CA_PATH": None}
    for login in ({}, password):
        good(run_module(NAME, {"vmid": 101}, env={**env, **login}))
        good(run_module(NAME, {"vmid": 101, "validate_certs": False}, env={**alone, **login}))
        good(run_module(NAME, {"vmid": 101, "api_fingerprint": pve.fingerprint}, env={**alone, **login}))
    bad(run_module(NAME, {"vmid": 101}, env=alone), "certificate", "is not trusted")


def test_a_bundle_in_the_environment_makes_nobody_trusted(pve, run_module):
    env = {"REQUESTS_CA_BUNDLE": pve.cafile, "PROXMOX_CA_PATH": None}
    bad(run_module(NAME, {"vmid": 101}, env=env), "certificate", "is not trusted")


def test_authorities_are_checked_although_the_fingerprint_is_right(pve, run_module, tmp_path):
    path, _key = make_certificate(tmp_path, "another.example.com")
    options = {"vmid": 101, "ca_path": str(path)}
    result = run_module(NAME, {**options, "api_fingerprint": pve.fingerprint})
    what = f"is not trusted by the authorities in ca_path {path} (self-signed certificate)"
    bad(result, "certificate", f"{what}, which are checked before api_fingerprint: correct ca_path, or leave it out")
    bad(run_module(NAME, options), "certificate", f"{what}: set ca_path to the cluster's CA")


# ---- variables of the environment


NUMBERS = {"PROXMOX_PORT": "", "PROXMOX_API_TIMEOUT": "", "PROXMOX_VALIDATE_CERTS": "", "PROXMOX_CA_PATH": ""}


def test_variables_that_are_empty_are_not_set(pve, run_module):
    options = {"vmid": 101, "api_port": pve.port, "ca_path": pve.cafile}
    good(run_module(NAME, options, env={**NUMBERS, "PROXMOX_OTP": "", "PROXMOX_FINGERPRINT": ""}))


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("PROXMOX_PORT", "http", "the environment variable PROXMOX_PORT, for api_port, is 'http', and must be a whole"),
        ("PROXMOX_API_TIMEOUT", "soon", "PROXMOX_API_TIMEOUT, for api_timeout, is 'soon', and must be a number"),
        (
            "PROXMOX_VALIDATE_CERTS",
            "perhaps",
            "PROXMOX_VALIDATE_CERTS, for validate_certs, is 'perhaps', and must be true",
        ),
        ("PROXMOX_PORT", "99999", "is not a port number (from the environment variable PROXMOX_PORT)"),
        ("PROXMOX_USER", "nobody", "no realm: write it as in root@pam (from the environment variable PROXMOX_USER)"),
    ],
)
def test_a_wrong_value_names_its_variable(pve, run_module, variable, value, says):
    bad(run_module(NAME, {"vmid": 101}, env={variable: value}), "invalid_request", says)
    assert pve.exchanges == []


# ---- half a server


def test_a_connection_that_breaks_before_tls_is_up_was_never_used(strict, pve, run_module):
    """Neither by a write: the third request, which is the first one on its connection."""
    spoilt = []

    def greet(connection, number):
        if number in (2, 3):
            spoilt.append(number)
            reset(connection)
        return number not in (2, 3)

    with StrictServer(strict, SmallPve(running=False), greet, per_connection=2) as server:
        good(run_module(NAME, {"vmid": 100}, env=server.environment))
    assert spoilt == [2, 3]
    assert [request.method for request in server.requests].count("POST") == 1
    assert len(server.requests) == 6, "nothing had to be looked up"


def test_a_server_that_only_accepts_is_told_as_one(strict, pve, run_module):
    def greet(connection, number):
        time.sleep(1.2)
        return False

    with StrictServer(strict, SmallPve(), greet) as server:
        result = run_module(NAME, {"vmid": 100, "api_timeout": 1}, env=server.environment)
    bad(result, "unreachable", "cannot connect to", "no connection within 1 s")


def test_a_server_that_speaks_no_tls_is_told_as_one(strict, pve, run_module):
    def greet(connection, number):
        connection.recv(10)
        connection.sendall(b"HTTP/1.0 400 bad request\r\n\r\n")
        return False

    with StrictServer(strict, SmallPve(), greet) as server:
        result = run_module(NAME, {"vmid": 100}, env=server.environment)
    bad(result, "unreachable", "cannot connect to")


def test_a_redirect_is_not_followed(strict, pve, run_module):
    def redirect(request):
        return answer(status="301 Moved Permanently", body="", Location=f"http://{HOST}:{server.port}/")

    with StrictServer(strict, redirect) as server:
        result = run_module(NAME, {"vmid": 100}, env=server.environment)
    bad(result, "unreachable", "is not PVE's API: it redirects elsewhere")
    assert len(server.requests) == server.connections == 1


def test_a_foreign_page_is_told_as_one(strict, pve, run_module):
    def page(request):
        return answer(body="<html>Welcome to nginx!</html>", Content_Type="text/html")

    with StrictServer(strict, page) as server:
        result = run_module(NAME, {"vmid": 100}, env=server.environment)
    bad(result, "unreachable", "is not PVE's API", "text/html")
    assert len(server.requests) == 1


def test_a_server_that_closes_after_every_request_costs_only_connections(strict, pve, run_module):
    with StrictServer(strict, SmallPve(running=False), per_connection=1) as server:
        good(run_module(NAME, {"vmid": 100}, env=server.environment))
    assert server.connections == len(server.requests)
    assert [request.method for request in server.requests].count("POST") == 1


# ---- reads that fail for a moment

PASSING = [
    ("drop", {}),
    ("lose_answer", {}),
    ("truncate", {}),
    ("595", {}),
    ("596", {}),
    ("html", {}),
    ("status", {"status": 500, "message": "VM 100 storage command failed - got timeout"}),
    ("status", {"status": 500, "message": LOCK_TIMEOUT}),
    ("status", {"status": 599, "message": "Too many redirections"}),
    ("delay", {"seconds": 1.5}),
]


@pytest.mark.parametrize(("kind", "options"), PASSING)
def test_a_read_that_fails_for_a_moment_is_repeated(pve, run_module, kind, options):
    for path in ("cluster/resources$", "status/current$", STATUS):
        pve.fault("GET", path, kind, **options)
    good(run_module(NAME, {"vmid": 100, "api_timeout": 1}))
    assert len(posts(pve)) == len(pve.tasks()) == 1


def test_a_read_that_keeps_failing_ends_with_the_time(pve, run_module):
    pve.fault("GET", "status/current$", "595", times=None)
    result = run_module(NAME, {"vmid": 100, "timeout": 2})
    bad(result, "unreachable", "could not reach the node", "No route to host")
    assert span(pve) < 2


def test_a_node_that_is_down_is_told(pve_cluster, run_module):
    pve_cluster.set_node_offline("pve2")
    result = run_module(NAME, {"vmid": 101})
    bad(result, "unreachable", "GET /nodes/pve2/qemu/101/status/current", "No route to host", "node pve2 is offline")
    assert pve_cluster.summary().count("GET /nodes/pve2/qemu/101/status/current") == 1


def test_a_name_is_found_although_another_node_is_down(pve_cluster, run_module):
    pve_cluster.set_node_offline("pve2")
    pve_cluster.call(lambda: setattr(pve_cluster.server.guest(101), "born_at", time.monotonic()))
    pve_cluster.knobs.resources_lag = 60.0
    good(run_module(NAME, {"name": "web"}))
    assert span(pve_cluster) < 10
    pve_cluster.reset_record()
    result = run_module(NAME, {"name": "nobody"})
    bad(result, "unreachable", "nobody can tell whether there is a guest named 'nobody'", "pve2", "give vmid")
    assert pve_cluster.summary().count("GET /nodes/pve2/qemu") == 1


def test_pve_that_restarts_in_mid_poll_is_waited_for(pve, run_module):
    pve.knobs.task_seconds["qmstart"] = 1.0

    async def restart():
        await pve.server.runner.cleanup()
        await asyncio.sleep(0.6)
        await pve.server.start(*certificate(pve.host))

    pve.before("GET", STATUS, lambda: pve.server.in_background(restart()), after=1)
    good(run_module(NAME, {"vmid": 100}))
    assert len(posts(pve)) == len(pve.tasks()) == 1
    assert pve.status(100) == "running"


# ---- writes whose answer is lost

CHANGES = [
    (100, "started", "shutdown", "start", "qmstart"),
    (101, "stopped", "stop", "stop", "qmstop"),
    (101, "stopped", "shutdown", "shutdown", "qmshutdown"),
    (101, "restarted", "shutdown", "reboot", "qmreboot"),
    (101, "reset", "shutdown", "reset", "qmreset"),
    (101, "paused", "shutdown", "suspend", "qmpause"),
    (101, "hibernated", "shutdown", "suspend", "qmsuspend"),
    (200, "started", "shutdown", "start", "vzstart"),
]


@pytest.mark.parametrize("kind", ["lose_answer", "596", "truncate"])
@pytest.mark.parametrize(("vmid", "state", "method", "action", "task"), CHANGES)
def test_a_lost_answer_means_one_effect(pve, run_module, vmid, state, method, action, task, kind):
    pve.fault("POST", f"status/{action}$", kind)
    result = good(run_module(NAME, {"vmid": vmid, "state": state, "stop_method": method}))
    assert result.changed
    assert len(posts(pve, action)) == 1
    assert [item["type"] for item in pve.tasks()] == [task]
    assert [item["type"] for item in result["tasks"]] == [task]


@pytest.mark.parametrize(("vmid", "state", "method", "action", "task"), [CHANGES[0], CHANGES[2], CHANGES[5]])
def test_what_was_dropped_before_it_was_done_is_sent_again(pve, run_module, vmid, state, method, action, task):
    pve.fault("POST", f"status/{action}$", "drop")
    good(run_module(NAME, {"vmid": vmid, "state": state, "stop_method": method}))
    assert span(pve) < 6
    assert len(posts(pve, action)) == 2
    assert [item["type"] for item in pve.tasks()] == [task]


@pytest.mark.parametrize(("vmid", "state", "method", "action", "task"), [CHANGES[3], CHANGES[4]])
def test_a_reboot_and_a_reset_are_not_sent_again_blindly(pve, run_module, vmid, state, method, action, task):
    pve.fault("POST", f"status/{action}$", "drop")
    result = run_module(NAME, {"vmid": vmid, "state": state, "stop_method": method})
    bad(result, "answer_lost", f"POST /nodes/pve1/qemu/{vmid}/status/{action}", "PVE does not show within 3 s")
    assert (len(posts(pve, action)), pve.tasks()) == (1, [])


@pytest.mark.parametrize(("vmid", "state", "method", "action", "task"), [CHANGES[0], CHANGES[3], CHANGES[4]])
def test_595_is_sent_again_until_it_gets_through(pve, run_module, vmid, state, method, action, task):
    pve.fault("POST", f"status/{action}$", "595", times=3)
    good(run_module(NAME, {"vmid": vmid, "state": state, "stop_method": method}))
    assert len(posts(pve, action)) == 4
    assert [item["type"] for item in pve.tasks()] == [task]


def test_a_slow_answer_to_a_write_is_looked_up(pve, run_module):
    pve.fault("POST", "status/start$", "delay", seconds=2.5)
    good(run_module(NAME, {"vmid": 100, "api_timeout": 1}))
    assert len(posts(pve)) == len(pve.tasks()) == 1


def test_a_foreign_page_in_place_of_an_answer_is_looked_up(pve, run_module):
    pve.fault("POST", "status/start$", "html", status=200)
    good(run_module(NAME, {"vmid": 100}))
    assert len(posts(pve)) == 2
    assert [item["type"] for item in pve.tasks()] == ["qmstart"]


def test_a_task_under_way_is_not_started_again_when_its_node_vanishes(pve, run_module):
    pve.knobs.task_seconds["qmstart"] = 0.5
    pve.fault("GET", STATUS, "595", times=None)
    result = run_module(NAME, {"vmid": 100, "timeout": 4})
    bad(result, "transport", "task qmstart of 100 was started and may still run, look at UPID:pve1:")
    assert (result["error"]["upid"], result["changed"]) == (pve.tasks()[0]["upid"], True)
    assert len(posts(pve)) == len(pve.tasks()) == 1


def test_when_nobody_can_look_it_is_said(pve, run_module):
    pve.fault("POST", "status/start$", "lose_answer")
    pve.fault("GET", "tasks$", "595", times=None)
    result = run_module(NAME, {"vmid": 100, "timeout": 2})
    bad(result, "transport", "whether PVE did it could not be found out")
    assert len(posts(pve)) == 1


# ---- locks, moves, guests that are gone


def test_the_lock_time_out_of_a_task_is_retried(pve, run_module):
    pve.lock_timeouts(100, 2)
    result = good(run_module(NAME, {"vmid": 100}))
    assert [item["exitstatus"] for item in pve.tasks()] == [LOCK_TIMEOUT, LOCK_TIMEOUT, "OK"]
    assert len(result["tasks"]) == 1


def test_the_lock_time_out_of_an_answer_is_retried(pve, run_module):
    pve.fault("POST", "status/reset$", "status", times=2, message=LOCK_TIMEOUT.replace("100", "101"))
    good(run_module(NAME, {"vmid": 101, "state": "reset"}))
    assert len(pve.tasks("qmreset")) == 1


def test_a_lock_that_stays_is_given_up_with_the_time(pve, run_module):
    pve.lock_timeouts(100, 1000)
    result = run_module(NAME, {"vmid": 100, "timeout": 2})
    bad(result, "task_failed", LOCK_TIMEOUT)


def test_a_guest_that_moves_before_it_is_read_is_followed(pve_cluster, run_module):
    pve_cluster.before("GET", "100/status/current$", lambda: setattr(pve_cluster.server.guest(100), "node", "pve3"))
    result = good(run_module(NAME, {"vmid": 100}))
    assert result["node"] == "pve3"
    assert [item["node"] for item in pve_cluster.tasks()] == ["pve3"]


@pytest.mark.parametrize(
    ("vmid", "state", "action"), [(100, "started", "start"), (101, "stopped", "shutdown"), (101, "reset", "reset")]
)
def test_a_guest_that_moves_before_it_is_changed_is_followed(pve_cluster, run_module, vmid, state, action):
    def move():
        pve_cluster.server.guest(vmid).node = "pve3"

    pve_cluster.before("POST", f"status/{action}$", move)
    result = good(run_module(NAME, {"vmid": vmid, "state": state}))
    assert result["node"] == "pve3"
    assert [line.split("/")[2] for line in posts(pve_cluster)][-1] == "pve3"
    assert [item["node"] for item in pve_cluster.tasks() if item["exitstatus"] == "OK"] == ["pve3"]


def test_a_guest_that_is_gone_is_told(pve, run_module):
    pve.before("GET", "100/status/current$", lambda: pve.server.forget_guest(pve.server.guest(100)))
    bad(run_module(NAME, {"vmid": 100}), "not_found", "qemu-server/100.conf' does not exist")
    pve.add_guest(100, "web")
    pve.before("POST", "status/start$", lambda: pve.server.forget_guest(pve.server.guest(100)))
    result = run_module(NAME, {"vmid": 100})
    bad(result, "task_failed", "task qmstart of 100", "does not exist")
    assert len(posts(pve)) == 1


# ---- tasks and their time


@pytest.mark.parametrize("seconds", [0.5, 2.5])
def test_the_end_of_a_task_is_noticed_at_once(pve, run_module, seconds):
    pve.knobs.task_seconds["qmstart"] = seconds
    good(run_module(NAME, {"vmid": 100}))
    (sent,) = [item for item in pve.exchanges if item.method == "POST"]
    assert 0 <= polls(pve)[-1].when - sent.when - seconds < 0.3
    assert pve.connection_count == 1


def test_a_failed_task_is_told_at_once_with_its_log(pve, run_module):
    pve.knobs.task_seconds["qmstart"] = 0.7
    log = ["kvm: -drive file=x: Could not open 'x'", "cannot go on"]
    pve.next_task_fails("qmstart", "start failed: QEMU exited with code 1", log)
    result = run_module(NAME, {"vmid": 100})
    bad(result, "task_failed", "task qmstart of 100 on node pve1 failed: start failed: QEMU exited", "cannot go on")
    (task,) = pve.tasks()
    error = result["error"]
    assert (error["upid"], error["message"]) == (task["upid"], "start failed: QEMU exited with code 1")
    assert error["log_tail"] == log
    assert result["changed"] is False
    (sent,) = [item for item in pve.exchanges if item.method == "POST"]
    assert pve.exchanges[-1].when - sent.when < 0.7 + 0.3


def test_what_was_done_before_a_failure_is_told(pve, run_module):
    pve.next_task_fails("qmstart", "bridge 'vmbr9' does not exist")
    result = run_module(NAME, {"vmid": 101, "state": "restarted", "stop_method": "stop"})
    bad(result, "task_failed", "bridge 'vmbr9' does not exist")
    assert (result["changed"], result["steps"]) == (True, ["stop guest 101 (db) hard"])
    assert [task["type"] for task in result["tasks"]] == ["qmstop"]


def test_warnings_of_a_task_become_warnings_of_the_module(pve, run_module):
    pve.next_task_warns("qmstart", "no efidisk configured! Using temporary efivars disk.")
    result = good(run_module(NAME, {"vmid": 100}))
    assert result.changed
    assert any("no efidisk configured" in str(line) for line in result["warnings"])
    assert result["tasks"][0]["exit_status"] == "WARNINGS: 1"


def test_a_task_that_its_node_does_not_know_yet_is_waited_for(pve, run_module):
    pve.fault("GET", STATUS, "status", times=3, status=400, errors={"upid": "no such task"})
    good(run_module(NAME, {"vmid": 100}))
    assert len(posts(pve)) == 1


def test_a_task_that_its_node_never_knows_is_told(pve, run_module):
    pve.fault("GET", STATUS, "status", times=None, status=400, errors={"upid": "no such task"})
    bad(run_module(NAME, {"vmid": 100}), "refused", "no such task")


def test_the_deadline_in_mid_task_names_the_task_that_goes_on(pve, run_module):
    pve.knobs.task_seconds["qmstart"] = 5.0
    result = run_module(NAME, {"vmid": 100, "timeout": 1})
    assert span(pve) < 1
    (task,) = pve.tasks()
    bad(result, "timed_out", "task qmstart of 100 still runs", "PVE goes on with it", task["upid"])
    assert result["error"]["upid"] == task["upid"]
    assert (result["changed"], result["steps"]) == (True, [])


def test_polling_keeps_the_connection_open(pve, run_module):
    pve.knobs.task_seconds["qmshutdown"] = 6.5
    good(run_module(NAME, {"vmid": 101, "state": "stopped"}))
    assert pve.connection_count == 1
    assert len(polls(pve)) < 50


def test_an_idle_connection_is_opened_anew(pve, run_module):
    """The pauses between looks at an agent are as long as its answers take."""
    pve.set_agent_interfaces(101, [])
    pve.fault("GET", "network-get-interfaces", "delay", seconds=4.2)
    interfaces = [{"name": "eth0", "ip-addresses": [{"ip-address": "192.0.2.9"}]}]
    agent = {"interfaces": interfaces}
    pve.before("GET", "network-get-interfaces", lambda: setattr(pve.server.guest(101), "agent", agent), after=1)
    good(run_module(NAME, {"vmid": 101, "wait_for": ["ip"]}))
    assert pve.connection_count == 2
    assert [item.status for item in pve.exchanges] == [200] * 5


@pytest.mark.parametrize(
    ("vmid", "state", "method", "action"),
    [
        (100, "started", "shutdown", "start"),
        (101, "stopped", "stop", "stop"),
        (200, "started", "shutdown", "start"),
        (201, "stopped", "stop", "stop"),
        (201, "stopped", "shutdown", "shutdown"),
    ],
)
def test_somebody_else_who_is_faster_does_no_harm(pve, run_module, vmid, state, method, action):
    pve.add_container(201, "busy", status="running")

    def be_faster():
        guest = pve.server.guest(vmid)
        guest.status = guest.qmpstatus = "running" if state == "started" else "stopped"

    pve.before("POST", f"{vmid}/status/{action}$", be_faster)
    result = good(run_module(NAME, {"vmid": vmid, "state": state, "stop_method": method}))
    assert len(posts(pve)) == 1
    assert result["guest"]["status"] == ("running" if state == "started" else "stopped")


def test_eight_parallel_starts_are_one_start(pve, run_module):
    pve.knobs.task_seconds["qmstart"] = 0.5
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _number: run_module(NAME, {"vmid": 100}), range(8)))
    assert [result.failed for result in results] == [False] * 8, [result.msg for result in results]
    assert {result["guest"]["status"] for result in results} == {"running"}
    ends = [task["exitstatus"] for task in pve.tasks("qmstart")]
    assert ends.count("OK") == 1
    assert set(ends) <= {"OK", "VM 100 already running", LOCK_TIMEOUT}
