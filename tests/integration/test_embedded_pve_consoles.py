# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Opening consoles of the embedded PVE: answers, tickets, ports, permissions, releases."""

from __future__ import annotations

import re
import threading

import pytest

from tests.support.api_client import ApiClient
from tests.support.console_client import RawWebSocket, Terminal, cookie, websocket_path
from tests.support.embedded_pve import running_embedded_pve, seed

TERM = "/nodes/pve1/qemu/110"
NODE = "/nodes/pve1"
NO_USER = "value 'root@pam!ansible' does not look like a valid user name"
INVALID = "permission denied - invalid PVEVNC ticket"


def guests(server):
    seed.add_guest(server, 110, "term", status="running", config={"serial0": "socket"})
    seed.add_guest(server, 111, "viewer", status="running", config={"vga": "qxl,clipboard=vnc"})
    seed.add_guest(server, 112, "off")
    seed.add_guest(server, 113, "elsewhere", status="running", node="pve2", config={"serial0": "socket"})
    seed.add_container(server, 210, "ct", status="running")
    seed.add_container(server, 211, "ctoff")


@pytest.fixture
def pve():
    with running_embedded_pve(guests, nodes=("pve1", "pve2")) as handle:
        yield handle


def vncwebsocket(pve, answer, path=TERM, port=None, **options):
    return RawWebSocket(pve, websocket_path(path, port or answer["port"], answer["ticket"]), **options)


class TestAnswer:
    def test_termproxy(self, api):
        answer = api.data("POST", f"{TERM}/termproxy")
        assert sorted(answer) == ["port", "ticket", "upid", "user"]
        assert (answer["port"], answer["user"]) == ("5900", "root@pam!ansible")
        assert re.fullmatch(r"PVEVNC:[0-9A-F]{8}::[A-Za-z0-9+/]{342}==", answer["ticket"])
        assert api.status_of(answer["upid"])["type"] == "vncproxy"

    def test_vncproxy(self, pve, api):
        answer = api.data("POST", f"{TERM}/vncproxy", websocket=1)
        assert sorted(answer) == ["cert", "password", "port", "ticket", "upid", "user"]
        assert re.fullmatch(r"[!-`]{8}", answer["password"])
        assert answer["ticket"].startswith(answer["password"] + ":PVEVNC:")
        assert answer["cert"].startswith("-----BEGIN CERTIFICATE-----\n")
        pve.knobs.console_password, pve.knobs.console_number_ports = "%&#+\"':/", True
        answer = api.data("POST", f"{TERM}/vncproxy")
        assert answer["password"] == "%&#+\"':/"
        assert answer["port"] in range(5901, 6000)

    @pytest.mark.parametrize(
        ("form", "keys"), [({}, False), ({"websocket": 1}, True), ({"generate-password": 1}, True)], ids=str
    )
    def test_a_serial_display_has_a_password_only_on_request(self, pve, api, form, keys):
        pve.add_guest(120, "serial", status="running", config={"vga": "serial0", "serial0": "socket"})
        answer = api.data("POST", "/nodes/pve1/qemu/120/vncproxy", **form)
        assert ("password" in answer, not answer["ticket"].startswith("PVEVNC")) == (keys, keys)

    def test_spice(self, pve, api):
        viewer = api.data("POST", "/nodes/pve1/qemu/111/spiceproxy", proxy="192.0.2.1")
        assert (viewer["type"], viewer["proxy"]) == ("spice", "http://192.0.2.1:3128")
        assert viewer["title"] == "VM 111 - viewer"
        assert "\n" not in viewer["ca"]
        assert api.data("POST", "/nodes/pve1/lxc/210/spiceproxy")["title"] == "CT 210"
        assert [task["type"] for task in pve.tasks()] == ["spiceproxy"]

    @pytest.mark.parametrize(
        ("path", "reason"),
        [
            ("/nodes/pve1/qemu/110/spiceproxy", "no spice port"),
            ("/nodes/pve1/qemu/112/spiceproxy", "VM 112 not running"),
            ("/nodes/pve1/lxc/211/spiceproxy", "CT 211 not running"),
            ("/nodes/pve1/spiceshell", NO_USER),
            ("/nodes/pve1/vncshell", NO_USER),
            ("/nodes/pve1/qemu/999/termproxy", "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist"),
            ("/nodes/pve1/qemu/113/vncproxy", "Configuration file 'nodes/pve1/qemu-server/113.conf' does not exist"),
            ("/nodes/pve1/lxc/999/vncproxy", "Configuration file 'nodes/pve1/lxc/999.conf' does not exist"),
        ],
    )
    def test_refusals(self, api, path, reason):
        answer = api("POST", path)
        assert (answer.status_code, answer.reason) == (500, reason)

    @pytest.mark.parametrize(
        ("path", "form"),
        [
            ("/nodes/pve1/qemu/110/vncproxy", {"width": 80}),
            ("/nodes/pve1/qemu/110/termproxy", {"serial": "com1"}),
            ("/nodes/pve1/lxc/210/termproxy", {"serial": "serial0"}),
            ("/nodes/pve1/lxc/210/vncproxy", {"generate-password": 1}),
            ("/nodes/pve1/termproxy", {"websocket": 1}),
        ],
    )
    def test_parameters_that_are_none(self, api, path, form):
        answer = api("POST", path, **form)
        assert (answer.status_code, list(answer.json()["errors"])) == (400, list(form))


