# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a drive that have one part of its property string each: the table that drives them.

Options, buses and bounds are those of PVE::QemuServer::Drive.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from urllib.parse import quote

from ..._pve.errors import InvalidRequest
from ..._pve.numbers import write_number
from ..._pve.vm_config import DISK_BUSES, LENGTHS, LIMITS
from ..guest.desired import check_range, flag

Spec = t.Mapping[str, t.Any]
# Writes a value, or None when the part is to be left out; raises ValueError with the reason.
Write = t.Callable[[t.Any], "str | None"]

_BOOLEAN: Spec = {"type": "bool"}
_TEXT: Spec = {"type": "str"}
_NUMBERS = {"mbps": "float", "iops": "int"}
_MEBIBYTE = 1024**2


def _choice(*choices: str) -> Spec:
    return {"type": "str", "choices": list(choices)}


def _encoded(most_bytes: int) -> Write:
    def write(text: str) -> str | None:
        encoded = quote(text.strip(), safe="")
        if len(encoded) > 3 * most_bytes:
            raise ValueError(f"is longer than the {most_bytes} bytes that PVE has for it")
        return encoded or None

    return write


def _matching(pattern: str, words: str) -> Write:
    def write(text: str) -> str | None:
        if text and not re.fullmatch(pattern, text.strip(), re.ASCII):
            raise ValueError(f"{text!r} is not {words}")
        return text.strip() or None

    return write


def _number(value: float) -> str | None:
    return write_number(value) if value else None


def _mebibytes(value: int) -> str | None:
    return f"{value / _MEBIBYTE:.3f}" if value else None


@dataclass(frozen=True)
class DriveOption:
    """One row: the option, its argument spec, how its value is written, and the buses that PVE has it for."""

    option: str
    spec: Spec
    write: Write = str
    buses: tuple[str, ...] = tuple(DISK_BUSES)
    # The part of the property string, where it is not called as the option is.
    part: str = ""
    # The least value besides 0, which takes the part away.
    least: int = 0

    @property
    def name(self) -> str:
        return self.part or self.option

    def text(self, slot: str, value: t.Any) -> str | None:
        """The part for a value; raises InvalidRequest, naming the option."""
        if slot.rstrip("0123456789") not in self.buses:
            raise InvalidRequest(f"disks: {slot}: {self.option} is only for {' and '.join(self.buses)} disks")
        label = f"disks: {slot}: {self.option}"
        if self.spec["type"] in ("int", "float"):
            check_range(label, value, self.least if value else 0)
        try:
            return self.write(value)
        except ValueError as error:
            raise InvalidRequest(f"{label} {error}") from error


DRIVE_OPTIONS: tuple[DriveOption, ...] = (
    DriveOption("aio", _choice("native", "threads", "io_uring")),
    DriveOption("backup", _BOOLEAN, flag),
    DriveOption("cache", _choice("none", "writethrough", "writeback", "unsafe", "directsync")),
    DriveOption("detect_zeroes", _BOOLEAN, flag),
    DriveOption("discard", _BOOLEAN, lambda value: "on" if value else "ignore"),
    DriveOption("iothread", _BOOLEAN, flag, ("scsi", "virtio")),
    DriveOption("model", _TEXT, _encoded(40), ("ide",)),
    DriveOption(
        "product", _TEXT, _matching(r"[A-Za-z0-9\-_ ]{1,16}", "up to 16 letters, digits, blanks, - and _"), ("scsi",)
    ),
    DriveOption("queues", {"type": "int"}, _number, ("scsi",), least=2),
    DriveOption("replicate", _BOOLEAN, flag),
    DriveOption("rerror", _choice("ignore", "report", "stop")),
    DriveOption("ro", _BOOLEAN, flag, ("scsi", "virtio")),
    DriveOption("scsiblock", _BOOLEAN, flag, ("scsi",)),
    DriveOption("serial", _TEXT, _encoded(20)),
    DriveOption("shared", _BOOLEAN, flag),
    DriveOption("snapshot", _BOOLEAN, flag),
    DriveOption("ssd", _BOOLEAN, flag, ("ide", "sata", "scsi")),
    DriveOption(
        "vendor", _TEXT, _matching(r"[A-Za-z0-9\-_ ]{1,8}", "up to 8 letters, digits, blanks, - and _"), ("scsi",)
    ),
    DriveOption("werror", _choice("enospc", "ignore", "report", "stop")),
    DriveOption(
        "wwn",
        _TEXT,
        _matching("0x[0-9A-Fa-f]{16}", "a name as in 0x5000c500a0b1c2d3"),
        ("ide", "sata", "scsi"),
    ),
    # PVE stores bytes per second as megabytes (PVE::QemuServer::Drive, parse_drive).
    *(DriveOption(f"bps{way}", {"type": "int"}, _mebibytes, part=f"mbps{way}") for way in ("", "_rd", "_wr")),
    *(DriveOption(name, {"type": _NUMBERS[name.partition("_")[0]]}, _number) for name in LIMITS),
    *(DriveOption(name, {"type": "int"}, _number) for name in LENGTHS),
)
# What PVE refuses together, and what it takes only beside another limit (PVE::QemuServer::Drive, parse_drive).
_EXCLUSIVE = tuple((unit, f"{unit}{way}") for unit in ("mbps", "iops") for way in ("_rd", "_wr"))
_NEEDED = {
    **{f"mbps{way}_max": f"mbps{way}" for way in ("", "_rd", "_wr")},
    **{f"bps{way}_max_length": f"mbps{way}_max" for way in ("", "_rd", "_wr")},
    **{f"iops{way}_max_length": f"iops{way}_max" for way in ("", "_rd", "_wr")},
}


def drive_parts(slot: str, options: t.Mapping[str, t.Any]) -> dict[str, str | None]:
    """The parts of a drive that a request names; raises InvalidRequest."""
    parts: dict[str, str | None] = {}
    for row in DRIVE_OPTIONS:
        if row.option in options:
            if row.name in parts:
                raise InvalidRequest(f"disks: {slot}: {row.option} is the same limit in other units: give one of them")
            parts[row.name] = row.text(slot, options[row.option])
    return parts


def check_limits(slot: str, values: t.Mapping[str, str | None]) -> None:
    """Raise InvalidRequest when PVE would refuse the limits of a drive together, which it does without naming one."""
    set_limits = {name for name, value in values.items() if value not in (None, "0")}
    for one, other in _EXCLUSIVE:
        if {one, other} <= set_limits:
            raise InvalidRequest(f"disks: {slot}: {one} and {other} exclude each other: set one of them to 0")
    for name, needed in _NEEDED.items():
        if name in set_limits and needed not in set_limits:
            raise InvalidRequest(f"disks: {slot}: {name} needs {needed}")
