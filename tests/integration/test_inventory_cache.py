# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cache: a second run asks nobody, and who gave no answer is remembered for a while."""

from __future__ import annotations

import json
import time

import pytest

LIST = "GET /cluster/resources"
CACHE = """
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: {home}/cache
"""


PLAY = """
- name: Say who is there
  hosts: all
  gather_facts: false
  tasks:
    - name: Say it
      ansible.builtin.debug:
        var: pve_vmid
"""


def cached(tmp_path, *lines):
    return "\n".join([CACHE.format(home=tmp_path), *lines])


def cache_file(tmp_path):
    (found,) = (tmp_path / "cache").iterdir()
    return found


def remembered(tmp_path):
    """What the cache holds; ansible-core 2.19 and newer put it into an envelope."""
    data = json.loads(cache_file(tmp_path).read_text())
    return json.loads(data["__payload__"]) if "__payload__" in data else data


def remember(tmp_path, data):
    old = json.loads(cache_file(tmp_path).read_text())
    new = {**old, "__payload__": json.dumps(data)} if "__payload__" in old else data
    cache_file(tmp_path).write_text(json.dumps(new))


@pytest.mark.smoke
def test_a_second_run_makes_no_call_and_says_the_same(pve, inventory, play, tmp_path):
    for vmid in (110, 111):
        pve.add_guest(vmid, f"silent-{vmid}", status="running", config={"agent": "1"})
    text = cached(tmp_path, "connect_with: [agent_ipv4, name]", "gather: [config]")
    first = inventory(text)
    assert len(first.warnings) == 1
    calls = len(pve.summary())
    pve.reset_record()
    second = inventory(text)
    assert pve.connection_count == 0
    assert (second.hosts, second.groups, second.warnings) == (first.hosts, first.groups, first.warnings)
    assert "root@pam" in cache_file(tmp_path).read_text()
    assert pve.token_secret not in cache_file(tmp_path).read_text()
    # ansible-inventory of ansible-core 2.18 has no such option.
    flushed = play(PLAY, "-i", str(tmp_path / "test.pve.yml"), "--flush-cache")
    assert len(pve.summary()) == calls
    assert {task.host for task in flushed.tasks} == set(first.hosts)


def test_without_the_cache_every_run_asks(pve, inventory, tmp_path):
    for dummy in range(2):
        inventory(cached(tmp_path).replace("cache: true", "cache: false"))
    assert pve.summary() == [LIST, LIST]


def test_who_was_silent_is_asked_again_after_a_while_and_the_list_is_kept(pve, inventory, tmp_path):
    pve.add_guest(110, "slow", status="running", config={"agent": "1"})
    text = cached(tmp_path, "connect_with: [agent_ipv4]")
    assert len(inventory(text).warnings) == 1
    read_at = remembered(tmp_path)["read_at"]
    pve.reset_record()
    pve.set_agent_interfaces(110, [{"name": "eth0", "ip-addresses": [{"ip-address": "192.0.2.77"}]}])
    found = inventory(text + "\nagent_retry: 0")
    assert pve.summary() == ["GET /nodes/pve1/qemu/110/agent/network-get-interfaces"]
    assert found.hosts["slow"]["ansible_host"] == "192.0.2.77"
    # The list does not become younger by that.
    assert remembered(tmp_path)["read_at"] == read_at
    pve.reset_record()
    assert inventory(text).hosts["slow"]["ansible_host"] == "192.0.2.77"
    assert pve.summary() == []


def test_other_options_ask_only_for_what_is_not_known_yet(pve, inventory, tmp_path):
    inventory(cached(tmp_path))
    pve.reset_record()
    found = inventory(cached(tmp_path, "connect_with: [agent_ipv4]", "filters: {status: running}"))
    assert found.hosts["db"]["ansible_host"] == "192.0.2.10"
    assert set(found.hosts) == {"db"}
    assert pve.summary() == ["GET /nodes/pve1/qemu/101/agent/network-get-interfaces"]


def test_a_cache_of_another_cluster_or_time_or_hand_is_not_taken(pve, inventory, tmp_path):
    text = cached(tmp_path)
    inventory(text)
    inventory(text, env={"PROXMOX_HOST": f"localhost,{pve.host}"})
    inventory(text)
    assert pve.summary() == [LIST] * 3
    data = remembered(tmp_path)
    remember(tmp_path, {**data, "guests": data["guests"][1:2]})
    assert set(inventory(text).hosts) == {"web"}
    assert pve.summary() == [LIST] * 3
    for changed in ({"guests": 7}, {"version": 0}, {"read_at": time.time() - 4000}):
        remember(tmp_path, {**data, **changed})
        inventory(text)
    assert pve.summary() == [LIST] * 6


def test_a_cluster_that_is_down_does_not_matter_while_the_cache_lives(pve, inventory, tmp_path):
    pve.add_guest(110, "slow", status="running", config={"agent": "1"})
    text = cached(tmp_path, "connect_with: [agent_ipv4]", "agent_retry: 0")
    first = inventory(text)
    found = inventory(text, env={"PROXMOX_PORT": "1"})
    assert found.returncode != 0  # Another port is another cluster.
    pve.fault("GET", "", "drop", times=None)
    found = inventory(text)
    assert found.hosts == first.hosts
    assert "the addresses of 1 of 4 guests could not be read" in found.message
