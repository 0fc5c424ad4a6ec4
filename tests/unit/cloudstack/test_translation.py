# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a payload to what PVE is sent, without a server: networks, hardware, clone or copy, cloud-init."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.details import resolve_details
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.networks import network_options
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.payload import parse_payload
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.translate import (
    DesiredVm,
    clone_request,
    install_request,
    start_request,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.guest.change_plan import plan_changes
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.guest.creation import (
    Source,
    plan_clone,
    plan_create,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.guest.placement import Cluster
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.guest.state import GuestState
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.guests import QEMU, Guest, GuestHandle
from tests.support.cloudstack import payload
from tests.support.embedded_pve.seed import template_config
from tests.support.ssh_keys import ED25519, RSA

UUID = "6f2c9a0e-2b1d-4c3e-9a54-0d1b7c8e9f10"
TEMPLATE = {**{key: str(value) for key, value in template_config(9000, "debian", "local-lvm").items()}, "template": "1"}
PLAIN = {"virtualmachine": {"storage": None, "is_full_clone": None}}


def desired_vm(action="create_template", policy=None, **changes):
    changes["virtualmachine"] = {**PLAIN["virtualmachine"], **changes.get("virtualmachine", {})}
    parsed = parse_payload(payload(action, **changes))
    return DesiredVm(parsed.instance(), resolve_details(parsed, policy or {}), 105, "d" * 32, "pve1")


def nic(device_id=0, **fields):
    return {"deviceId": device_id, "mac": "02:01:00:cb:00:05", "broadcastUri": "vlan://1577", "type": "Guest", **fields}


def networks(*nics, policy=None, **details):
    desired = desired_vm(
        policy={"network_bridge": "vmbr0", **details, **(policy or {})}, nics=list(nics), host={"network_bridge": None}
    )
    options = network_options(desired.instance.nics, desired.details)
    return {entry["slot"]: entry for entry in options if entry["state"] == "present"}


def source_of(template=TEMPLATE):
    return Source(GuestHandle(None, Guest(9000, "pve1", QEMU)), template)


def configured(desired, template=TEMPLATE):
    """What the one PUT after the clone sends, and the clone's own form."""
    request = clone_request(desired, source_of(template))
    creation = plan_clone(request, source_of(template))
    steps = plan_changes(request, creation.expected).steps
    return dict(creation.command(None, 105).form), steps


def put_of(desired, template=TEMPLATE):
    return dict(configured(desired, template)[1][0].command.form)


class TestNetworks:
    def test_each_card_is_where_its_device_id_says(self):
        found = networks(nic(2, broadcastUri="vlan://30"), nic(0, broadcastUri="vlan://10"))
        assert {slot: entry["vlan"] for slot, entry in found.items()} == {"net0": 10, "net2": 30}

    def test_all_other_slots_are_emptied(self):
        desired = desired_vm(nics=[nic(1)])
        absent = [
            entry["slot"]
            for entry in network_options(desired.instance.nics, desired.details)
            if entry["state"] == "absent"
        ]
        assert absent == ["net0", *(f"net{number}" for number in range(2, 32))]

    @pytest.mark.parametrize(
        ("uri", "vlan"), [("vlan://1577", 1577), ("vlan://untagged", 0), ("VLAN://Untagged", 0), ("vlan://4094", 4094)]
    )
    def test_vlans(self, uri, vlan):
        assert networks(nic(broadcastUri=uri))["net0"]["vlan"] == vlan

    @pytest.mark.parametrize(
        "uri",
        ["vlan://0", "vlan://4095", "vlan://15,77", "vlan://1577,bridge=vmbr9", "vxlan://5001", "pvlan://100-i200",
         "lswitch:abc", "1577", "vlan://", "vlan://../1", "vlan://12 34"],
    )  # fmt: skip
    def test_a_network_that_has_no_place_is_refused(self, uri):
        with pytest.raises(InvalidRequest, match="deviceId 0"):
            networks(nic(broadcastUri=uri))

    @pytest.mark.parametrize(
        ("vnets", "bridge"),
        [
            ({"5001": "vnet1"}, "vnet1"),
            ({"vxlan://5001": "vnet2"}, "vnet2"),
            ({"*": "v{id}"}, "v5001"),
            ({"vxlan://*": "x{id}"}, "x5001"),
        ],
    )
    def test_vxlan_is_a_vnet(self, vnets, bridge):
        entry = networks(nic(broadcastUri="vxlan://5001"), policy={"vnet_map": vnets})["net0"]
        assert (entry["bridge"], entry["vlan"]) == (bridge, 0)

    def test_a_vlan_may_be_a_vnet_too(self):
        entry = networks(nic(), policy={"vnet_map": {"vlan://1577": "blue", "1577": "no"}})["net0"]
        assert (entry["bridge"], entry["vlan"]) == ("blue", 0)

    def test_a_missing_uri_is_untagged_only_where_nothing_keeps_networks_apart(self):
        assert networks(nic(broadcastUri=None))["net0"]["vlan"] == 0
        assert networks(nic(broadcastUri=None, isolationUri="vlan://7"))["net0"]["vlan"] == 7
        with pytest.raises(InvalidRequest, match="broadcastUri"):
            networks(nic(broadcastUri=None, broadcastType="Vlan"))

    def test_the_tenants_vlan_counts_for_nothing(self):
        desired = desired_vm(nics=[nic(broadcastUri=None)], virtualmachine={"cloudstack.vlan": "666"})
        assert network_options(desired.instance.nics, desired.details)[0]["vlan"] == 0

    def test_bridges_by_network_name_or_traffic(self):
        bridges = {"Public": "vmbr1", "net-uuid": "vmbr2", "D1-A2-Z1-S204": "vmbr3", "210": "vmbr4"}
        found = networks(
            nic(0, type="Public"),
            nic(1, uuid="net-uuid", type="Public"),
            nic(2, networkSegmentName="D1-A2-Z1-S204"),
            nic(3, networkId=210),
            nic(4),
            policy={"bridge_map": bridges},
        )
        assert [entry["bridge"] for entry in found.values()] == ["vmbr1", "vmbr2", "vmbr3", "vmbr4", "vmbr0"]

    @pytest.mark.parametrize(("rate", "megabytes"), [(200, 25), (10, 1.25), (-1, 0), (0, 0), (None, 0)])
    def test_the_rate_is_in_megabytes(self, rate, megabytes):
        assert networks(nic(networkRateMbps=rate))["net0"]["rate"] == megabytes

    def test_the_mtu_is_the_networks_the_bridges_or_none(self):
        assert networks(nic(mtu=9000))["net0"]["mtu"] == 9000
        assert networks(nic(mtu=9000), nic_mtu="bridge")["net0"]["mtu"] == 1
        assert networks(nic(mtu=9000), nic_mtu="off")["net0"]["mtu"] == 0
        assert networks(nic(mtu=9000), nic_model="e1000")["net0"]["mtu"] == 0

    def test_a_card_that_is_off_has_no_link(self):
        assert networks(nic(enabled=False))["net0"]["link_down"] is True

    @pytest.mark.parametrize("nics", [[nic(0), nic(0)], [nic(32)], [nic(-1)]])
    def test_device_ids_that_have_no_place(self, nics):
        with pytest.raises(InvalidRequest, match="deviceId"):
            networks(*nics)

    @pytest.mark.parametrize("mac", ["", "02:01:00:cb:00", "01:00:5e:00:00:01", "02:01:00:cb:00:05,bridge=vmbr9"])
    def test_a_mac_is_a_mac(self, mac):
        with pytest.raises(InvalidRequest, match="mac"):
            clone_request(desired_vm(nics=[nic(mac=mac)]), source_of())


class TestHardware:
    def test_cpus_are_exactly_those_asked_for(self):
        put = put_of(desired_vm(), {**TEMPLATE, "sockets": "2", "cores": "4", "vcpus": "3", "cpulimit": "1.5"})
        assert (put["cores"], put["sockets"], put["cpulimit"]) == ("2", "1", "0")
        assert "vcpus" in put["delete"].split(",")

    def test_memory_is_the_maximum_and_the_minimum_its_floor(self):
        put = put_of(desired_vm(vm={"maxRam": 4 * 1024**3, "minRam": 2 * 1024**3}), {**TEMPLATE, "balloon": "0"})
        assert (put["memory"], put["balloon"]) == ("4096", "2048")
        assert put_of(desired_vm(policy={"balloon": False}))["balloon"] == "0"

    @pytest.mark.parametrize(
        ("changes", "limit"),
        [({"limitCpuUse": True}, "2"), ({"limitCpuUse": True, "maxSpeed": 1500}, "1"), ({"limitCpuUse": False}, None)],
    )
    def test_a_capped_offering_has_a_limit(self, changes, limit):
        policy = {"cpu_mhz": 3000} if "maxSpeed" in changes else {}
        assert put_of(desired_vm(policy=policy, vm=changes)).get("cpulimit") == limit

    @pytest.mark.parametrize("vm", [{"cpus": None}, {"maxRam": None}, {"cpus": 0}, {"maxRam": 1}])
    def test_an_offering_that_makes_no_sense(self, vm):
        with pytest.raises(InvalidRequest):
            clone_request(desired_vm(vm=vm), source_of())

    def test_uefi_and_secure_boot(self):
        desired = desired_vm("create_template_uefi", virtualmachine={"tpm": "v2.0", "machine": "q35"})
        put = put_of(desired)
        assert put["bios"] == "ovmf"
        assert put["machine"] == "q35"
        assert put["efidisk0"] == "local-lvm:1,efitype=4m,pre-enrolled-keys=1"
        assert put["tpmstate0"] == "local-lvm:1,version=v2.0"

    def test_a_template_with_an_efi_disk_keeps_it(self):
        there = {**TEMPLATE, "bios": "ovmf", "efidisk0": "local-lvm:base-9000-disk-1,efitype=4m,pre-enrolled-keys=1"}
        assert "efidisk0" not in put_of(desired_vm("create_template_uefi"), there)
        template = source_of({**there, "efidisk0": "local-lvm:base-9000-disk-1"})
        with pytest.raises(InvalidRequest, match="SECURE"):
            clone_request(desired_vm("create_template_uefi"), template)

    def test_bookkeeping(self):
        policy = {"tags": ["prod"], "pool": "cs", "onboot": True, "agent": True, "cpu_type": "host", "os_type": "win11"}
        form, steps = configured(desired_vm(policy=policy), {**TEMPLATE, "agent": "0", "tags": "golden"})
        put = steps[0].command.form
        assert form["pool"] == "cs"
        assert put["tags"] == "cloudstack;golden;prod"
        assert (put["onboot"], put["agent"], put["cpu"], put["ostype"]) == ("1", "1", "host", "win11")

    def test_the_mark_is_there_from_the_first_moment(self):
        template = {**TEMPLATE, "smbios1": "uuid=5a1b5b0e-5c55-4c0e-8a56-900090009000,manufacturer=QUNNRQ==,base64=1"}
        form, steps = configured(desired_vm(), template)
        lines = form["description"].splitlines()
        assert lines[:2] == ["CloudStack instance: i-2-45-VM", f"CloudStack UUID: {UUID}"]
        assert steps[0].command.form["smbios1"] == f"base64=1,manufacturer=QUNNRQ==,uuid={UUID}"
        assert len(steps) == 1


class TestClone:
    @pytest.mark.parametrize(
        ("details", "full", "storage"),
        [
            ({}, False, None),
            ({"is_full_clone": "false"}, False, None),
            ({"is_full_clone": "true"}, True, None),
            ({"storage": "local-lvm"}, False, None),
            ({"storage": "local-lvm", "is_full_clone": "false"}, False, None),
            ({"storage": "ceph"}, True, "ceph"),
            ({"storage": "ceph", "is_full_clone": "false"}, True, "ceph"),
            ({"storage": "local-lvm", "is_full_clone": "true"}, True, "local-lvm"),
        ],
    )
    def test_linked_or_full_is_what_pve_allows(self, details, full, storage):
        form, _steps = configured(desired_vm(virtualmachine=details))
        assert (form["full"], form["storage"]) == (full, storage)

    def test_a_storage_without_base_volumes_is_copied(self):
        form, _steps = configured(desired_vm(), {**TEMPLATE, "scsi0": "lvm:vm-9000-disk-0,size=8G"})
        assert form["full"] is True

    def test_only_templates_are_cloned(self):
        guest = {key: value for key, value in TEMPLATE.items() if key != "template"}
        with pytest.raises(InvalidRequest, match="no template"):
            clone_request(desired_vm(), source_of(guest))
        assert clone_request(desired_vm(policy={"allowed_templates": ["*", "9000"]}), source_of(guest)).clone.full
        # Its name may be a tenant's choice.
        with pytest.raises(InvalidRequest, match="does not allow"):
            clone_request(desired_vm(policy={"allowed_templates": ["debian"]}), source_of(guest))
        with pytest.raises(InvalidRequest, match="no template"):
            clone_request(desired_vm(policy={"allowed_templates": ["debian", "9*"]}), source_of(guest))

    def test_the_boot_disk_grows(self):
        _form, steps = configured(desired_vm(virtualmachine={"disk_size_gb": "40"}))
        assert [step.command.form.get("size") for step in steps] == ["40G", None]
        assert steps[0].command.form["disk"] == "scsi0"

    def test_it_never_shrinks(self):
        assert len(configured(desired_vm(virtualmachine={"disk_size_gb": "4"}))[1]) == 1

    def test_the_boot_disk_is_the_first_of_the_order(self):
        template = {**TEMPLATE, "virtio0": "local-lvm:base-9000-disk-1,size=8G", "boot": "order=ide2;virtio0;scsi0"}
        assert (
            configured(desired_vm(virtualmachine={"disk_size_gb": "40"}), template)[1][0].command.form["disk"]
            == "virtio0"
        )


class TestCloudInit:
    def test_nothing_is_set_unless_asked_for(self):
        assert not {"ipconfig0", "ciuser", "nameserver", "sshkeys"} & set(put_of(desired_vm()))

    def test_addresses_of_the_networks(self):
        put = put_of(
            desired_vm(
                policy={"ci_network": "static"},
                virtualmachine={"ci_user": "ops", "ci_ssh_keys": f"{ED25519} a@b\n{RSA} c"},
            )
        )
        assert put["ipconfig0"] == "gw=10.1.1.1,ip=10.1.1.57/24"
        assert put["ipconfig1"] == "ip=192.0.2.40/24,ip6=2001:db8::40/64"
        assert put["nameserver"] == "10.1.1.1 8.8.8.8"
        assert put["ciuser"] == "ops"
        assert unquote(put["sshkeys"]) == f"{ED25519} a@b\n{RSA} c"

    def test_a_key_that_is_wrong_is_named(self):
        keys = {"ci_ssh_keys": f"{ED25519} a@b\n# old\n{RSA[:-4]} c"}
        with pytest.raises(InvalidRequest, match="ci_ssh_keys: key 3 is damaged"):
            put_of(desired_vm(virtualmachine=keys))

    def test_dhcp(self):
        put = put_of(desired_vm(policy={"ci_network": "dhcp"}))
        assert (put["ipconfig0"], put["ipconfig1"]) == ("ip=dhcp", "ip=dhcp")

    def test_a_template_without_the_drive_gets_one(self):
        template = {key: value for key, value in TEMPLATE.items() if key != "ide2"}
        assert put_of(desired_vm(policy={"ci_network": "dhcp"}), template)["ide2"] == "local-lvm:cloudinit"

    @pytest.mark.parametrize("fields", [{"netmask": "no"}, {"ip": "10.1.1.1,gw=1"}, {"gateway": "x"}])
    def test_addresses_are_addresses(self, fields):
        nics = [
            nic(defaultNic=True, **{"ip": "10.1.1.57", "netmask": "255.255.255.0", "gateway": "10.1.1.1", **fields})
        ]
        with pytest.raises(InvalidRequest):
            clone_request(desired_vm(policy={"ci_network": "static"}, nics=nics), source_of())


class TestOptionsOfTheTemplatesDisk:
    def on(self, slot, **policy):
        template = {key: value for key, value in TEMPLATE.items() if key != "scsi0"}
        return clone_request(
            desired_vm(policy=policy), source_of({**template, slot: TEMPLATE["scsi0"], "boot": f"order={slot}"})
        )

    def test_what_its_bus_cannot_have_is_refused(self):
        with pytest.raises(InvalidRequest, match=r"disk_ssd: .* not for virtio0"):
            self.on("virtio0", disk_ssd=True)
        with pytest.raises(InvalidRequest, match=r"disk_iothread: .* not for sata1"):
            self.on("sata1", disk_iothread=True)

    def test_and_is_no_trouble_when_it_is_not_wanted(self):
        assert self.on("virtio0", disk_ssd=False).disks == ()
        assert dict(self.on("sata0", disk_iothread=False, disk_ssd=True).disks[0].parts) == {"ssd": "1"}

    def test_the_controller_has_to_be_the_one_for_it(self):
        for controller in ({"scsihw": "virtio-scsi-pci"}, {"scsihw": None}):
            template = {key: value for key, value in {**TEMPLATE, **controller}.items() if value}
            with pytest.raises(InvalidRequest, match="scsi0 of the template needs scsihw virtio-scsi-single"):
                clone_request(desired_vm(policy={"disk_iothread": True}), source_of(template))


class TestInstallation:
    def form(self, **changes):
        desired = desired_vm("create_iso", **changes)
        creation = plan_create(None, install_request(desired), Cluster((), ()))
        return dict(creation.command(None, 106).form)

    def test_an_iso_and_an_empty_disk(self):
        form = self.form()
        assert form["scsi0"] == "local-lvm:40,iothread=1"
        assert form["ide2"] == "local:iso/ubuntu-24.04.iso,media=cdrom"
        assert form["boot"] == "order=scsi0;ide2;net0"
        assert (form["cpu"], form["ostype"], form["scsihw"]) == ("x86-64-v2-AES", "l26", "virtio-scsi-single")
        assert form["smbios1"] == f"uuid={UUID}"

    def test_the_defaults_of_the_existing_extension(self):
        form = self.form(virtualmachine={"disk_size_gb": None, "iso_os_type": None})
        assert (form["scsi0"], form["ostype"]) == ("local-lvm:64,iothread=1", "l26")

    def test_options_of_the_disk_and_the_firmware(self):
        policy = {"disk_cache": "writeback", "disk_discard": True, "disk_ssd": True, "disk_iothread": False}
        form = self.form(
            policy=policy, vm={"bootType": "UEFI", "bootMode": "LEGACY"}, virtualmachine={"storage": "ceph"}
        )
        assert form["scsi0"] == "ceph:40,cache=writeback,discard=on,iothread=0,ssd=1"
        assert form["efidisk0"] == "ceph:1,efitype=4m,pre-enrolled-keys=0"

    @pytest.mark.parametrize(
        ("bus", "policy", "disk"),
        [
            ("scsi", {}, "local-lvm:40,iothread=1"),
            ("virtio", {}, "local-lvm:40,iothread=1"),
            ("sata", {}, "local-lvm:40"),
            ("ide", {}, "local-lvm:40"),
            ("virtio", {"disk_cache": "none", "disk_discard": True}, "local-lvm:40,cache=none,discard=on,iothread=1"),
            ("virtio", {"disk_ssd": False, "disk_iothread": False}, "local-lvm:40,iothread=0"),
            ("sata", {"disk_ssd": True, "disk_iothread": False}, "local-lvm:40,ssd=1"),
            ("ide", {"disk_ssd": True, "disk_discard": True}, "local-lvm:40,discard=on,ssd=1"),
        ],
    )
    def test_the_bus_of_the_disk(self, bus, policy, disk):
        form = self.form(policy=policy, virtualmachine={"disk_bus": bus})
        drives = {key: value for key, value in form.items() if key[:-1] in ("scsi", "virtio", "sata", "ide")}
        assert drives == {f"{bus}0": disk, "ide2": "local:iso/ubuntu-24.04.iso,media=cdrom"}
        assert form["boot"] == f"order={bus}0;ide2;net0"

    @pytest.mark.parametrize(
        ("bus", "policy", "words"),
        [
            (
                "virtio",
                {"disk_ssd": True},
                "disk_ssd: .* on ide, sata, scsi only, and not for virtio0",
            ),
            ("sata", {"disk_iothread": True}, "disk_iothread: .* scsi, virtio only, and not for sata0"),
            ("ide", {"disk_iothread": True}, "disk_iothread: .* not for ide0"),
            ("nvme", {}, "disk_bus must be one of scsi, virtio, sata, ide"),
            ("scsi0,ssd=1", {}, "disk_bus must be one of"),
        ],
    )
    def test_what_a_bus_cannot_have_is_refused(self, bus, policy, words):
        with pytest.raises(InvalidRequest, match=words):
            self.form(policy=policy, virtualmachine={"disk_bus": bus})

    @pytest.mark.parametrize(
        "details", [{"iso_path": None}, {"iso_path": "local:iso/x.iso,y"}, {"iso_os_type": "amiga"}]
    )
    def test_what_is_refused(self, details):
        with pytest.raises(InvalidRequest):
            self.form(virtualmachine=details)


class TestStart:
    def plan(self, config, **changes):
        parsed = parse_payload(payload("start", **changes))
        request = start_request(parsed.instance(), resolve_details(parsed, {}), 105)
        return plan_changes(request, GuestState(Guest(105, "pve1", QEMU), config))

    def test_a_guest_that_is_right_is_left_alone(self):
        put = put_of(desired_vm())
        config = {**TEMPLATE, **put}
        assert self.plan(config).steps == ()

    def test_another_vlan_and_a_surplus_card(self):
        config = {**TEMPLATE, **put_of(desired_vm()), "net3": "virtio=BC:24:11:90:00:03,bridge=vmbr0"}
        config["net0"] = config["net0"].replace("tag=1577", "tag=1500")
        form = self.plan(config).steps[0].command.form
        assert "tag=1577" in form["net0"]
        assert form["delete"] == "net3"

    def test_without_networks_in_the_payload_they_stay(self):
        assert self.plan({**TEMPLATE, **put_of(desired_vm())}, nics=[]).steps == ()
