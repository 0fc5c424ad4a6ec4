# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Consoles as strict as PVE's: tickets, ports, websockets, termproxy, VNC."""

from __future__ import annotations

from .nodes import Consoles

__all__ = ["Consoles"]
