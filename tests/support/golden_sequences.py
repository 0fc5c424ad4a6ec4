# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which recordings are replayed, on what cluster, and what happened beside the API while they were made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fakepve.shapes import PRIVILEGES

from .embedded_pve import PveHandle, seed
from .golden import Sequence

GIB = 1024**3
MIB = 1024**2
TOO_OLD = "is too old to run machine type 'pc-i440fx-99.0+pve0', please upgrade node 'pve1'"
NO_KVM = "KVM virtualisation configured, but not available. Either disable in VM configuration or enable in BIOS."


def rig(pve: PveHandle) -> None:
    """The storages of the recorded nodes."""
    server = pve.server
    server.pools["lab"] = set()
    for name, path, content in (
        ("vmstore", "/var/lib/vmstore", "images,rootdir,import"),
        ("bulk", "/var/lib/bulk", "images"),
        ("isoshelf", "/var/lib/isoshelf", "iso"),
        ("raw", "/var/lib/rawstore", "images"),
        ("shared", "/mnt/shared", "iso,images,snippets"),
    ):
        server.storages[name] = seed.directory(path, content)
    server.storages["raw"]["disable"] = 1
    server.storages["shared"]["shared"] = 1
    for storage in ("local", "shared"):
        seed.add_file(server, storage, "iso/rig-linux.iso", "iso", 17 * MIB)
    seed.add_file(server, "isoshelf", "iso/lab-tools.iso", "iso", 1 * MIB)
    seed.add_file(server, "local", "import/rig-linux.qcow2", "import", 17 * MIB)


def recorded_identity() -> dict[str, str]:
    return {
        "smbios1": "uuid=364ba731-157d-4160-97a9-d5264b88911a",
        "vmgenid": "99158c03-33d1-435a-8c64-4d369748b7b0",
    }


def recorded_guest(pve: PveHandle, vmid: int, name: str, **changes: Any) -> Any:
    """A guest like those of the rig: one qcow2 disk, an ISO, a NIC, an agent."""
    config: dict[str, Any] = {
        "name": name,
        "agent": "1",
        "boot": "order=ide2;scsi0",
        "ide2": "local:iso/rig-linux.iso,media=cdrom,size=17M",
        "memory": "256",
        "meta": "creation-qemu=10.2.2,ctime=1795291845",
        "net0": "virtio=BC:24:11:24:8F:43,bridge=vmbr0",
        "ostype": "l26",
        "scsi0": f"vmstore:{vmid}/vm-{vmid}-disk-0.qcow2,size=1G",
        "scsihw": "virtio-scsi-pci",
        "serial0": "socket",
        **recorded_identity(),
    }
    options = {key: changes.pop(key) for key in ("node", "status", "template") if key in changes}
    config.update(changes)
    config = {key: value for key, value in config.items() if value is not None}
    vm = pve.server.add_vm(vmid, name, config=config, **options)
    if options.get("template"):
        vm.config["template"] = 1
    vm.agent = {}
    seed.allocate_volumes(pve.server, vm)
    return vm


def bare_guest(pve: PveHandle, vmid: int, name: str | None, **config: Any) -> Any:
    options = {key: config.pop(key) for key in ("node", "status", "template") if key in config}
    vm = pve.server.add_vm(vmid, name or f"VM {vmid}", config=config, **options)
    if name is None:
        vm.config.pop("name", None)
    seed.allocate_volumes(pve.server, vm)
    return vm


def remove(vmid: int) -> Callable[[PveHandle], object]:
    def action(pve: PveHandle) -> None:
        guest = pve.guest(vmid)
        if guest is not None:
            pve.call(lambda: pve.server.discard(guest, pve.server._own_volumes(guest, True)))

    return action


def lock(vmid: int, name: str | None) -> Callable[[PveHandle], object]:
    return lambda pve: pve.lock_guest(vmid, name)


def lock_file_held(vmid: int) -> Callable[[PveHandle], object]:
    return lambda pve: pve.lock_timeouts(vmid)


def status(vmid: int, value: str) -> Callable[[PveHandle], object]:
    def action(pve: PveHandle) -> None:
        guest = pve.guest(vmid)
        pve.call(lambda: pve.server.run_guest(guest) if value == "running" else pve.server.halt_guest(guest))

    return action


