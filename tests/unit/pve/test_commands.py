# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One change seen through: what is sent again, what is looked up first, and what is given up."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.commands import Command, run_command
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import (
    AnswerLost,
    Cause,
    CertificateRejected,
    ErrorReason,
    Locked,
    PermissionDenied,
    Refused,
    TaskFailed,
    TimedOut,
    TransportError,
    Unreachable,
    error_from_answer,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.guests import Guest, GuestHandle
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.turns import Turns
from tests.support.clock import Clock

WHO = "root@pam!ci"
LOCK_TIMEOUT = "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout"
MISSING = "unable to find configuration file for VM 100 on node 'pve1'"
NOW = 1_700_000_000


def upid_of(number, start=NOW, user=WHO, kind="qmstart", node="pve1"):
    return f"UPID:{node}:{number:08X}:00000000:{start:08X}:{kind}:100:{user}:"


def refused(message, status=500):
    return error_from_answer("POST x", status, message, {"message": message}, WHO)


@dataclass
class Pve:
    """As much of a client, and of PVE behind it, as a command needs; its time passes only in pauses.

    happens says for each time the change is sent what becomes of it: "done", "lost after it was done", "lost before
    PVE had it", "done late", an error to raise, or the text with which its task ends.
    """

    happens: list = field(default_factory=list)
    tasks: dict = field(default_factory=dict)
    sent: list = field(default_factory=list)
    asked: list = field(default_factory=list)
    effects: int = 0
    patience: float = 600.0
    server_time: int = NOW
    identity: str = WHO
    own_upids: set = field(default_factory=set)
    lost_answers: int = 0
    unreadable: object = None
    node_of_guest: str = "pve1"
    wait_for_lock: float | None = None
    unlocked_at: float = 0.0

    def __post_init__(self):
        self.clock = Clock()
        self.deadline = self.clock.deadline(self.patience)
        self.later = []
        self.turns = Turns()

    def new_task(self, ends="OK", node="pve1"):
        upid = upid_of(len(self.tasks) + 1, node=node)
        self.tasks[upid] = ends
        self.effects += ends == "OK"
        return upid

    def write(self, method, *path, **form):
        self.sent.append((method, path, form))
        happens = self.happens.pop(0) if self.happens else "done"
        if isinstance(happens, Exception):
            raise happens
        if happens == "done":
            return self.new_task(node=path[1])
        if happens == "lost after it was done":
            self.new_task()
            raise AnswerLost("the connection broke")
        if happens == "lost before PVE had it":
            raise AnswerLost("the connection broke")
        if happens == "done late":
            self.later.append(self.clock.now + 20)
            raise AnswerLost("PVE gave no answer: 596", Cause(status=596), late=True)
        return self.new_task(happens, node=path[1])

    def read(self, *path, **query):
        self.asked.append(path)
        if isinstance(self.unreadable, Exception):
            raise self.unreadable
        while self.later and self.later[0] <= self.clock.now:
            self.later.pop(0)
            self.new_task()
        if path == ("cluster", "resources"):
            return [{"vmid": 100, "node": self.node_of_guest, "type": "qemu"}]
        if path[-1] == "current":
            return {"lock": "backup"} if self.clock.now < self.unlocked_at else {}
        if path[-1] == "tasks":
            if query["source"] == "active":
                return [{"upid": upid_of(77, kind="vzdump", user="root@pam")}]
            return [{"upid": upid} for upid in self.tasks]
        if path[-1] == "time":
            return {"time": self.server_time}
        if path[-1] == "log":
            return [{"n": 1, "t": "TASK ERROR"}]
        ends = self.tasks[path[3]]
        return {"status": "running"} if ends == "running" else {"status": "stopped", "exitstatus": ends}


def command(pve=None, done=None, **fields):
    return Command(
        "POST",
        ("qemu", 100, "status", "start"),
        node="pve1",
        task_type="qmstart",
        task_id="100",
        done=done or (lambda: bool(pve and pve.effects)),
        **fields,
    )


def run(pve, given=None, handle=None):
    return run_command(pve, given or command(), handle)


def handle_of(pve):
    return GuestHandle(pve, Guest(100, "pve1", "qemu"))


def test_a_change_is_sent_once_and_its_task_awaited():
    pve = Pve()
    task = run(pve)
    assert (task.exit_status, len(pve.sent), pve.clock.slept) == ("OK", 1, [])
    assert pve.own_upids == {task.upid}


def test_a_change_without_a_task_gives_none():
    pve = Pve()
    pve.write = lambda method, *path, **form: None
    assert run(pve) is None


def test_a_lost_answer_is_looked_up_and_its_task_awaited():
    pve = Pve(["lost after it was done"])
    assert run(pve).upid == upid_of(1)
    assert (len(pve.sent), pve.effects) == (1, 1)


def test_a_task_that_comes_late_is_waited_for():
    pve = Pve(["done late"])
    assert run(pve).exit_status == "OK"
    assert (len(pve.sent), pve.effects) == (1, 1)
    assert pve.clock.now >= 20


def test_what_pve_never_had_is_sent_again_after_looking():
    pve = Pve(["lost before PVE had it", "done"])
    assert run(pve, command(pve)).exit_status == "OK"
    assert (len(pve.sent), pve.effects) == (2, 1)
    assert pve.clock.now < 4


def test_an_effect_without_a_task_is_enough():
    pve = Pve(["lost before PVE had it"])
    assert run(pve, command(done=lambda: True)) is None
    assert len(pve.sent) == 1


def test_it_is_not_sent_a_third_time():
    pve = Pve(["lost before PVE had it", "lost before PVE had it", "done"])
    with pytest.raises(AnswerLost, match="does not show within 3 s that it did it"):
        run(pve)
    assert len(pve.sent) == 2


def test_the_first_one_is_still_known_when_the_second_is_lost_as_well():
    pve = Pve(["lost before PVE had it", "lost before PVE had it"])
    look = pve.read

    def read(*path, **query):
        pve.server_time = NOW + int(pve.clock.now)
        if len(pve.sent) == 2 and not pve.tasks:
            pve.new_task()
        return look(*path, **query)

    pve.read = read
    assert run(pve).upid == upid_of(1)
    assert len(pve.sent) == 2


def test_what_must_not_be_done_twice_is_not_sent_again():
    pve = Pve(["lost before PVE had it", "done"])
    with pytest.raises(AnswerLost):
        run(pve, command(once=True))
    assert (len(pve.sent), pve.effects) == (1, 0)


def test_what_must_not_be_done_twice_is_found_when_it_was_done():
    pve = Pve(["lost after it was done"])
    assert run(pve, command(once=True)).exit_status == "OK"
    assert len(pve.sent) == 1


def test_what_must_not_be_done_twice_is_sent_again_when_pve_surely_had_it_not():
    pve = Pve([Unreachable("refused"), refused(LOCK_TIMEOUT), "done"])
    assert run(pve, command(once=True)).exit_status == "OK"
    assert (len(pve.sent), pve.effects) == (3, 1)


def test_a_command_of_the_same_second_does_not_hide_the_lost_one():
    pve = Pve(["done", "lost after it was done"])
    first, second = run(pve), run(pve)
    assert first.upid != second.upid
    assert (len(pve.sent), pve.effects) == (2, 2)


@pytest.mark.parametrize(
    "stranger",
    [
        upid_of(0xA, user="root@pam"),
        upid_of(0xA, user="root@pam!other"),
        upid_of(0xA, start=NOW - 1),
        upid_of(0xA, kind="qmstop"),
        upid_of(0xA).replace(":100:", ":101:"),
    ],
)
def test_the_task_of_somebody_else_is_not_taken_for_ones_own(stranger):
    pve = Pve(["lost before PVE had it", "done"], tasks={stranger: "OK"})
    assert run(pve).upid != stranger
    assert len(pve.sent) == 2


def test_before_the_first_answer_no_task_is_ones_own():
    pve = Pve(["lost before PVE had it", "done"], tasks={upid_of(0xA, start=1): "OK"}, server_time=0)
    assert run(pve).upid != upid_of(0xA, start=1)


def test_the_looked_up_task_of_another_run_counts_when_the_effect_is_there():
    pve = Pve(["lost before PVE had it"], tasks={upid_of(0xA): "VM 100 already running"}, effects=1)
    assert run(pve, command(pve, accepts=frozenset({ErrorReason.ALREADY_RUNNING}))) is None
    assert len(pve.sent) == 1


def test_a_looked_up_task_that_met_the_lock_is_sent_again():
    pve = Pve(["lost before PVE had it", "done"], tasks={upid_of(0xA): LOCK_TIMEOUT})
    assert run(pve).exit_status == "OK"
    assert (len(pve.sent), pve.effects) == (2, 1)


@pytest.mark.parametrize("end", [LOCK_TIMEOUT, refused(LOCK_TIMEOUT)])
def test_a_lock_that_is_held_is_waited_for(end):
    pve = Pve([end, end, "done"])
    assert run(pve).exit_status == "OK"
    assert len(pve.sent) == 3


def test_a_lock_that_stays_held_is_given_up():
    pve = Pve([refused(LOCK_TIMEOUT)] * 1000)
    with pytest.raises(Locked):
        run(pve)
    assert 85 < pve.clock.now < 90


def test_unreachable_is_tried_for_a_minute():
    pve = Pve([Unreachable("refused")] * 1000)
    with pytest.raises(Unreachable):
        run(pve)
    assert 55 < pve.clock.now < 60


def test_every_wait_is_bounded_by_the_deadline_of_the_operation():
    for happens in (Unreachable("refused"), refused(LOCK_TIMEOUT), "lost before PVE had it", "done late"):
        pve = Pve([happens] * 1000, patience=2)
        with pytest.raises((Unreachable, Locked, AnswerLost)):
            run(pve)
        assert pve.clock.now <= 2


def test_the_patience_begins_with_the_first_trouble():
    pve = Pve(["running", "done"])
    look = pve.read

    def read(*path, **query):
        if pve.clock.now > 200:
            pve.tasks[upid_of(1)] = LOCK_TIMEOUT
        return look(*path, **query)

    pve.read = read
    assert run(pve).exit_status == "OK"
    assert len(pve.sent) == 2


@pytest.mark.parametrize(
    "error",
    [refused("VM is locked (backup)"), refused("x", 403), refused("Bad Request", 400), CertificateRejected("x")],
)
def test_other_refusals_are_final(error):
    pve = Pve([error])
    with pytest.raises(type(error)):
        run(pve)
    assert (len(pve.sent), pve.clock.slept) == (1, [])


LOCKED_NOW = refused("VM is locked (backup)")
LOCKED_IN_THE_TASK = "VM is locked (backup)"


@pytest.mark.parametrize("happens", [LOCKED_NOW, LOCKED_IN_THE_TASK])
@pytest.mark.parametrize("with_handle", [True, False])
def test_a_lock_is_waited_for_as_long_as_the_caller_does(happens, with_handle):
    pve = Pve([happens, "done"], wait_for_lock=60, unlocked_at=40)
    assert run(pve, handle=handle_of(pve) if with_handle else None).exit_status == "OK"
    assert len(pve.sent) == 2
    assert 40 <= pve.clock.now < 45


@pytest.mark.parametrize("happens", [LOCKED_NOW, LOCKED_IN_THE_TASK])
def test_a_lock_that_stays_is_an_error_that_says_for_how_long(happens):
    pve = Pve([happens] * 9, wait_for_lock=60, unlocked_at=1000)
    with pytest.raises(Locked, match=r"VM is locked \(backup\).*it was still locked after 60 s"):
        run(pve)
    assert len(pve.sent) == 1
    assert 55 < pve.clock.now <= 60


@pytest.mark.parametrize("happens", [LOCKED_NOW, LOCKED_IN_THE_TASK])
def test_a_lock_that_nobody_waits_for_is_an_error_that_names_its_task(happens):
    pve = Pve([happens], wait_for_lock=0)
    with pytest.raises(
        (Locked, TaskFailed),
        match=r"VM is locked \(backup\), held by the task vzdump of 100 of root@pam on node pve1: wait for what is",
    ):
        run(pve)
    assert pve.clock.slept == []


def test_guests_that_are_locked_again_and_again_are_given_up():
    pve = Pve([LOCKED_NOW] * 1000, wait_for_lock=60)
    with pytest.raises(Locked):
        run(pve)
    assert pve.clock.now <= 60


def test_a_hibernated_guest_is_not_waited_for():
    pve = Pve([refused("VM is locked (suspended)")], wait_for_lock=60)
    with pytest.raises(Locked):
        run(pve)
    assert pve.clock.slept == []


def test_a_failed_task_is_final():
    pve = Pve(["bridge 'vmbr9' does not exist"])
    with pytest.raises(TaskFailed, match="vmbr9"):
        run(pve)
    assert len(pve.sent) == 1


def test_a_refusal_that_says_done_is_confirmed():
    accepts = frozenset({ErrorReason.ALREADY_RUNNING})
    assert run(Pve(["VM 100 already running"]), command(done=lambda: True, accepts=accepts)) is None
    with pytest.raises(TaskFailed):
        run(Pve(["VM 100 already running"]), command(done=lambda: False, accepts=accepts))
    with pytest.raises(TaskFailed):
        run(Pve(["VM 100 already running"]), command(done=lambda: True))


def test_a_refusal_after_sending_again_may_be_due_to_the_first_time():
    looks = []

    def done():
        looks.append(len(pve.sent))
        return len(pve.sent) == 2

    pve = Pve(["lost before PVE had it", refused("anything at all")])
    assert run(pve, command(done=done)) is None
    assert len(pve.sent) == 2


@pytest.mark.parametrize(
    "trouble", [Unreachable("no route to host"), AnswerLost("broke"), CertificateRejected("other")]
)
def test_a_task_under_way_is_never_started_again(trouble):
    pve = Pve()
    pve.unreadable = trouble
    with pytest.raises(TransportError, match="was started and may still run") as caught:
        run(pve)
    assert caught.value.__class__ is TransportError
    assert caught.value.cause.upid == upid_of(1)
    assert len(pve.sent) == 1


def test_the_deadline_in_mid_task_names_the_task():
    pve = Pve(["running"], patience=3)
    task_read = pve.read

    def read(*path, **query):
        if pve.deadline.expired:
            raise TimedOut("the time was over before GET")
        return task_read(*path, **query)

    pve.read = read
    with pytest.raises(TimedOut, match="PVE goes on with it, look at UPID:pve1") as caught:
        run(pve)
    assert caught.value.cause.upid == upid_of(1)


def test_when_nobody_can_look_that_is_said_and_nothing_sent():
    pve = Pve(["lost after it was done"])
    pve.unreadable = Unreachable("no route to host")
    with pytest.raises(TransportError, match="whether PVE did it could not be found out: no route to host"):
        run(pve)
    assert len(pve.sent) == 1


@pytest.mark.parametrize("end", [MISSING, refused(MISSING)])
def test_a_guest_that_moved_is_followed(end):
    pve = Pve([end], node_of_guest="pve2")
    handle = handle_of(pve)
    assert run(pve, handle=handle).node == "pve2"
    assert [path[1] for _method, path, _form in pve.sent] == ["pve1", "pve2"]
    assert handle.guest.node == "pve2"


def test_a_guest_that_is_gone_is_not_sought_for_ever():
    for node, times in (("pve1", 1), ("pve2", 2)):
        pve = Pve([refused(MISSING)] * 5, node_of_guest=node)
        with pytest.raises(type(refused(MISSING))):
            run(pve, handle=handle_of(pve))
        assert len(pve.sent) == times


def test_without_a_handle_nothing_is_followed():
    with pytest.raises(type(refused(MISSING))):
        run(Pve([refused(MISSING)], node_of_guest="pve2"))


def test_errors_of_the_look_that_are_refusals_are_told():
    pve = Pve(["lost after it was done"])
    pve.unreadable = refused("Permission check failed (/nodes/pve1, Sys.Audit)", 403)
    with pytest.raises(PermissionDenied):
        run(pve)
    assert not issubclass(PermissionDenied, Refused)
