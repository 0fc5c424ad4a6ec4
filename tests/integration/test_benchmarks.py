# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The benchmarks run, and judge what they have run; ours alone, without the peers."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from benchmarks import bridge, report, runner, tasks
from benchmarks.bridge_cases import QUICK
from benchmarks.module_cases import OURS, THEIRS
from benchmarks.runner import Command, Contestant, Figures, Row
from tests.support.collection_tree import REPOSITORY

CASES = ("status", "a start that fails")


def figures(result="ok", **changes):
    values = {"wall": 1.0, "cpu": 0.5, "kib": 2048, "requests": 4, "connections": 1, "result": result, "runs": 1}
    return Figures(**{**values, **changes})


def test_cases_of_the_bridge_are_measured_judged_and_reported(tmp_path, capsys):
    cases = [case for case in QUICK if case.name in CASES]
    with runner.session(quick=True) as run, bridge.stage(with_peer=False) as here:
        for case in cases:
            sides = {who: bridge.contestant(here, case, who) for who in (bridge.ALONE, bridge.SERVED)}
            run.measure(bridge.TOPIC, case.name, here.pve, sides, 3)
        assert "The service of the bridge held" in bridge.describe(here.service)
    assert [(row.case, row.who) for row in run.rows] == [(case, who) for case in CASES for who in sides]
    for row in run.rows:
        item = row.figures
        assert (item.result, item.runs) == ("ok", 1)
        assert item.wall > 0
        assert item.cpu > 0
        # A small process started it, so that its memory is its own.
        assert 2 < item.kib / 1024 < 100
        assert item.requests > 0
    assert capsys.readouterr().out.count("bridge: status") == 2
    whole = report.Report(run.rows, ["A note."], [("a key", "1 ms")], {"Machine": "some"}, "make bench")
    report.save(whole, tmp_path / "results.json")
    assert report.document(report.load(tmp_path / "results.json")) == report.document(whole)
    assert "| status | cloudbridge |" in report.document(whole)


def test_what_takes_too_long_is_ended_with_its_children_and_said(pve, tmp_path):
    program = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    command = Command([sys.executable, "-c", program], {}, str(tmp_path), str(tmp_path / "out"))
    contestant = Contestant(lambda: [command], lambda _outcome: "ok")
    with runner.session() as run:
        run.measure("bridge", "slow", pve, {"somebody": contestant}, runs=3, cap=0.5)
    (row,) = run.rows
    assert (row.figures.result, row.figures.runs) == ("not finished in 0.5 s", 1)
    assert row.figures.wall < 20


def test_tasks_of_a_play_are_measured_beside_their_floors(pve, tmp_path):
    sides = tasks.Sides(pve, tmp_path, Path(sys.executable).parent)
    contestants = {**tasks.repeated(sides, repeats=2), **tasks.floors(sides, 2)}
    del contestants[THEIRS]
    with runner.session() as run:
        run.measure(tasks.TOPIC, tasks.NOTHING, pve, contestants, runs=1)
    assert {row.who: (row.figures.result, row.figures.requests) for row in run.rows} == {
        OURS: ("ok", 4),
        tasks.AS_MODULES: ("ok", 4),
        tasks.DEBUG: ("ok", 0),
        **({tasks.CURL: ("ok", 4)} if shutil.which("curl") else {}),
    }
    # curl has the token from a file that only its owner may read.
    for config in (tmp_path / "tasks-curl").glob("*.conf"):
        assert config.stat().st_mode & 0o077 == 0
        config.unlink()


def test_what_was_reached_of_the_goals_is_said():
    def row(case, who, result="ok", **changes):
        return Row(tasks.TOPIC, case, who, figures(result, **changes))

    rows = [
        row(tasks.NOTHING, OURS, wall=2.0, cpu=2.0),
        row(tasks.NOTHING, THEIRS, wall=20.0),
        row(tasks.NOTHING, tasks.DEBUG, cpu=1.0),
        row(tasks.ONE, OURS, wall=1.0),
        row(tasks.ONE, THEIRS, wall=1.5),
        row(tasks.MANY, OURS, wall=5.0, requests=2001),
        row(tasks.MANY, THEIRS, "not finished in 240 s"),
    ]
    assert tasks.verdicts(rows) == [
        "40 tasks that change nothing: 1/10 of the peer's wall time; the goal is 1/8.",
        "40 tasks that change nothing: 25 ms of CPU for each task above debug; the goal is 30 ms.",
        "one task that changes nothing: 0.50 s less than the peer; the goal is 0.3 s.",
        "1,000 guests looked at and left alone: 2.00 requests for each; the goal is 2.",
    ]


def test_a_task_for_many_is_judged_by_each_guest():
    found = [{"outcome": "ok", "result": {"changed": True, "results": [{"changed": False}, {"changed": True}]}}]
    assert tasks.unchanged(3, found) == "2 results, and not 3"
    assert tasks.unchanged(2, found) == "reported changed, though nothing differed"
    assert tasks.unchanged(1, [{"outcome": "failed", "result": {"msg": "no way"}}]) == "failed: no way"


def test_the_report_says_where_ours_takes_more_and_who_was_wrong():
    rows = [
        Row("modules", "create", "cloudbridge.proxmox", figures(cpu=0.6)),
        Row("modules", "create", "community.proxmox", figures()),
        Row("modules", "update", "cloudbridge.proxmox", figures(cpu=0.6)),
        Row("modules", "update", "community.proxmox", figures("skipped")),
    ]
    assert report.slower(rows) == ["| modules | create | cloudbridge.proxmox | CPU time | 0.600 s | 0.500 s | 1.20 |"]
    assert report.wrong(rows) == ["| modules | update | community.proxmox | skipped |"]
    text = report.document(report.Report(rows, [], [], {}, "make bench"))
    assert "| create | cloudbridge.proxmox | 1.000 | 0.600 | 2 | 4 | 1 | 1.00 | 1.20 | ok |" in text


def test_the_results_in_the_repository_are_whole():
    folder = Path(report.__file__).parent
    text = (folder / "RESULTS.md").read_text("utf-8")
    assert "results.svg" in text
    assert (folder / "results.svg").stat().st_size > 10_000
    for title in report.TITLES.values():
        assert f"## {title}" in text


def test_what_the_readme_claims_is_in_the_results():
    text = (Path(report.__file__).parent / "RESULTS.md").read_text("utf-8")
    readme = (REPOSITORY / "README.md").read_text("utf-8")
    for case, share, words in (
        (tasks.NOTHING, 9, "a ninth of the time"),
        (tasks.DEPLOY, 20, "20 virtual machines in two tasks a twentieth"),
    ):
        assert words in readme
        (found,) = re.findall(rf"^{re.escape(case)}: 1/(\d+) of the peer's wall time", text, re.MULTILINE)
        assert int(found) >= share
