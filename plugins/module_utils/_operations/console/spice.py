# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file that remote-viewer opens for SPICE."""

from __future__ import annotations

import re
import typing as t

from ..._pve.errors import Refused

_NAME = re.compile(r"[a-z][a-z0-9-]*")


def vv_file(settings: t.Mapping[str, str]) -> str:
    """Write the content of a .vv file, as PVE does (PVE::APIServer::Formatter::Standard); it holds the password.

    Raises Refused when a setting would be more than a line of it.
    """
    for name, value in settings.items():
        if not _NAME.fullmatch(name) or not value.isprintable():
            raise Refused(f"PVE's answer for SPICE has {name!r}, which cannot be a line of a .vv file")
    return "".join(["[virt-viewer]\n", *(f"{name}={settings[name]}\n" for name in sorted(settings))])
