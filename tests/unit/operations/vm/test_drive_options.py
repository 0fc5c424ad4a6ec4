# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of a drive's options has all that PVE's schema has, and writes what that schema takes."""

from __future__ import annotations

from typing import Any

import pytest
from fakepve import schema
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.vm.disks import DISK_SPEC
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.vm.drive_options import (
    DRIVE_OPTIONS,
    check_limits,
    drive_parts,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.vm_config import DISK_BUSES, DRIVE, value_type_of
from tests.support.embedded_pve.values import is_whole_drive

PROPERTIES: dict[str, Any] = schema.load().paths["/nodes/{node}/qemu/{vmid}/config"]["PUT"]["parameters"]["properties"]
# Said in other words: the volume, its size and its image, and whether it is a CD-ROM drive.
ELSEWHERE = {"file", "format", "import-from", "media", "size"}
# PVE drops them when it reads a drive (PVE::QemuServer::Drive, $DROPPED_PROPERTIES).
DROPPED = {"cyls", "heads", "secs", "trans"}
OPTIONS = {row.option: row for row in DRIVE_OPTIONS}
VALUES = {
    "model": st.text(max_size=10),
    "product": st.from_regex(r"[A-Za-z0-9_-]{1,16}", fullmatch=True),
    "serial": st.text(max_size=5),
    "vendor": st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True),
    "wwn": st.from_regex(r"0x[0-9a-fA-F]{16}", fullmatch=True),
    "queues": st.one_of(st.just(0), st.integers(2, 64)),
}


def properties_of(bus: str) -> dict[str, Any]:
    found: dict[str, Any] = PROPERTIES[f"{bus}[n]"]["format"]
    return {name: entry for name, entry in found.items() if not entry.get("alias")}


def value_of(option: str) -> st.SearchStrategy[Any]:
    spec = OPTIONS[option].spec
    if option in VALUES:
        return VALUES[option]
    if "choices" in spec:
        return st.sampled_from(spec["choices"])
    numbers = {"int": st.integers(0, 10**12), "float": st.floats(0, 1e12, allow_nan=False)}
    return st.booleans() if spec["type"] == "bool" else numbers[spec["type"]]


@pytest.mark.parametrize("bus", DISK_BUSES)
def test_every_option_of_the_schema_is_a_row_for_its_buses_and_no_other(bus: str) -> None:
    schema_has = set(properties_of(bus)) - ELSEWHERE - DROPPED
    assert {row.option for row in DRIVE_OPTIONS if bus in row.buses} == schema_has
    assert set(OPTIONS) <= set(DISK_SPEC)


@pytest.mark.parametrize("row", [row for row in DRIVE_OPTIONS if "choices" in row.spec], ids=lambda row: row.option)
def test_the_choices_are_those_of_the_schema(row) -> None:
    assert row.spec["choices"] == properties_of(row.buses[0])[row.option]["enum"]


@given(st.data())
def test_what_is_written_is_what_pve_takes(data) -> None:
    bus = data.draw(st.sampled_from(sorted(DISK_BUSES)))
    names = data.draw(st.lists(st.sampled_from([row.option for row in DRIVE_OPTIONS if bus in row.buses]), unique=True))
    options = {name: data.draw(value_of(name), name) for name in names}
    slot = f"{bus}0"
    try:
        parts = {name: text for name, text in drive_parts(slot, options).items() if text is not None}
        check_limits(slot, parts)
    except InvalidRequest as error:
        # Limits that exclude each other, and nothing else of what is drawn here.
        message = str(error)
        assert any(word in message for word in ("exclude each other", "needs", "same limit", "longer than"))
        return
    text = DRIVE.write({"file": "local-lvm:vm-100-disk-0", **parts})
    _value, problem = schema.check_value(PROPERTIES[f"{bus}[n]"], text)
    assert problem is None
    assert is_whole_drive(slot, text)
    assert value_type_of(slot).same(text, DRIVE.merge(text, drive_parts(slot, options)))
