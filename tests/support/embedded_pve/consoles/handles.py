# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Consoles as tests see them; every method may be called from any thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from .display import Backend, Display, Picture
from .lines import Line, Program, Record

Result = TypeVar("Result")
POLL_SECONDS = 0.01


class ServerThread(Protocol):
    """The part of PveHandle that is needed here."""

    server: Any

    def call(self, function: Callable[[], Result]) -> Result:
        """Run the function in the server's thread."""

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run the coroutine in the server's loop."""


def wait_until(condition: Callable[[], bool], what: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds} s: {what}")
        time.sleep(POLL_SECONDS)


class ConsoleHandle:
    """A serial port, a container's console, or the logins of a node."""

    def __init__(self, pve: ServerThread, key: tuple[Any, ...]) -> None:
        self._pve = pve
        self._key = key

    @property
    def _record(self) -> Record:
        record: Record = self._pve.server.record_of(self._key)
        return record

    @property
    def _lines(self) -> list[Line]:
        if self._key[0] == "node":
            return [line for line in self._pve.server.node_lines if line.record is self._record]
        line = self._pve.server.lines.get(self._key)
        return [line] if line is not None else []

    # ---- what the clients did

    @property
    def typed(self) -> bytes:
        """Every byte that the guest was sent."""
        return self._pve.call(lambda: bytes(self._record.typed))

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Every resize: columns, rows."""
        return self._pve.call(lambda: list(self._record.sizes))

    @property
    def violations(self) -> list[str]:
        """Where a client broke the protocol; those not taken fail the test at the end of running_embedded_pve."""
        return self._pve.call(lambda: list(self._record.violations))

    def take_violations(self) -> list[str]:
        """The violations so far, which are forgiven."""

        def take() -> list[str]:
            taken = list(self._record.violations)
            self._record.violations.clear()
            for text in taken:
                self._pve.server.console_violations.remove(text)
            return taken

        return self._pve.call(take)

    @property
    def sessions(self) -> int:
        """Terminals opened so far, those that got no further than the credentials not counted."""
        return self._pve.call(lambda: self._record.sessions)

    @property
    def clients(self) -> int:
        """Terminals open at the moment, waiting ones too."""
        return self._pve.call(lambda: sum(len(line.clients) for line in self._lines))

    def wait_for_typed(self, text: bytes | str, seconds: float = 10) -> None:
        wanted = text.encode() if isinstance(text, str) else text
        wait_until(lambda: wanted in self.typed, f"{wanted!r} was not typed", seconds)

    def wait_for_size(self, size: tuple[int, int], seconds: float = 10) -> None:
        """The last size that was told."""
        wait_until(lambda: self.sizes[-1:] == [size], f"{size} was not told", seconds)

    def wait_for_clients(self, count: int, seconds: float = 10) -> None:
        wait_until(lambda: self.clients == count, f"there are not {count} clients", seconds)

    # ---- what the guest does

    def run(self, program: Program) -> None:
        """What runs there from now on, in place of the shell: an async function of a Terminal (see lines.py)."""

        def replace() -> None:
            self._pve.server.programs[self._key] = program
            for line in self._lines:
                line.run(program)

        self._pve.call(replace)

    def write(self, data: bytes | str) -> None:
        """The guest says something; lost when nobody is connected."""

        async def emit() -> None:
            for line in self._lines:
                await line.emit(data.encode() if isinstance(data, str) else data)

        self._pve.run(emit())

    def close(self) -> None:
        """End of file for every client."""

        def hang_up() -> None:
            for line in self._lines:
                line.hang_up()

        self._pve.call(hang_up)


class DisplayHandle:
    """The display of a VM: what VNC clients see and do."""

    def __init__(self, pve: ServerThread, vmid: int) -> None:
        self._pve = pve
        self._vmid = vmid

    @property
    def _display(self) -> Display:
        display: Display = self._pve.server.display(self._vmid)
        return display

    @property
    def picture(self) -> Picture:
        return self._pve.call(lambda: self._display.picture)

    def show(self, picture: Picture) -> None:
        """Another picture, sent to the clients that wait for changes."""
        self._pve.call(lambda: self._display.show(picture))

    def ring(self, times: int = 1) -> None:
        """A bell, which is no picture."""
        self._pve.call(lambda: self._display.ring(times))

    def use(self, backend: Backend | None) -> None:
        """Another VNC server shows this guest (see qemu_vnc.py)."""
        self._pve.call(lambda: setattr(self._display, "backend", backend))

    @property
    def keys(self) -> list[tuple[int, bool]]:
        """Key symbols, and whether each went down."""
        return self._pve.call(lambda: list(self._display.keys))

    @property
    def pointer(self) -> list[tuple[int, int, int]]:
        """Button mask, x, y."""
        return self._pve.call(lambda: list(self._display.pointer))

    @property
    def logins(self) -> list[bool]:
        """For each client that answered the challenge, whether its password was right."""
        return self._pve.call(lambda: list(self._display.logins))

    @property
    def violations(self) -> list[str]:
        """Where a client broke the protocol of the websocket."""
        return ConsoleHandle(self._pve, ("display", self._vmid)).violations

    def take_violations(self) -> list[str]:
        return ConsoleHandle(self._pve, ("display", self._vmid)).take_violations()
