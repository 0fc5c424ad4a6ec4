# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Storages and guests tests and the demo start with."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from .server import EmbeddedPve
from .vzdump import kind_of

GIB = 1024**3
IMPORT_IMAGE = "debian-13.qcow2"


def add_storages(pve: EmbeddedPve, shared: bool) -> None:
    """local, local-lvm, a directory storage `vmstore`; with several nodes a shared one as well."""
    for name in ("local", "local-lvm"):
        pve.storages[name].pop("avail", None)
        pve.storages[name]["total"] = 100 * GIB
    pve.storages["local"]["content"] = "iso,vztmpl,backup,import,snippets"
    pve.storages["vmstore"] = directory("/var/lib/vmstore", "images,rootdir,import")
    if shared:
        pve.storages["shared"] = dict(directory("/mnt/shared", "images,rootdir,iso,snippets"), shared=1)
    pve.store_file("local", "debian-13.iso", 700 * 1024**2)
    add_file(pve, "local", f"import/{IMPORT_IMAGE}", "import", 3 * GIB)
    add_file(pve, "local", "snippets/user.yaml", "snippets", 1024)
    add_file(pve, "local", "vztmpl/debian-13-standard_13.0-1_amd64.tar.zst", "vztmpl", 120 * 1024**2)


def directory(path: str, content: str) -> dict[str, Any]:
    return {"type": "dir", "active": 1, "content": content, "path": path, "files": set(), "total": 200 * GIB}


def add_file(
    pve: EmbeddedPve, storage: str, name: str, content: str, size: int = 1024**2, node: str | None = None
) -> None:
    """A file on a storage; with a node, of one that is not shared, on that node only."""
    fmt = name.rsplit(".", 1)[-1] if content == "import" else "raw"
    volume: dict[str, Any] = {"content": content, "format": fmt, "size": size, "ctime": int(time.time())}
    if node is not None:
        volume["node"] = node
    pve.storages[storage].setdefault("volumes", {})[name] = volume


def template_config(vmid: int, name: str, storage: str, disk: str = "8G") -> dict[str, Any]:
    lvm = storage == "local-lvm"
    base = f"base-{vmid}-disk-0" if lvm else f"{vmid}/base-{vmid}-disk-0.qcow2"
    cloudinit = f"vm-{vmid}-cloudinit" if lvm else f"{vmid}/vm-{vmid}-cloudinit.qcow2"
    return {
        "name": name,
        "agent": "1",
        "boot": "order=scsi0;ide2;net0",
        "cores": 1,
        "memory": "1024",
        "ostype": "l26",
        "scsihw": "virtio-scsi-single",
        "scsi0": f"{storage}:{base},size={disk}",
        "ide2": f"{storage}:{cloudinit},media=cdrom",
        "net0": "virtio=BC:24:11:90:00:00,bridge=vmbr0",
        "serial0": "socket",
        "smbios1": "uuid=5a1b5b0e-5c55-4c0e-8a56-900090009000",
        "vmgenid": "0d7a3a4e-7a3b-4f63-9d3c-900090009000",
    }


def guest_config(vmid: int, name: str, storage: str = "local-lvm", disk: str = "8G") -> dict[str, Any]:
    volume = f"vm-{vmid}-disk-0" if storage == "local-lvm" else f"{vmid}/vm-{vmid}-disk-0.qcow2"
    return {
        "name": name,
        "boot": "order=scsi0;net0",
        "cores": 2,
        "memory": "2048",
        "ostype": "l26",
        "scsihw": "virtio-scsi-single",
        "scsi0": f"{storage}:{volume},size={disk}",
        "net0": f"virtio=BC:24:11:00:{vmid // 256 % 256:02X}:{vmid % 256:02X},bridge=vmbr0",
    }


def add_guest(pve: EmbeddedPve, vmid: int, name: str, **options: Any) -> Any:
    """A VM with a disk and a NIC; `config` is laid over the usual one, `agent` sets its answers."""
    node = options.get("node", sorted(pve.nodes)[0])
    config = guest_config(vmid, name, options.get("storage", "local-lvm"), options.get("disk", "8G"))
    config.update(options.get("config") or {})
    config = {key: value for key, value in config.items() if value is not None}
    vm = pve.add_vm(vmid, name, node=node, status=options.get("status", "stopped"), config=config)
    vm.agent = options.get("agent")
    vm.ha_state = options.get("ha_state")
    if options.get("qmpstatus"):
        vm.qmpstatus = options["qmpstatus"]
    if options.get("pool"):
        pve._pool_join(options["pool"], vmid)
    if options.get("lock"):
        pve.set_lock(vm, options["lock"])
    allocate_volumes(pve, vm)
    return vm


