# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the service has done, and does right now, in numbers."""

from __future__ import annotations

import threading
import time
import typing as t

PREFIX = "cloudbridge_proxmox"
# Upper bounds of the durations that are told apart, in seconds.
BUCKETS = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


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