class TestTicket:
    def test_a_look_without_an_upgrade_costs_nothing(self, pve, api):
        answer = api.data("POST", f"{TERM}/termproxy")
        for _look in range(2):
            path = websocket_path(TERM, answer["port"], answer["ticket"]).removeprefix("/api2/json")
            assert api.data("GET", path) == {"port": answer["port"]}
        with vncwebsocket(pve, answer) as terminal:
            assert terminal.status == 101

    @pytest.mark.parametrize("subprotocol", [None, "binary", "base64"])
    def test_the_subprotocol_comes_back(self, pve, api, subprotocol):
        with vncwebsocket(pve, api.data("POST", f"{TERM}/termproxy"), subprotocol=subprotocol) as terminal:
            expected = [f"Sec-WebSocket-Protocol: {subprotocol}"] if subprotocol else []
            assert re.findall("Sec-WebSocket-Protocol.*", terminal.head.replace("\r", "")) == expected

    @pytest.mark.parametrize(
        "wrong",
        [{"path": "/nodes/pve1/qemu/111"}, {"path": NODE}, {"port": 5950}, {"headers": "cookie"}],
        ids=["guest", "node", "port", "identity"],
    )
    def test_it_is_bound_to_what_it_was_made_for(self, pve, api, wrong):
        if "headers" in wrong:
            wrong = {"headers": cookie(pve)}
        with vncwebsocket(pve, api.data("POST", f"{TERM}/termproxy"), **wrong) as terminal:
            assert terminal.head.startswith(f"HTTP/1.1 401 {INVALID}\r\n")
            assert INVALID.encode() in terminal._buffer or terminal.socket.recv(4096)

    @pytest.mark.parametrize(("age", "status"), [(39, 200), (41, 401), (-19, 200), (-21, 401)])
    def test_its_age(self, pve, api, age, status):
        answer = api.data("POST", f"{TERM}/termproxy")
        pve.knobs.console_ticket_age = age
        path = websocket_path(TERM, answer["port"], answer["ticket"]).removeprefix("/api2/json")
        assert api("GET", path).status_code == status

    def test_durations_cannot_be_lengthened(self, api):
        with (
            pytest.raises(ValueError, match="PVE's is 10"),
            running_embedded_pve(guests, console_listen_seconds=11) as handle,
        ):
            ApiClient(handle)("POST", f"{TERM}/termproxy")

    def test_a_session_with_a_password_and_a_second_factor(self, pve, api):
        pve.knobs.second_factor = "totp:123456"
        login = {"username": "root@pam", "password": pve.server.password}
        del api.session.headers["Authorization"]
        first = api.data("POST", "/access/ticket", **login)
        assert first["NeedTFA"] == 1
        step = {"username": "root@pam", "tfa-challenge": first["ticket"]}
        assert api("POST", "/access/ticket", **step, password="totp:000000").status_code == 401
        second = api.data("POST", "/access/ticket", **step, password="totp:123456")
        headers = {"Cookie": f"PVEAuthCookie={second['ticket']}", "CSRFPreventionToken": second["CSRFPreventionToken"]}
        with Terminal(pve, TERM, headers) as terminal:
            assert terminal.answer["user"] == "root@pam"
            terminal.read_until("serial0\r\n")


class TestPort:
    @pytest.mark.parametrize("kind", ["termproxy", "vncproxy"])
    def test_nobody_came(self, pve, api, kind):
        pve.knobs.console_listen_seconds = 0.05
        upid = api.data("POST", f"{TERM}/{kind}")["upid"]
        exit_status = api.finish(upid)
        if kind == "vncproxy":
            assert exit_status == "connection timed out"
        else:
            assert exit_status.endswith("qm terminal 110 -escape 0' failed: exit code 1")
            assert api.log_of(upid)[:-1] == ["failed waiting for client: timed out"]

    @pytest.mark.parametrize("dead", ["hang", "drop"])
    def test_one_connection_only(self, pve, api, dead):
        pve.knobs.console_dead_port = dead
        with Terminal(pve, TERM) as terminal, vncwebsocket(pve, terminal.answer, timeout=0.2) as second:
            assert terminal.status == 101
            assert second.head == ""

    def test_it_is_on_the_node_that_was_asked(self, pve, api):
        pve.knobs.local_node = "pve2"
        path = "/nodes/pve1/qemu/110"
        answer = api.data("POST", f"{path}/termproxy")
        assert answer["upid"].startswith("UPID:pve2:")
        pve.knobs.local_node, pve.knobs.console_dead_port = "pve1", "drop"
        assert vncwebsocket(pve, answer, path).head == ""
        pve.knobs.local_node = "pve2"
        with vncwebsocket(pve, answer, path) as terminal:
            assert terminal.status == 101

    def test_a_guest_of_another_node(self, pve):
        with Terminal(pve, "/nodes/pve2/qemu/113") as terminal:
            terminal.read_until("serial0\r\n")
        assert "/usr/bin/ssh" not in str(pve.tasks())

    def test_there_are_a_hundred(self, pve, api):
        ports = {api.data("POST", f"{TERM}/termproxy")["port"] for _number in range(100)}
        assert ports == {str(port) for port in range(5900, 6000)}
        assert api("POST", f"{TERM}/termproxy").reason == "unable to find free port (5900-5999)"

    def test_a_vncproxy_can_fail_before_it_listens(self, pve, api):
        pve.next_task_fails("vncproxy", "no luck")
        answer = api.data("POST", f"{TERM}/vncproxy", websocket=1)
        assert api.finish(answer["upid"]) == "no luck"


