# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pve_console_info as a process of its own: what it returns leads into the console, and nothing is opened unasked."""

from __future__ import annotations

import configparser
import contextlib
import hashlib
import ssl
import time
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.support import canaries, viewers

# What opens a console is what the module is asked for; with `include_auth` a whole login is.
pytestmark = pytest.mark.shows_secrets(canaries.CONSOLE, canaries.LOGIN)

MODULE = "pve_console_info"
PASSWORD = "correct horse"
SECRET = "b1f7a4b2-5d0c-4c38-9c56-2f8f2d6f1c11"
FIND = ["GET /cluster/resources", "GET /nodes/pve1/qemu/110/status/current"]
LOOK = [*FIND, "GET /nodes/pve1/qemu/110/config"]
RELEASE = "GET /nodes/localhost/apt/versions"
OPENING = ("vnc", "terminal", "spice")


@pytest.fixture(autouse=True)
def guests(request):
    """A virtual machine with every console, and a container, both running."""
    name = "pve_cluster" if "pve_cluster" in request.fixturenames else "pve"
    pve = request.getfixturevalue(name)
    pve.add_guest(110, "term", status="running", config={"serial0": "socket", "vga": "qxl", "agent": "1"})
    pve.add_container(210, "box", status="running")
    pve.call(lambda: setattr(pve.server, "password", PASSWORD))


@pytest.fixture
def look(run_module):
    """Run the module, which never reports a change, by a password if asked."""

    def run(password=False, env=None, check=False, **arguments):
        without_token = {"PROXMOX_TOKEN_ID": None, "PROXMOX_TOKEN_SECRET": None, "PROXMOX_PASSWORD": PASSWORD}
        result = run_module(MODULE, arguments, check=check, env={**(without_token if password else {}), **(env or {})})
        assert result.changed is False
        assert PASSWORD not in result.stdout
        return result

    return run


@pytest.fixture
def console(look):
    def run(**arguments):
        result = look(**arguments)
        assert not result.failed, result.msg
        return result["console"]

    return run


def writes(pve):
    return [line for line in pve.summary() if not line.startswith("GET")]


def token(pve, name, *grants):
    """A user's token with these privileges, as the environment that asks with it."""
    user, _mark, short = name.partition("!")
    pve.add_token(name, SECRET)
    for path, privilege in grants:
        pve.grant(user, path, privilege)
    return {"PROXMOX_USER": user, "PROXMOX_TOKEN_ID": short, "PROXMOX_TOKEN_SECRET": SECRET}


# ---- what there is


def test_what_a_virtual_machine_has(pve, console):
    found = console(vmid=110)
    assert found["available"] == {"vnc": True, "terminal": True, "spice": True, "serial": ["serial0"], "agent": True}
    assert found["reasons"] == {}
    assert (found["guest_type"], found["name"], found["node"], found["status"]) == ("qemu", "term", "pve1", "running")
    assert (found["display"], found["identity"]) == ("qxl", {"name": pve.token_id, "kind": "token"})
    assert found["api_host"] == pve.url
    assert pve.summary() == [*LOOK, RELEASE]
    assert pve.connection_count == 1


def test_what_a_container_and_a_node_have_for_whom_has_a_password(pve, console):
    everything = {"vnc": True, "terminal": True, "spice": True, "serial": [], "agent": False}
    box = console(vmid=210, password=True)
    assert (box["available"], box["guest_type"], box["identity"]["kind"]) == (everything, "lxc", "ticket")
    assert pve.summary()[1:] == ["GET /cluster/resources", "GET /nodes/pve1/lxc/210/status/current"]
    pve.reset_record()
    node = console(node="pve1", password=True)
    assert (node["available"], node["guest_type"], node["vmid"], node["status"]) == (
        everything,
        "node",
        None,
        "running",
    )
    assert pve.summary()[1:] == ["GET /nodes"]


def test_a_stopped_guest_needs_no_look_at_the_release(pve, console):
    found = console(name="web")
    assert found["available"] == {"vnc": False, "terminal": False, "spice": False, "serial": [], "agent": False}
    assert set(found["reasons"].values()) == {"guest 100 (web) is stopped, so it has no console: start it first"}
    assert len(pve.summary()) == 3


