# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pve_guest_exec, pve_guests_exec, pve_guest_file and pve_guest_agent_info."""

from __future__ import annotations

import base64
import hashlib
import os
import re

import pytest

from tests.support import canaries
from tests.support.embedded_pve.guest_agent import hash_in_shadow

DB = {"vmid": 101}


class TestExec:
    def test_as_the_command_module(self, run_module, agent):
        result = run_module("pve_guest_exec", {**DB, "argv": ["printf", "%s|", "a b", "Grüße ✓", "$HOME"]})
        assert result.changed
        assert (result["rc"], result["stdout"], result["stderr"]) == (0, "a b|Grüße ✓|$HOME|", "")
        assert result["cmd"] == ["printf", "%s|", "a b", "Grüße ✓", "$HOME"]
        assert result["steps"] == ["run printf"]
        assert (result["vmid"], result["node"]) == (101, "pve1")

    def test_a_line_of_the_shell_with_input_and_directory(self, run_module, agent):
        (agent.root / "sub").mkdir()
        line = "pwd; cat; echo err >&2"
        arguments = {**DB, "command": line, "stdin": "in", "chdir": str(agent.root / "sub")}
        result = run_module("pve_guest_exec", arguments)
        assert result["stdout_lines"] == [str(agent.root / "sub"), "in"]
        assert result["stderr_lines"] == ["err"]

    def test_a_failure_has_the_output(self, run_module, agent):
        result = run_module("pve_guest_exec", {**DB, "command": "echo out; echo err >&2; exit 7"})
        assert result.failed
        assert "ended with 7" in result.msg
        assert (result["rc"], result["stdout"], result["stderr"]) == (7, "out", "err")
        assert result["error"]["kind"] == "command"
        assert result.changed

    def test_creates_and_removes(self, run_module, agent):
        touch = {**DB, "argv": ["touch", "made here"], "creates": "made*"}
        assert run_module("pve_guest_exec", touch, check=True).changed
        assert not (agent.root / "made here").exists()
        assert run_module("pve_guest_exec", touch).changed
        for check in (True, False):
            again = run_module("pve_guest_exec", touch, check=check)
            assert not again.changed
            assert again["msg"] == "Did not run command since 'made*' exists"
        remove = {**DB, "argv": ["rm", "made here"], "removes": "made here"}
        assert run_module("pve_guest_exec", remove).changed
        assert run_module("pve_guest_exec", remove)["stdout"] == "skipped, since 'made here' does not exist"

    def test_check_mode_runs_nothing(self, run_module, agent):
        result = run_module("pve_guest_exec", {**DB, "argv": ["touch", "x"]}, check=True)
        assert result.changed
        assert result["msg"] == "Command would have run if not in check mode"
        assert agent.started == []

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({}, "one of argv and command"),
            ({"argv": ["a"], "command": "a"}, "one of argv and command"),
            ({"argv": [""]}, "empty word"),
        ],
    )
    def test_wrong_options(self, run_module, agent, options, words):
        result = run_module("pve_guest_exec", {**DB, **options})
        assert result.failed
        assert words in result.msg

    def test_a_stopped_guest_and_a_container(self, run_module, pve):
        for check in (True, False):
            result = run_module("pve_guest_exec", {"vmid": 100, "argv": ["true"]}, check=check)
            assert "guest 100 (web) on node pve1 is stopped" in result.msg
        assert "is a container" in run_module("pve_guest_exec", {"vmid": 200, "argv": ["true"]}).msg


def test_many_guests(run_module, pve, agent, tmp_path):
    pve.add_guest(102, "app", status="running", config={"tags": "prod"})
    pve.run_agent(102, tmp_path / "app")
    result = run_module(
        "pve_guests_exec",
        {"guests": [{"vmid": 101, "command": "exit 3"}, {"name": "app"}], "defaults": {"command": "echo $((6 * 7))"}},
    )
    assert result.failed
    assert result["results"][0]["rc"] == 3
    assert result["results"][1]["stdout"] == "42"
    selected = run_module(
        "pve_guests_exec", {"select": {"tags": ["prod"]}, "defaults": {"argv": ["pwd"]}, "per_node": 1}
    )
    assert [one["stdout"] for one in selected["results"]] == [str(tmp_path / "app")]


