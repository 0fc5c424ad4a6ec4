# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small playbooks that once failed on a real PVE; the first line of each says what should come of it."""

from __future__ import annotations

from pathlib import Path

from tests.integration.guides import role_privileges

FAULTS = Path(__file__).parent / "faults"
FIRST_VM = Path(__file__).parents[2] / "docs" / "first-vm.md"


def test_a_guest_in_a_pool_with_the_role_of_the_guide(pve, play):
    (role,) = role_privileges(FIRST_VM)
    pve.add_pool("fpool")
    pve.add_token("ansible@pve!automation", "00000000-0000-0000-0000-000000000000")
    pve.grant("ansible@pve", "/", *role)
    token = {
        "PROXMOX_USER": "ansible@pve",
        "PROXMOX_TOKEN_ID": "automation",
        "PROXMOX_TOKEN_SECRET": "00000000-0000-0000-0000-000000000000",
    }
    result = play(FAULTS / "06-pool-with-the-guide-s-role.yml", env=token, extra_vars={"ansible_connection": "local"})
    assert not result.failed, result.stdout
    assert result.changed == [True, False, True]