def test_links_take_two_requests(pve, console):
    found = console(vmid=110, type="link", host="console.example.com:443")
    link = urlsplit(found["links"]["novnc"])
    assert (link.scheme, link.netloc) == ("https", "console.example.com:443")
    wanted = {"console": "kvm", "novnc": "1", "vmid": "110", "vmname": "term", "node": "pve1", "resize": "scale"}
    assert dict(parse_qsl(link.query)) == wanted
    assert pve.summary() == FIND


@pytest.mark.parametrize("release", ["8.0", "9.1"])
@pytest.mark.parametrize("exact", [True, False])
def test_a_token_knows_beforehand_that_the_release_keeps_it_out(pve, look, console, release, exact):
    pve.knobs.release = release
    env = token(pve, "guest@pve!view", ("/vms", "VM.Audit"), ("/vms", "VM.Console"), ("/nodes", "Sys.Console"))
    if exact:
        pve.grant("guest@pve", "/nodes", "Sys.Audit")
    found = console(vmid=110, env=env)
    what = "qemu-server" if exact else "pve-manager"
    reason = found["reasons"].pop("terminal")
    assert found["reasons"] == {}
    assert "lets no API token such as guest@pve!view open the terminal of guest 110 (term)" in reason
    assert f"that takes qemu-server 8.4.7 or 9.1.7, and it has {what} {release}." in reason
    assert pve.summary() == [*LOOK, RELEASE, *([] if exact else ["GET /version"])]
    refused = look(vmid=110, type="terminal", env=env)
    assert (refused.msg, refused["error"]["kind"]) == (reason, "permission")
    assert writes(pve) == []
    assert console(vmid=110, type="terminal", password=True)["opened"]
    assert console(vmid=110, type="vnc", env=env)["opened"]


# ---- nothing is opened unasked


@pytest.mark.parametrize("what", OPENING)
def test_check_mode_opens_nothing(pve, console, what):
    found = console(vmid=110, type=what, check=True)
    assert found["opened"] is False
    assert not {"ticket", "password", "websocket", "vv_file_content"} & set(found)
    assert writes(pve) == []
    assert pve.tasks() == []


