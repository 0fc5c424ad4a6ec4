# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Paths that depend on the directory in which a task runs."""

from __future__ import annotations

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.plugin_utils._worker import has_relative_path

SPEC = {
    "ca_path": {"type": "path"},
    "name": {"type": "str"},
    "files": {"type": "list", "elements": "path"},
    "disks": {
        "type": "list",
        "elements": "dict",
        "options": {"image": {"type": "dict", "options": {"src": {"type": "path"}}}},
    },
}


@pytest.mark.parametrize(
    ("parameters", "relative"),
    [
        ({"ca_path": "ca.pem"}, True),
        ({"ca_path": "/etc/ca.pem", "name": "ca.pem"}, False),
        ({"ca_path": None}, False),
        ({"ca_path": ""}, False),
        ({"files": ["/a", "b"]}, True),
        ({"disks": [{"image": None}, {"image": {"src": "/a"}}]}, False),
        ({"disks": [{"image": {"src": "../a"}}]}, True),
    ],
)
def test_relative_paths_are_found(parameters, relative):
    assert has_relative_path(SPEC, parameters) is relative
