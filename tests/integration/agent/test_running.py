# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands over the guest agent: exactly once, all of their output, and nothing left in the guest."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import time
from pathlib import Path

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent import running
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.transfers import (
    fetch_file,
    put_file,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.agent.worker_slots import taken_slot
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.deadline import Deadline
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import (
    AgentUnavailable,
    GuestFileError,
    TimedOut,
)
from tests.integration.agent.conftest import NEVER, wait_until

EXEC = r"/agent/exec$"
STATUS = r"/agent/exec-status$"


def ended(runner, pid):
    """What the agent says of a process once it has ended."""
    found = {}
    wait_until(lambda: found.update(runner.calls.status(pid)) or found["exited"])
    return found


def sent(pve, path):
    return sum(line.endswith(path) for line in pve.summary())


class TestCommands:
    def test_output_and_status(self, runner):
        result = runner.run("echo out; echo err >&2; exit 3")
        assert (result.status, result.stdout, result.stderr) == (3, b"out\n", b"err\n")

    def test_it_takes_two_requests_and_a_look(self, pve, runner):
        pve.reset_record()
        runner.run("true")
        assert sent(pve, "agent/exec") == 1
        assert {line.rsplit("/", 1)[1] for line in pve.summary()} == {"exec", "exec-status"}

    def test_a_module_takes_three_requests_looks_and_one_to_clean_up(self, pve, runner, agent):
        """160 KB come as the input of three programs; over files it would be five requests."""
        pve.reset_record()
        assert runner.run("cat | wc -c", b"x" * 160_000).stdout.split() == [b"160000"]
        runner.close()
        assert (sent(pve, "agent/exec"), sent(pve, "agent/file-write")) == (4, 0)
        assert len(pve.exchanges) == 4 + sent(pve, "agent/exec-status")

    @pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, 300_000])
    def test_any_input(self, runner, size):
        data = os.urandom(size)
        result = runner.run("sha256sum | cut -d ' ' -f 1", data)
        assert result.stdout.decode().strip() == hashlib.sha256(data).hexdigest()

    def test_no_input_is_the_end_of_the_file(self, runner):
        assert runner.run("cat; echo done").stdout == b"done\n"

    @pytest.mark.parametrize("text", ["Grüße ✓ 漢字", "a\tb\n'\"$HOME`\\", "\udcff\udc80"])
    def test_any_word(self, runner, text):
        result = runner.run(runner.shell.line(["printf", "%s", text]))
        assert result.stdout == text.encode("utf-8", "surrogateescape")

    def test_large_output_is_complete(self, runner, agent):
        script = "head -c 3000000 /dev/urandom | tee copy; head -c 700000 /dev/zero >&2"
        result = runner.run(script)
        assert result.stdout == (agent.root / "copy").read_bytes()
        assert result.stderr == bytes(700_000)

    def test_output_is_kept_while_it_is_read(self, monkeypatch, pve, runner, agent):
        """A slow guest hands 20 MB over in five minutes, and its files are kept for one."""
        monkeypatch.setattr(running, "KEEP_SECONDS", 0.0)
        assert len(runner.run("head -c 3000000 /dev/zero").stdout) == 3_000_000
        kept = [item.form["file"] for item in pve.exchanges if item.path.endswith("agent/file-write")]
        assert {path.rpartition("/")[2] for path in kept} == {running.WAIT}

    def test_files_are_kept_for_a_minute_after_the_last_sign(self, runner, agent):
        """The program sleep counts the seconds, and gives a sign at the fortieth."""
        directory = runner.shell.directory("0" * 32)
        count = (
            f'echo "$1" >>"$HOME/slept"; [ $(wc -l <"$HOME/slept") != 40 ] || : >{agent.real(directory)}/{running.WAIT}'
        )
        agent.add_program("sleep", count)
        runner.calls.execute(runner.shell.run(directory, 1, None, "true", ()))
        wait_until(lambda: (agent.root / "slept").exists() and not agent.jobs() and not agent.running())
        assert (agent.root / "slept").read_text().split() == [*["1"] * 100, "600"]

    @pytest.mark.parametrize("secret", [False, True])
    def test_a_request_that_comes_once_more_when_the_files_are_gone(self, runner, agent, secret):
        agent.add_program("sleep", '[ "$1" != 600 ] || exec /bin/sleep 600')
        directory = runner.shell.directory("0" * 32)
        job, script = Path(agent.real(directory)), 'echo run >>"$HOME/runs"'
        if secret:
            job.mkdir(mode=0o700)
            (job / "script").write_text(script)
        argv = runner.shell.run(directory, 1, None, "" if secret else script, ())
        first = ended(runner, runner.calls.execute(argv))
        wait_until(lambda: [path.name for path in job.iterdir()] == ["pid"])
        assert ended(runner, runner.calls.execute(argv))["out-data"] == f"again {(job / 'pid').read_text()}"
        assert (first["out-data"], (agent.root / "runs").read_text()) == ("0 0 0\n", "run\n")

    def test_a_command_whose_files_are_gone_is_not_run(self, runner, agent):
        agent.add_program("sleep", '[ "$1" != 600 ] || exec /bin/sleep 600')
        directory = runner.shell.directory("0" * 32)
        runner.calls.execute(runner.shell.prepare(directory))
        wait_until(agent.jobs)
        found = ended(runner, runner.calls.execute(runner.shell.run(directory, 1, None, "", ())))
        assert (found["exitcode"], found["err-data"]) == (125, "it came too late: its files were removed\n")
        assert agent.jobs() == []

    def test_what_a_crash_has_left_is_removed_later(self, runner, agent):
        """The guest, or its agent with all that it had started, may end in the middle."""
        old = time.time() - 11 * 60
        unfinished = agent.root / "file.0.part"
        unfinished.mkdir()
        (unfinished / unfinished.name).touch()
        for key, name, content in (
            ("ended", "pid", "4194305"),
            ("upload", "part", str(unfinished)),
            ("alive", "pid", str(os.getpid())),
            ("other", "in", ""),
            ("fresh", "pid", "4194305"),
        ):
            directory = agent.root / "tmp" / f".pve-agent-{key}"
            directory.mkdir()
            (directory / name).write_text(content)
            if key != "fresh":
                os.utime(directory, (old, old))
        (agent.root / "tmp" / ".pve-agent-link").symlink_to(agent.root / "tmp" / ".pve-agent-alive")
        runner.run("true")
        runner.close()
        left = [f".pve-agent-{key}" for key in ("alive", "fresh", "link", "other")]
        wait_until(lambda: agent.jobs() == left)
        assert not unfinished.exists()

    def test_a_signal_is_its_shell_s_status(self, runner):
        assert runner.run("kill -9 $$").status == 137

    def test_what_stays_behind_does_not_hold_the_command(self, runner, agent):
        assert runner.run("sleep 300 & echo $!").status == 0
        assert agent.running() != []

    def test_nothing_is_left(self, runner, agent):
        runner.run("echo one")
        runner.run("cat", bytes(200_000))
        runner.close()
        wait_until(lambda: not agent.jobs() and not agent.running())

    def test_input_that_does_not_arrive_runs_nothing(self, runner, agent):
        agent.add_program("sleep", "case $1 in *.*) exit 1;; esac")
        argv = runner.shell.run(runner.shell.directory("0" * 32), 1, 2, "echo run >>runs", ())
        found = ended(runner, runner.calls.execute(argv, b"the last piece"))
        assert (found["exitcode"], found["err-data"]) == (125, "its input has not arrived\n")
        assert (agent.jobs(), (agent.root / "runs").exists()) == ([], False)

    def test_a_command_that_goes_on_is_named(self, pve, runner, agent):
        now = [0.0]
        pve.before("GET", STATUS, lambda: now.append(61.0))
        with pytest.raises(TimedOut, match=r"did not end within 60 s: its process \d+ goes on in guest 101"):
            runner.run("sleep 300", watch=Deadline(60, clock=lambda: now[-1]))
        assert runner.pid in agent.running()
        assert runner.calls.client.deadline.seconds == NEVER

    def test_its_time_is_over_while_it_waits_for_a_worker(self, runner, agent):
        now = [0.0]
        watch = Deadline(60, clock=lambda: now[-1], sleep=lambda seconds: now.append(now[-1] + seconds))
        place = f"{runner.calls.client.address} pve1"
        said = pytest.raises(TimedOut, match=r"was not begun in guest 101 \(db\): the time of 60 s was over while ")
        with taken_slot(place, 2, watch), taken_slot(place, 2, watch), said:
            runner.run("true", watch=watch)
        assert (agent.started, runner.may_have_begun, runner.pid) == ([], False, None)

    @pytest.mark.parametrize("secret", [False, True])
    def test_its_time_is_over_before_it_is_begun(self, runner, agent, secret):
        with pytest.raises(TimedOut, match=r"was not begun in guest 101 \(db\): the time of 0 s was over before POST"):
            runner.run("true", watch=Deadline(0), is_secret=secret)
        assert (agent.started, runner.may_have_begun) == ([], False)

    def test_so_is_one_when_the_operation_s_own_time_is_over(self, pve, runner, agent):
        runner.run("true")
        pve.before("GET", STATUS, lambda: setattr(runner.calls.client, "deadline", Deadline(0)))
        with pytest.raises(TimedOut, match=r"process \d+ goes on in guest 101"):
            runner.run("sleep 300")


