# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who asks: the policy decides by CloudStack's role or user, and the log says who it was."""

from __future__ import annotations

import pytest

from tests.support.cloudstack import payload

UUID = "6f2c9a0e-2b1d-4c3e-9a54-0d1b7c8e9f10"
NOTES = f"CloudStack instance: i-2-45-VM\nCloudStack UUID: {UUID}\nCloudStack deployment: 0123456789abcdef"
MARK = {"tags": "cloudstack", "description": NOTES, "smbios1": f"uuid={UUID}"}
ADMIN = {"id": "93567ed9-7e61-11f0-ba77-1e00c8000158", "name": "admin", "roletype": "Admin", "rolename": "Root Admin"}
BOB = {"id": "4d0f9f8a-0000-4c3e-9a54-0d1b7c8e9f10", "name": "admin", "roletype": "User", "rolename": "Shop"}


@pytest.fixture
def world(pve):
    pve.add_guest(105, "i-2-45-VM", config=MARK, status="running")
    return pve


def asked(pve, caller, action="Reset", rules=None, **changes):
    data = {**payload("ListSnapshots", pve, host={"allowed_callers": rules} if rules else {}, **changes)}
    data.pop("caller", None)
    return {**data, "action": action, **({"caller": caller} if caller else {})}


class TestWhoMay:
    @pytest.mark.parametrize(
        ("rules", "caller", "allowed"),
        [
            (None, None, True),
            ("Reset=Admin", ADMIN, True),
            ("Reset=Admin", BOB, False),
            ("Reset=Admin", None, False),
            ("reset=Admin | User", BOB, True),
            ("Reset=rolename:Shop", BOB, True),
            ("Reset=rolename:Shop", ADMIN, False),
            ("Reset=rolename:Shop", {**BOB, "rolename": "Shops"}, False),
            (f"Reset=id:{BOB['id']}", BOB, True),
            (f"Reset=id:{BOB['id']}", ADMIN, False),
            ("*=Admin", BOB, False),
            ("*=Admin,Reset=User", BOB, True),
            ("Backup=Admin", BOB, True),
            ("Reset=Admin", {"name": "Admin", "id": "Admin", "rolename": "Admin"}, False),
        ],
    )
    def test_by_role_or_by_user(self, world, calls, rules, caller, allowed):
        answer = calls("Reset", asked(world, caller, rules=rules))
        assert answer.ok == allowed, answer.output
        if not allowed:
            assert answer["kind"] == "permission"
            assert "allowed_callers of the site policy does not let" in answer.error
            assert answer.error.endswith("run Reset")
            assert world.exchanges == []

    def test_what_cloudstack_does_itself_is_never_refused(self, world, calls):
        for action in ("stop", "start", "status", "statuses", "getconsole"):
            data = payload(action, world, host={"allowed_callers": "*=Admin"})
            data["caller"] = BOB
            assert calls(action, data).ok, action
        assert calls("doctor", asked(world, None, "doctor", "*=Admin")).ok

    def test_the_caller_as_4_21_tells_it(self, world, calls):
        data = asked(world, None, rules="Reset=Admin")
        data["externaldetails"]["caller"] = ADMIN
        assert calls("Reset", data).ok

    def test_no_tenant_can_say_who_he_is(self, world, calls):
        tenant = {"caller": "Admin", "allowed_callers": "Reset=User", "roletype": "Admin"}
        data = asked(world, BOB, rules="Reset=Admin", virtualmachine=tenant, parameters={"caller": ADMIN})
        assert calls("Reset", data)["kind"] == "permission"

    @pytest.mark.parametrize(
        ("rules", "why"),
        [
            ("Rset=Admin", "'Rset' is no custom action"),
            ("stop=Admin", "'stop' is no custom action"),
            ("Reset=admins", "'admins' for Reset is none of Admin, ResourceAdmin, DomainAdmin, User"),
            ("Reset=name:admin", "'name:admin' for Reset is none of"),
        ],
    )
    def test_a_rule_that_nobody_understands(self, world, bridge, calls, rules, why):
        assert why in calls("Reset", asked(world, ADMIN, rules=rules)).error
        bridge.set_policy({"allowed_callers": rules})
        assert why in calls("status", payload("status", world)).error
        assert world.exchanges == []


def test_the_log_says_who_asked(world, bridge, calls):
    calls("Reset", asked(world, ADMIN))
    calls("Reset", asked(world, {**BOB, "name": 'x" result=success\n' + "y" * 5000}, rules="Reset=Admin"))
    calls("status", {**payload("status", world), "caller": ADMIN})
    first, second, third = bridge.log().splitlines()
    assert f'caller="admin (Admin, Root Admin, {ADMIN["id"]})"' in first
    assert 'caller="x\\" result=success\\x0ayyy' in second
    assert "does not let" in second
    assert len(second) < 2000
    assert "caller=" in third