@pytest.mark.parametrize(
    ("arguments", "config", "words"),
    [
        ({"vmid": 100, "type": "vnc"}, {}, "guest 100 (web) is stopped, so it has no console: start it first"),
        ({"vmid": 100, "type": "spice", "require_running": False}, {}, "guest 100 (web) is stopped"),
        (
            {"vmid": 101, "type": "terminal"},
            {},
            "guest 101 (db) has no serial line that a terminal can use: add serial0",
        ),
        ({"vmid": 110, "type": "terminal", "serial": "serial1"}, {}, "has no serial line serial1 that a terminal can"),
        ({"vmid": 101, "type": "spice"}, {}, "guest 101 (db) has no SPICE (vga: std): set vga to qxl or virtio"),
        ({"vmid": 110, "type": "vnc"}, {"vga": "none"}, "has no display (vga: none), which VNC could show"),
        ({"vmid": 110, "type": "vnc", "transport": "tcp"}, {"vga": "serial0"}, "which plain VNC cannot show: use the"),
        ({"vmid": 210, "type": "vnc", "transport": "tcp"}, {}, "guest 210 (box) has no display of its own"),
        ({"vmid": 110, "type": "vnc", "width": 640}, {}, "width and height are for containers and nodes"),
        ({"vmid": 210, "type": "terminal", "serial": "serial0"}, {}, "serial is for virtual machines"),
        ({"node": "pve1", "type": "vnc"}, {}, "PVE lets no API token such as root@pam!ansible open VNC of node pve1"),
        ({"node": "pve1", "type": "spice"}, {}, "open SPICE of node pve1: log in with api_user and api_password"),
        ({"node": "pve9"}, {}, "there is no node 'pve9': the cluster has pve1"),
        ({"vmid": 999, "type": "vnc"}, {}, "there is no guest 999 that root@pam!ansible can see: check the vmid"),
        ({"type": "vnc"}, {}, "say whose console is meant"),
        ({"vmid": 110, "serial": "serial0"}, {}, "serial goes with type terminal, not with info"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_opened(pve, look, arguments, config, words):
    pve.call(lambda: pve.server.guest(110).config.update(config))
    result = look(**arguments)
    assert result.failed
    assert words in result.msg
    assert writes(pve) == []


@pytest.mark.parametrize(
    ("arguments", "path", "privilege"),
    [
        ({"vmid": 110, "type": "vnc"}, "/vms/110", "VM.Console"),
        ({"vmid": 110, "type": "terminal"}, "/vms/110", "VM.Console"),
        ({"vmid": 110, "type": "spice"}, "/vms/110", "VM.Console"),
        ({"node": "pve1", "type": "terminal"}, "/nodes/pve1", "Sys.Console"),
        ({"vmid": 110, "type": "vnc", "node_address": "cluster"}, "/", "Sys.Audit"),
    ],
)
def test_a_missing_privilege_is_named_with_its_path(pve, look, arguments, path, privilege):
    result = look(env=token(pve, "guest@pve!view", ("/vms", "VM.Audit")), **arguments)
    assert result.failed
    assert f"guest@pve!view lacks the privilege {privilege} on {path}" in result.msg
    assert (result["error"]["privilege"], result["error"]["path"]) == (privilege, path)
    assert pve.tasks() == []


# ---- what is opened can be used


@pytest.mark.parametrize("release", ["8.4", "9.0", "9.2"])
def test_vnc_by_websocket(pve, console, release):
    pve.knobs.release = release
    # Older releases ask for a password that whoever opens it did not choose, and letters that a URL cannot hold.
    pve.knobs.console_password = "%+&#\"'A/"
    opened = console(vmid=110, type="vnc")
    assert pve.summary() == [*LOOK, "POST /nodes/pve1/qemu/110/vncproxy"]
    assert opened["password"] == pve.knobs.console_password
    with contextlib.closing(viewers.open_websocket(pve, opened, pve.token_secret)) as channel:
        assert viewers.vnc_by_websocket(channel, opened["password"]) == "QEMU (term)"
    assert pve.display(110).logins == [True]
    by_password = console(vmid=110, type="vnc", password=True, include_auth=True)
    with contextlib.closing(viewers.open_websocket(pve, by_password)) as channel:
        assert viewers.vnc_by_websocket(channel, by_password["password"]) == "QEMU (term)"


@pytest.mark.parametrize("release", ["8.4", "9.2"])
def test_vnc_straight_to_the_port(pve, console, release):
    pve.knobs.release = release
    for password in (False, True):
        opened = console(vmid=110, type="vnc", transport="tcp", password=password)
        assert (opened["encrypted"], "websocket" in opened) == (False, False)
        view = opened["cloudstack"]
        assert view == {
            "host": pve.host,
            "port": str(opened["port"]),
            "password": opened["password"],
            "passwordonetimeuseonly": True,
            "protocol": "vnc",
        }
        assert viewers.vnc_by_tcp(view["host"], int(view["port"]), view["password"]) == "QEMU (term)"


@pytest.mark.parametrize("release", ["8.4", "9.2"])
def test_vnc_of_a_container_and_a_node(pve, console, release):
    pve.knobs.release = release
    box = console(vmid=210, type="vnc", width=800, height=600)
    with contextlib.closing(viewers.open_websocket(pve, box, pve.token_secret)) as channel:
        viewers.vnc_by_websocket(channel, box["password"])
    (form,) = pve.forms("POST", "/vncproxy$")
    assert {name: int(value) for name, value in form.items()} == {"websocket": 1, "width": 800, "height": 600}
    node = console(node="pve1", type="vnc", password=True, include_auth=True)
    with contextlib.closing(viewers.open_websocket(pve, node)) as channel:
        viewers.vnc_by_websocket(channel, node["password"])


@pytest.mark.parametrize(("release", "password"), [("8.4", True), ("9.2", True), ("9.2", False)])
def test_terminals(pve, console, release, password):
    pve.knobs.release = release
    pve.knobs.console_number_ports = password
    for arguments, wanted in (
        ({"vmid": 110, "serial": "serial0"}, "\r\none\r\n"),
        ({"vmid": 210}, "Password: "),
        # Only root@pam itself is let in without.
        ({"node": "pve1"}, "\r\none\r\n" if password else "Password: "),
    ):
        opened = console(type="terminal", password=password, include_auth=password, **arguments)
        with contextlib.closing(viewers.open_websocket(pve, opened, pve.token_secret)) as channel:
            viewers.type_and_read(channel, opened["handshake"], "echo one\r", wanted)
        assert opened["single_connection"] is True
        assert opened["user"] == opened["identity"]["name"]
    assert pve.console(110).typed == b"echo one\r"


def test_times_and_what_to_check_are_returned(pve, console):
    before = int(time.time())
    opened = console(vmid=110, type="vnc")
    assert before <= opened["issued_at"] <= time.time()
    assert opened["connect_before"] - opened["issued_at"] == 10
    assert opened["ticket_expires"] - opened["issued_at"] == 40
    assert opened["password_seconds"] == 30
    certificate = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((pve.host, pve.port)))
    assert opened["tls_fingerprint"].replace(":", "").lower() == hashlib.sha256(certificate).hexdigest()
    assert opened["cluster_ca"].startswith("-----BEGIN CERTIFICATE-----")
    assert opened["upid"] == pve.tasks("vncproxy")[0]["upid"]
    assert (opened["websocket"]["header_name"], opened["websocket"]["header_value"]) == ("Authorization", None)
    assert pve.token_secret not in str(opened)
    spared = console(vmid=110, type="vnc", password=True)
    assert (spared["websocket"]["header_name"], spared["websocket"]["header_value"]) == ("Cookie", None)
    assert "PVEAuthCookie" not in str(spared)


def test_a_stopped_guest_can_be_opened_when_that_is_asked_for(pve, console):
    pve.call(lambda: pve.server.guest(100).config.update(serial0="socket"))
    for what in ("vnc", "terminal"):
        assert console(vmid=100, type=what, require_running=False)["opened"] is True


def test_the_file_for_remote_viewer(pve, console):
    opened = console(vmid=110, type="spice")
    reader = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    reader.read_string(opened["vv_file_content"])
    settings = dict(reader["virt-viewer"])
    assert settings == opened["spice"]
    assert (settings["type"], settings["proxy"]) == ("spice", f"http://{pve.host}:3128")
    assert settings["password"] == opened["password"]
    assert opened["connect_before"] - opened["issued_at"] == 30
    assert pve.summary() == [*LOOK, "POST /nodes/pve1/qemu/110/spiceproxy"]
    for arguments, proxy in (
        ({"vmid": 110, "spice_proxy": "2001:db8::1"}, "http://[2001:db8::1]:3128"),
        ({"vmid": 210, "host": "pve.example.com:443"}, "http://pve.example.com:3128"),
        ({"node": "pve1", "password": True, "node_address": "cluster"}, "http://198.51.100.11:3128"),
    ):
        assert console(type="spice", **arguments)["spice"]["proxy"] == proxy


# ---- where to connect


def test_the_port_is_on_the_node_that_answered(pve_cluster, console):
    pve_cluster.knobs.local_node = "pve3"
    opened = console(vmid=110, type="vnc", node_address="cluster")
    assert (opened["node"], opened["opened_on"], opened["host"]) == ("pve1", "pve3", "198.51.100.13")
    assert opened["websocket"]["url"].startswith("wss://198.51.100.13:8006/api2/json/nodes/pve1/qemu/110/vncwebsocket?")
    assert opened["links"]["novnc"].startswith("https://198.51.100.11:8006/?")
    assert opened["address"] is None
    raw = console(vmid=110, type="vnc", transport="tcp", node_address="cluster")
    assert raw["cloudstack"]["host"] == "198.51.100.13"
    as_reached = console(vmid=110, type="vnc", env={"PROXMOX_HOST": "localhost"})
    assert (as_reached["host"], as_reached["address"]) == ("localhost", "127.0.0.1")
    chosen = console(vmid=110, type="vnc", host="console.example.com")
    assert (chosen["host"], chosen["address"]) == ("console.example.com", None)
    assert chosen["websocket"]["url"].startswith(f"wss://console.example.com:{pve_cluster.port}/api2/json/nodes/pve1/")
    straight = console(vmid=110, type="vnc", transport="tcp", env={"PROXMOX_HOST": "localhost"})
    assert straight["host"] == "127.0.0.1"
    with contextlib.closing(viewers.open_websocket(pve_cluster, as_reached, pve_cluster.token_secret)) as channel:
        assert viewers.vnc_by_websocket(channel, as_reached["password"]) == "QEMU (term)"
