# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which detail is in force, and what tenants can say."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.details import (
    DETAILS,
    TENANT,
    resolve_details,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.payload import Payload
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.policy import (
    check_iso,
    check_source,
    disk_size_of,
    iso_of,
    read_policy,
    storage_of,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest
from tests.support.collection_tree import REPOSITORY

EXISTING = (
    "url user token secret node network_bridge verify_tls_certificate vm_name template_type template_id iso_path "
    "storage is_full_clone iso_os_type disk_size_gb"
).split()


def details(policy=None, **sections):
    return resolve_details(Payload(sections=sections), policy or {})


def test_the_existing_names_are_all_there():
    assert set(EXISTING) <= set(DETAILS)


def test_the_more_special_section_wins():
    sections = {name: {"network_bridge": f"br{name}"} for name in ("action", "host", "resourcemap", "extension")}
    for name in ("action", "host", "resourcemap", "extension"):
        assert details({"network_bridge": "site"}, **sections).text("network_bridge") == f"br{name}"
        del sections[name]
    assert details({"network_bridge": "site"}).text("network_bridge") == "site"


def test_an_operator_wins_over_a_tenant():
    found = details(host={"storage": "ceph"}, virtualmachine={"storage": "local-lvm"})
    assert found.text("storage") == "ceph"
    assert not found.from_tenant("storage")


@pytest.mark.parametrize("name", sorted(row.name for row in DETAILS.values() if not row.tenant))
def test_a_tenant_cannot_say_what_is_the_operators(name):
    default = DETAILS[name].default
    found = details(virtualmachine={name: "evil"})
    assert not found.given(name)
    assert found._values[name] == default


def test_an_empty_detail_says_nothing():
    assert details(host={"url": ""}, extension={"url": "pve.example"}).text("url") == "pve.example"


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("True", True), ("1", True), ("no", False), (False, False)]
)
def test_flags(text, value):
    assert details(host={"verify_tls_certificate": text}).flag("verify_tls_certificate") is value


@pytest.mark.parametrize(
    "values",
    [
        {"is_full_clone": "a[$(reboot)]"},
        {"storage": "local-lvm:64,import-from=local:0"},
        {"storage": "../x"},
        {"disk_size_gb": "0,import-from=local:100/vm-100-disk-0.raw"},
        {"disk_size_gb": "-5"},
        {"disk_size_gb": "0"},
        {"template_id": "../../9000"},
        {"template_id": "9000/config"},
        {"vm_name": "x\nhost_url=127.0.0.9"},
        {"nic_model": "virtio,bridge=vmbr9"},
        {"iso_os_type": "l26,x"},
        {"storage": ["local-lvm"]},
        {"vm_name": "x" * 100_000},
        {"vm_name": "\ud800"},
    ],
)
def test_nothing_can_be_injected(values):
    with pytest.raises(InvalidRequest, match=next(iter(values))):
        details(virtualmachine=values)


def test_a_secret_is_not_repeated():
    with pytest.raises(InvalidRequest) as raised:
        details(host={"secret": "top\nsecret"})
    assert "top" not in str(raised.value)


@given(st.dictionaries(st.sampled_from(sorted(DETAILS)), st.text(max_size=40) | st.integers() | st.booleans()))
def test_whatever_a_tenant_says_is_plain_or_refused(values):
    try:
        found = details(virtualmachine=values)
    except InvalidRequest:
        return
    for name in values:
        value = found._values[name]
        if found.given(name) and DETAILS[name].kind == "text":
            assert not set("\n\r\0") & set(value)


def test_maps_are_pairs_or_objects():
    wanted = {"Guest": "vmbr0", "Public": "vmbr1"}
    assert details(host={"bridge_map": "Guest=vmbr0, Public=vmbr1"}).mapping("bridge_map") == wanted
    assert details({"bridge_map": wanted}).mapping("bridge_map") == wanted
    with pytest.raises(InvalidRequest):
        details(host={"bridge_map": "Guest"})


class TestPolicy:
    def test_a_missing_file_says_nothing(self, tmp_path):
        assert read_policy(str(tmp_path / "none.json")) == {}

    @pytest.mark.parametrize("content", ["", "[]", "{", '{"unknown": 1}', '{"stop_method": "kill"}', '{"node": ["a"]}'])
    def test_a_wrong_file_is_a_failure(self, tmp_path, content):
        path = tmp_path / "policy.json"
        path.write_text(content)
        with pytest.raises(InvalidRequest):
            read_policy(str(path))

    def test_a_file_of_all_kinds(self, tmp_path):
        path = tmp_path / "policy.json"
        policy = {"allowed_templates": ["9*"], "ha": True, "bridge_map": {"a": "b"}, "vmid_offset": 5000, "node": None}
        path.write_text(json.dumps(policy))
        assert read_policy(str(path)) == policy

    def test_what_a_tenant_may_select(self):
        policy = {
            "allowed_templates": ["90*"],
            "allowed_storages": ["ceph-*"],
            "allowed_isos": ["local:iso/ubuntu-*"],
            "max_disk_size_gb": 100,
        }
        wanted = {
            "template_id": "9000",
            "storage": "ceph-vm",
            "iso_path": "local:iso/ubuntu-24.iso",
            "disk_size_gb": 50,
        }
        good = details(policy, virtualmachine=wanted)
        check_source(good, 9000, {"template": "1"})
        assert (storage_of(good), iso_of(good), disk_size_of(good)) == ("ceph-vm", "local:iso/ubuntu-24.iso", 50)
        bad = {"template_id": "8000", "storage": "local", "iso_path": "nfs:iso/ubuntu.iso", "disk_size_gb": 500}
        for section, refused in ((TENANT, True), ("host", False)):
            found = details(policy, **{section: bad})
            for check in (lambda d: check_source(d, 8000, {"template": "1"}), storage_of, iso_of, disk_size_of):
                if refused:
                    with pytest.raises(InvalidRequest, match="policy"):
                        check(found)
                else:
                    check(found)

    def test_storages_are_mapped(self):
        found = details({"storage_map": {"gold": "ceph-ssd"}}, virtualmachine={"storage": "gold"})
        assert storage_of(found) == "ceph-ssd"

    @pytest.mark.parametrize(
        "iso",
        [
            "local:iso/../../etc/passwd",
            "local:iso/a.iso,media=disk",
            "/dev/sda",
            "local:9000/base-9000-disk-0.qcow2",
            "local:iso/a.iso\n",
            "local:iso/.hidden.iso",
            "local:iso/sub/a.iso",
            "none",
        ],
    )
    def test_an_iso_is_an_iso(self, iso):
        with pytest.raises(InvalidRequest):
            check_iso(iso)


@pytest.mark.parametrize("row", DETAILS.values(), ids=lambda row: row.name)
def test_every_detail_is_documented(row):
    lines = (REPOSITORY / "docs" / "cloudstack-details.md").read_text("utf-8").splitlines()
    cells = [line.split("|")[1] for line in lines if line.startswith("| `")]
    (cell,) = [cell for cell in cells if f"`{row.name}`" in cell]
    assert ("(tenant)" in cell) == row.tenant
