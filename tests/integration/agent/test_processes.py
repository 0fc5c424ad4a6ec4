# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What other processes do with an agent: several at once, killed ones, and how much memory they take."""

from __future__ import annotations

import os
import time

import pytest

from tests.integration.agent.conftest import VMID, wait_until

EXEC = r"/agent/exec$"
STATUS = r"/agent/exec-status$"
READ = r"/agent/file-read$"
WRITE = r"/agent/file-write$"
# Once there is the file fast, a second in the guest takes no time.
SLEEP = '[ -f "$HOME/fast" ] || exec /bin/sleep 0.1'


class TestManyAtOnce:
    """All processes of a controller keep so many of a node's workers busy, and no more."""

    def test_so_many_workers(self, pve, user):
        pve.knobs.agent_seconds = 0.05
        processes = [user.begin("run", "echo out") for _number in range(4)]
        assert [user.end(process)[0] for process in processes] == ["out\n"] * 4
        assert pve.server.most_agent_calls == {"pve1": 2}

    def test_silent_agents(self, pve, user):
        pve.silence_agent(VMID)
        pve.knobs.silent_agent_seconds = 0.1
        processes = [user.begin("run", "echo out") for _number in range(4)]
        assert all("does not answer" in user.end(process)[0] for process in processes)
        assert pve.server.most_agent_calls == {"pve1": 2}
        assert sum(line.endswith("agent/exec") for line in pve.summary()) == 4

    def test_who_is_killed_is_in_nobody_s_way(self, pve, user):
        pve.before("POST", EXEC, user.kill)
        for _number in range(2):
            user.begin("run", "echo out").wait()
        said, _peak = user.end(user.begin("run", "echo out"))
        assert said == "out\n"


def entries(agent):
    return sorted(path.name for path in agent.root.iterdir() if path.name not in ("bin", "fast", "tmp"))


@pytest.mark.parametrize(
    ("words", "method", "path", "after", "left"),
    [
        pytest.param(("run", "echo run >>runs"), "POST", EXEC, 0, ["runs"], id="as it begins"),
        pytest.param(("run", "/bin/sleep 0.2; echo run >>runs"), "GET", STATUS, 0, ["runs"], id="while it runs"),
        pytest.param(("run", "echo ✓ >>runs"), "POST", WRITE, 0, [], id="before it begins"),
        pytest.param(("size", "echo run >>runs; head -c 3000000 /dev/zero"), "GET", READ, 1, ["runs"], id="at output"),
        pytest.param(("put", "{150000}", "file"), "POST", EXEC, 1, [], id="in a small file"),
        pytest.param(("put", "{1500000}", "file"), "POST", WRITE, 20, [], id="in a large file"),
        pytest.param(("fetch", "large ✓", "{0}"), "GET", READ, 1, ["large ✓"], id="while it is fetched"),
    ],
)
def test_of_a_killed_one_nothing_is_left(pve, user, agent, tmp_path, words, method, path, after, left):
    agent.add_program("sleep", SLEEP)
    if words[0] == "fetch":
        (agent.root / "large ✓").write_bytes(bytes(3_000_000))
    names = [str(agent.root / word) if word in ("file", "large ✓") else word for word in words]
    for number, word in enumerate(names):
        if word.startswith("{"):
            (tmp_path / "beside").write_bytes(bytes(int(word.strip("{}"))))
            names[number] = str(tmp_path / "beside")
    pve.before(method, path, user.kill, after=after)
    assert user.begin(*names).wait() < 0
    (agent.root / "fast").touch()
    for _time in range(2):
        # What the killed one has sent last may just be on its way.
        wait_until(lambda: not agent.jobs() and not agent.running() and entries(agent) == left)
        time.sleep(0.2)
    if "runs" in left:
        assert (agent.root / "runs").read_text() == "run\n"


def test_memory_does_not_grow_with_what_is_carried(user, agent, tmp_path):
    """50 MB are measured by benchmarks.agent."""
    inside, outside = agent.root / "file", tmp_path / "outside"
    peaks = {"put": [], "fetch": []}
    for size in (600_000, 2_400_000):
        outside.write_bytes(os.urandom(size))
        peaks["put"].append(user.end(user.begin("put", str(outside), str(inside)))[1])
        assert inside.read_bytes() == outside.read_bytes()
    for size in (3_000_000, 6_000_000):
        inside.write_bytes(os.urandom(size))
        peaks["fetch"].append(user.end(user.begin("fetch", str(inside), str(outside)))[1])
        assert outside.read_bytes() == inside.read_bytes()
    assert all(large - small < 1500 for small, large in peaks.values()), f"KiB: {peaks}"
