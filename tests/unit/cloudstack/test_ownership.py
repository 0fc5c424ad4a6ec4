# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest is the instance's, can become it, or is somebody else's."""

from __future__ import annotations

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.ownership import (
    Verdict,
    adopted_notes,
    is_instance_name,
    judge,
    new_notes,
    read_mark,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.payload import Instance

OURS = "6f2c9a0e-2b1d-4c3e-9a54-0d1b7c8e9f10"
OTHER = "00000000-2b1d-4c3e-9a54-0d1b7c8e9f10"
FIRMWARE = "11111111-2222-3333-4444-555555555555"
INSTANCE = Instance(OURS, "i-2-45-VM")


def config(notes="", smbios=FIRMWARE):
    return {"description": notes, "smbios1": f"uuid={smbios}", "tags": "a;cloudstack"}


MADE = config(new_notes(INSTANCE, "d1"), OURS)
COPY = config(new_notes(INSTANCE, "d1"))
ADOPTED = config(adopted_notes("my notes", read_mark(config()), INSTANCE))
COPY_OF_ADOPTED = {**ADOPTED, "smbios1": f"uuid={OTHER}"}
FOREIGN = config(new_notes(Instance(OTHER, "i-2-45-VM"), "d2"), OTHER)


@pytest.mark.parametrize(
    ("found", "name", "ownership", "verdict"),
    [
        (MADE, "i-2-45-VM", "require", Verdict.OURS),
        (MADE, "renamed", "require", Verdict.OURS),
        (config("", OURS), "i-2-45-VM", "require", Verdict.OURS),
        (ADOPTED, "i-2-45-VM", "require", Verdict.OURS),
        (COPY, "i-2-45-VM", "adopt", Verdict.FOREIGN),
        (COPY_OF_ADOPTED, "i-2-45-VM", "adopt", Verdict.FOREIGN),
        (FOREIGN, "i-2-45-VM", "adopt", Verdict.FOREIGN),
        (config(), "i-2-45-VM", "adopt", Verdict.ADOPTABLE),
        (config(), "i-2-45-VM", "require", Verdict.FOREIGN),
        (config(), "web", "adopt", Verdict.FOREIGN),
        (config(), "web", "ignore", Verdict.OURS),
        ({}, "i-2-45-VM", "adopt", Verdict.ADOPTABLE),
    ],
)
def test_verdicts(found, name, ownership, verdict):
    assert judge(read_mark(found), name, INSTANCE, ownership) is verdict


def test_a_custom_name_is_adopted_only_when_it_is_said():
    assert judge(read_mark(config()), "web", INSTANCE, "adopt", "web") is Verdict.ADOPTABLE
    assert judge(read_mark(config()), "web", INSTANCE, "adopt", None) is Verdict.FOREIGN


def test_a_guest_without_a_firmware_uuid_can_be_adopted():
    notes = adopted_notes("", read_mark({}), INSTANCE)
    assert judge(read_mark({"description": notes}), "x", INSTANCE, "require") is Verdict.OURS


def test_notes_are_kept_and_an_old_mark_is_replaced():
    notes = adopted_notes("first\nCloudStack UUID: old\nlast", read_mark(config()), INSTANCE)
    assert notes.splitlines()[3:] == ["first", "last"]
    assert read_mark({"description": notes}).uuid == OURS


@pytest.mark.parametrize(
    ("name", "is_one"), [("i-2-45-VM", True), ("i-2-45-VM-copy", False), ("r-4-VM", False), ("web", False)]
)
def test_names_of_instances(name, is_one):
    assert is_instance_name(name) is is_one
