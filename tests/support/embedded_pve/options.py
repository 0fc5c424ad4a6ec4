# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Option names and values of a VM's configuration, as PVE reads and writes them."""

from __future__ import annotations

import re
from typing import Any

from fakepve.lxc import split_props
from fakepve.model import PveError

from .base import parameter_error

FORBIDDEN = 403
SPLIT = re.compile(r"[,;\s\0]+")
# $fast_plug_option of PVE::QemuServer, and options a running guest takes through QMP or its cgroup.
AT_ONCE = re.compile(
    "lock|name|onboot|shares|startup|description|protection|vmstatestorage|hookscript|tags"
    "|migrate_downtime|migrate_speed|cpuunits|cpulimit"
    # Every setting of cloud-init since qemu-server 7.3 (94b-cloudinit-digest-memory.json).
    r"|ci(user|password|type|upgrade|custom)|sshkeys|nameserver|searchdomain|ipconfig\d+"
)
CLOUDINIT_KEYS = re.compile(r"^(ci(user|password|type|upgrade|custom)|sshkeys|nameserver|searchdomain|ipconfig\d+)$")
# Options of a disk that a running guest cannot change (vmconfig_update_disk).
FIXED_WHILE_RUNNING = ("aio", "discard", "iothread", "queues", "product", "cache", "ssd", "vendor", "ro")
NO_HOTPLUG_DRIVE = re.compile(r"(ide|sata|efidisk|tpmstate)\d+")
NOT_OPTIONS = frozenset(("node", "vmid", "delete", "revert", "digest", "skiplock", "force", "background_delay"))
NOT_OPTIONS_CREATE = NOT_OPTIONS | {
    "archive", "storage", "unique", "live-restore", "pool", "bwlimit", "start", "ha-managed", "import-working-storage",
}  # fmt: skip
DEFAULT_HOTPLUG = "network,disk,usb"
# What a real node lists (01-basics.json: cpu models).
CPU_MODELS = frozenset(
    """486 athlon Broadwell Broadwell-IBRS Broadwell-noTSX Broadwell-noTSX-IBRS Cascadelake-Server
    Cascadelake-Server-noTSX Cascadelake-Server-v2 Cascadelake-Server-v4 Cascadelake-Server-v5 ClearwaterForest
    Conroe Cooperlake Cooperlake-v2 core2duo coreduo EPYC EPYC-Genoa EPYC-Genoa-v2 EPYC-IBPB EPYC-Milan
    EPYC-Milan-v2 EPYC-Milan-v3 EPYC-Rome EPYC-Rome-v2 EPYC-Rome-v3 EPYC-Rome-v4 EPYC-Rome-v5 EPYC-Turin EPYC-v3
    EPYC-v4 EPYC-v5 GraniteRapids GraniteRapids-v2 GraniteRapids-v3 Haswell Haswell-IBRS Haswell-noTSX
    Haswell-noTSX-IBRS host Icelake-Client Icelake-Client-noTSX Icelake-Server Icelake-Server-noTSX
    Icelake-Server-v3 Icelake-Server-v4 Icelake-Server-v5 Icelake-Server-v6 Icelake-Server-v7 IvyBridge
    IvyBridge-IBRS KnightsMill kvm32 kvm64 max Nehalem Nehalem-IBRS Opteron_G1 Opteron_G2 Opteron_G3 Opteron_G4
    Opteron_G5 Penryn pentium pentium2 pentium3 phenom qemu32 qemu64 SandyBridge SandyBridge-IBRS SapphireRapids
    SapphireRapids-v2 SapphireRapids-v3 SapphireRapids-v4 SierraForest SierraForest-v2 SierraForest-v3
    Skylake-Client Skylake-Client-IBRS Skylake-Client-noTSX-IBRS Skylake-Client-v4 Skylake-Server
    Skylake-Server-IBRS Skylake-Server-noTSX-IBRS Skylake-Server-v4 Skylake-Server-v5 Westmere Westmere-IBRS
    x86-64-v2 x86-64-v2-AES x86-64-v3 x86-64-v4""".split()
)
PATH = "/nodes/{node}/qemu/{vmid}/config"
HOTPLUG_BRIDGE = "network script /usr/libexec/qemu-server/pve-bridge-hotplug failed with status 512"


def split_names(text: Any) -> list[str]:
    return [name for name in SPLIT.split(str(text or "")) if name]


def check_cpu(options: dict[str, Any]) -> None:
    first, props = split_props(str(options.get("cpu", "kvm64")))
    model = first or props.get("cputype", "kvm64")
    if not model.startswith("custom-") and model not in CPU_MODELS:
        text = f"Built-in cputype '{model}' is not defined (missing 'custom-' prefix?)"
        raise parameter_error(cpu=f"invalid format - {text}\n")


def in_a_task(problem: PveError) -> str:
    """An error as the last line of a task shows it (21-config.json: hotplug nic missing bridge POST)."""
    if not problem.errors:
        # What dies without a code of its own is a 500, and the code is not shown (PVE::Exception).
        return f"403 {problem.message}" if problem.status == FORBIDDEN else str(problem.message)
    fields = "".join(f"{name}: {text}" for name, text in problem.errors.items())
    return f"400 Parameter verification failed. {fields}".rstrip("\n").replace("\n", " ") + " "