def add_template(pve: EmbeddedPve, vmid: int, name: str, **options: Any) -> Any:
    storage = options.get("storage", "local-lvm")
    config = template_config(vmid, name, storage, options.get("disk", "8G"))
    config.update(options.get("config") or {})
    config["template"] = 1
    node = options.get("node", sorted(pve.nodes)[0])
    vm = pve.add_vm(vmid, name, node=node, config=config, template=True)
    allocate_volumes(pve, vm)
    return vm


def add_container(pve: EmbeddedPve, vmid: int, name: str, **options: Any) -> Any:
    node = options.get("node", sorted(pve.nodes)[0])
    ct = pve.add_ct(vmid, name, node=node, status=options.get("status", "stopped"), config=options.get("config"))
    ct.ha_state = options.get("ha_state")
    if options.get("pool"):
        pve._pool_join(options["pool"], vmid)
    if options.get("lock"):
        pve.set_lock(ct, options["lock"])
    allocate_volumes(pve, ct)
    return ct


def add_backup(pve: EmbeddedPve, vmid: int, **options: Any) -> str:
    """A backup of a guest; age is in seconds, damaged says where: head or body. Returns its name.

    Of a guest that is gone, give kind, node and config.
    """
    guest = pve.guest(vmid)
    kind = options.get("kind") or kind_of(guest)
    storage, created = options.get("storage", "local"), int(time.time()) - options.get("age", 0)
    stamp = time.strftime("%Y_%m_%d-%H_%M_%S", time.localtime(created))
    form = "vma.zst" if kind == "qemu" else "tar.zst"
    config = guest.config if guest is not None else options.get("config") or guest_config(vmid, "gone")
    volume: dict[str, Any] = {
        "content": "backup",
        "format": form,
        "size": options.get("size", 36653),
        "vmid": vmid,
        "subtype": kind,
        "ctime": created,
        "guest": {key: value for key, value in config.items() if key != "lock"},
    }
    if not pve.storages[storage].get("shared"):
        volume["node"] = options.get("node") or guest.node
    volume.update({key: options[key] for key in ("notes", "protected", "verification", "damaged") if key in options})
    name = f"backup/vzdump-{kind}-{vmid}-{stamp}.{form}"
    pve.storages[storage].setdefault("volumes", {})[name] = volume
    return f"{storage}:{name}"


def allocate_volumes(pve: EmbeddedPve, vm: Any) -> None:
    """Make the volumes the configuration names exist on their storages."""
    for storage in pve.storages:
        for name, (owner, content, size) in pve._guest_volumes([vm], storage).items():
            fmt = pve._ext_format(name)
            volume = {"content": content, "format": fmt, "size": size, "vmid": owner, "ctime": int(time.time())}
            volumes = pve.storages[storage].setdefault("volumes", {})
            if content == "images" or name not in volumes:
                volumes[name] = volume


def add_from_file(pve: EmbeddedPve, guests: list[Mapping[str, Any]]) -> None:
    """Guests as a JSON file lists them: vmid, name, kind (vm, template, container) and the options above."""
    makers = {"vm": add_guest, "template": add_template, "container": add_container}
    for guest in guests:
        options = {key: value for key, value in guest.items() if key not in ("vmid", "name", "kind")}
        pve.add_node(str(options.get("node", sorted(pve.nodes)[0])))
        makers[str(guest.get("kind", "vm"))](pve, int(guest["vmid"]), str(guest["name"]), **options)


def standard_guests(pve: EmbeddedPve) -> None:
    """What the `pve` fixture holds: template 9000, VMs 100 (stopped) and 101 (running), container 200."""
    add_template(pve, 9000, "debian-template")
    add_guest(pve, 100, "web")
    add_guest(pve, 101, "db", status="running", config={"agent": "1"}, agent={})
    add_container(pve, 200, "ct")
