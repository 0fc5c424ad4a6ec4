# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts of the resident service that need no process."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
import types
from pathlib import Path

import certifi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.call_context import CallInterrupted
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.registry import ACTIONS, DROP, TAKE_BACK
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.service.clients import RUNNING, Client
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.service.journal import Journal
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.service.messages import (
    MAX_MESSAGE_BYTES,
    RUN,
    BadMessage,
    CallMessage,
    parse_message,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.service.metrics import (
    BUCKETS,
    Counters,
    prometheus,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.service.resources import (
    LongLivedResources,
    Resources,
    Settings,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.service.server import Server
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.service.service_call import ServiceCall
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.service.sessions import (
    CREDENTIAL_SECONDS,
    Sessions,
    Turns,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.connection import connection_options
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.deadline import Deadline
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import TimedOut
from tests.support.service import message_of

WORD = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
NAME = st.from_regex(r"CLOUDBRIDGE_[A-Z]{1,8}", fullmatch=True)


def options(secret="s", host="pve.example.com"):
    return connection_options(
        {
            "api_host": host,
            "api_user": "root@pam",
            "api_token_id": "ci",
            "api_token_secret": secret,
            "validate_certs": False,
            "api_timeout": 30,
        }
    )


class TestMessages:
    @given(WORD, st.lists(WORD, max_size=5), st.dictionaries(NAME, WORD, max_size=3))
    def test_they_arrive_as_they_were_sent(self, release, arguments, environment):
        message = parse_message(message_of(arguments, release, **environment))
        assert (message.release, list(message.arguments), message.environment) == (release, arguments, environment)

    @given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda data: b"cloudbridge 1\0run\0" + data))
    def test_nonsense_is_told_from_them(self, data):
        try:
            message = parse_message(data)
        except BadMessage:
            return
        assert message.kind in (b"run", b"status")

    @pytest.mark.parametrize("size", [MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES + 1, 10 * MAX_MESSAGE_BYTES])
    def test_they_are_no_longer_than_that(self, size):
        with pytest.raises(BadMessage):
            parse_message(b"x" * size)


def test_what_only_looks_is_dropped_and_what_makes_is_taken_back():
    fates = {action.name: action.orphaned for action in ACTIONS}
    assert [name for name, fate in fates.items() if fate == TAKE_BACK] == ["create"]
    looking = {"prepare", "status", "statuses", "getconsole", "ListSnapshots", "GuestInfo", "doctor"}
    assert {name for name, fate in fates.items() if fate == DROP} == looking


class TestJournal:
    def test_what_a_process_that_is_gone_has_left_is_found(self, tmp_path):
        journal = Journal(str(tmp_path))
        entry = journal.begin(vmid=105, node="pve1")
        entry.note(upid="UPID:1")
        entry.note(upid="UPID:2")
        # It is at work.
        assert journal.left_behind() == []
        entry.release()
        (found,) = journal.left_behind()
        assert (found.facts["vmid"], found.facts["upids"], found.answered) == (105, ["UPID:1", "UPID:2"], False)
        found.remove()
        assert list(tmp_path.iterdir()) == []

    def test_half_a_line_is_no_line(self, tmp_path):
        entry = Journal(str(tmp_path)).begin(vmid=105)
        entry.release()
        (path,) = tmp_path.iterdir()
        with path.open("ab") as file:
            file.write(b'{"answered": tr')
        (found,) = Journal(str(tmp_path)).left_behind()
        assert (found.facts["vmid"], found.answered) == (105, False)

    @given(st.binary(max_size=100))
    def test_whatever_is_in_the_file(self, tmp_path_factory, content):
        directory = tmp_path_factory.mktemp("journal")
        (directory / "x.deployment").write_bytes(content)
        (directory / "other").write_bytes(content)
        (found,) = Journal(str(directory)).left_behind()
        found.remove()
        assert [path.name for path in directory.iterdir()] == ["other"]

    @pytest.mark.parametrize("directory", ["", "/proc/nowhere"])
    def test_without_a_directory_it_lasts_as_long_as_the_process(self, directory):
        entry = Journal(directory).begin(vmid=105)
        entry.note(upid="UPID:1")
        entry.settle()
        assert (entry.facts["vmid"], entry.facts["upids"], entry.answered) == (105, ["UPID:1"], True)
        entry.remove()


class TestSessions:
    def test_a_credential_is_forgotten_soon_after_its_last_use(self):
        now = [1000.0]
        sessions = Sessions(clock=lambda: now[0])
        transport = sessions.borrow(options())
        now[0] += 10 * CREDENTIAL_SECONDS
        sessions.tidy()
        assert sessions.credentials == 1
        sessions.give_back(transport)
        now[0] += CREDENTIAL_SECONDS - 1
        sessions.tidy()
        assert sessions.credentials == 1
        now[0] += 2
        sessions.tidy()
        assert sessions.credentials == 0

    def test_each_credential_has_its_own(self):
        sessions = Sessions()
        first, second = sessions.borrow(options("one")), sessions.borrow(options("two"))
        assert sessions.credentials == 2
        assert "one" not in repr(first) + repr(sessions.__dict__)
        sessions.give_back(first)
        sessions.give_back(second)
        sessions.close()
        assert sessions.credentials == 0

    def test_a_file_of_authorities_that_changes_makes_another_one(self, tmp_path):
        path = tmp_path / "ca.pem"
        path.write_text(Path(certifi.where()).read_text("utf-8"), "utf-8")
        sessions, given = Sessions(), options()._replace(validate_certs=True, ca_path=str(path))
        for expected in (1, 1, 2):
            if expected == 2:
                path.write_text(path.read_text("utf-8") + "\n", "utf-8")
            sessions.give_back(sessions.borrow(given))
            assert sessions.credentials == expected


class TestTurns:
    def test_there_are_only_so_many_at_once(self):
        turns, deadline = Turns(1), Deadline(0.05)
        where = options().endpoints
        with turns.turn(where, Deadline(5), lambda: None):
            assert turns.running == 1
            with pytest.raises(TimedOut, match="while 1 requests"), turns.turn(where, deadline, lambda: None):
                pass
            with turns.turn(options(host="other").endpoints, deadline, lambda: None):
                assert turns.running == 2
        assert (turns.running, turns.waiting, turns._gates) == (0, 0, {})

    def test_whoever_waits_gets_one(self):
        turns, where = Turns(1), options().endpoints
        had = threading.Event()

        def wait():
            with turns.turn(where, Deadline(5), lambda: None):
                had.set()

        with turns.turn(where, Deadline(5), lambda: None):
            thread = threading.Thread(target=wait)
            thread.start()
            while not turns.waiting:
                time.sleep(0.001)
            assert not had.is_set()
        assert had.wait(5)
        thread.join()


class Thing:
    kind = "console"

    def __init__(self):
        self.closed = 0

    def close(self):
        self.closed += 1


class TestLongLivedResources:
    def test_what_is_added_is_counted_and_closed_once(self):
        long_lived, things = LongLivedResources(), [Thing(), Thing(), Thing()]
        for thing in things:
            assert long_lived.add(thing)
        long_lived.remove(things[0])
        assert long_lived.counts() == {"console": 2}
        long_lived.close()
        long_lived.close()
        assert [thing.closed for thing in things] == [0, 1, 1]
        assert long_lived.counts() == {}

    def test_what_comes_too_late_is_closed(self):
        long_lived, old, new = LongLivedResources(), Thing(), Thing()
        long_lived.add(old)
        long_lived.refuse()
        assert not long_lived.add(new)
        assert (old.closed, new.closed) == (0, 1)


class TestWaits:
    """Whoever waits for a deployment of the same instance waits for nothing that does not come."""

    FACTS = types.MappingProxyType(
        {"instance": "u", "vmid": 105, "node": "pve1", "deployment": "d", "identity": "x@pam!y", "endpoints": []}
    )

    @pytest.fixture
    def server(self, tmp_path):
        return Server(Resources(Settings(state_directory=str(tmp_path))), {0})

    @pytest.fixture
    def call(self, server):
        """One that has made a guest."""
        message = CallMessage(RUN, "", ("create", "payload", "600"), {})
        call = ServiceCall(message, -1, server.resources, server.recovery, time.monotonic())
        call.entry = server.resources.journal.begin(**self.FACTS)
        return call

    @pytest.fixture
    def client(self, server, call):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        client = Client(ours)
        client.call, client.state = call, RUNNING
        server._clients.add(client)
        server._calls.add(call)
        server._slots = 1
        server.loop.watch(ours, lambda: None)
        yield client
        theirs.close()

    @staticmethod
    def waits(server, seconds=30.0):
        """How long the next create of the instance waits."""
        vm = types.SimpleNamespace(uuid="u")
        request = types.SimpleNamespace(connection=options, payload=types.SimpleNamespace(vm=True), instance=vm)
        began = time.monotonic()
        server.recovery.offer(request, Deadline(seconds), wait=True)
        return time.monotonic() - began

    def test_for_an_executable_that_is_killed_in_the_turn_in_which_its_action_ends(self, server, call, client):
        call.ended({"status": "success"})
        server._drop(client)
        server._ended.append((client, b"{}", 0))
        server._send_answers()
        assert self.waits(server) < 5
        # What was made is the recovery's now, and waits for a credential.
        assert server.recovery.waiting == 1

    def test_for_one_that_takes_itself_back(self, server, call, client):
        server._drop(client)

        def end():
            time.sleep(0.3)
            call.ended({"status": "error", "kind": "refused"})
            server._ended.append((client, b"{}", 1))
            server._send_answers()

        thread = threading.Thread(target=end)
        thread.start()
        assert 0.2 < self.waits(server) < 5
        thread.join()
        assert server.recovery.waiting == 0

    def test_for_a_removal_that_fails_in_a_way_nobody_thought_of(self, server, call):
        server.recovery._take_down = lambda *_arguments: {}["missing"]
        server.recovery.add(call.entry, options())
        assert self.waits(server) < 5
        assert (server.recovery.busy, server.recovery.waiting) == (False, 1)

    def test_an_action_is_interrupted_once(self, call):
        """By a signal, and killed while it takes down what it has made."""
        call.interrupt("ended by signal 15")
        with pytest.raises(CallInterrupted, match="ended by signal 15"):
            call.deadline(5).pause(5)
        call.orphan()
        call.deadline(0.01).pause(0.01)

    def test_nor_is_one_that_takes_down_already(self, call):
        """Its time was over, and then CloudStack kills the executable."""
        call.interrupt("ended by signal 15")
        assert call.cleanup_seconds(3.0) == 3.0
        call.orphan()
        call.deadline(0.01).pause(0.01)


def test_counters_in_the_form_of_prometheus():
    counters = Counters()
    counters.action("status", 0.03)
    counters.action("status", 7.0, "not_found")
    counters.action('a"b', 1e6)
    state = {"release": "r", "now": {"running": 1, "open": {"console": 2}}, **counters.snapshot()}
    json.dumps(state)
    lines = prometheus(state).splitlines()
    assert 'cloudbridge_proxmox_actions_total{action="status"} 2' in lines
    assert 'cloudbridge_proxmox_errors_total{kind="not_found"} 1' in lines
    assert 'cloudbridge_proxmox_open{what="console"} 2' in lines
    assert 'cloudbridge_proxmox_action_seconds_bucket{action="status",le="0.05"} 1' in lines
    assert 'cloudbridge_proxmox_action_seconds_bucket{action="status",le="+Inf"} 2' in lines
    assert f'cloudbridge_proxmox_action_seconds_bucket{{action="a\\"b",le="{BUCKETS[-1]}"}} 0' in lines
    for line in lines:
        assert line.startswith("# TYPE ") or re.fullmatch(r'[a-z_]+(\{([a-z]+="[^\n]*",?)+\})? [\d.]+', line), line