class TestFile:
    @pytest.mark.parametrize("size", [12, 200_000])
    def test_it_is_made_once(self, run_module, agent, tmp_path, size):
        path, source = agent.root / "file", tmp_path / "source"
        source.write_bytes(os.urandom(size))
        arguments = {**DB, "path": str(path), "src": str(source), "mode": "0600"}
        foreseen = run_module("pve_guest_file", arguments, check=True)
        assert not path.exists()
        made = run_module("pve_guest_file", arguments)
        assert path.read_bytes() == source.read_bytes()
        assert path.stat().st_mode & 0o7777 == 0o600
        assert made["checksum"] == hashlib.sha256(source.read_bytes()).hexdigest()
        assert foreseen.changed
        assert made.changed
        assert foreseen["diff"] == made["diff"]
        assert not run_module("pve_guest_file", arguments, check=True).changed
        assert not run_module("pve_guest_file", arguments).changed

    def test_the_diff_is_that_of_the_content(self, run_module, agent):
        path = agent.root / "file"
        path.write_text("old\n")
        path.chmod(0o644)
        arguments = {**DB, "path": str(path), "content": "new ✓\n", "mode": "0640"}
        result = run_module("pve_guest_file", arguments, diff=True)
        assert result["diff"] == {
            "before": {"content": "old\n", "mode": "0644"},
            "after": {"content": "new ✓\n", "mode": "0640"},
        }
        assert result["steps"] == [f"change content and mode of {path}"]
        assert (path.read_text(), path.stat().st_mode & 0o777) == ("new ✓\n", 0o640)

    def test_attributes_alone(self, run_module, agent):
        path = agent.root / "file"
        path.write_text("text")
        path.chmod(0o600)
        arguments = {**DB, "path": str(path), "mode": "4755", "owner": str(os.getuid()), "group": str(os.getgid())}
        assert run_module("pve_guest_file", arguments)["diff"]["after"] == {"mode": "4755"}
        assert path.stat().st_mode & 0o7777 == 0o4755
        assert not run_module("pve_guest_file", arguments).changed

    def test_reading(self, run_module, agent):
        path = agent.root / "漢"
        path.write_bytes(b"\xff\x00text")
        path.chmod(0o604)
        result = run_module("pve_guest_file", {**DB, "path": str(path), "state": "read"})
        assert not result.changed
        assert base64.b64decode(result["content"]) == b"\xff\x00text"
        assert (result["size"], result["mode"], result["uid"]) == (6, "0604", os.getuid())

    def test_deleting(self, run_module, agent):
        path = agent.root / "file"
        path.write_text("text")
        arguments = {**DB, "path": str(path), "state": "absent"}
        assert run_module("pve_guest_file", arguments, check=True).changed
        assert path.exists()
        assert run_module("pve_guest_file", arguments).changed
        assert not path.exists()
        assert not run_module("pve_guest_file", arguments).changed

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"path": "relative", "content": "x"}, "path must be the whole path"),
            ({"content": "x", "mode": "u+x"}, "mode must be four octal digits in quotes"),
            # What YAML makes of 0644 without quotes.
            ({"content": "x", "mode": 420}, "mode must be four octal digits in quotes, as in '0644', not '420'"),
            ({"content": "x", "owner": "a;b"}, "owner 'a;b' is no name"),
            ({"content": "x", "state": "read"}, "content is for state present"),
            ({"mode": "0644"}, "give content or src to make it"),
            ({"state": "read"}, "there is no file"),
            ({"path": "/tmp", "content": "x"}, "/tmp in guest 101 (db) is a directory"),
            ({"path": "/no/dir/file", "content": "x"}, "/no/dir/file in guest 101 (db): "),
            ({"src": "/no/such/source"}, "src '/no/such/source' cannot be read: No such file"),
        ],
    )
    def test_what_does_not_work(self, run_module, agent, options, words):
        result = run_module("pve_guest_file", {**DB, "path": str(agent.root / "none"), **options})
        assert result.failed
        assert words in result.msg

    def test_a_large_file_is_not_returned(self, run_module, agent):
        (agent.root / "large").write_bytes(bytes(1024 * 1024 + 1))
        result = run_module("pve_guest_file", {**DB, "path": str(agent.root / "large"), "state": "read"})
        assert "more than the 1048576 that are returned" in result.msg


