# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What holds for every task of every module: the check, the run, and both again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tests.support.modules import ModuleResult

from .world import World


class RunModule(Protocol):
    def __call__(self, name: str, arguments: Mapping[str, Any], *, check: bool = False) -> ModuleResult: ...


@dataclass(frozen=True)
class Runner:
    """Runs modules on one PVE and holds them to their promises."""

    module: RunModule
    world: World

    def once(self, name: str, arguments: Mapping[str, Any]) -> ModuleResult:
        """Run a module that must not fail."""
        result = self.module(name, arguments)
        assert not result.failed, f"{name} {arguments}: {result.msg}\n{result.stderr}"
        return result

    def changes(self, name: str, arguments: Mapping[str, Any]) -> ModuleResult:
        """The check says that something changes, the run changes it, and then nothing is left to do."""
        before = self._look(arguments)
        checked = self.module(name, arguments, check=True)
        assert not checked.failed, f"{name} {arguments} in check mode: {checked.msg}"
        assert self._look(arguments) == before, "check mode has changed something"
        real = self.once(name, arguments)
        assert checked.changed, f"{name} {arguments}: check mode says that nothing changes"
        assert real.changed, f"{name} {arguments}: nothing has changed"
        assert _changed_keys(checked.diff) == _changed_keys(real.diff), (
            f"the diff of check mode is another one: {checked.diff}, {real.diff}"
        )
        self.changes_nothing(name, arguments)
        return real

    def changes_nothing(self, name: str, arguments: Mapping[str, Any]) -> ModuleResult:
        """Neither the run nor the check finds anything to do."""
        again = self.once(name, arguments)
        assert not again.changed, f"{name} {arguments} changes something once more: {again.diff}"
        checked = self.module(name, arguments, check=True)
        assert not checked.failed, f"{name} {arguments} in check mode: {checked.msg}"
        assert not checked.changed, f"{name} {arguments}: check mode still finds something: {checked.diff}"
        return again

    def refused(self, name: str, arguments: Mapping[str, Any], *words: str) -> ModuleResult:
        """It fails with these words, says that nothing was changed, and nothing was."""
        before = self._look(arguments)
        result = self.module(name, arguments)
        assert result.failed, f"{name} {arguments} does not fail"
        assert not result.changed, result.msg
        assert self._look(arguments) == before, f"{name} {arguments} has failed and changed something: {result.msg}"
        for word in words:
            assert word in result.msg, f"{word!r} is not in {result.msg!r}"
        return result

    def _look(self, arguments: Mapping[str, Any]) -> list[Any]:
        """What PVE says of the guests that the arguments name; None of one that is not there."""
        listed = [*arguments.get("guests", []), arguments]
        return [self._look_at(entry["vmid"]) for entry in listed if "vmid" in entry]

    def _look_at(self, vmid: int) -> Any:
        if self.world.node_of(vmid) is None:
            return None
        return (
            self.world.config(vmid),
            self.world.pending(vmid),
            self.world.status(vmid),
            self.world.snapshots(vmid),
        )


def _changed_keys(diff: Any) -> list[list[str]]:
    """The keys of each section: one guest has one, many have one each."""
    return [sorted(section["after"]) for section in (diff if isinstance(diff, list) else [diff])]
