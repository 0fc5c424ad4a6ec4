# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What consoles can do in which Proxmox VE release, and the package versions that tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Release:
    """`hardened` is the change of 2026-04: the port in the ticket, a password with each ticket, tokens at termproxy."""

    packages: Mapping[str, str]
    hardened: bool = False
    # POST /nodes/N/termproxy with an API token (pve-manager 9.0.13).
    node_tokens: bool = False
    # Bug 4522: plain VNC without a websocket was broken (qemu-server 7.0 to 7.4-4 and 8.0.0 to 8.0.7).
    raw_vnc: bool = True

    @property
    def manager(self) -> str:
        return self.packages["pve-manager"]


def packages(manager: str, qemu: str, container: str, access: str, termproxy: str) -> dict[str, str]:
    return {
        "pve-manager": manager,
        "qemu-server": qemu,
        "pve-container": container,
        "libpve-access-control": access,
        "proxmox-termproxy": termproxy,
    }


RELEASES = {
    "8.0": Release(packages("8.0.4", "8.0.6", "5.0.4", "8.0.3", "1.0.1"), raw_vnc=False),
    "8.4": Release(packages("8.4.14", "8.4.4", "5.3.2", "8.2.2", "1.1.0")),
    "8.4-hardened": Release(packages("8.4.19", "8.4.7", "5.3.4", "8.2.3", "1.1.1"), hardened=True),
    "9.0": Release(packages("9.0.10", "9.0.23", "6.0.13", "9.0.3", "2.0.2")),
    "9.1": Release(packages("9.1.6", "9.1.4", "6.1.1", "9.0.5", "2.0.3"), node_tokens=True),
    "9.1-hardened": Release(packages("9.1.9", "9.1.7", "6.1.3", "9.0.7", "2.1.0"), hardened=True, node_tokens=True),
    "9.2": Release(packages("9.2.11", "9.2.6", "6.1.10", "9.1.1", "2.1.0"), hardened=True, node_tokens=True),
}
BEFORE_HARDENING = {"8.4-hardened": "8.4", "9.1-hardened": "9.1", "9.2": "9.1"}
