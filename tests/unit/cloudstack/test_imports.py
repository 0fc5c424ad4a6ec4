# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a process of its own imports for the actions that CloudStack asks for most: that decides how long they take."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.collection_tree import link_collection

PACKAGE = "ansible_collections.cloudbridge.proxmox.plugins.module_utils"
# dataclasses imports inspect, ast, dis and tokenize: an eighth of the time of status.
COSTLY = ("dataclasses", "inspect", "ast", "logging", "pathlib", "subprocess", "tempfile", "requests", "proxmoxer")


@pytest.mark.parametrize("action", ["status", "prepare"])
def test_nothing_costly_is_imported(action):
    code = f"""
import sys
sys.path.insert(0, {str(link_collection())!r})
from {PACKAGE}._cloudstack import entry, run
from {PACKAGE}._pve import transport
from {PACKAGE}._cloudstack.actions import {action}
print([name for name in {COSTLY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-IBSc", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