# ---- the sequences


def set_up_created(pve: PveHandle) -> None:
    rig(pve)


def set_up_config(pve: PveHandle) -> None:
    rig(pve)
    bare_guest(pve, 100, None)
    bare_guest(pve, 102, None, scsi0="vmstore:102/vm-102-disk-0.raw,size=1G")
    recorded_guest(
        pve,
        101,
        "web-01",
        balloon=128,
        cores=2,
        cpu="x86-64-v2-AES",
        description="First line\nsecond line é",
        net0="virtio=BC:24:11:33:29:F8,bridge=vmbr0",
        onboot=1,
        scsi0="vmstore:101/vm-101-disk-0.qcow2,discard=on,iothread=1,size=2G,ssd=1",
        scsihw="virtio-scsi-single",
        sockets=1,
        tags="prod;web",
        vga="std",
    )


def busy_disk(pve: PveHandle) -> None:
    pve.guest(101).refuses_unplug = True


def set_up_create_storage(pve: PveHandle) -> None:
    rig(pve)
    recorded_guest(pve, 101, "web-01")


def set_up_lifecycle(pve: PveHandle) -> None:
    rig(pve)
    recorded_guest(pve, 100, "life-100")
    scsi0 = "vmstore:101/vm-101-disk-0.qcow2,size=1G"
    bare_guest(pve, 101, "noos-101", memory="64", scsi0=scsi0).acpi = False
    bare_guest(pve, 102, "badnet-102", memory="64", net0="virtio=BC:24:11:00:00:02,bridge=vmbr9")


def agent(vmid: int, answers: dict[str, Any] | None) -> Callable[[PveHandle], object]:
    return lambda pve: setattr(pve.guest(vmid), "agent", answers)


def start_error(vmid: int, text: str | None) -> Callable[[PveHandle], object]:
    """QEMU's own refusals are not modelled: a test says them."""
    return lambda pve: setattr(pve.guest(vmid), "start_error", text)


def machine_reset(pve: PveHandle) -> None:
    pve.guest(100).config.pop("machine")
    start_error(100, None)(pve)


def volume_lost(pve: PveHandle) -> None:
    start_error(101, None)(pve)
    pve.server.lost_volumes.add("vmstore:101/vm-101-disk-0.qcow2")


def volume_back(pve: PveHandle) -> None:
    pve.server.lost_volumes.clear()


LIFECYCLE = {
    16: agent(100, None),
    17: agent(100, {}),
    50: start_error(100, f"Installed QEMU version '10.2.2' {TOO_OLD}"),
    51: start_error(100, NO_KVM),
    52: machine_reset,
    53: start_error(101, "start failed: QEMU exited with code 1"),
    54: volume_lost,
    55: volume_back,
    58: lock_file_held(101),
    64: lock_file_held(101),
    67: status(100, "stopped"),
    78: status(100, "running"),
}


def set_up_clone(pve: PveHandle) -> None:
    rig(pve)
    recorded_guest(pve, 100, "src-100")


def set_up_snapshots(pve: PveHandle) -> None:
    rig(pve)
    recorded_guest(pve, 100, "src-100")
    bare_guest(pve, 101, "raw-101", memory="64", scsi0="vmstore:101/vm-101-disk-0.raw,size=1G")


def set_up_destroy(pve: PveHandle) -> None:
    rig(pve)
    recorded_guest(pve, 100, "src-100", scsi0="vmstore:100/vm-100-disk-0.qcow2,size=2G")
    bare_guest(pve, 101, "raw-101", memory="64", scsi0="vmstore:101/vm-101-disk-0.raw,size=1G")


def make_102(pve: PveHandle) -> None:
    bare_guest(pve, 102, "left-102", scsi0="bulk:102/vm-102-disk-0.qcow2,size=1G")
    seed.add_file(pve.server, "bulk", "102/vm-102-disk-7.qcow2", "images", GIB)
    pve.server.storages["bulk"]["volumes"]["102/vm-102-disk-7.qcow2"]["vmid"] = 102


