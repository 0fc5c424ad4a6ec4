# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers: fakepve's replaced by what PVE::API2::LXC does, and by what a real PVE 9.2 answered."""

from __future__ import annotations

from typing import Any

from .snapshots import ContainerSnapshots


class Containers(ContainerSnapshots):
    def _lxc_routes(self, router: Any, node: str) -> None:
        """fakepve's own are not used but for the moves to other nodes."""
        for method, handler in (("GET", self._lxc_migrate_check), ("POST", self._lxc_migrate)):
            router.add_route(method, node + "/lxc/{vmid}/migrate", self._lxc_handler(handler))
