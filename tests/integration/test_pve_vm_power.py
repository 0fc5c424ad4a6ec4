# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pve_vm_power as a user runs it: every way from one power state to another, against the embedded PVE."""

from __future__ import annotations

import time

import pytest

from tests.support.transitions import TRANSITIONS

NAME = "pve_vm_power"
NO_OP = ["GET /cluster/resources", "GET /nodes/pve1/qemu/100/status/current"]


def put(pve, condition, vmid=100):
    """Bring a guest of the model into a condition, without the API."""

    def change():
        guest = pve.server.guest(vmid)
        pve.server.set_lock(guest, "suspended" if condition == "hibernated" else None)
        guest.status = "running" if condition in ("running", "paused") else "stopped"
        guest.qmpstatus = "paused" if condition == "paused" else guest.status
        guest.started_at = time.time() if guest.status == "running" else None

    pve.call(change)


def condition_of(pve, vmid=100):
    guest = pve.guest(vmid)
    if guest.status == "running":
        return "paused" if guest.qmpstatus == "paused" else "running"
    return "hibernated" if guest.lock == "suspended" else "stopped"


def posts(pve):
    return [line.rpartition("/")[2] for line in pve.summary() if line.startswith("POST ")]


def span(pve):
    """Seconds from the first request to the last, on the server's clock."""
    return pve.exchanges[-1].when - pve.exchanges[0].when


def once(pve, run_module, **arguments):
    """A first run; failures show what was sent."""
    pve.reset_record()
    result = run_module(NAME, arguments)
    assert not result.failed, (result.msg, result.stderr, pve.summary())
    return result


@pytest.mark.parametrize(("before", "state", "method", "after", "actions", "shown"), TRANSITIONS)
def test_a_transition_is_foretold_made_and_made_once(pve, run_module, before, state, method, after, actions, shown):
    put(pve, before)
    arguments = {"vmid": 100, "state": state, "stop_method": method}
    foretold = run_module(NAME, arguments, check=True, diff=True)
    assert posts(pve) == []
    assert condition_of(pve) == before
    made = run_module(NAME, arguments, diff=True)
    assert not made.failed, made.msg
    assert posts(pve) == actions
    assert condition_of(pve) == after
    assert (foretold.changed, made.changed) == (True, True)
    assert foretold["steps"] == made["steps"]
    assert foretold.diff == made.diff == {"before": {"power": before}, "after": {"power": shown}}
    assert made["guest"]["status"] == after
    assert [task["exit_status"] for task in made["tasks"]] == ["OK"] * len(actions)
    if state not in ("restarted", "reset"):
        again = once(pve, run_module, **arguments)
        assert not again.changed
        assert again.diff == {"before": {}, "after": {}}
        assert again["steps"] == again["tasks"] == []
        assert pve.summary() == NO_OP


@pytest.mark.parametrize(
    ("condition", "state"),
    [
        ("running", "started"),
        ("stopped", "stopped"),
        ("hibernated", "stopped"),
        ("paused", "paused"),
        ("hibernated", "hibernated"),
    ],
)
def test_a_no_op_costs_two_requests_and_one_connection(pve, run_module, condition, state):
    put(pve, condition)
    result = once(pve, run_module, vmid=100, state=state)
    assert not result.changed
    assert pve.summary() == NO_OP
    assert pve.connection_count == 1


@pytest.mark.parametrize("kind", ["auto", "lxc"])
def test_a_container(pve, run_module, kind):
    for state, method, actions in [
        ("started", "shutdown", ["start"]),
        ("started", "shutdown", []),
        ("restarted", "shutdown", ["reboot"]),
        ("restarted", "stop", ["stop", "start"]),
        ("stopped", "shutdown", ["shutdown"]),
        ("stopped", "shutdown", []),
        ("restarted", "shutdown", ["start"]),
        ("stopped", "stop", ["stop"]),
    ]:
        result = once(pve, run_module, vmid=200, state=state, stop_method=method, guest_type=kind)
        assert posts(pve) == actions, (state, method)
        assert result.changed is bool(actions)
        assert result["guest"]["type"] == "lxc"


