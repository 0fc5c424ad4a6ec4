# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pages of PVE's web interface that show a console, for a browser that is logged in; nothing is opened for them."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from ..._pve.connection import Endpoint
from ..._pve.guests import LXC, QEMU
from .target import NODE, ConsoleTarget

# What the web interface calls them (pve-manager, Utils.js openVNCViewer).
_PAGES = {QEMU: "kvm", LXC: "lxc", NODE: "shell"}


def browser_links(endpoint: Endpoint, target: ConsoleTarget, name: str) -> dict[str, str]:
    """Return the URLs of noVNC and of xterm.js on that server; name is the guest's, for the title."""
    guest = {} if target.vmid is None else {"vmid": target.vmid, "vmname": name}

    def link(viewer: str, **more: str) -> str:
        query = {"console": _PAGES[target.kind], viewer: 1, **guest, "node": target.node, **more}
        return f"{endpoint.url}/?{urlencode(query, quote_via=quote)}"

    return {"novnc": link("novnc", resize="scale"), "xtermjs": link("xtermjs")}
