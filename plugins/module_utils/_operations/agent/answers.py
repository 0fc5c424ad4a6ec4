# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an agent answers. PVE hands it over as it comes, and whoever owns the guest can make up anything."""

from __future__ import annotations

import base64
import contextlib
import typing as t

from ..._pve.errors import AgentUnavailable, brief

# More than any system has.
_MOST_PID = 2**32
_FLAGS = {"": False, "0": False, "False": False, "1": True, "True": True}


class SenselessAnswer(AgentUnavailable):
    """The agent answers something else than agents do."""


class ProcessState(t.NamedTuple):
    """What has become of a process; signal is empty when none has ended it."""

    has_ended: bool
    signal: str
    exit_code: int
    stdout: bytes
    stderr: str


@contextlib.contextmanager
def making_sense(label: str, answer: t.Any) -> t.Iterator[None]:
    """Raise SenselessAnswer when what is done with an answer does not go."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise SenselessAnswer(
            f"the guest agent of {label} answers what makes no sense: {brief(answer)}: look what runs as its agent"
        ) from error


def process_state(label: str, answer: t.Any) -> ProcessState:
    """Read the answer of guest-exec-status."""
    with making_sense(label, answer):
        return ProcessState(
            has_ended=_FLAGS[str(answer.get("exited") or "")],
            signal=brief(answer.get("signal") or ""),
            exit_code=int(answer.get("exitcode") or 0),
            stdout=_bytes(answer.get("out-data") or ""),
            stderr=_bytes(answer.get("err-data") or "").decode("utf-8", "replace"),
        )


def process_id(label: str, answer: t.Any) -> int:
    """Read the answer of guest-exec."""
    with making_sense(label, answer):
        pid = int(answer["pid"])
        if not 0 <= pid < _MOST_PID:
            raise ValueError(pid)
        return pid


def file_content(label: str, answer: t.Any) -> bytes:
    """Read the answer of guest-file-read, as PVE hands over a whole file."""
    with making_sense(label, answer):
        return _bytes(answer["content"])


def part_of_file(label: str, answer: t.Any) -> bytes:
    """Read the answer of guest-file-read, as PVE hands over a part of a file."""
    with making_sense(label, answer):
        return base64.b64decode(answer["content"])


def _bytes(text: str) -> bytes:
    """PVE hands over bytes as the characters up to U+00FF; raises ValueError for others."""
    return text.encode("latin-1")