class TestLostAnswers:
    @pytest.mark.parametrize("kind", ["lose_answer", "truncate", "596"])
    def test_of_exec(self, pve, runner, agent, kind):
        pve.fault("POST", EXEC, kind)
        result = runner.run("echo run >>runs; echo out")
        assert (result.stdout, (agent.root / "runs").read_text()) == (b"out\n", "run\n")
        assert sent(pve, "agent/exec") == 2

    @pytest.mark.parametrize("kind", ["lose_answer", "truncate", "596"])
    def test_of_the_status(self, pve, runner, agent, kind):
        pve.fault("GET", STATUS, kind, times=3)
        result = runner.run("echo run >>runs; echo out; echo err >&2; exit 4")
        assert (result.status, result.stdout, result.stderr) == (4, b"out\n", b"err\n")
        assert (agent.root / "runs").read_text() == "run\n"

    def test_of_a_write(self, pve, runner):
        pve.fault("POST", r"/agent/file-write$", "lose_answer", times=2)
        data = os.urandom(200_000)
        assert runner.run("cat", data).stdout == data

    def test_a_request_that_arrives_once_more_after_the_end(self, pve, api, runner, agent):
        """A worker of PVE may get to it when its answer has been given up, and the command was sent again."""
        pve.fault("POST", EXEC, "lose_answer")
        assert runner.run("echo run >>runs").status == 0
        runner.close()
        late = next(item for item in pve.exchanges if item.path.endswith("agent/exec"))
        ended(runner, api("POST", late.path, **late.form).json()["data"]["pid"])
        assert (agent.root / "runs").read_text() == "run\n"

    def test_an_agent_that_was_started_anew(self, runner, agent, pve):
        pve.before("GET", STATUS, agent.restart)
        result = runner.run("sleep 1; echo out; exit 5")
        assert (result.status, result.stdout) == (5, b"out\n")

    def test_a_guest_that_was_started_anew(self, runner, agent, pve):
        pve.before("GET", STATUS, agent.kill_all)
        with pytest.raises(AgentUnavailable, match="nobody knows how the command ended, process"):
            runner.run("sleep 300")


