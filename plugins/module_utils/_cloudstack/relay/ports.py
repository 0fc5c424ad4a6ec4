# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ports that answers name: each is listened to for one answer, and free again after it."""

from __future__ import annotations

import errno
import socket

from ..._pve.errors import PveError
from .settings import RelaySettings

# Further connections wait until TCP gives up.
_BACKLOG = 8


class Ports:
    """Opens the ports of the range one after the other, so that a port is not used again for as long as possible."""

    def __init__(self, settings: RelaySettings) -> None:
        self._settings = settings
        self._next = 0

    def listen(self, address: str) -> socket.socket | None:
        """Listen at the next free port of that address of this server; None when there is none. Raises a PveError."""
        settings = self._settings
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for dummy in range(settings.port_count):
            port = settings.ports[0] + self._next
            self._next = (self._next + 1) % settings.port_count
            listener = socket.socket(family, socket.SOCK_STREAM)
            try:
                # Connections of earlier answers go on, or have just ended.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((address, port))
                listener.listen(_BACKLOG)
                listener.setblocking(False)
                return listener
            except OSError as error:
                listener.close()
                if error.errno != errno.EADDRINUSE:
                    hint = (
                        "; tell it which address of this server to bind" if error.errno == errno.EADDRNOTAVAIL else ""
                    )
                    raise PveError(
                        f"the console relay cannot listen at {address}, port {port}: {error.strerror}{hint}"
                    ) from error
        return None

    def all_in_use(self) -> PveError:
        """The error that there is no free port."""
        settings = self._settings
        return PveError(
            f"all {settings.port_count} ports of the console relay ({settings.ports[0]}-{settings.ports[1]}) are in "
            f"use: try again in a minute, or configure more ports"
        )


def address_towards(host: str, port: int) -> str:
    """The address of this server as that host sees it; raises a PveError. Nothing is sent."""
    try:
        family, kind, protocol, _name, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0]).partition("%")[0]
    except OSError as error:
        raise PveError(
            f"it is unknown which address of this server the console proxy reaches ({error}): name it to the relay"
        ) from error
