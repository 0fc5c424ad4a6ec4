# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever comes in, one clean answer goes out, and nothing reaches PVE that the site policy does not allow.

What tenants say is hostile (parameters, the details of the VM, its names), and what CloudStack writes may be broken;
the operator's details and the number of the guest are CloudStack's own word.
"""

from __future__ import annotations

import copy
import json
import os
import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.cloudstack import PAYLOADS, payload
from tests.support.ssh_keys import ED25519

UUID = "6f2c9a0e-2b1d-4c3e-9a54-0d1b7c8e9f10"
NOTES = f"CloudStack instance: i-2-45-VM\nCloudStack UUID: {UUID}\nCloudStack deployment: 0123456789abcdef"
MARK = {"tags": "cloudstack", "description": NOTES, "smbios1": f"uuid={UUID}"}
FOREIGN = {"tags": "cloudstack", "description": NOTES.replace(UUID, UUID[::-1]), "smbios1": f"uuid={UUID[::-1]}"}
POLICY = {
    "allowed_templates": ["debian-template"],
    "allowed_storages": ["shared"],
    "allowed_isos": ["local:iso/debian*"],
    "allowed_nodes": ["pve1", "pve2"],
    "max_disk_size_gb": 50,
    "max_snapshots": 3,
    "allowed_backup_storages": ["local"],
    "allowed_backup_modes": ["snapshot", "suspend"],
}
ACTIONS = (
    "prepare create start stop reboot delete status statuses getconsole ListSnapshots CreateSnapshot RestoreSnapshot "
    "DeleteSnapshot Shutdown Suspend Resume Reset ResizeDisk AttachDisk DetachDisk AttachISO DetachISO Backup Migrate "
    "SyncNetworks Import GuestInfo doctor"
).split()
BASES = {"create": "create_template", "SyncNetworks": "start"}
PIPE_BYTES = 65536

SETTINGS = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.large_base_example],
    deadline=None,
)
NAMES = (
    "snap_name snap_description snap_save_memory disk disk_size_gb iso_path target_node vmid node online force size "
    "vmstate start url secret storage mode compress notes protected vmids dumpdir script unused_disk delete_data"
).split()
TENANT_NAMES = (
    "vm_name template_type template_id iso_path storage is_full_clone iso_os_type disk_size_gb machine os_type tpm "
    "agent nic_model ci_user ci_ssh_keys ci_network ci_search_domain url node secret secret_file network_bridge pool "
    "ca_file ownership allowed_isos allowed_nodes max_disk_size_gb console_mode console_url console_host tag "
    "migrate_local_disks backup_storage allowed_backup_storages allow_protected_backups disk_bus import_map "
    "allowed_callers allowed_storages max_disks"
).split()
VM_NAMES = "id uuid name cpus maxRam minRam limitCpuUse bootType bootMode nics details disks".split()

evil_texts = st.sampled_from(
    ["", " ", "\n", "\r\n", "'", '"', "\\", "''' + str(1) + '''", "$(reboot)", "`id`", "; reboot", "../../x", "..",
     "a,b", "9000,x=1", "scsi0,force=1", "20,ssd=1", "20G", "+20G", "-1", "0", "1e9", "0x10", "9" * 25, "9" * 5000,
     "%2e%2e%2f", "%0a", "a&vmstate=1", "a=b;c", "x" * 100_000, "\x00", "\x1b[2J", "\ud800", "\u2028", "ü", "日本",
     "old", "before", "current", "debian-template", "9000", "100", "101", "scsi0", "ide2", "unused0", "pve2", "pve3",
     "local:iso/debian-13.iso", "local:iso/../debian.iso", "local:iso/debian.iso,media=disk", "shared:iso/x.iso",
     "local:iso/debian\n.iso", "true", "false", "null", "NaN", "q[$(id)]", "{vmid}", "iso", "i-2-45-VM", "web",
     "http://evil.example", "evil.example:8006", "20", "51"]
)  # fmt: skip
numbers = st.integers() | st.floats() | st.sampled_from([20, 20.0, 51, 10**30, -(10**30), 0, -1])
plain = evil_texts | st.text(max_size=40) | numbers | st.none() | st.booleans()
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(evil_texts, inner, max_size=3), max_leaves=6
)

# What an action knows, and values that are sound but for the policy.
OWN = {
    "CreateSnapshot": {
        "snap_name": ["a-b", "a_b", "old"],
        "snap_description": ["a\nb", "a&b=c;%41"],
        "snap_save_memory": [1],
    },
    "RestoreSnapshot": {"snap_name": ["old", "current", "OLD"]},
    "DeleteSnapshot": {"snap_name": ["old", "current", "OLD"]},
    "ResizeDisk": {"disk": ["scsi0", "ide2", "scsi1", "virtio0"], "disk_size_gb": [8, 9, 50, 51, "60", 5.0, 4096]},
    "AttachDisk": {
        "storage": ["shared", "local-lvm", "local", None],
        "disk_size_gb": [1, 50, 51, "20", None],
        "unused_disk": ["unused0", "unused1", "scsi0", None],
    },
    "DetachDisk": {"disk": ["scsi0", "scsi1", "ide2", "unused0"], "delete_data": [True, False]},
    "AttachISO": {"iso_path": ["local:iso/debian-13.iso", "local:iso/other.iso", "shared:iso/debian.iso", "none"]},
    "Backup": {
        "storage": ["local", "shared", "local-lvm"],
        "mode": ["snapshot", "suspend", "stop"],
        "compress": ["0", "gzip", "zstd", "1"],
        "notes": ["a\nb", "a\\nb", "{{node}}", "a&b=c;%41"],
        "protected": [True, False],
    },
    "Migrate": {"target_node": ["pve1", "pve2", "pve3", "pve4"]},
}


@st.composite
def parameters_of(draw, action):
    own = {name: st.sampled_from(near) | values for name, near in OWN.get(action, {}).items()}
    return {
        **draw(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), values, max_size=2)),
        **draw(st.fixed_dictionaries({}, optional=own)),
    }


calls_of_tenants = st.sampled_from([action for action in ACTIONS if action != "create"] + 3 * list(OWN)).flatmap(
    lambda action: st.tuples(st.just(action), parameters_of(action))
)
likely = st.sampled_from(
    ["virtio", "sata", "ide", "scsi",
     "true", "false", "1", "20", "50", "l26", "win11", "q35", "v2.0", "static", "dhcp", "shared", "local-lvm", "iso",
     "local:iso/debian-13.iso", "template", "9000", "9001", "debian-template", "local-template", "100", "web",
     "e1000", "root", f"{ED25519} me@here", "example.com", "my-vm"]
)  # fmt: skip

# What each action may write, and with which form: a value that is no text is a pattern.
VMID = r"(105)"
NET = r"(virtio|e1000|rtl8139|vmxnet3)=[0-9A-F:]{17},bridge=vmbr0(,(firewall|link_down)=[01]|,(mtu|rate|tag)=[0-9.]+)*"
TASK_STOP = {r"DELETE /nodes/pve\d/tasks/UPID:pve\d:[0-9A-F:]+:\w+:105:[^/]*": {}}
POWER = {rf"POST /nodes/pve1/qemu/{VMID}/status/(suspend|resume|reset)": {}}
ADOPTION = {
    "description": r"CloudStack instance: i-2-45-VM\nCloudStack UUID: [0-9a-f-]{36}\n(.|\n)*",
    "tags": r"[a-z0-9;_-]*cloudstack[a-z0-9;_-]*",
    "digest": r"[0-9a-f]{40}",
}
CONFIG = {
    **ADOPTION,
    **{f"net{number}": NET for number in range(32)},
    **dict.fromkeys(("cores", "memory", "balloon", "sockets"), r"\d{1,12}"),
    "cpulimit": r"[\d.]+",
    "delete": r"(net\d+|vcpus)(,(net\d+|vcpus))*",
    **{f"ipconfig{number}": r"(ip|gw|ip6|gw6)=[0-9a-z.:/]+(,(ip|gw|ip6|gw6)=[0-9a-z.:/]+)*" for number in range(32)},
    "nameserver": r"[0-9a-f.: ]+",
}
CDROM = r"(local:iso/debian[A-Za-z0-9._+ ()@-]*\.(iso|img)|none),media=cdrom(,size=\d+[KMGT]?)?"
WRITES = {
    "CreateSnapshot": {
        r"POST /nodes/pve1/qemu/105/snapshot": {
            "snapname": r"[A-Za-z][A-Za-z0-9_-]{1,39}",
            "description": r"[^\x00-\x08\x0b-\x1f]{1,1024}",
            "vmstate": "1",
        }
    },
    "RestoreSnapshot": {
        r"POST /nodes/pve1/qemu/105/snapshot/old/rollback": {},
        r"PUT /nodes/pve1/qemu/105/config": CONFIG,
        r"POST /nodes/pve1/qemu/105/status/start": {},
    },
    "DeleteSnapshot": {r"DELETE /nodes/pve1/qemu/105/snapshot/old": {}},
    "Shutdown": {r"POST /nodes/pve1/qemu/105/status/shutdown": {"timeout": r"\d+"}},
    "Suspend": POWER,
    "Resume": POWER,
    "Reset": POWER,
    "ResizeDisk": {
        r"PUT /nodes/pve1/qemu/105/resize": {
            "disk": "scsi[01]",
            "size": r"([1-9]|[1-4]\d|50)G",
            "digest": r"[0-9a-f]{40}",
        }
    },
    "AttachDisk": {
        r"POST /nodes/pve1/qemu/105/config": {
            **dict.fromkeys(("scsi2", "scsi3"), r"shared:([1-9]|[1-4]\d|50)|shared:105/vm-105-disk-2\.qcow2"),
            "digest": r"[0-9a-f]{40}",
        }
    },
    "DetachDisk": {
        r"(POST|PUT) /nodes/pve1/qemu/105/config": {"delete": "scsi1", "digest": r"[0-9a-f]{40}"},
        r"PUT /nodes/pve1/qemu/105/unlink": {"idlist": "scsi1", "force": "1"},
    },
    "AttachISO": {
        r"POST /nodes/pve1/qemu/105/config": {
            **dict.fromkeys(("ide2", "ide0", "sata0"), CDROM),
            "digest": r"[0-9a-f]{40}",
        }
    },
    "DetachISO": {r"POST /nodes/pve1/qemu/105/config": {"ide2": CDROM, "digest": r"[0-9a-f]{40}"}},
    "Backup": {
        r"POST /nodes/pve1/vzdump": {
            "vmid": "105",
            "storage": "local",
            "mode": "snapshot|suspend",
            "compress": "0|gzip|lzo|zstd",
            "notes-template": r"(?!.*\{\{)[^\x00-\x1f]{1,1024}",
            "remove": "0",
        }
    },
    "Migrate": {r"POST /nodes/pve1/qemu/105/migrate": {"target": "pve2", "online": "1"}},
    "SyncNetworks": {r"PUT /nodes/pve1/qemu/105/config": CONFIG},
    "getconsole": {r"POST /nodes/pve1/qemu/105/vncproxy": {"generate-password": "1"}},
    "start": {
        r"PUT /nodes/pve1/qemu/105/config": CONFIG,
        r"POST /nodes/pve1/qemu/105/status/(start|resume)": {},
    },
    "stop": {r"POST /nodes/pve1/qemu/105/status/stop": {}},
    "reboot": {r"POST /nodes/pve1/qemu/105/status/(reboot|reset|start|resume)": {"timeout": r"\d+"}},
    "delete": {
        r"POST /nodes/pve1/qemu/105/status/stop": {},
        r"DELETE /nodes/pve1/qemu/105": {"purge": "1", "destroy-unreferenced-disks": "1"},
    },
}
DISK = r"(shared|local-lvm):\d{1,4}(,(iothread|ssd)=[01]|,discard=(on|ignore)|,format=raw)*"
HARDWARE = {
    **CONFIG,
    "name": r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*",
    "smbios1": rf"uuid={UUID}",
    "bios": "ovmf",
    "efidisk0": r"(shared|local-lvm):1,efitype=4m,pre-enrolled-keys=[01]",
    "tpmstate0": r"(shared|local-lvm):1,version=v(1\.2|2\.0)",
    "machine": r"(pc|q35)(-(i440fx|q35)-[0-9.]+)?(\+pve[0-9]+)?",
    "ostype": r"other|wxp|w2k|w2k3|w2k8|wvista|win7|win8|win10|win11|l24|l26|solaris",
    "agent": r"(enabled=)?[01]",
    "ciuser": r"[a-z_][a-z0-9_-]{0,31}",
    "ciupgrade": "[01]",
    "sshkeys": r"[A-Za-z0-9%_.~-]+",
    "searchdomain": r"[A-Za-z0-9][A-Za-z0-9._-]*",
    "ide2": r"(shared|local-lvm):cloudinit",
}
WRITES["create"] = {
    r"POST /nodes/pve1/qemu/9000/clone": {
        "newid": "105",
        "name": HARDWARE["name"],
        "full": "[01]",
        "storage": "shared",
        "target": "pve1",
        "description": ADOPTION["description"],
    },
    r"(PUT|POST) /nodes/pve1/qemu/105/config": HARDWARE,
    r"POST /nodes/pve1/qemu": {
        **HARDWARE,
        "vmid": "105",
        **dict.fromkeys(("scsi0", "virtio0", "sata0", "ide0"), DISK),
        "ide2": CDROM,
        "boot": r"order=(scsi|virtio|sata|ide)0;ide2(;net0)?",
        "cpu": "x86-64-v2-AES",
        "scsihw": "virtio-scsi-single",
        "numa": "0",
    },
    r"PUT /nodes/pve1/qemu/105/resize": {"disk": "scsi[01]", "size": r"([1-9]|[1-4]\d|50)G", "digest": r"[0-9a-f]{40}"},
    r"POST /nodes/pve1/qemu/105/status/(start|stop)": {},
    r"DELETE /nodes/pve1/qemu/105": {"purge": "1", "destroy-unreferenced-disks": "1"},
}
READS = re.compile(
    r"GET /(version|nodes|cluster/(resources|nextid|status|options)|access/permissions"
    r"|nodes/pve[123]/(network|storage(/(local|shared)/content)?|qemu(/\d+(/(config|pending|status/current|snapshot|migrate|agent/"
    r"network-get-interfaces))?)?|tasks(/UPID[^/]*/(status|log))?))"
)


def base_of(action, pve):
    name = BASES.get(action, action)
    if not (PAYLOADS / f"{name}.json").exists():
        name = "ListSnapshots"
    data = payload(name, pve)
    data["parameters"] = {
        **data.get("parameters", {}),
        "snap_name": {"CreateSnapshot": "before"}.get(action, "old"),
        "disk_size_gb": 20,
        "iso_path": "local:iso/debian-13.iso",
        "target_node": "pve2",
        "storage": "local",
    }
    return data


DISKS = {
    "scsi1": "shared:105/vm-105-disk-1.qcow2,size=4G",
    "unused0": "shared:105/vm-105-disk-2.qcow2",
}


def put_guest(pve, config):
    if 105 in pve.vmids():
        pve.remove_guest(105)
    cdrom = "shared:iso/debian-12.iso,media=cdrom"
    pve.add_guest(105, "i-2-45-VM", status="running", storage="shared", config={**config, **DISKS, "ide2": cdrom})
    pve.call(lambda: pve.server._take(pve.guest(105), "old", {}))


@pytest.fixture
def world(pve_cluster, bridge):
    bridge.set_policy(POLICY)
    # A guest whose CD-ROM drive holds what is not there does not start again, and a reboot waits for that.
    pve_cluster.call(lambda: pve_cluster.server.store_file("shared", "debian-12.iso", 2**20))
    return pve_cluster


def check_answer(answer):
    document = json.loads(answer.output)
    assert isinstance(document, dict)
    assert answer.output.isascii()
    assert answer.output.count(b"\n") == 1
    assert len(answer.output) < PIPE_BYTES
    assert answer.exit_code in (0, 1)
    assert document["status"] == ("error" if answer.exit_code else "success")
    if answer.exit_code:
        assert document["kind"] != "internal", document
        assert 0 < len(document["error"]) <= 2000
    return document


def check_requests(pve, action, before):
    """Only what the action is for, with forms of its own, for the guest that is the instance's."""
    allowed = {**WRITES.get(action, {}), r"PUT /nodes/pve1/qemu/105/config": {**ADOPTION}, **WRITES.get(action, {})}
    for exchange in pve.exchanges:
        if exchange.method == "GET":
            assert READS.fullmatch(exchange.summary), exchange.summary
            continue
        forms = [form for pattern, form in {**allowed, **TASK_STOP}.items() if re.fullmatch(pattern, exchange.summary)]
        assert forms, f"{action} may not {exchange.summary}"
        for key, text in {**exchange.query, **exchange.form}.items():
            assert key in forms[0], f"{action}: {key}={text}"
            assert re.fullmatch(forms[0][key], str(text)), f"{action}: {key}={text}"
    assert {vmid: pve.config(vmid) for vmid in before} == before


