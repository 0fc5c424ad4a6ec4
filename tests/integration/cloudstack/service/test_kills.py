# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The executable, the service and PVE die at each step of a create: no guest stays half made."""

from __future__ import annotations

import json
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.cloudstack import Extension, payload
from tests.support.embedded_pve import running_embedded_pve, standard_guests
from tests.support.service import running_service, send_order, wait_until

BEFORE = [100, 101, 200, 9000]
# GET the template, POST clone, GET task, PUT config, POST start, GET task.
STEPS = range(6)
TASKS = {"qmclone": 0.15, "qmstart": 0.1}
UUID = "6f2c9a0e-2b1d-4c3e-9a54-0d1b7c8e9f10"
NOTES = f"CloudStack instance: i-2-45-VM\nCloudStack UUID: {UUID}\nCloudStack deployment: 0123456789abcdef"
MARK = {"tags": "cloudstack", "description": NOTES, "smbios1": f"uuid={UUID}"}


def at_step(pve, number, callback):
    """Do something right before the request of this number, once."""
    done = threading.Event()

    def act():
        callback()
        done.set()

    pve.server.hooks.clear()
    pve.before("*", "", act, after=number)
    return done


def create(pve, extension, **changes):
    return extension.start("create", payload("create_template", pve, **changes))


def ended(process):
    """The exit code and the answer of an executable."""
    output, _errors = process.communicate(timeout=60)
    return process.returncode, output


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    extension = Extension(tmp_path_factory.mktemp("kills"))
    with running_embedded_pve(guests=standard_guests) as pve, running_service(extension) as service:
        yield pve, extension, service


@pytest.fixture
def quiet(world):
    """PVE as it was, with tasks that take a while."""
    pve, _extension, service = world
    pve.reset_record()
    pve.task_seconds.clear()
    pve.task_seconds.update(TASKS)
    yield world
    wait_until(service.is_idle, 60)
    assert service.journal() == []
    if pve.guest(105) is not None:
        pve.remove_guest(105)
    assert pve.vmids() == BEFORE


@pytest.mark.parametrize("step", STEPS)
def test_the_executable_is_killed(quiet, step):
    pve, extension, service = quiet
    started = []

    def kill():
        started[0].kill()

    killed = at_step(pve, step, kill)
    started.append(create(pve, extension))
    code, output = ended(started[0])
    assert killed.wait(10)
    assert (code, output) == (-signal.SIGKILL, b"")
    wait_until(service.is_idle, 60)
    assert pve.vmids() == BEFORE
    assert pve.volumes("local-lvm") == [item for item in pve.volumes("local-lvm") if "-105-" not in item]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_executable_is_told_to_end(quiet, number):
    pve, extension, _service = quiet
    started = []
    at_step(pve, 2, lambda: started[0].send_signal(number))
    started.append(create(pve, extension))
    code, output = ended(started[0])
    assert code == 1
    assert json.loads(output)["error"] == f"ended by signal {number}"
    assert pve.vmids() == BEFORE


def test_killed_before_the_answer_was_printed(quiet):
    pve, extension, service = quiet
    path = extension.write(payload("create_template", pve))
    code, answer = service.ask("create", path, receipt=False)
    assert (code, json.loads(answer)["status"]) == (0, "success")
    wait_until(service.is_idle)
    assert pve.vmids() == BEFORE


def test_killed_after_the_answer_was_printed(quiet):
    pve, extension, service = quiet
    path = extension.write(payload("create_template", pve))
    assert service.ask("create", path)[0] == 0
    wait_until(service.is_idle)
    assert 105 in pve.vmids()


@pytest.mark.parametrize(
    ("action", "status", "seconds", "afterwards"),
    [("stop", "running", {"qmstop": 0.3}, "stopped"), ("start", "stopped", {"qmstart": 0.3}, "running")],
)
def test_what_does_no_harm_goes_on(quiet, action, status, seconds, afterwards):
    pve, extension, service = quiet
    pve.add_guest(105, "i-2-45-VM", config=MARK, status=status)
    pve.task_seconds.update(seconds)
    process = extension.start(action, payload(action, pve))
    wait_until(lambda: any(item.startswith("POST ") for item in pve.summary()))
    process.kill()
    ended(process)
    wait_until(service.is_idle)
    assert pve.status(105) == afterwards


def test_the_next_attempt_waits_until_nothing_is_left(quiet):
    """CloudStack tries again at once; with vmid_offset the number is the same."""
    pve, extension, _service = quiet
    pve.task_seconds["qmclone"] = 1.0
    offset = {"extension": {"vmid_offset": "100"}, "vm": {"id": 5}}
    process = create(pve, extension)
    wait_until(lambda: 105 in pve.vmids())
    process.kill()
    ended(process)
    answer = extension.call("prepare", payload("prepare", pve, **offset))
    assert answer["details"]["proxmox_vmid"] == "105"
    assert extension.call("create", payload("create_template", pve)).ok
    assert pve.status(105) == "running"


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("payload_stays", [True, False])
def test_the_service_is_killed(pve, extension, idle, step, payload_stays):
    pve.task_seconds.update(TASKS)
    idle.start()
    killed = at_step(pve, step, idle.kill)
    process = create(pve, extension)
    code, output = ended(process)
    assert killed.wait(10)
    assert code == 1
    assert json.loads(output)["kind"] == "service"
    assert pve.token_secret not in "".join(path.read_text() for path in idle.journal())
    if not payload_stays:
        for path in extension.payloads.iterdir():
            path.unlink()
    idle.start()
    if not payload_stays and step > 0:
        assert idle.status()["now"]["half_made"] == 1
        # Any call brings the credential.
        assert extension.call("statuses", payload("statuses", pve)).ok
    wait_until(idle.is_idle)
    assert pve.vmids() == BEFORE
    assert idle.journal() == []


