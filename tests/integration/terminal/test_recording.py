# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logs and recordings: what was shown, whole, for others to play, and for nobody else to read."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from pathlib import Path

import pyte

COLUMNS, ROWS = 90, 20


def screen_of(*output: str) -> list[str]:
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.Stream(screen)
    for text in output:
        stream.feed(text)
    return [line.rstrip() for line in screen.display]


def asciinema_cat(path: Path) -> str:
    """What a player writes to its terminal."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(path.parent), "LC_ALL": "C.UTF-8"}
    command = [sys.executable, "-m", "asciinema", "cat", str(path)]
    return subprocess.run(command, capture_output=True, env=environment, check=True, timeout=30).stdout.decode()


def test_a_recording_plays_as_it_was_seen_and_a_log_has_the_bytes(pve, sit):
    log, record = sit.home / "session.log", sit.home / "session.cast"
    log.write_text("of yesterday\n")
    log.chmod(0o644)
    person = sit("term", "--wake", "--log", str(log), "--record", str(record), size=(ROWS, COLUMNS)).connected()
    person.expect(rb"~ # ")
    # Each character in pieces.
    for byte in "Grüße, 世界 \x1b[31mrot\x1b[0m\r\n".encode():
        pve.console(110).write(bytes([byte]))
    person.expect("世界".encode())
    person.type("echo typed\r")
    person.expect(rb"typed\r\ntyped\r\n")
    person.resize(ROWS + 5, COLUMNS)
    pve.console(110).wait_for_size((COLUMNS, ROWS + 5))
    assert person.leave() == 0

    header, *events = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    assert (header["version"], header["width"], header["height"]) == (2, COLUMNS, ROWS)
    assert header["title"] == "guest 110 (term)"
    assert [event[0] for event in events] == sorted(event[0] for event in events)
    assert [event[2] for event in events if event[1] == "r"] == [f"{COLUMNS}x{ROWS + 5}"]
    shown = "".join(event[2] for event in events if event[1] == "o")
    assert "\ufffd" not in shown
    assert asciinema_cat(record) == shown
    assert screen_of(*(event[2] for event in events if event[1] == "o")) == screen_of(shown)
    assert "Grüße, 世 界  rot" in "\n".join(screen_of(shown)) or "Grüße, 世界 rot" in "\n".join(screen_of(shown))

    text = log.read_bytes()
    assert text.startswith(b"of yesterday\n")
    head = rb"\n\[[0-9: -]{19} pve-console: connected to guest 110 \(term\)\]\n"
    assert re.split(head, text)[1].decode() == shown
    assert {stat.S_IMODE(path.stat().st_mode) for path in (log, record)} == {0o600}


def test_a_recording_is_not_written_over(sit):
    record = sit.home / "session.cast"
    record.write_text("precious")
    person = sit("term", "--record", str(record))
    assert person.end() == 2
    assert b"this file exists already" in person.seen
    assert record.read_text() == "precious"


def test_nothing_is_left_of_a_recording_without_a_session(sit):
    record = sit.home / "session.cast"
    assert sit("nobody", "--record", str(record)).end() == 5
    assert not record.exists()


def test_a_full_disk_ends_the_log_and_not_the_session(sit):
    person = sit("term", "--wake", "--log", "/dev/full")
    person.expect(rb"--log stops, because its file cannot be written: No space left")
    person.expect(rb"~ # ")
    assert person.leave() == 0