def set_up_tasks(pve: PveHandle) -> None:
    rig(pve)
    recorded_guest(pve, 100, "src-100")
    bare_guest(pve, 101, "noos-101", memory="64")
    bare_guest(pve, 110, "efi-110", memory="64", bios="ovmf")
    pve.next_task_warns("qmstart", "no efidisk configured! Using temporary efivars disk.", vmid=110)


def long_shutdown(pve: PveHandle) -> None:
    """A shutdown that runs while the next steps ask for it."""
    guest = pve.guest(101)

    async def shut_down() -> None:
        await pve.server._do_shutdown(guest, pve.token_id, {})

    pve.knobs.task_seconds["qmshutdown"] = 60
    status(101, "running")(pve)
    pve.run(shut_down())


def set_up_misc(pve: PveHandle) -> None:
    rig(pve)
    recorded_guest(pve, 100, "bk-100")
    for vmid in (120, 121):
        bare_guest(pve, vmid, None, memory="64")
        pve.lock_guest(vmid, "suspended")


def ha_resource(pve: PveHandle) -> None:
    pve.guest(120).ha_state = "started"


def set_up_backup(pve: PveHandle) -> None:
    rig(pve)
    recorded_guest(pve, 100, "bk-100")
    for name in ("2026_11_21-20_20_41.vma.zst", "2026_11_21-20_20_46.vma"):
        seed.add_file(pve.server, "local", f"backup/vzdump-qemu-100-{name}", "backup", MIB)
        volume = pve.server.storages["local"]["volumes"][f"backup/vzdump-qemu-100-{name}"]
        volume.update(vmid=100, subtype="qemu", format=name.partition(".")[2])


def set_up_cluster(pve: PveHandle) -> None:
    rig(pve)


def make_220(pve: PveHandle) -> None:
    bare_guest(pve, 220, None, template=True, scsi0="vmstore:220/base-220-disk-0.qcow2,size=1G").config["template"] = 1


def make_230(pve: PveHandle) -> None:
    bare_guest(pve, 230, None, memory="64", status="running", scsi0="vmstore:230/vm-230-disk-0.qcow2,size=1G")


def set_up_no_quorum(pve: PveHandle) -> None:
    rig(pve)
    known = {"meta": "creation-qemu=10.2.2,ctime=1795291845", "boot": " ", "memory": "64"}
    identity = recorded_identity()
    bare_guest(pve, 240, None, **known, **identity)
    bare_guest(pve, 241, None, memory="64", node="pve2", status="running")
    pve.set_node_offline("pve2")
    pve.lose_quorum()


def node_back(pve: PveHandle) -> None:
    pve.set_node_offline("pve2", False)
    pve.regain_quorum()


def set_up_consoles(pve: PveHandle) -> None:
    """As it was when the consoles were recorded; the last one is of the recorded cluster."""
    rig(pve)
    running = {"status": "running", "memory": "64"}
    bare_guest(pve, 100, "con-100", serial0="socket", **running)
    bare_guest(pve, 101, "noserial-101", **running)
    bare_guest(pve, 102, "serialvga-102", memory="64", vga="serial0", serial0="socket")
    bare_guest(pve, 103, "spice-103", vga="qxl", **running)
    bare_guest(pve, 104, "stopped-104", memory="64")
    if "pve2" in pve.server.nodes:
        bare_guest(pve, 200, "two-200", serial0="socket", node="pve2", **running)


def second_rig(pve: PveHandle) -> None:
    """The storages of the node that 94 to 97 were recorded on, all of them directories."""
    server = pve.server
    server.storages["local-lvm"] = seed.directory("/var/lib/pve-local-lvm", "images,rootdir")
    server.storages["shared"] = {**seed.directory("/mnt/pve/shared", "images,iso"), "shared": 1}
    seed.add_file(server, "local", "import/rig-guest.qcow2", "import", GIB)