class TestFiles:
    @pytest.mark.parametrize("size", [0, 10, 65_536, 65_537, 3_500_000])
    def test_there_and_back(self, runner, agent, size):
        data = os.urandom(size)
        path = agent.root / "file"
        put_file(runner, io.BytesIO(data), str(path))
        assert path.read_bytes() == data
        back = io.BytesIO()
        fetch_file(runner, str(path), back.write)
        assert back.getvalue() == data
        runner.close()
        wait_until(lambda: not agent.jobs())
        assert sorted(entry.name for entry in agent.root.iterdir()) == ["file", "tmp"]

    @pytest.mark.parametrize("size", [10, 5_000_000])
    def test_a_release_that_reads_whole_files_only(self, pve, runner, agent, size):
        pve.knobs.release = "8.4"
        path = agent.root / "file"
        path.write_bytes(os.urandom(size))
        back = io.BytesIO()
        fetch_file(runner, str(path), back.write)
        assert back.getvalue() == path.read_bytes()
        assert runner.run(f"cat {path}").stdout == path.read_bytes()
        runner.close()
        wait_until(lambda: not agent.jobs())

    @pytest.mark.parametrize("size", [10, 200_000])
    @pytest.mark.parametrize("name", ["漢 'x' $y", "-n"])
    def test_any_name(self, runner, agent, name, size):
        data = os.urandom(size)
        put_file(runner, io.BytesIO(data), str(agent.root / name))
        assert (agent.root / name).read_bytes() == data
        back = io.BytesIO()
        fetch_file(runner, str(agent.root / name), back.write)
        assert back.getvalue() == data

    @pytest.mark.parametrize("size", [10, 200_000])
    def test_a_file_that_is_there_keeps_its_mode(self, runner, agent, size):
        path = agent.root / "file"
        path.write_text("old")
        path.chmod(0o640)
        link = agent.root / "link"
        link.symlink_to(path)
        put_file(runner, io.BytesIO(bytes(size)), str(link))
        assert (path.read_bytes(), path.stat().st_mode & 0o777, link.is_symlink()) == (bytes(size), 0o640, True)

    @pytest.mark.parametrize("size", [10, 200_000])
    def test_a_directory_is_no_file(self, runner, agent, size):
        with pytest.raises(GuestFileError, match="is a directory"):
            put_file(runner, io.BytesIO(bytes(size)), str(agent.root / "tmp"))
        with pytest.raises(GuestFileError, match="is a directory"):
            fetch_file(runner, str(agent.root / "tmp"), print)

    def test_no_half_file(self, pve, runner, agent):
        path = agent.root / "file"
        path.write_text("old")
        pve.fault("POST", r"/agent/file-write$", "status", message="Agent error: No space left on device", after=70)
        with pytest.raises(Exception, match="No space left"):
            put_file(runner, io.BytesIO(bytes(6_000_000)), str(path))
        assert path.read_text() == "old"
        runner.close()
        wait_until(lambda: not agent.jobs())
        assert sorted(entry.name for entry in agent.root.iterdir()) == ["file", "tmp"]


