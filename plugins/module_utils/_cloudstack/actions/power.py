# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Power beyond start and stop: Shutdown, Suspend, Resume, Reset."""

from __future__ import annotations

import typing as t

from ..._operations.facts import HIBERNATED, PAUSED, RUNNING, STOPPED
from ..._pve.errors import InvalidRequest
from ..owned import own_guest
from ..run import Run
from .lifecycle import shutdown_timeout


def shutdown(run: Run) -> dict[str, t.Any]:
    """Ask the instance's operating system to shut down; it is never stopped hard."""
    return _bring(
        run,
        "stopped",
        {RUNNING: "Instance shut down", PAUSED: "Instance shut down"},
        "Instance is stopped already",
    )


def suspend(run: Run) -> dict[str, t.Any]:
    """Pause the instance; its memory stays in use."""
    return _bring(run, "paused", {RUNNING: "Instance suspended"}, "Instance is suspended already")


def resume(run: Run) -> dict[str, t.Any]:
    """Resume a suspended or hibernated instance; a stopped one is not started."""
    done = "Instance resumed"
    return _bring(run, "started", {PAUSED: done, HIBERNATED: done}, "Instance runs already", refused=(STOPPED,))


def reset(run: Run) -> dict[str, t.Any]:
    """Press the instance's reset button."""
    done = "Instance reset"
    return _bring(run, "reset", {RUNNING: done, PAUSED: done}, done)


def _bring(
    run: Run, desired: str, done: t.Mapping[str, str], already: str, refused: t.Sequence[str] = ()
) -> dict[str, t.Any]:
    """Bring the instance into a state; done has the message for each condition that it was in."""
    guest = own_guest(run)
    condition = guest.condition
    if condition in refused:
        raise InvalidRequest(f"{guest.label} is {condition}, so there is nothing to resume: start it")
    guest.power(desired, stop_method="shutdown", shutdown_timeout=shutdown_timeout(run))
    return {"message": done.get(condition, already)}
