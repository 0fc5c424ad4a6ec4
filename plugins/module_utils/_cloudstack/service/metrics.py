# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the service does, and has done, in numbers; over HTTP on a loopback port, for Prometheus."""

from __future__ import annotations

import socket
import threading
import time
import typing as t

from .loop import Loop, accepted

PREFIX = "cloudbridge_proxmox"
# Upper bounds of the histogram's buckets, in seconds.
BUCKETS = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
MAX_REQUEST_BYTES = 8192
READ_SECONDS = 2.0
MOST_READERS = 16


class Counters:
    """Numbers that only grow; any thread may add."""

    def __init__(self) -> None:
        self.started = time.time()
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], int] = {}
        self._seconds: dict[str, float] = {}
        self._buckets: dict[str, list[int]] = {}

    def add(self, name: str, label: str = "", count: int = 1) -> None:
        with self._lock:
            self._counts[name, label] = self._counts.get((name, label), 0) + count

    def action(self, name: str, seconds: float, error: str = "") -> None:
        """An action has ended; error is its kind when it failed."""
        with self._lock:
            self._seconds[name] = self._seconds.get(name, 0.0) + seconds
            buckets = self._buckets.setdefault(name, [0] * (len(BUCKETS) + 1))
            place = next((index for index, most in enumerate(BUCKETS) if seconds <= most), len(BUCKETS))
            buckets[place] += 1
        self.add("actions", name)
        if error:
            self.add("errors", error)

    def snapshot(self) -> dict[str, t.Any]:
        """All of them, as JSON can hold them."""
        with self._lock:
            counts: dict[str, t.Any] = {}
            for (name, label), count in sorted(self._counts.items()):
                if label:
                    counts.setdefault(name, {})[label] = count
                else:
                    counts[name] = count
            return {
                "uptime_seconds": round(time.time() - self.started, 1),
                "counters": counts,
                "seconds": {name: round(value, 3) for name, value in sorted(self._seconds.items())},
                "buckets": {name: list(values) for name, values in sorted(self._buckets.items())},
            }


def prometheus(status: t.Mapping[str, t.Any]) -> str:
    """The state of the service in Prometheus' text format."""
    lines = [
        f"# TYPE {PREFIX}_info gauge",
        f'{PREFIX}_info{{release="{_escaped(str(status.get("release", "")))}"}} 1',
        f"# TYPE {PREFIX}_uptime_seconds gauge",
        f"{PREFIX}_uptime_seconds {status.get('uptime_seconds', 0)}",
    ]
    for name, value in status.get("now", {}).items():
        values = value if isinstance(value, dict) else {"": value}
        lines.append(f"# TYPE {PREFIX}_{name} gauge")
        lines += [f"{PREFIX}_{name}{_label(name, label)} {number}" for label, number in values.items()]
    for name, value in status.get("counters", {}).items():
        values = value if isinstance(value, dict) else {"": value}
        lines.append(f"# TYPE {PREFIX}_{name}_total counter")
        lines += [f"{PREFIX}_{name}_total{_label(name, label)} {number}" for label, number in values.items()]
    lines.append(f"# TYPE {PREFIX}_action_seconds histogram")
    for action, counts in status.get("buckets", {}).items():
        total, label = 0, _escaped(action)
        for most, count in zip([*(str(bound) for bound in BUCKETS), "+Inf"], counts):
            total += count
            lines.append(f'{PREFIX}_action_seconds_bucket{{action="{label}",le="{most}"}} {total}')
        lines.append(f'{PREFIX}_action_seconds_sum{{action="{label}"}} {status["seconds"].get(action, 0)}')
        lines.append(f'{PREFIX}_action_seconds_count{{action="{label}"}} {total}')
    return "\n".join(lines) + "\n"


_LABELS = {"actions": "action", "errors": "kind", "refused": "why", "open": "what"}


def _label(name: str, value: str) -> str:
    return f'{{{_LABELS.get(name, "what")}="{_escaped(value)}"}}' if value else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


class Scrapes:
    """Answers whatever is asked with the counters."""

    def __init__(self, loop: Loop, text: t.Callable[[], str]) -> None:
        self._loop = loop
        self._text = text
        # What each client has sent so far, and its time limit.
        self._waiting: dict[socket.socket, tuple[bytes, float]] = {}

    def accept(self, listener: socket.socket) -> None:
        channel = accepted(listener)
        if channel is None:
            return
        if len(self._waiting) >= MOST_READERS:
            channel.close()
            return
        self._waiting[channel] = b"", time.monotonic() + READ_SECONDS
        self._loop.watch(channel, lambda: self._read(channel))

    def tidy(self, everything: bool = False) -> None:
        """Close those that take too long."""
        now = time.monotonic()
        for channel in [item for item, (_said, until) in self._waiting.items() if everything or until < now]:
            self._close(channel)

    def _read(self, channel: socket.socket) -> None:
        if channel not in self._waiting:
            return
        said, until = self._waiting[channel]
        try:
            data = channel.recv(MAX_REQUEST_BYTES)
            said += data
            self._waiting[channel] = said, until
            if data and b"\r\n\r\n" not in said and len(said) < MAX_REQUEST_BYTES:
                return
            body = self._text().encode()
            head = f"HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {len(body)}\r\n\r\n"
            channel.send(head.encode() + body)
            channel.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return
        except OSError:
            pass  # The client is gone.
        self._close(channel)

    def _close(self, channel: socket.socket) -> None:
        del self._waiting[channel]
        self._loop.unwatch(channel)
        channel.close()
