# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tags that the datacenter restricts: told before anything is made, and by the doctor."""

from __future__ import annotations

import pytest

from tests.support.cloudstack import payload

RIGHTS = (
    "VM.Audit VM.Allocate VM.Clone VM.Config.Disk VM.Config.CDROM VM.Config.CPU VM.Config.Memory VM.Config.Network "
    "VM.Config.HWType VM.Config.Options VM.Config.Cloudinit VM.PowerMgmt VM.Console VM.Snapshot VM.Snapshot.Rollback "
    "VM.Migrate VM.Backup VM.GuestAgent.Audit Datastore.AllocateSpace Datastore.Audit SDN.Use"
).split()
LOGIN = {"user": "cloud@pve", "token": "csext"}


@pytest.fixture
def world(pve):
    """A token that may do all that the guide says, and not change the datacenter."""
    pve.add_token("cloud@pve!csext", pve.token_secret)
    pve.grant("cloud@pve", "/", *RIGHTS, "Sys.Audit")
    return pve


def asked(pve, action, host=None, **changes):
    file = {"create": "create_template", "doctor": "statuses"}.get(action, action)
    return payload(file, pve, host={**LOGIN, **(host or {})}, **changes)


def writes(pve):
    return [line for line in pve.summary() if not line.startswith("GET ")]


@pytest.mark.parametrize(
    ("restricted", "why"),
    [
        ({"user_allow": "none"}, "user-allow in the datacenter's user-tag-access is none"),
        ({"user_allow": "list", "allow_list": ["prod"]}, "user-allow in the datacenter's user-tag-access is list"),
        ({"user_allow": "existing"}, "set it to list or existing, with cloudstack in user-allow-list"),
        ({"registered": ["cloudstack"]}, "it is one of the datacenter's registered-tags"),
    ],
)
def test_before_anything_is_made(world, calls, restricted, why):
    world.restrict_tags(**restricted)
    for action, flags in (("prepare", []), ("prepare", ["--dry-run"]), ("create", ["--dry-run"])):
        answer = calls(action, asked(world, action), flags=flags)
        assert (answer.exit_code, answer["kind"]) == (1, "permission")
        assert answer.error.startswith("cloud@pve!csext may not set the tag cloudstack: ")
        assert why in answer.error
    assert writes(world) == []
    # PVE itself says so when the clone is there.
    answer = calls("create", asked(world, "create"))
    assert "Sys.Modify" in answer.error
    assert 105 not in world.vmids()


@pytest.mark.parametrize(
    "restricted",
    [
        {"user_allow": "list", "allow_list": ["cloudstack"]},
        {"user_allow": "existing", "allow_list": ["cloudstack"]},
        {"registered": ["prod"]},
    ],
)
def test_what_is_allowed_is_no_trouble(world, calls, restricted):
    world.restrict_tags(**restricted)
    assert calls("prepare", asked(world, "prepare")).ok
    assert calls("create", asked(world, "create")).ok
    assert world.config(105)["tags"] == "cloudstack"


def test_tags_of_the_operator_are_looked_at_by_create_as_well(world, calls):
    world.restrict_tags(registered=["prod"])
    for flags in ([], ["--dry-run"]):
        answer = calls("create", asked(world, "create", {"tags": "prod"}), flags=flags)
        assert answer.error.startswith("cloud@pve!csext may not set the tag prod: ")
    assert writes(world) == []


@pytest.mark.parametrize("template", ["9000", "debian-template"])
def test_a_tag_that_the_template_has_needs_no_right(world, calls, template):
    world.call(lambda: world.server.guest(9000).config.update(tags="cloudstack;prod"))
    world.restrict_tags("none", registered=["prod", "cloudstack"])
    wanted = {"template_id": template}
    assert calls("prepare", asked(world, "prepare", {"tags": "prod"}, virtualmachine=wanted)).ok
    assert calls("create", asked(world, "create", {"tags": "prod"}, virtualmachine=wanted)).ok


def test_who_may_change_the_datacenter_may_set_every_tag(world, calls):
    world.grant("cloud@pve", "/", "Sys.Modify")
    world.restrict_tags("none", registered=["cloudstack"])
    assert calls("prepare", asked(world, "prepare")).ok
    assert calls("create", asked(world, "create")).ok


def test_a_token_that_is_told_little_is_not_stopped(world, calls):
    """Without Sys.Audit PVE does not say whether tags are restricted."""
    world.server.acl.clear()
    world.grant("cloud@pve", "/", *RIGHTS)
    assert calls("prepare", asked(world, "prepare")).ok
    assert calls("create", asked(world, "create")).ok
