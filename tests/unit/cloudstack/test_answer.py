# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The answer, the log, the registry and the time that a run has."""

from __future__ import annotations

import json

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.answer import MAX_ERROR, encode, failure
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.call_log import CallLog
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.call_time import margin_of, parse_wait
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.registry import ACTIONS, find_action
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import (
    Cause,
    InvalidRequest,
    TaskFailed,
    error_from_answer,
)


def test_the_reason_comes_first():
    body = {"message": "Parameter verification failed.\n", "errors": {"storage": "no such storage\n"}}
    error = error_from_answer("POST /nodes/pve1/qemu", 400, "x", body, "root@pam")
    document = failure(error)
    assert document["error"].startswith("Parameter verification failed.; storage: no such storage (PVE refused POST")


def test_the_log_of_a_task_is_passed_on():
    words = "bridge 'vmbr9' does not exist"
    error = TaskFailed(f"task qmstart of 105 failed: {words} (log: a | b)", Cause(pve_message=words))
    assert failure(error)["error"] == f"{words} (task qmstart of 105 failed (log: a | b))"


def test_a_failure_fits_the_user_interface():
    document = failure(InvalidRequest("x" * 5000), also="guest 105 is left")
    assert len(document["error"]) <= MAX_ERROR
    assert document["error"].endswith("guest 105 is left")


def test_secrets_and_foreign_words_are_left_out():
    error = InvalidRequest("api_token_secret is wrong: s3cr3t-s3cr3t at api_host")
    assert failure(error, ["s3cr3t-s3cr3t"])["error"] == "secret is wrong: ******** at url"


def test_an_answer_that_does_not_fit_says_so():
    line = encode({"status": "success", "message": ["x" * 1000] * 100})
    assert len(line) < 65536
    assert json.loads(line)["status"] == "error"


def test_any_text_is_one_line_of_ascii():
    line = encode({"error": 'quotes " and \n lines \ud800 ü'})
    assert line.isascii()
    assert line.count(b"\n") == 1


@pytest.mark.parametrize("name", ["prepare", "PREPARE", "Pre Pare", "pre_pare"])
def test_names_of_actions_in_any_case(name):
    assert find_action(name).name == "prepare"


@pytest.mark.parametrize(
    "name", ["", "destroy", "prepare2", "com.cloud.agent.api.CreateStoragePoolCommand@5d3e8a1c", "\udcff"]
)
def test_other_names_are_no_actions(name):
    assert find_action(name) is None


def test_every_action_is_there():
    assert all(callable(action.load()) for action in ACTIONS)


@pytest.mark.parametrize(
    ("text", "seconds"), [("60", 60), ("", 600), ("abc", 600), ("-5", 600), ("0", 600), ("1e9", 600)]
)
def test_the_wait(text, seconds):
    assert parse_wait(text) == seconds


@pytest.mark.parametrize(("wait", "margin"), [(1, 0.5), (4, 2), (10, 3), (60, 3), (1800, 90)])
def test_the_margin(wait, margin):
    assert margin_of(wait) == margin


class TestLog:
    def test_one_line_per_call_without_secrets(self, tmp_path):
        log = CallLog(str(tmp_path / "bridge.log"), secrets={"s3cr3t"})
        log.line(action="create", error='no "s3cr3t"\nhere')
        text = (tmp_path / "bridge.log").read_text()
        assert text.count("\n") == 1
        assert "s3cr3t" not in text

    def test_it_is_rotated(self, tmp_path):
        log = CallLog(str(tmp_path / "bridge.log"))
        log.max_bytes = 300
        for number in range(60):
            log.line(number=number)
        names = sorted(path.name for path in tmp_path.iterdir())
        assert names == ["bridge.log.1", "bridge.log.2", "bridge.log.3", "bridge.log.4"] or names[0] == "bridge.log"
        assert len(names) <= 5

    @pytest.mark.parametrize("path", ["", "/nonexistent/bridge.log", "/", "a\0b"])
    def test_it_is_never_in_the_way(self, path):
        CallLog(path).line(action="create")
