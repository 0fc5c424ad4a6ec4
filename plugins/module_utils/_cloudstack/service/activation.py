# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Socket activation and notifications of systemd (sd_listen_fds, sd_notify)."""

from __future__ import annotations

import contextlib
import os
import socket
import typing as t

FIRST_SOCKET = 3  # SD_LISTEN_FDS_START
# What a daemon passes to its successor: number:name,number:name.
HANDOVER_VARIABLE = "CLOUDBRIDGE_HANDOVER"
# Where the successor says that it is ready.
READY_VARIABLE = "CLOUDBRIDGE_HANDOVER_READY"
# The socket's file, when it has to be removed in the end.
OWN_SOCKET_VARIABLE = "CLOUDBRIDGE_OWN_SOCKET"
OWN_VARIABLES = (
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    HANDOVER_VARIABLE,
    READY_VARIABLE,
    OWN_SOCKET_VARIABLE,
)
REQUESTS = "requests"
METRICS = "metrics"


def inherited_sockets(environment: t.Mapping[str, str]) -> dict[str, list[socket.socket]]:
    """The listening sockets that were handed to this process, by systemd or by its predecessor, by their names."""
    numbers = [*_passed_by_predecessor(environment)] or [*_passed_by_systemd(environment)]
    found: dict[str, list[socket.socket]] = {}
    for number, name in numbers:
        with contextlib.suppress(OSError):
            os.set_inheritable(number, False)
            found.setdefault(name, []).append(socket.socket(fileno=number))
    return found


def _passed_by_predecessor(environment: t.Mapping[str, str]) -> t.Iterator[tuple[int, str]]:
    for word in environment.get(HANDOVER_VARIABLE, "").split(","):
        number, _colon, name = word.partition(":")
        if number.isdigit() and name:
            yield int(number), name


def _passed_by_systemd(environment: t.Mapping[str, str]) -> t.Iterator[tuple[int, str]]:
    count = environment.get("LISTEN_FDS", "")
    if environment.get("LISTEN_PID") != str(os.getpid()) or not count.isdigit():
        return
    for index in range(int(count)):
        # The socket unit has one socket, the one for requests.
        yield FIRST_SOCKET + index, REQUESTS


def handover(sockets: t.Mapping[str, t.Sequence[socket.socket]]) -> str:
    """The value of HANDOVER_VARIABLE that passes these sockets on."""
    return ",".join(f"{item.fileno()}:{name}" for name, items in sockets.items() for item in items)


def notify(*lines: str) -> None:
    """Notify systemd, if it started the service."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel,
    ):
        channel.settimeout(1.0)
        channel.sendto("\n".join(lines).encode(), address)


def listen(path: str) -> socket.socket:
    """Make the socket for requests, for a service that was started by hand; raises OSError.

    The socket of a service that has ended is replaced, that of a running one is not.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except FileNotFoundError:
            pass
        except ConnectionRefusedError:
            os.unlink(path)  # noqa: PTH108
        else:
            raise OSError(f"another service listens at {path}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mask = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(mask)
    listener.listen(socket.SOMAXCONN)
    return listener


def forget(path: str) -> None:
    """Remove a file, if it is there."""
    with contextlib.suppress(OSError):
        os.unlink(path)  # noqa: PTH108