def test_a_guest_that_cloudstack_knows_of_is_left_alone(pve, extension, idle):
    """The service dies between the answer and the receipt."""
    idle.start()
    path = extension.write(payload("create_template", pve))
    with idle.connect() as channel, path.open("rb") as file:
        send_order(channel, ["create", str(path), "600"], file.fileno())
        assert channel.recv(100).startswith(b"ready")
        channel.send(b"go")
        assert channel.recv(65536)[0] == 0
        idle.kill()
    assert len(idle.journal()) == 1
    idle.start()
    assert extension.call("statuses", payload("statuses", pve)).ok
    wait_until(idle.is_idle)
    assert idle.journal() == []
    assert pve.status(105) == "running"


def test_a_guest_that_is_somebody_elses_by_now_is_left_alone(pve, extension, idle):
    pve.task_seconds.update(TASKS)
    idle.start()
    at_step(pve, 3, idle.kill)
    ended(create(pve, extension))
    pve.remove_guest(105)
    pve.add_guest(105, "another", config={"description": NOTES}, status="running")
    idle.start()
    wait_until(idle.is_idle)
    assert pve.status(105) == "running"
    assert idle.journal() == []


def test_a_stub_is_named_and_removed_once_it_is_unlocked(pve, extension, idle):
    """Somebody stops the clone twice while there is no service (97b-tasks-stop-twice.json)."""
    pve.task_seconds.update(qmclone=30)
    idle.start()
    process = create(pve, extension)
    wait_until(lambda: any("/tasks/" in line for line in pve.summary()))
    idle.kill()
    ended(process)
    upid = pve.tasks("qmclone")[0]["upid"]
    pve.call(lambda: pve.server.cancel_task(upid))
    pve.call(lambda: pve.server.cancel_task(upid))
    wait_until(lambda: pve.tasks("qmclone")[0]["status"] == "stopped")
    idle.start()
    wait_until(lambda: "type 'qm unlock 105' on pve1" in idle.log())
    assert idle.status()["now"]["half_made"] == 1
    pve.lock_guest(105, None)
    idle.stop()
    idle.start()
    wait_until(idle.is_idle)
    assert pve.vmids() == BEFORE
    assert idle.journal() == []
    assert not [line for line in pve.summary() if line.startswith("DELETE") and "/tasks/" in line]


def test_pve_goes_away(extension, idle):
    """At each step, and comes back after the answer: the service then does what the call had no time for."""
    idle.start()

    def one(step):
        with running_embedded_pve(guests=standard_guests) as pve:
            pve.task_seconds.update(TASKS)
            pve.fault("*", "", "drop", times=None, after=step)
            code, answer = idle.ask("create", extension.write(payload("create_template", pve)), wait=4)
            assert code == 1, answer
            if 105 in pve.vmids():
                assert b"could not be removed" in answer
            pve.server.faults.clear()
            assert idle.ask("statuses", extension.write(payload("statuses", pve)))[0] == 0
            # The service has to hear of the end as well, and all of them end here. A request that was lost may come to
            # be carried out for half a minute.
            wait_until(idle.is_idle, 60)
            assert pve.vmids() == BEFORE

    with ThreadPoolExecutor(len(STEPS)) as pool:
        list(pool.map(one, STEPS))
    assert idle.journal() == []


def test_a_restart_lets_running_actions_end(pve, extension, idle):
    pve.task_seconds.update(qmclone=0.8)
    idle.start()
    process = create(pve, extension)
    wait_until(lambda: 105 in pve.vmids())
    began = time.monotonic()
    assert idle.stop() == 0
    assert time.monotonic() - began > 0.3
    code, output = ended(process)
    assert (code, json.loads(output)["status"]) == (0, "success")
    assert pve.status(105) == "running"
    assert idle.journal() == []


def test_a_stop_takes_back_what_takes_too_long(pve, extension, idle):
    pve.task_seconds.update(qmclone=30)
    idle.start("--stop-seconds", "0.3")
    process = create(pve, extension)
    wait_until(lambda: 105 in pve.vmids())
    assert idle.stop() == 0
    code, output = ended(process)
    assert code == 1
    assert json.loads(output)["error"] == "the service was stopped"
    assert pve.vmids() == BEFORE


def test_a_new_release_takes_over(pve, extension, idle):
    """The old process ends what it has begun, the new one answers meanwhile."""
    service = idle
    service.start()
    # Longer than it takes to start a successor on a busy machine.
    pve.task_seconds.update(qmclone=4.0)
    process = create(pve, extension)
    wait_until(lambda: 105 in pve.vmids())
    first = service.pid
    service.signal(signal.SIGHUP)
    wait_until(lambda: service.status()["pid"] != first)
    second = service.status()["pid"]
    assert service.process is not None
    assert service.process.poll() is None
    # The new one knows that the guest on its way is not its own.
    assert service.status()["now"]["half_made"] == 0
    assert extension.call("statuses", payload("statuses", pve)).ok
    assert service.status()["counters"]["actions"] == {"statuses": 1}
    code, output = ended(process)
    assert (code, json.loads(output)["status"]) == (0, "success")
    assert service.process.wait(30) == 0
    assert service.status()["pid"] == second
    assert pve.status(105) == "running"
    service.adopt(second)