class TestPermission:
    def test_a_console_needs_its_privilege(self, pve):
        pve.add_token("viewer@pve!one", "secret", privilege_separation=True)
        pve.grant("viewer@pve", "/", "VM.Console", "VM.Audit")
        pve.grant("viewer@pve!one", "/vms/111", "VM.Console")
        viewer = ApiClient(pve, "viewer@pve!one=secret")
        assert viewer.data("POST", "/nodes/pve1/qemu/111/vncproxy")["user"] == "viewer@pve!one"
        for path, missing in ((TERM, "/vms/110, VM.Console"), (NODE, "/nodes/pve1, Sys.Console")):
            answer = viewer("POST", f"{path}/termproxy")
            assert (answer.status_code, answer.reason) == (403, f"Permission check failed ({missing})")
        path = websocket_path(TERM, 5900, "PVEVNC:x").removeprefix("/api2/json")
        assert viewer("GET", path).status_code == 403

    def test_a_401_takes_its_time_and_has_a_body(self, pve, api):
        pve.knobs.auth_failure_delay = 0.1
        path = websocket_path(TERM, 5900, "PVEVNC:x").removeprefix("/api2/json")
        answer = api("GET", path)
        assert (answer.status_code, answer.json()["message"]) == (401, INVALID + "\n")
        assert answer.elapsed.total_seconds() >= 0.1


class TestRelease:
    @pytest.mark.parametrize(
        ("release", "version", "terminal", "node", "prefixed"),
        [
            ("8.0", "8.0.4", False, False, False),
            ("8.4", "8.4.14", False, False, False),
            ("8.4-hardened", "8.4.19", True, False, True),
            ("9.0", "9.0.10", False, False, False),
            ("9.1", "9.1.6", False, True, False),
            ("9.1-hardened", "9.1.9", True, True, True),
            ("9.2", "9.2.11", True, True, True),
        ],
    )
    def test_what_a_token_can_do(self, pve, api, release, version, terminal, node, prefixed):
        pve.knobs.release = release
        assert api.data("GET", "/version")["version"] == version
        known = {item["Package"]: item["OldVersion"] for item in api.data("GET", f"{NODE}/apt/versions")}
        assert known["pve-manager"] == version
        with Terminal(pve, TERM) as session:
            assert session.status == 101
            assert (b"OK" in session.read()) == terminal
        assert (api("POST", f"{NODE}/termproxy").reason == NO_USER) != node
        assert ("password" in api.data("POST", f"{TERM}/vncproxy", websocket=1)) == prefixed
        assert "password" in api.data("POST", f"{TERM}/vncproxy", **{"generate-password": 1})
        with Terminal(pve, TERM, cookie(pve)) as session:
            session.read_until("serial0\r\n")

    def test_the_port_is_not_in_the_ticket_before_the_hardening(self, pve, api):
        pve.knobs.console_hardening = False
        answer = api.data("POST", f"{TERM}/termproxy")
        path = websocket_path(TERM, 5950, answer["ticket"]).removeprefix("/api2/json")
        assert api("GET", path).status_code == 200


def test_what_a_console_tool_reads(pve, api):
    status = api.data("GET", "/nodes/pve1/qemu/111/status/current")
    assert {key: status.get(key) for key in ("serial", "spice", "clipboard", "agent", "qmpstatus")} == {
        "serial": None,
        "spice": 1,
        "clipboard": "vnc",
        "agent": None,
        "qmpstatus": "running",
    }
    assert api.data("GET", f"{TERM}/status/current")["serial"] == 1
    certificates = {item["filename"]: item for item in api.data("GET", f"{NODE}/certificates/info")}
    assert certificates["pve-ssl.pem"]["fingerprint"] == pve.fingerprint
    pve.knobs.node_addresses["pve2"] = "127.0.0.2"
    assert api.data("GET", "/cluster/status")[2]["ip"] == "127.0.0.2"


def test_a_hundred_consoles_end_with_the_server():
    """Nothing is left that would hold it up."""
    with running_embedded_pve(guests) as handle:
        api = ApiClient(handle)
        for _number in range(20):
            api.data("POST", f"{TERM}/vncproxy")
    assert [thread.name for thread in threading.enumerate() if thread.name == "embedded-pve"] == []