# Everything that a command can ask for: a directory, a script and input in pieces, and output that is read from files.
DATA = os.urandom(100_000)
SCRIPT = "echo run >>runs; echo ✓ >/dev/null; cat; cat runs >&2; exit 3"
OPERATIONS = {
    "a command": lambda runner, _agent: runner.run(SCRIPT, DATA),
    "a file there": lambda runner, agent: put_file(runner, io.BytesIO(DATA * 3), str(agent.root / "file")),
    "a file back": lambda runner, agent: _fetched(runner, str(agent.root / "other ✓")),
}
LOST = {
    "drop": {},
    "lose_answer": {},
    "truncate": {},
    "596": {},
    "status": {"message": "VM 101 qga command 'guest-exec' failed - got timeout"},
}


def _fetched(runner, path):
    back = io.BytesIO()
    fetch_file(runner, path, back.write)
    return back.getvalue()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_whichever_answer_is_lost(pve, runner, agent, operation):
    """The first and the second request of each kind; in the search each in every way, else one after the other."""
    agent.add_program("sleep", "exec /bin/sleep 0.02")
    (agent.root / "other ✓").write_bytes(DATA)
    runs, file = agent.root / "runs", agent.root / "file"
    is_search = os.environ.get("CLOUDBRIDGE_TEST_EXAMPLES") == "search"
    ways = itertools.cycle(LOST)

    def carry_out():
        runs.unlink(missing_ok=True)
        file.unlink(missing_ok=True)
        return OPERATIONS[operation](runner, agent), file.read_bytes() if file.exists() else None

    pve.reset_record()
    expected = carry_out()
    asked = [(item.method, item.path.rsplit("/", 1)[1]) for item in pve.exchanges]
    for method, name in dict.fromkeys(asked):
        for earlier in range(min(2, asked.count((method, name)))):
            for kind in LOST if is_search else [next(ways)]:
                pve.fault(method, rf"/agent/{name}$", kind, after=earlier, **LOST[kind])
                assert carry_out() == expected, f"{kind} at {method} {name} number {earlier}"
                pve.server.faults.clear()