def as_first_seen(name: str, **changes: Any) -> Callable[[PveHandle], None]:
    """The running guest 5100 as the first list of the recording shows it, but for what had been changed by then."""

    def set_up(pve: PveHandle) -> None:
        second_rig(pve)
        steps = Sequence(name, second_rig).steps()
        seen = next(step["data"] for step in steps if step["path"].endswith("/5100/pending"))
        config = {item["key"]: item["value"] for item in seen if "value" in item and item["key"] != "digest"}
        config.update(changes)
        config = {key: value for key, value in config.items() if value is not None}
        bare_guest(pve, 5100, str(config.pop("name")), **config)
        volumes = pve.server.storages["local-lvm"]["volumes"]
        volumes["5100/vm-5100-cloudinit.qcow2"]["size"] = 4 * MIB
        # What a move before had deleted: a name without a volume.
        volumes.pop(str(config.get("unused0", "")).removeprefix("local-lvm:"), None)

    return set_up


def memory_kept(pve: PveHandle) -> None:
    pve.guest(5100).refuses_unplug = ("memory",)


# What PVE's role PVEAdmin has not (PVE::AccessControl).
NOT_OF_PVE_ADMIN = (
    "Permissions.Modify",
    "Realm.Allocate",
    "Sys.AccessNetwork",
    "Sys.Incoming",
    "Sys.Modify",
    "Sys.PowerMgmt",
)
ALPINE = "vztmpl/rig-alpine-3.20-default_1_amd64.tar.gz"


def set_up_containers(pve: PveHandle) -> None:
    second_rig(pve)
    server = pve.server
    server.storages["shared"]["content"] = "images,rootdir,backup,iso"
    seed.add_file(server, "local", ALPINE, "vztmpl", MIB)
    seed.add_file(server, "local", "iso/rig.iso", "iso", MIB)
    bare_guest(pve, 100, "test1", node="pve2")
    rootfs = "local-lvm:300/vm-300-disk-0.raw,size=2G"
    seed.add_container(server, 300, "ct1", node="pve1", config={"rootfs": rootfs, "memory": 200})
    for user, token in (("ansible@pve", "automation"), ("admin@pve", "full")):
        pve.add_token(f"{user}!{token}", pve.token_secret)
    pve.grant("admin@pve", "/", *PRIVILEGES)
    pve.grant("ansible@pve", "/", *(name for name in PRIVILEGES if name not in NOT_OF_PVE_ADMIN))


def set_up_backups(pve: PveHandle) -> None:
    """The storage of the backups that were recorded, their guests, and who asked."""
    second_rig(pve)
    pve.server.storages["rec2bk"] = seed.directory("/var/lib/rec2bk", "backup")
    bare_guest(pve, 5701, "rec2bk-small", memory="64", scsi0="local-lvm:5701/vm-5701-disk-0.qcow2,size=10M")
    for user, token in (("ansible@pve", "automation"), ("rec2b@pve", "tok")):
        pve.add_token(f"{user}!{token}", pve.token_secret)
    pve.grant("ansible@pve", "/", *(name for name in PRIVILEGES if name not in NOT_OF_PVE_ADMIN))


def recorded_archive(pve: PveHandle, volid: str, text: str, **facts: Any) -> None:
    """An archive with a configuration as `extractconfig` prints it."""
    lines = [line for line in text.splitlines() if not line.startswith("#qmdump#")]
    config = dict(line.split(": ", 1) for line in lines if not line.startswith("#"))
    notes = "\n".join(line[1:] for line in lines if line.startswith("#"))
    if notes:
        config["description"] = notes
    storage, name = volid.split(":", 1)
    kind, vmid = name.split("-")[1:3]
    seed.add_file(pve.server, storage, name, "backup", MIB)
    form = ".".join(name.split(".")[1:])
    pve.server.storages[storage]["volumes"][name].update(
        vmid=int(vmid), subtype=kind, format=form, guest=config, **facts
    )


def extracted(name: str) -> str:
    """The first configuration that a recording has read from an archive."""
    steps = Sequence(name, second_rig).steps()
    return str(next(step["data"] for step in steps if step["path"].endswith("/extractconfig") and "data" in step))


