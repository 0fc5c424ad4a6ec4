# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which release of PVE lets an API token do what with a console, as data, and what a server says of its release."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ..._pve.client import PveClient
from ..._pve.errors import NotFound, PermissionDenied, Refused
from ..._pve.guests import LXC, QEMU
from .target import NODE

VNC, TERMINAL, SPICE = "vnc", "terminal", "spice"
MANAGER = "pve-manager"
Version = t.Tuple[int, ...]  # noqa: UP006 - Python 3.9 evaluates it


@dataclass(frozen=True)
class Since:
    """The first versions of a package that let a token do something, and of pve-manager as a hint at those.

    There is one of each major release that has it; releases after the last of them have it, too.
    """

    package: str
    versions: tuple[Version, ...]
    hints: tuple[Version, ...]

    @property
    def words(self) -> str:
        """How messages call it, as in qemu-server 8.4.7 or 9.1.7."""
        return f"{self.package} {' or '.join('.'.join(map(str, version)) for version in self.versions)}"


# What a token can do, by what the console belongs to and what is opened; True is always, False never.
# qemu-server 3039285c, pve-container 45d994c, pve-manager 49395b74; RPCEnvironment's verify_username of vncshell.
TOKEN_RULES: t.Mapping[tuple[str, str], bool | Since] = {
    (QEMU, VNC): True,
    (LXC, VNC): True,
    (NODE, VNC): False,
    (QEMU, TERMINAL): Since("qemu-server", ((8, 4, 7), (9, 1, 7)), ((8, 4, 19), (9, 1, 9))),
    (LXC, TERMINAL): Since("pve-container", ((5, 3, 4), (6, 1, 3)), ((8, 4, 19), (9, 1, 9))),
    (NODE, TERMINAL): Since(MANAGER, ((9, 0, 13),), ((9, 0, 13),)),
    (QEMU, SPICE): True,
    (LXC, SPICE): True,
    (NODE, SPICE): False,
}


@dataclass(frozen=True)
class Release:
    """The versions of a server's packages; of pve-manager alone when the caller may not see the others."""

    packages: t.Mapping[str, Version]

    @property
    def exact(self) -> bool:
        """Whether the packages are known, rather than pve-manager alone."""
        return len(self.packages) > 1

    def has(self, since: Since) -> bool:
        """Whether the server has what came with these versions."""
        version = self.packages.get(since.package)
        if version is not None:
            return reaches(version, since.versions)
        return reaches(self.packages.get(MANAGER, ()), since.hints)

    def words(self, since: Since) -> str:
        """The version that has() went by, as messages call it."""
        package = since.package if since.package in self.packages else MANAGER
        return f"{package} {'.'.join(map(str, self.packages.get(package, ()))) or 'of no known version'}"


def reaches(version: Version, firsts: tuple[Version, ...]) -> bool:
    """Whether a version is one of the first ones, or after that of its own major release, or after all of them."""
    same = [first for first in firsts if first[0] == version[:1][0]] if version else []
    return version >= (same[0] if same else max(firsts))


def parse_version(text: str) -> Version:
    """Read the numbers of a version, as in 9.1.7 or 7.4-16; nothing when there are none."""
    match = re.match(r"\d+(?:[.-]\d+)*", text)
    return tuple(int(number) for number in re.split("[.-]", match[0])) if match else ()


def read_release(client: PveClient) -> Release:
    """Ask the server in use for its packages, or, without the privilege, for its release; one request or two.

    Raises a PveError.
    """
    try:
        # The port is opened by the server that is asked; it knows itself by this name (PVE::HTTPServer rest_handler).
        packages = client.read("nodes", "localhost", "apt", "versions")
    except (PermissionDenied, NotFound, Refused):
        packages = []
    installed = {str(entry.get("Package")): str(entry.get("OldVersion") or "") for entry in packages or ()}
    known = {name: parsed for name, version in installed.items() if (parsed := parse_version(version))}
    if MANAGER not in known:
        known[MANAGER] = parse_version(str(client.read("version").get("version") or ""))
    return Release(known)