def test_the_result_tells_the_guest_its_node_and_its_tasks(pve, run_module):
    result = once(pve, run_module, name="web", state="started")
    assert (result["vmid"], result["node"], result["steps"]) == (100, "pve1", ["start guest 100 (web)"])
    guest = result["guest"]
    assert (guest["name"], guest["type"], guest["status"], guest["template"]) == ("web", "qemu", "running", False)
    (task,) = result["tasks"]
    assert (task["type"], task["id"], task["user"]) == ("qmstart", "100", "root@pam!ansible")
    assert result["pending"] == []


def test_what_waits_for_the_next_start_is_returned(pve, run_module):
    pve.call(lambda: pve.server.guest(101).pending.update(cores=8))
    result = once(pve, run_module, vmid=101, state="paused")
    assert [(item["key"], item["pending"]) for item in result["pending"]] == [("cores", 8)]
    assert once(pve, run_module, vmid=101, state="restarted", stop_method="stop")["pending"] == []


REFUSED = [
    ({"vmid": 100, "state": "paused"}, "guest 100 (web) is stopped, so it cannot be paused"),
    ({"vmid": 100, "state": "reset"}, "guest 100 (web) is stopped, so it cannot be reset"),
    ({"vmid": 100, "state": "hibernated"}, "guest 100 (web) is stopped, so it cannot be hibernated"),
    ({"vmid": 200, "state": "paused"}, "is a container, which cannot be paused"),
    ({"vmid": 200, "wait_for": ["agent"]}, "is a container and has no guest agent: use wait_for=ip"),
    ({"vmid": 200, "guest_type": "qemu"}, "guest 200 is a container, not a virtual machine"),
    ({"name": "ct", "guest_type": "qemu"}, "can see: the guest of that name, 200, is a container"),
    ({"vmid": 100, "guest_type": "lxc"}, "guest 100 is a virtual machine, not a container"),
    ({"vmid": 9000, "state": "started"}, "is a template, which cannot be started"),
    ({"vmid": 999}, "there is no guest 999 that root@pam!ansible can see"),
    ({"name": "nobody"}, "there is no guest named 'nobody'"),
    ({"vmid": 100, "name": "db"}, "guest 100 on node pve1 is named 'web', not 'db'"),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSED)
def test_what_cannot_be_done_is_said_in_one_sentence(pve, run_module, arguments, words):
    for check in (True, False):
        result = run_module(NAME, arguments, check=check)
        assert result.failed
        assert words in result.msg
        assert "\n" not in result.msg
        assert result["error"]["message"] == result.msg
        assert result.changed is False
    assert posts(pve) == []


def test_a_template_is_always_stopped(pve, run_module):
    assert not once(pve, run_module, vmid=9000, state="stopped").changed


def test_guests_of_one_name_are_listed(pve, run_module):
    pve.add_guest(102, "web")
    result = run_module(NAME, {"name": "web"})
    assert "2 guests are named 'web' (100 on pve1, 102 on pve1): say which one by vmid" in result.msg
    assert posts(pve) == []
    assert once(pve, run_module, name="web", vmid=102).changed


