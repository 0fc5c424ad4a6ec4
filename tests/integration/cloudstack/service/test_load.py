# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many calls: status storms, and thousands of actions."""

from __future__ import annotations

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.cloudstack import payload
from tests.support.service import wait_until

UUID = "6f2c9a0e-2b1d-4c3e-9a54-0d1b7c8e9f{:02x}"
CALLS = 200
SOAK = int(os.environ.get("CLOUDBRIDGE_SOAK", "800"))


def add_instance(pve, number, status="running", name=None, **config):
    uuid, instance = UUID.format(number), f"i-2-{number}-VM"
    notes = f"CloudStack instance: {instance}\nCloudStack UUID: {uuid}\nCloudStack deployment: 0123456789abcdef"
    mark = {"tags": "cloudstack", "description": notes, "smbios1": f"uuid={uuid}", **config}
    pve.add_guest(1000 + number, name or instance, config=mark, status=status)


def status_of(pve, number):
    data = payload("status", pve, vm={"uuid": UUID.format(number), "name": f"i-2-{number}-VM", "id": number})
    data["virtualmachineid"], data["virtualmachinename"] = UUID.format(number), f"i-2-{number}-VM"
    data["cloudstack.vm.details"]["details"]["proxmox_vmid"] = str(1000 + number)
    return data


def storm(service, paths):
    """Ask for all of them at once."""
    begin = threading.Barrier(len(paths))

    def ask(path):
        begin.wait()
        return service.ask("status", path)

    with ThreadPoolExecutor(len(paths)) as pool:
        return list(pool.map(ask, paths))


@pytest.mark.parametrize("named", [True, False])
def test_a_storm_over_a_node(pve, extension, service, named):
    """Twenty instances, ten calls for each, each of which gets an answer of its own."""
    states = ["running", "stopped", "running", "stopped"]
    for number in range(20):
        add_instance(pve, number, states[number % 4], name=None if named else f"web-{number}")
    pve.guest(1002).qmpstatus = "paused"
    paths = [extension.write(status_of(pve, number % 20)) for number in range(CALLS)]
    answers = storm(service, paths)
    for number, (code, answer) in enumerate(answers):
        document = json.loads(answer)
        assert code == 0, document
        assert document["power_state"] == ("poweron" if states[number % 4] == "running" else "poweroff")
        assert document.get("guest_state") == ("paused" if number % 20 == 2 else None)
    assert len(pve.exchanges) == 2 * CALLS


def test_a_storm_over_what_cannot_be_answered(pve, extension, service):
    """Foreign guests, guests that are gone and wrong credentials among them: each gets its own answer."""
    add_instance(pve, 1)
    add_instance(pve, 2, name="i-2-1-VM")
    pve.add_guest(1003, "somebody-elses", status="running")
    wrong = status_of(pve, 1)
    wrong["externaldetails"]["host"]["secret"] = "00000000-0000-0000-0000-000000000000"
    kinds = [status_of(pve, 1), status_of(pve, 3), status_of(pve, 4), wrong]
    expected = [extension.call("status", data).output for data in kinds]
    paths = [extension.write(kinds[number % 4]) for number in range(40)]
    for number, (_code, answer) in enumerate(storm(service, paths)):
        assert answer == expected[number % 4]
    assert b"poweron" in expected[0]
    assert [json.loads(answer).get("kind") for answer in expected] == [
        None,
        "permission",
        "not_found",
        "authentication",
    ]


def test_requests_at_once_are_bounded(pve, extension, idle):
    idle.start("--most-requests", "3")
    at_once, most = [0], [0]
    lock = threading.Lock()

    def come():
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])

    for number in range(12):
        add_instance(pve, number)
    pve.fault("GET", "/snapshot$", "delay", times=None, seconds=0.15)
    pve.before("GET", "/snapshot$", come, times=None)
    paths = []
    for number in range(12):
        data = status_of(pve, number)
        paths.append(extension.write({**data, "action": "ListSnapshots", "parameters": {}}))
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda path: idle.ask("ListSnapshots", path), paths))
    assert {code for code, _answer in answers} == {0}
    # Twelve reads of 0.15 s, three at a time, take no less than four rounds.
    times = sorted(item.when for item in pve.exchanges if item.path.endswith("/snapshot"))
    assert times[-1] - times[0] > 0.4
    assert pve.connection_count <= 12


def test_thousands_of_actions_in_flat_memory(pve, extension, service):
    for number in range(8):
        add_instance(pve, number)
    paths = [extension.write(status_of(pve, number)) for number in range(8)]
    statuses = extension.write(payload("statuses", pve))

    def many(number, count):
        for turn in range(count):
            action, path = ("statuses", statuses) if turn % 7 == 0 else ("status", paths[number])
            code, answer = service.ask(action, path)
            assert code == 0, answer

    def run(count):
        with ThreadPoolExecutor(8) as pool:
            for call in [pool.submit(many, number, count // 8) for number in range(8)]:
                call.result()

    run(SOAK // 4)
    pve.reset_record()
    memory, files = service.resident_kib(), service.open_files()
    run(SOAK - SOAK // 4)
    pve.reset_record()
    assert service.resident_kib() - memory < 2048
    assert service.open_files() <= files + 2
    assert service.status()["now"]["threads"] < 20
    assert service.journal() == []


def test_one_that_is_killed_takes_nobody_with_it(pve, extension, service):
    """Of several that wait for one read, whose first one is to make it."""
    for number in range(6):
        add_instance(pve, number)
    paths = [extension.write(status_of(pve, number)) for number in range(6)]
    pool, others = ThreadPoolExecutor(6), []

    def line_up():
        process = extension.start("status", paths[1])
        wait_until(lambda: service.status()["now"]["running"] == 2)
        others.extend(pool.submit(service.ask, "status", path) for path in paths[2:])
        wait_until(lambda: service.status()["now"]["running"] == 6)
        process.kill()
        process.communicate()

    pve.before("GET", "/config$", line_up)
    assert b"poweron" in service.ask("status", paths[0])[1]
    assert {call.result(30) for call in others} == {(0, b'{"status": "success", "power_state": "poweron"}\n')}
    wait_until(service.is_idle)