def set_up_restore(pve: PveHandle) -> None:
    set_up_backups(pve)
    pve.server.storages["rec2bk"].update(content="backup,images", nodes="pve1")
    pve.server.storages["rec2iso"] = seed.directory("/var/lib/rec2iso", "iso")
    seed.add_file(pve.server, "local", "iso/rig.iso", "iso", MIB)
    recorded_archive(pve, "rec2bk:backup/vzdump-qemu-5701-2026_11_26-20_50_42.vma.zst", extracted("backup-restore"))
    recorded_archive(pve, "rec2bk:backup/vzdump-qemu-5700-2026_11_26-20_53_50.vma.zst", extracted("backup-damaged"))
    recorded_archive(pve, "local:backup/vzdump-lxc-300-2026_11_26-19_25_45.tar.zst", "hostname: ct1")
    bare_guest(pve, 5700, "rec-bk", memory="256", status="running", scsi0="local-lvm:5700/vm-5700-disk-0.qcow2,size=1G")


def protected(vmid: int) -> Callable[[PveHandle], object]:
    def action(pve: PveHandle) -> None:
        lock(vmid, None)(pve)
        pve.guest(vmid).config["protection"] = 1

    return action


def set_up_prune(pve: PveHandle) -> None:
    """The archives that the recording lists when it asks for the first time what would be pruned."""
    set_up_backups(pve)
    steps = Sequence("backup-prune", second_rig).steps()
    for entry in next(step["data"] for step in steps if step["path"].endswith("/prunebackups") and "data" in step):
        facts = {"protected": 1} if entry["mark"] == "protected" else {}
        recorded_archive(pve, entry["volid"], "memory: 64", ctime=entry["ctime"], **facts)


def set_up_damaged(pve: PveHandle) -> None:
    set_up_backups(pve)
    text, path = extracted("backup-damaged"), "rec2bk:backup/vzdump-qemu-5700-"
    recorded_archive(pve, f"{path}2026_11_26-20_51_11.vma.zst", text)
    recorded_archive(pve, f"{path}2026_01_02-03_04_05.vma.zst", text, damaged="body")
    recorded_archive(pve, f"{path}2026_01_02-03_04_09.vma", text, damaged="body")
    for number in (6, 7, 8):
        recorded_archive(pve, f"{path}2026_01_02-03_04_0{number}.vma.zst", text, damaged="head")


def without_job(pve: PveHandle) -> None:
    pve.call(lambda: pve.server.backup_jobs.pop("rec-j2", None))


def first_job_again(pve: PveHandle) -> None:
    job = {"schedule": "sat 03:00", "storage": "rec2bk", "vmid": "5701", "enabled": 0}
    pve.call(lambda: (pve.server.backup_jobs.clear(), pve.server.backup_jobs.update({"rec-job": job})))


def rights(*names: str) -> Callable[[PveHandle], object]:
    """These, and no others, as the name of the step says."""

    def action(pve: PveHandle) -> None:
        pve.call(lambda: (pve.server.acl or {}).pop("rec2b@pve", None))
        pve.grant("rec2b@pve", "/", *names)

    return action


def both(*actions: Callable[[PveHandle], object]) -> Callable[[PveHandle], object]:
    return lambda pve: [action(pve) for action in actions]


def granted(path: str, *names: str) -> Callable[[PveHandle], object]:
    return lambda pve: pve.grant("rec2b@pve", path, *names)


def no_hotplug(pve: PveHandle) -> None:
    """The recorded node had an LXC that can plug neither cards nor mount points."""
    pve.refuse_hotplug(
        5001,
        net1="command 'lxc-device -n 5001 add veth5001i1p eth1' failed: exit code 1",
        mp0="failed to change apparmor profile: Invalid argument",
    )


def archived(vmid: int, when: str) -> Callable[[PveHandle], object]:
    """The guest's backup; what is in it is an Alpine, whatever the configuration says."""

    def action(pve: PveHandle) -> None:
        lock(vmid, None)(pve)
        name = f"backup/vzdump-lxc-{vmid}-{when}.tar.zst"
        seed.add_file(pve.server, "local", name, "backup", MIB)
        volume = pve.server.storages["local"]["volumes"][name]
        volume.update(vmid=vmid, subtype="lxc", format="tar.zst", ostype="alpine", guest=pve.config(vmid))

    return action


def forget_foreign_volume(pve: PveHandle) -> None:
    """Somebody took the volume of another container out of the file, and locked the container."""
    pve.call(lambda: pve.guest(5021).config.pop("unused1"))
    lock(5021, "backup")(pve)


