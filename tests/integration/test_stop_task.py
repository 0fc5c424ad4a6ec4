# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stopping a task: never twice in quick succession, and nothing believed before the task is seen to have ended."""

from __future__ import annotations

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.client import PveClient
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.connection import connection_options
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.deadline import Deadline
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import TimedOut
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.tasks import parse_upid, stop_task
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.transport import Transport


@pytest.fixture
def client(pve):
    user, _mark, token = pve.token_id.partition("!")
    options = connection_options(
        {
            "api_host": pve.url,
            "api_user": user,
            "api_token_id": token,
            "api_token_secret": pve.token_secret,
            "ca_path": pve.cafile,
            "validate_certs": True,
            "api_timeout": 10,
        }
    )
    client = PveClient(options, Deadline(30), Transport(options))
    yield client
    client.close()


@pytest.fixture
def clone(pve, client):
    pve.task_seconds["qmclone"] = 60
    return parse_upid(client.write("POST", "nodes", "pve1", "qemu", 9000, "clone", newid=105, full=1))


def asked(pve):
    """When PVE was asked to stop a task."""
    return [item.when for item in pve.exchanges if item.method == "DELETE" and "/tasks/" in item.path]


def test_one_request_and_the_end(pve, client, clone):
    assert stop_task(client, clone).exit_status == "received interrupt"
    assert len(asked(pve)) == 1
    assert 105 not in pve.vmids()
    assert stop_task(client, clone).exit_status == "received interrupt"
    assert len(asked(pve)) == 1


def test_an_answer_that_is_lost_is_not_asked_for_again_while_pve_cleans_up(pve, client, clone):
    pve.fault("DELETE", "/tasks/", "lose_answer")
    pve.knobs.clean_up_seconds = 2.0
    stop_task(client, clone)
    assert len(asked(pve)) == 1
    assert 105 not in pve.vmids()


def test_a_request_that_is_lost_is_sent_again_after_six_seconds(pve, client, clone):
    pve.fault("DELETE", "/tasks/", "drop")
    stop_task(client, clone)
    first, second = asked(pve)
    assert second - first >= 6
    assert 105 not in pve.vmids()


def test_after_somebody_else_has_asked_the_first_is_not_sent_at_once(pve, client, clone):
    pve.call(lambda: pve.server.cancel_task(clone.text))
    stop_task(client, clone, asked_before=True)
    assert asked(pve) == []
    assert 105 not in pve.vmids()


def test_the_deadline_says_that_the_task_still_runs(pve, client, clone):
    pve.knobs.lost_terms = 1
    client.deadline = Deadline(1.5)
    with pytest.raises(TimedOut, match=r"qmclone of 9000 was asked to stop and has not ended within [12] s, look at"):
        stop_task(client, clone)
