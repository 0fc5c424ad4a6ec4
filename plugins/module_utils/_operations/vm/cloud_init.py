# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""cloud-init: who may log in, which addresses, and the drive that carries it."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ..._pve.errors import InvalidRequest
from ..._pve.ssh_keys import check_keys
from ..._pve.vm_config import DRIVE_KEY, IPCONFIG, MAX_NICS, join_ssh_keys
from ..guest.config_changes import ConfigChanges
from ..guest.desired import DesiredSetting, check_unique, flag, given
from ..guest.ip_addresses import IPV4, IPV6, address_parts, check_address
from ..guest.state import GuestState, Origin
from ..guest.volumes import parse_drive

CLOUD_INIT_SPEC: dict[str, t.Any] = {
    "storage": {"type": "str"},
    "slot": {"type": "str"},
    "user": {"type": "str", "aliases": ["ciuser"]},
    "password": {"type": "str", "no_log": True, "aliases": ["cipassword"]},
    "update_password": {"type": "str", "choices": ["on_create", "always"], "default": "on_create", "no_log": False},
    "ssh_keys": {"type": "list", "elements": "str", "no_log": False, "aliases": ["sshkeys"]},
    "ipconfig": {
        "type": "list",
        "elements": "dict",
        "options": {
            "slot": {"type": "str", "required": True},
            "ip": {"type": "str"},
            "gateway": {"type": "str"},
            "ip6": {"type": "str"},
            "gateway6": {"type": "str"},
        },
    },
    "nameservers": {"type": "list", "elements": "str"},
    "search_domain": {"type": "str"},
    "upgrade": {"type": "bool", "aliases": ["ciupgrade"]},
    "regenerate": {"type": "str", "choices": ["on_change", "always", "never"], "default": "on_change"},
    "custom": {
        "type": "dict",
        "options": {name: {"type": "str"} for name in ("user", "network", "meta", "vendor")},
    },
}
DEFAULT_SLOT = "ide2"
_DRIVE_SLOT = re.compile(r"ide[0-3]|sata[0-5]|scsi([0-9]|[12][0-9]|30)")
_NET_SLOT = re.compile(r"net(\d+)")
_LAST_NIC = MAX_NICS - 1


@dataclass(frozen=True)
class DesiredCloudInit:
    """cloud-init as desired; the password is written and never compared, since PVE does not return it."""

    storage: str | None = None
    slot: str | None = None
    password: str | None = None
    always_set_password: bool = False
    regenerate: str = "on_change"
    settings: tuple[DesiredSetting, ...] = ()

    def __repr__(self) -> str:
        return f"DesiredCloudInit({self.storage}, {self.slot})"


def desired_cloud_init(options: t.Mapping[str, t.Any] | None) -> DesiredCloudInit | None:
    """Check the cloud-init of a request; raises InvalidRequest."""
    if options is None:
        return None
    slot = options.get("slot")
    if slot is not None and not _DRIVE_SLOT.fullmatch(slot):
        raise InvalidRequest(f"cloud_init: slot {slot!r} is no ide, sata or scsi slot")
    return DesiredCloudInit(
        storage=options.get("storage"),
        slot=slot,
        password=options.get("password") or None,
        always_set_password=options.get("update_password") == "always",
        regenerate=options.get("regenerate") or "on_change",
        settings=tuple(_settings(given(options))),
    )


def _settings(options: t.Mapping[str, t.Any]) -> t.Iterator[DesiredSetting]:
    if "user" in options:
        yield DesiredSetting("ciuser", options["user"].strip() or None)
    if options.get("password") == "":
        yield DesiredSetting("cipassword", None)
    if "ssh_keys" in options:
        check_keys("cloud_init: ssh_keys", options["ssh_keys"])
        yield DesiredSetting("sshkeys", join_ssh_keys(options["ssh_keys"]) or None)
    if "nameservers" in options:
        for server in options["nameservers"]:
            check_address("cloud_init: nameservers", server)
        yield DesiredSetting("nameserver", " ".join(options["nameservers"]) or None)
    if "search_domain" in options:
        yield DesiredSetting("searchdomain", options["search_domain"].strip() or None)
    if "upgrade" in options:
        yield DesiredSetting("ciupgrade", flag(options["upgrade"]))
    if "custom" in options:
        yield _custom(given(options["custom"]))
    entries = options.get("ipconfig", ())
    check_unique("cloud_init: ipconfig", (entry["slot"] for entry in entries))
    for entry in entries:
        yield _ipconfig(entry)


def _custom(files: t.Mapping[str, str]) -> DesiredSetting:
    """The files that are named; those that are not stay, and an empty name takes one away."""
    for name, volume in files.items():
        if re.search(r"[,\r\n]", volume):
            raise InvalidRequest(f"cloud_init: custom: {name} {volume!r} is no volume as in local:snippets/user.yaml")
    parts = {name: volume.strip() or None for name, volume in files.items()}
    return DesiredSetting("cicustom", parts=parts) if parts else DesiredSetting("cicustom", None)


def _ipconfig(entry: t.Mapping[str, t.Any]) -> DesiredSetting:
    slot, options = entry["slot"], given(entry)
    match = _NET_SLOT.fullmatch(slot)
    if not match or int(match[1]) > _LAST_NIC:
        raise InvalidRequest(f"cloud_init: ipconfig: {slot!r} is no network device: they are net0 to net{_LAST_NIC}")
    parts = address_parts(f"cloud_init: ipconfig: {slot}", options, (IPV4, IPV6))
    return DesiredSetting(f"ipconfig{match[1]}", IPCONFIG.write(parts) or None)


def add_cloud_init(changes: ConfigChanges, desired: DesiredCloudInit) -> None:
    """Take the desired cloud-init into a write of the configuration; raises InvalidRequest when its slot is taken."""
    state = changes.state
    values = state.values
    for item in desired.settings:
        changes.add(item)
    if desired.password is not None and _is_password_due(desired, state):
        changes.add(DesiredSetting("cipassword", desired.password, secret=True))
    if desired.storage is None or cloud_init_drives(values):
        return
    leaving = cloud_init_drives(state.in_effect)
    if leaving:
        changes.take_back(leaving[0])
        return
    slot = desired.slot or DEFAULT_SLOT
    if slot in values:
        raise InvalidRequest(
            f"cloud_init: the slot {slot} of {state.guest.label} is taken by {parse_drive(values[slot]).file}: "
            f"give another one in cloud_init.slot"
        )
    changes.add(DesiredSetting(slot, f"{desired.storage}:cloudinit"))


def cloud_init_drives(values: t.Mapping[str, str]) -> list[str]:
    """The keys of the drives that carry cloud-init."""
    return [key for key, text in values.items() if DRIVE_KEY.fullmatch(key) and parse_drive(text).is_cloud_init]


def _is_password_due(desired: DesiredCloudInit, state: GuestState) -> bool:
    if state.origin is Origin.FOUND:
        return desired.always_set_password or "cipassword" not in state.values
    return state.origin is Origin.CLONED