CONTAINERS = {
    58: no_hotplug,
    163: lock(5001, "disk"),
    168: archived(5001, "2026_11_26-20_50_42"),
}
CONTAINER_LOCKS = {
    30: lambda pve: pve.remove_guest(5027),
    50: forget_foreign_volume,
    64: archived(5021, "2026_11_26-20_55_45"),
    88: lock(5021, "backup"),
    92: lock(5021, None),
}
BACKUP_JOBS = {
    **dict.fromkeys((12, 13, 16, 17, 20), without_job),
    39: first_job_again,
    43: granted("/", "Sys.Audit"),
    45: granted("/", "Sys.Modify"),
    47: granted("/storage/rec2bk", "Datastore.Allocate"),
}
RESTORES = {
    4: rights("VM.Backup", "Datastore.AllocateSpace"),
    5: rights("Datastore.AllocateSpace"),
    6: rights("VM.Backup"),
    7: rights("Datastore.Audit"),
    8: rights(),
    9: rights("VM.Allocate"),
    10: rights("VM.Allocate", "Datastore.AllocateSpace"),
    11: rights("VM.Allocate", "VM.Backup"),
    12: rights("VM.Allocate", "VM.Backup", "Datastore.AllocateSpace"),
    35: lock(5711, "backup"),
    36: protected(5711),
}
PRUNES = {
    24: rights("Datastore.Audit"),
    45: lock(5701, "snapshot"),
    46: both(lock(5701, None), rights()),
    47: rights("VM.Backup"),
    48: rights("VM.Backup", "Datastore.Audit"),
    49: rights("Datastore.AllocateSpace"),
    51: rights("VM.Backup", "Datastore.AllocateSpace"),
    62: rights(),
}
LOCKS = ("clone", "create", "migrate", "rollback", "snapshot", "snapshot-delete", "suspending")
DESTROY = {
    10: lock(100, "backup"),
    **{29 + 2 * number: lock(100, name) for number, name in enumerate(LOCKS)},
    44: make_102,
    46: make_102,
    48: lock(100, None),
}

SEQUENCES = (
    Sequence("create", set_up_created),
    Sequence("config", set_up_config, outside={66: busy_disk}),
    Sequence("pending", second_rig),
    Sequence("hotplug-refused", as_first_seen("hotplug-refused", status="running")),
    Sequence(
        "cloudinit-and-memory",
        as_first_seen("cloudinit-and-memory", ciuser="alice", ipconfig0="ip=dhcp"),
        outside={47: memory_kept},
    ),
    Sequence("containers", set_up_containers, ("pve1", "pve2"), CONTAINERS),
    Sequence("containers-clone-and-locks", set_up_containers, ("pve1", "pve2"), CONTAINER_LOCKS),
    Sequence("create-storage", set_up_create_storage, outside={n: remove(120) for n in range(0, 22, 2)}),
    Sequence("lifecycle", set_up_lifecycle, outside=LIFECYCLE),
    Sequence("clone", set_up_clone),
    Sequence("snapshots", set_up_snapshots, outside={36: lock_file_held(100)}),
    Sequence("destroy-locks", set_up_destroy, outside=DESTROY),
    Sequence("tasks", set_up_tasks, outside={32: long_shutdown}),
    Sequence("misc", set_up_misc, outside={31: ha_resource}),
    Sequence("backup", set_up_backup, outside={5: status(100, "running"), 6: lock(100, "backup")}),
    Sequence("backup-jobs", set_up_backups, ("pve1", "pve2"), BACKUP_JOBS),
    Sequence("backup-prune", set_up_prune, ("pve1", "pve2"), PRUNES),
    Sequence("backup-restore", set_up_restore, ("pve1", "pve2"), RESTORES),
    Sequence("backup-damaged", set_up_damaged),
    Sequence("consoles", set_up_consoles),
    Sequence("cluster", set_up_cluster, ("pve1", "pve2"), {39: make_220, 42: make_230}),
    Sequence("no-quorum", set_up_no_quorum, ("pve1", "pve2"), {18: node_back}),
)