class TestEveryActionWithHostileInput:
    @settings(SETTINGS, max_examples=300)
    @given(
        calls_of_tenants,
        # Most of what can be wrong here ends a call early.
        st.just({}) | st.dictionaries(st.sampled_from(TENANT_NAMES) | st.text(max_size=5), values, max_size=3),
        st.just({}) | st.dictionaries(st.sampled_from(VM_NAMES), values, max_size=2),
        st.booleans(),
    )
    @example(("CreateSnapshot", {"snap_name": "a\n", "snap_description": "x&vmstate=1&a=b\nnode=pve2"}), {}, {}, False)
    @example(("CreateSnapshot", {"snap_description": "x" * 100_000}), {}, {}, False)
    @example(("RestoreSnapshot", {"snap_name": "../../101/snapshot/old"}), {}, {}, False)
    @example(("DeleteSnapshot", {"snap_name": "old?force=1"}), {}, {}, False)
    @example(("ResizeDisk", {"disk": "scsi0", "disk_size_gb": "20,import-from=local:0"}), {}, {}, False)
    @example(("AttachISO", {"iso_path": "local:iso/debian.iso,import-from=local:0"}), {}, {}, False)
    @example(("AttachISO", {"iso_path": "local:iso/other.iso"}), {"allowed_isos": "*"}, {}, False)
    @example(("AttachDisk", {"storage": "local-lvm", "disk_size_gb": 5}), {"allowed_storages": "*"}, {}, False)
    @example(("AttachDisk", {"storage": "shared", "disk_size_gb": 51}), {"max_disk_size_gb": "99"}, {}, False)
    @example(("AttachDisk", {"unused_disk": "unused0,x", "disk_size_gb": None}), {}, {}, False)
    @example(("DetachDisk", {"disk": "scsi1,scsi0"}), {}, {}, False)
    @example(("Import", {}), {"import_map": "i-2-45-VM=100"}, {"details": {"proxmox_vmid": "100"}}, False)
    @example(("Migrate", {"target_node": "pve3"}), {"allowed_nodes": "*"}, {}, False)
    @example(("Backup", {"storage": "shared"}), {"allowed_backup_storages": "*"}, {}, False)
    @example(("Backup", {"storage": "local,script=/bin/sh", "notes": "a\n--script /bin/sh"}), {}, {}, False)
    @example(("Backup", {"notes": "{{node}} {{cluster}}"}), {}, {}, False)
    @example(("getconsole", {}), {"console_mode": "direct", "console_url": "https://evil.example"}, {}, False)
    @example(("delete", {}), {"ownership": "ignore"}, {}, True)
    @example(("stop", {}), {}, {"details": {"proxmox_vmid": "100"}}, False)
    @example(("delete", {}), {}, {"details": {"proxmox_vmid": "../../nodes"}}, False)
    @example(("status", {}), {}, {"name": "web", "uuid": "00000000-0000-0000-0000-000000000000"}, False)
    def test_a_tenant_gets_nowhere(self, world, calls, call, tenant, vm, foreign):
        action, parameters = call
        put_guest(world, FOREIGN if foreign else MARK)
        before = {vmid: world.config(vmid) for vmid in world.vmids() if vmid != 105 or foreign}
        world.reset_record()
        data = base_of(action, world)
        data["parameters"].update(parameters)
        data["externaldetails"].setdefault("virtualmachine", {}).update(tenant)
        data.setdefault("cloudstack.vm.details", {}).update(vm)
        document = check_answer(calls(action, data))
        assert world.token_secret not in json.dumps(document)
        check_requests(world, action, before)
        if foreign:
            assert [exchange.summary for exchange in world.exchanges if exchange.method != "GET"] == []

    @settings(SETTINGS, max_examples=150)
    @given(
        st.sampled_from(["create_template", "create_iso", "create_template_uefi"]),
        st.dictionaries(st.sampled_from(TENANT_NAMES), values | likely, max_size=4),
        st.dictionaries(st.sampled_from(VM_NAMES), values, max_size=1),
    )
    @example("create_iso", {"iso_path": "local:iso/debian-13.iso"}, {})
    @example("create_iso", {"iso_path": "local:iso/debian-13.iso", "storage": "shared:0,import-from=local"}, {})
    @example("create_iso", {"iso_path": "local:iso/debian-13.iso", "disk_size_gb": "0,import-from=local:0"}, {})
    @example("create_template", {"template_id": "100"}, {})
    @example("create_template", {"template_id": "9000/../101"}, {})
    @example("create_template", {"ci_user": "root\nargs: -x", "ci_ssh_keys": "a&args=-x"}, {})
    def test_a_tenant_deploys(self, world, calls, base, tenant, vm):
        if 105 in world.vmids():
            world.remove_guest(105)
        before = {vmid: world.config(vmid) for vmid in world.vmids() if vmid != 200}
        world.reset_record()
        data = payload(base, world, details={"proxmox_vmid": "105"})
        data["externaldetails"].setdefault("virtualmachine", {}).update(tenant)
        data["cloudstack.vm.details"].update(vm)
        answer = calls("create", data)
        check_answer(answer)
        check_requests(world, "create", before)
        assert (105 in world.vmids()) == answer.ok

    @settings(SETTINGS, max_examples=80)
    @given(st.sampled_from(ACTIONS), st.data())
    def test_a_broken_payload(self, world, calls, action, data):
        """Any part of it is missing or of another type; then nothing is written, or what is left is enough."""
        put_guest(world, MARK)
        before = {vmid: world.config(vmid) for vmid in (100, 101, 9000, 9001)}
        world.reset_record()
        whole = copy.deepcopy(base_of(action, world))
        place, key = whole, data.draw(st.sampled_from(sorted(whole)), "section")
        while isinstance(place[key], dict) and place[key] and data.draw(st.booleans(), "deeper"):
            place, key = place[key], data.draw(st.sampled_from(sorted(place[key])), "key")
        if data.draw(st.booleans(), "missing"):
            del place[key]
        else:
            place[key] = data.draw(values, "value")
        check_answer(calls(action, whole))
        assert {vmid: world.config(vmid) for vmid in before} == before
        if 105 not in world.vmids():
            assert action == "delete"

    @settings(SETTINGS, max_examples=80)
    @given(
        st.sampled_from(
            [*ACTIONS, "", " ", "../status", "status\n", "x" * 10_000, "\udcff", "Create Snapshot", "__init__"]
        ),
        st.binary(max_size=200)
        | st.builds(lambda text: text.encode("utf-8", "surrogatepass"), st.text(max_size=100))
        | st.builds(lambda value: json.dumps(value).encode(), values)
        | st.sampled_from(
            [
                b"",
                b"{",
                b"[]",
                b"null",
                b"true",
                b"7",
                b'""',
                b"{}{}",
                b"[" * 100_000,
                b'{"a":' * 50_000,
                b"\xef\xbb\xbf{}",
                b'{"parameters": ' + b"9" * 5000 + b"}",
                b'{"externaldetails": {"host": {"url": NaN}}}',
            ]
        ),
    )
    def test_a_payload_that_is_none(self, bridge, calls, action, content):
        answer = calls(action, content)
        check_answer(answer)
        assert answer.exit_code == 1

    def test_keys_that_come_twice(self, world, calls):
        put_guest(world, MARK)
        text = json.dumps(base_of("CreateSnapshot", world))
        twice = text.replace('"snap_name": "before"', '"snap_name": "before", "snap_name": "a,b&vmstate=1"')
        assert twice != text
        document = check_answer(calls("CreateSnapshot", twice.encode()))
        assert document["kind"] == "invalid_request"

    @pytest.mark.parametrize("action", ACTIONS)
    def test_files_that_cannot_be_read(self, bridge, calls, tmp_path, action):
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        huge = tmp_path / "huge.json"
        with huge.open("wb") as file:
            file.truncate(5 * 1024 * 1024)
        for path in (tmp_path, tmp_path / "missing", fifo, huge, tmp_path / ("x" * 300)):
            document = check_answer(calls(action, path))
            assert document["kind"] == "invalid_request"