BAD_INPUT = [
    ({}, "vmid or by name"),
    ({"vmid": 99}, "vmid must be from 100 to 999999999, not 99"),
    ({"vmid": 1_000_000_000}, "vmid"),
    ({"vmid": "abc"}, "vmid"),
    ({"vmid": 100, "state": "flying"}, "state"),
    ({"vmid": 100, "stop_method": "ask"}, "stop_method"),
    ({"vmid": 100, "shutdown_timeout": 0}, "shutdown_timeout must be more than 0 seconds"),
    ({"vmid": 100, "wait_timeout": 0}, "wait_timeout must be more than 0 seconds"),
    ({"vmid": 100, "timeout": 0}, "timeout must be more than 0 seconds"),
    ({"vmid": 100, "wait_for": ["dns"]}, "wait_for"),
    ({"vmid": 100, "state": "stopped", "wait_for": ["ip"]}, "wait_for only goes with"),
    ({"vmid": 100, "prefer_networks": ["10.0.0.0/8"]}, "are about the addresses of wait_for=ip"),
    ({"vmid": 100, "wait_for": ["ip"], "exclude_networks": ["lan"]}, "exclude_networks: 'lan' does not appear to be"),
    ({"vmid": 100, "api_host": "http://127.0.0.1"}, "api_host 'http://127.0.0.1' is plain http"),
    ({"vmid": 100, "api_host": ""}, "api_host is required"),
    ({"vmid": 100, "api_port": 70000}, "api_port"),
    ({"vmid": 100, "api_user": "root"}, "api_user 'root'"),
    ({"vmid": 100, "api_token_secret": ""}, "api_token_secret is required"),
    ({"vmid": 100, "api_token_secret": "a line\nbreak"}, "api_token_secret holds"),
    ({"vmid": 100, "api_fingerprint": "AA:BB"}, "api_fingerprint"),
    ({"vmid": 100, "api_timeout": -1}, "api_timeout"),
    ({"vmid": 100, "ca_path": "/nowhere.pem"}, "ca_path"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD_INPUT)
def test_bad_input_is_named_and_nothing_is_sent(pve, run_module, arguments, words):
    result = run_module(NAME, arguments)
    assert result.failed
    assert words in result.msg
    assert "\n" not in result.msg
    assert "Traceback" not in result.stdout + result.stderr
    assert pve.exchanges == []
    assert pve.connection_count == 0


def deaf(pve, vmid=101):
    pve.call(lambda: setattr(pve.server.guest(vmid), "acpi", False))


@pytest.mark.parametrize("state", ["stopped", "restarted"])
def test_a_guest_that_does_not_obey_is_an_error(pve, run_module, state):
    deaf(pve)
    result = run_module(NAME, {"vmid": 101, "state": state, "shutdown_timeout": 7})
    assert result.failed
    assert "VM quit/powerdown failed - got timeout" in result.msg
    assert "guest 101 (db)" in result.msg or "of 101 on node pve1" in result.msg
    assert pve.forms("POST", "101/status/")[0] == {"timeout": "7"}
    assert result["error"]["kind"] == "task_failed"
    assert condition_of(pve, 101) == "running"


def test_the_plug_is_pulled_after_asking(pve, run_module):
    deaf(pve)
    result = once(pve, run_module, vmid=101, state="stopped", stop_method="shutdown_then_stop", shutdown_timeout=9)
    assert result.changed
    assert pve.forms("POST", "101/status/shutdown") == [{"timeout": "9", "forceStop": "1"}]
    assert condition_of(pve, 101) == "stopped"


def test_the_plug_is_pulled_at_once(pve, run_module):
    deaf(pve)
    assert once(pve, run_module, vmid=101, state="stopped", stop_method="stop").changed
    assert posts(pve) == ["stop"]


# ---- HA


@pytest.fixture
def ha(pve):
    """Guest 100 is an HA resource; HA takes its time."""
    pve.knobs.ha_seconds = 0.8
    pve.call(lambda: setattr(pve.server.guest(100), "ha_state", "stopped"))
    return pve


@pytest.mark.parametrize("method", ["shutdown", "stop"])
def test_an_ha_guest_is_waited_for_until_it_really_is_there(ha, run_module, method):
    started = once(ha, run_module, vmid=100, state="started")
    assert span(ha) > 0.8
    assert (started["guest"]["status"], started["guest"]["ha_managed"]) == ("running", True)
    assert [task["type"] for task in started["tasks"]] == ["hastart"]
    stopped = once(ha, run_module, vmid=100, state="stopped", stop_method=method)
    assert stopped["guest"]["status"] == condition_of(ha) == "stopped"
    assert [task["type"] for task in stopped["tasks"]] == ["hastop"]
    assert not once(ha, run_module, vmid=100, state="stopped").changed


def test_an_ha_guest_is_down_before_it_is_started_again(ha, run_module):
    put(ha, "running")
    seen = []
    ha.before("POST", "status/start", lambda: seen.append(ha.server.guest(100).status))
    result = once(ha, run_module, vmid=100, state="restarted", stop_method="stop")
    assert seen == ["stopped"]
    assert posts(ha) == ["stop", "start"]
    assert result["guest"]["status"] == "running"


@pytest.mark.parametrize("slow", [False, True])
def test_an_ha_guest_that_does_not_come_up_is_an_error_at_the_deadline(ha, run_module, slow):
    ha.call(lambda: setattr(ha.server.guest(100), "start_error", "no"))
    if slow:  # The last look is cut off in its middle.
        ha.fault("GET", "100/status/current$", "delay", after=2, seconds=3.0)
    result = run_module(NAME, {"vmid": 100, "timeout": 2})
    assert result.failed
    assert "guest 100 (web) on node pve1 is stopped and not running" in result.msg
    assert "ha-manager status" in result.msg
    assert (result["changed"], result["error"]["upid"]) == (True, ha.tasks("hastart")[0]["upid"])


def test_an_ha_error_is_told_at_once(ha, run_module):
    ha.call(lambda: setattr(ha.server.guest(100), "start_error", "no"))
    current = "100/status/current$"
    ha.before("GET", current, lambda: setattr(ha.server.guest(100), "ha_state", "error"), after=2)
    result = run_module(NAME, {"vmid": 100})
    assert "HA state error" in result.msg
    assert span(ha) < 5


def test_a_lost_answer_of_ha_is_looked_up(ha, run_module):
    ha.fault("POST", "status/start", "lose_answer")
    once(ha, run_module, vmid=100)
    assert posts(ha) == ["start"]
    assert len(ha.tasks("hastart")) == 1


# ---- what comes after the task


def test_a_guest_that_dies_after_its_start_is_an_error(pve, run_module):
    pve.before("GET", "100/status/current", lambda: pve.server.halt_guest(pve.server.guest(100)), after=1)
    result = run_module(NAME, {"vmid": 100})
    assert result.failed
    assert "guest 100 (web) on node pve1 is stopped and not running, although PVE's task ended well" in result.msg
    assert result["changed"] is True
    assert result["steps"] == ["start guest 100 (web)"]


def test_a_reboot_is_waited_for_beyond_its_task(pve, run_module):
    def guest():
        return pve.server.guest(101)

    pve.before("GET", "101/status/current", lambda: pve.server.halt_guest(guest()), after=1)
    pve.before("GET", "101/status/current", lambda: pve.server.run_guest(guest()), after=4)
    result = once(pve, run_module, vmid=101, state="restarted")
    assert result["guest"]["status"] == "running"
    assert posts(pve) == ["reboot"]


def test_a_guest_that_is_being_made_is_waited_for(pve, run_module):
    pve.lock_guest(100, "clone")
    pve.before("GET", "100/config", lambda: pve.server.set_lock(pve.server.guest(100), None), after=1)
    assert once(pve, run_module, vmid=100).changed
    assert condition_of(pve) == "running"


def test_a_guest_that_stays_locked_by_its_making_is_told(pve, run_module):
    pve.lock_guest(100, "clone")
    result = run_module(NAME, {"vmid": 100, "timeout": 1})
    assert "guest 100 (web) on node pve1 is still locked (clone) after 1 s" in result.msg
    assert result["error"]["kind"] == "locked"
    assert posts(pve) == []


def test_a_locked_guest_is_told(pve, run_module):
    pve.lock_guest(100, "backup")
    result = run_module(NAME, {"vmid": 100})
    assert "VM is locked (backup)" in result.msg
    assert len(posts(pve)) == 1


# ---- agent and addresses

ADDRESS = {
    "name": "eth0",
    "hardware-address": "bc:24:11:00:00:64",
    "ip-addresses": [
        {"ip-address-type": "ipv6", "ip-address": "fe80::1", "prefix": 64},
        {"ip-address-type": "ipv4", "ip-address": "198.51.100.7", "prefix": 24},
        {"ip-address-type": "ipv6", "ip-address": "2001:db8::7", "prefix": 64},
    ],
}
LOOPBACK = {"name": "lo", "ip-addresses": [{"ip-address-type": "ipv4", "ip-address": "127.0.0.1", "prefix": 8}]}
FOUND = {"ipv4": ["198.51.100.7"], "ipv6": ["2001:db8::7"]}


@pytest.fixture
def agent(pve):
    """Guest 100 has an agent that says nothing yet."""
    pve.call(lambda: pve.server.guest(100).config.update(agent="1"))
    return pve


def speak(pve, *interfaces):
    pve.server.guest(100).agent = {"interfaces": list(interfaces)}


def test_the_agent_and_the_address_are_waited_for(agent, run_module):
    agent.before("GET", "agent/info", lambda: speak(agent, LOOPBACK), after=2)
    agent.before("GET", "network-get-interfaces", lambda: speak(agent, LOOPBACK, ADDRESS), after=1)
    result = once(agent, run_module, vmid=100, wait_for=["agent", "ip"])
    assert result["addresses"] == FOUND
    assert agent.summary().count("GET /nodes/pve1/qemu/100/agent/info") == 3
    again = once(agent, run_module, vmid=100, wait_for=["ip"])
    assert (again.changed, again["addresses"]) == (False, FOUND)


def test_check_mode_waits_only_for_what_is_there(agent, run_module):
    arguments = {"vmid": 100, "wait_for": ["ip"], "wait_timeout": 1}
    foretold = run_module(NAME, arguments, check=True)
    assert (foretold.failed, foretold.changed) == (False, True)
    assert "addresses" not in foretold.result
    agent.call(lambda: speak(agent, ADDRESS))
    once(agent, run_module, **arguments)
    assert run_module(NAME, arguments, check=True)["addresses"] == FOUND


@pytest.mark.parametrize("what", ["agent", "ip"])
def test_a_silent_agent_is_waited_for_no_longer_than_said(agent, run_module, what):
    agent.knobs.silent_agent_seconds = 0.3
    result = run_module(NAME, {"vmid": 100, "wait_for": [what], "wait_timeout": 1})
    assert span(agent) < 2.5
    assert result.failed
    assert "of guest 100 (web) on node pve1 did not come within 1 s: QEMU guest agent is not running" in result.msg
    assert (result["error"]["kind"], result["changed"]) == ("timed_out", True)


def test_an_agent_that_times_out_inside_does_not_stretch_the_wait(agent, run_module):
    message = "VM 100 qmp command 'guest-info' failed - got timeout"
    agent.fault("GET", "agent/info", "status", times=None, status=500, message=message)
    result = run_module(NAME, {"vmid": 100, "wait_for": ["agent"], "wait_timeout": 1})
    assert span(agent) < 2.5
    assert message in result.msg


def test_the_whole_time_bounds_the_wait_as_well(agent, run_module):
    result = run_module(NAME, {"vmid": 100, "wait_for": ["agent"], "wait_timeout": 60, "timeout": 2})
    assert "an answer of the guest agent of guest 100 (web) on node pve1 did not come within" in result.msg


@pytest.mark.parametrize("what", ["agent", "ip"])
def test_without_an_agent_there_is_nothing_to_wait_for(pve, run_module, what):
    result = run_module(NAME, {"vmid": 100, "wait_for": [what]})
    assert result.failed
    assert "guest 100 (web) has no guest agent configured" in result.msg


def test_an_agent_without_an_address_is_told(agent, run_module):
    agent.call(lambda: speak(agent, LOOPBACK))
    result = run_module(NAME, {"vmid": 100, "wait_for": ["ip"], "wait_timeout": 1})
    assert "an address of guest 100 (web) on node pve1 did not come within 1 s" in result.msg


def test_the_address_of_a_container(pve, run_module):
    network = "name=eth0,bridge=vmbr0,ip=192.0.2.20/24,ip6=fe80::2/64"
    pve.call(lambda: pve.server.guest(200).config.update(net0=network))
    result = once(pve, run_module, vmid=200, wait_for=["ip"])
    assert result["addresses"] == {"ipv4": ["192.0.2.20"], "ipv6": []}


DOCKER = {
    "name": "docker0",
    "hardware-address": "02:42:ac:11:00:01",
    "ip-addresses": [{"ip-address-type": "ipv4", "ip-address": "172.17.0.1", "prefix": 16}],
}
AGENT_ERRORS = [
    (
        {"error": {"class": "CommandNotFound", "desc": "The command has not been found"}},
        "The command has not been found",
    ),
    (["unsupported"], "its answer makes no sense: unsupported"),
]


@pytest.mark.parametrize(("answer", "words"), AGENT_ERRORS)
def test_an_agent_that_answers_with_an_error_is_told_in_its_words(agent, run_module, answer, words):
    agent.set_agent_interfaces(100, answer)
    result = run_module(NAME, {"vmid": 100, "wait_for": ["agent", "ip"], "wait_timeout": 1})
    assert (result["error"]["kind"], result["changed"]) == ("timed_out", True)
    assert "an address of guest 100 (web) on node pve1 did not come within 1 s: " in result.msg
    assert words in result.msg
    assert "Traceback" not in result.stdout + result.stderr


def test_an_agent_that_answers_at_last_is_waited_for(agent, run_module):
    agent.set_agent_interfaces(100, ["unsupported"])
    agent.before("GET", "network-get-interfaces", lambda: speak(agent, ADDRESS), after=1)
    assert once(agent, run_module, vmid=100, wait_for=["ip"])["addresses"] == FOUND


def test_a_bridge_inside_the_guest_is_not_its_address(agent, run_module):
    agent.call(lambda: speak(agent, LOOPBACK, DOCKER, {**ADDRESS, "ip-addresses": []}))
    result = run_module(NAME, {"vmid": 100, "wait_for": ["ip"], "wait_timeout": 1})
    assert "did not come within 1 s: 172.17.0.1 do not count" in result.msg
    agent.before("GET", "network-get-interfaces", lambda: speak(agent, DOCKER, ADDRESS), after=1)
    assert once(agent, run_module, vmid=100, wait_for=["ip"])["addresses"] == FOUND


def test_networks_that_are_preferred_or_excluded(agent, run_module):
    more = [*ADDRESS["ip-addresses"], {"ip-address-type": "ipv4", "ip-address": "10.1.2.3", "prefix": 8}]
    agent.call(lambda: speak(agent, {**ADDRESS, "ip-addresses": more}))
    arguments = {"vmid": 100, "wait_for": ["ip"], "exclude_networks": ["2001:db8::/32"]}
    found = once(agent, run_module, prefer_networks=["10.0.0.0/8"], **arguments)["addresses"]
    assert found == {"ipv4": ["10.1.2.3", "198.51.100.7"], "ipv6": []}
    only = {**arguments, "exclude_networks": ["198.51.100.0/24", "2001:db8::/32", "10.0.0.0/8"], "wait_timeout": 1}
    assert "198.51.100.7, 10.1.2.3, 2001:db8::7 do not count" in run_module(NAME, only).msg