class TestAgentInfo:
    def test_all_of_it(self, run_module, pve):
        result = run_module("pve_guest_agent_info", DB)
        agent = result["agent"]
        assert not result.changed
        assert (agent["os"]["id"], agent["host_name"], agent["vcpus"]) == ("debian", "db", {"total": 2, "online": 2})
        assert "guest-exec" in agent["version"]["commands"]
        assert agent["filesystems"][0]["used_bytes"] == 2147483648
        assert agent["time"]["zone"] == "UTC"
        assert result["errors"] == {}

    def test_a_part_fails_alone(self, run_module, pve):
        error = {"class": "CommandNotFound", "desc": "Command guest-get-users has been disabled"}
        pve.call(lambda: pve.guest(101).agent.update({"get-users": {"error": error}}))
        result = run_module("pve_guest_agent_info", {**DB, "gather": ["users", "os"]})
        assert result["agent"]["users"] is None
        assert result["agent"]["os"]["id"] == "debian"
        assert "has been disabled" in result["errors"]["users"]
        assert any("does not tell users" in warning for warning in result["warnings"])
        assert run_module("pve_guest_agent_info", {**DB, "gather": ["users"]}).failed

    def test_answers_that_make_no_sense_are_those_of_their_parts(self, run_module, pve):
        senseless = {
            "info": {"supported_commands": [{}]},
            "get-fsinfo": [1],
            "get-time": "x" * 20000,
            "get-host-name": None,
            "get-vcpus": 5,
            "get-users": "abc\n\x1b[31m",
            "os": ["x"],
        }
        pve.call(lambda: pve.guest(101).agent.update(senseless))
        result = run_module("pve_guest_agent_info", DB)
        assert not result.failed, result.msg
        assert result["agent"]["interfaces"] is not None
        assert set(result["errors"]) == {"version", "os", "host_name", "filesystems", "users", "time", "vcpus"}
        for message in result["errors"].values():
            assert re.match(r"the guest agent of guest 101 \(db\) answers what makes no sense: \S", message)
            assert message.isprintable()
            assert len(message) < 400

    def test_a_silent_agent_is_asked_once(self, run_module, pve):
        pve.silence_agent(101)
        result = run_module("pve_guest_agent_info", DB)
        assert "does not answer" in result.msg
        assert sum("/agent/" in line for line in pve.summary()) == 1


class TestPassword:
    """Each of the users has another state: locked, never set, and with a password."""

    ROOT = {**DB, "user": "root", "password": "pässwört 漢:1"}
    HASH = "$6$salt$" + "x" * 86

    @pytest.fixture(autouse=True)
    def _users(self, agent):
        agent.add_users(root="!*", new="", app="$6$old")

    @pytest.mark.parametrize("user", ["root", "new"])
    def test_it_is_set_once(self, run_module, agent, user):
        arguments = {**self.ROOT, "user": user}
        before = agent.hash_of(user)
        foreseen = run_module("pve_guest_password", arguments, check=True)
        assert agent.hash_of(user) == before
        made = run_module("pve_guest_password", arguments)
        assert foreseen.changed is made.changed is True
        assert foreseen["steps"] == made["steps"] == [f"set the password of {user}"]
        assert agent.hash_of(user) == hash_in_shadow(arguments["password"])
        for check in (True, False):
            assert not run_module("pve_guest_password", {**arguments, "password": "another one"}, check=check).changed

    def test_a_user_who_has_one_keeps_it_unless_it_is_always_set(self, run_module, agent):
        arguments = {**self.ROOT, "user": "app"}
        assert not run_module("pve_guest_password", arguments).changed
        assert agent.hash_of("app") == "$6$old"
        for _run in range(2):
            assert run_module("pve_guest_password", {**arguments, "update_password": "always"}).changed
        assert agent.hash_of("app") == hash_in_shadow(arguments["password"])

    # The hash is in the guest's own file, and may be nowhere else.
    @pytest.mark.shows_secrets(canaries.PASSWORD)
    def test_a_hash_is_compared(self, run_module, agent):
        arguments = {**DB, "user": "app", "password": self.HASH, "crypted": True, "update_password": "always"}
        assert run_module("pve_guest_password", arguments, check=True).changed
        made = run_module("pve_guest_password", arguments, diff=True)
        assert made.changed
        assert self.HASH not in made.stdout + made.stderr
        assert agent.hash_of("app") == self.HASH
        assert not run_module("pve_guest_password", arguments).changed

    def test_it_is_an_argument_of_nothing(self, run_module, agent, pve):
        arguments = {**DB, "user": "root", "password": "plain-password-77", "update_password": "always"}
        pve.fault("POST", "/agent/set-user-password$", "lose_answer")
        assert run_module("pve_guest_password", arguments).changed
        assert agent.started == []

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"user": "nobody"}, "there is no user nobody in guest 101 (db)"),
            (
                {"user": "nobody", "update_password": "always"},
                "guest 101 (db) has not set the password of nobody: there",
            ),
            ({"user": "a:b"}, "user 'a:b' is no name of a user"),
            ({"password": "four"}, "password has 4 bytes, and PVE takes from 5 to 1024"),
            ({"password": "with\nline"}, "password holds a character that none can have"),
            ({"password": "no hash at all", "crypted": True}, "password is no hash as /etc/shadow has it"),
        ],
    )
    def test_what_does_not_work(self, run_module, options, words):
        result = run_module("pve_guest_password", {**self.ROOT, **options})
        assert result.failed
        assert words in result.msg

    def test_a_guest_without_a_file_of_passwords(self, run_module, agent):
        agent.shadow.unlink()
        agent.moved.append("/etc/master.passwd")
        assert "has neither /etc/shadow nor /etc/master.passwd" in run_module("pve_guest_password", self.ROOT).msg