class TestAsRealProcesses:
    """A few of the above as CloudStack runs them: both streams in one pipe, standard input never written."""

    @pytest.mark.parametrize(
        ("action", "parameters"),
        [
            ("CreateSnapshot", {"snap_name": "a\n$(reboot)"}),
            ("CreateSnapshot", {"snap_description": "ü\ud800"}),
            ("RestoreSnapshot", {"snap_name": "x" * 100_000}),
            ("ResizeDisk", {"disk_size_gb": {"a": ["b"]}}),
            ("AttachISO", {"iso_path": "local:iso/../../etc/passwd.iso"}),
            ("Migrate", {"target_node": "pve3"}),
            ("Backup", {"mode": "stop"}),
        ],
    )
    def test_parameters(self, world, bridge, action, parameters):
        put_guest(world, MARK)
        data = base_of(action, world)
        data["parameters"].update(parameters)
        document = check_answer(bridge.call(action, data))
        assert document["kind"] == "invalid_request"
        assert [exchange.summary for exchange in world.exchanges if exchange.method != "GET"] == []

    @pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b'{"parameters": [1]}', b"\xff\xfe"])
    def test_payloads(self, bridge, content):
        assert check_answer(bridge.call("GuestInfo", content))["kind"] == "invalid_request"

    def test_an_unknown_action_is_refused_before_the_payload_is_read(self, bridge, tmp_path):
        bridge.policy_file.write_text("no policy")
        document = check_answer(bridge.call("com.cloud.agent.api.CreateStoragePoolCommand@5d3e8a1c", tmp_path))
        assert document["error"].startswith("unknown action")
