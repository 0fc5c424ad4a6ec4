# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Payloads come in typed form or not at all."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.payload import (
    MAX_BYTES,
    parse_payload,
    read_payload,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest
from tests.support.cloudstack import PAYLOADS, payload


@pytest.mark.parametrize("path", sorted(PAYLOADS.glob("*.json")), ids=lambda path: path.stem)
def test_every_payload_of_cloudstack_is_understood(path):
    parsed = read_payload(str(path))
    if parsed.vm is not None:
        assert parsed.instance().name == "i-2-45-VM"


def test_the_fields_of_an_instance():
    instance = parse_payload(payload("create_template")).instance()
    assert (instance.vmid, instance.cpus, instance.max_memory, instance.id) == (105, 2, 2147483648, 45)
    assert [nic.device_id for nic in instance.nics] == [0, 1]
    assert instance.nics[0].rate == 200
    assert instance.nics[0].default
    assert instance.nics[0].nameservers == ("10.1.1.1", "8.8.8.8")


def test_numbers_may_be_texts():
    nic = {**payload("start")["cloudstack.vm.details"]["nics"][0], "deviceId": "3", "networkRateMbps": "100"}
    instance = parse_payload(payload("start", vm={"cpus": "4", "maxRam": "1073741824"}, nics=[nic])).instance()
    assert (instance.cpus, instance.max_memory, instance.nics[0].device_id) == (4, 1073741824, 3)


def test_a_section_may_be_missing():
    assert parse_payload({"externaldetails": {}}).sections["host"] == {}
    assert parse_payload({}).vm is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"vm": {"cpus": "many"}}, "cpus"),
        ({"vm": {"cpus": [2]}}, "cpus"),
        ({"vm": {"maxRam": 1.5}}, "maxRam"),
        ({"vm": {"limitCpuUse": "perhaps"}}, "limitCpuUse"),
        ({"details": {"proxmox_vmid": "105; rm"}}, "proxmox_vmid"),
        ({"details": {"proxmox_vmid": True}}, "proxmox_vmid"),
        ({"details": {"proxmox_vmid": "9" * 100}}, "proxmox_vmid"),
        ({"vm": {"nics": {"0": {}}}}, "nics"),
        ({"nics": [{"mac": "02:01:00:cb:00:05"}]}, "deviceId"),
        ({"nics": ["net0"]}, "nics[0]"),
        ({"nics": [{"deviceId": 0, "mac": ["02"]}]}, "mac"),
    ],
)
def test_nonsense_is_named(changes, named):
    with pytest.raises(InvalidRequest, match=named.replace("[", r"\[")):
        parse_payload(payload("start", **changes)).instance()


@pytest.mark.parametrize("name", ["i-2-45-VM\nCloudStack UUID: x", "", "../x", "a b", "x" * 200, "i,2", 7.5])
def test_the_instance_name_cannot_carry_anything(name):
    data = payload("start")
    data["virtualmachinename"] = name
    data["cloudstack.vm.details"].pop("name")
    with pytest.raises(InvalidRequest):
        parse_payload(data).instance()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 200_000, b'{"a":' + b"9" * 9000 + b"}"]
)
def test_a_file_that_is_no_payload(tmp_path, content):
    path = tmp_path / "payload.json"
    path.write_bytes(content)
    with pytest.raises(InvalidRequest):
        read_payload(str(path))


def test_a_path_that_is_no_file(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (tmp_path, fifo, tmp_path / "missing", "/dev/zero", "", "a\0b"):
        with pytest.raises(InvalidRequest):
            read_payload(str(path))


def test_a_file_of_any_size_is_not_read(tmp_path):
    path = tmp_path / "payload.json"
    path.write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(InvalidRequest, match="more than"):
        read_payload(str(path))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted(payload("create_template")["cloudstack.vm.details"])


@given(st.dictionaries(st.sampled_from([*FIELDS, "bootType", "bootMode"]), json_values), json_values)
def test_whatever_the_fields_hold_the_refusal_is_one_of_ours(fields, details):
    data = json.loads(json.dumps(payload("create_template")))
    data["cloudstack.vm.details"].update(fields)
    data["externaldetails"]["virtualmachine"] = details
    try:
        instance = parse_payload(data).instance()
    except InvalidRequest:
        return
    assert instance.cpus is None or isinstance(instance.cpus, int)


@given(json_values)
def test_whatever_the_payload_is_the_refusal_is_one_of_ours(data):
    try:
        parse_payload(data).instance()
    except InvalidRequest:
        return
