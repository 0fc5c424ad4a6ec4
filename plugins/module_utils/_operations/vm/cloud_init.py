# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""cloud-init: who may log in, which addresses, and the drive that carries it."""

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass

from ..._pve.errors import InvalidRequest
from ..._pve.vm_config import CICUSTOM, IPCONFIG, MAX_NICS, join_ssh_keys
from .wishes import Wish, check_unique, flag, given

CLOUD_INIT_SPEC: dict[str, t.Any] = {
    "storage": {"type": "str"},
    "slot": {"type": "str"},
    "user": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "update_password": {"type": "str", "choices": ["on_create", "always"], "default": "on_create", "no_log": False},
    "ssh_keys": {"type": "list", "elements": "str", "no_log": False},
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
    "upgrade": {"type": "bool"},
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
class CloudInitWish:
    """cloud-init as it shall be; the password is written and never compared, since PVE does not tell it."""

    storage: str | None = None
    slot: str | None = None
    password: str | None = None
    always_set_password: bool = False
    wishes: tuple[Wish, ...] = ()

    def __repr__(self) -> str:
        return f"CloudInitWish({self.storage}, {self.slot})"


def cloud_init_wish(options: t.Mapping[str, t.Any] | None) -> CloudInitWish | None:
    """Check the cloud-init of a request; raises InvalidRequest."""
    if options is None:
        return None
    slot = options.get("slot")
    if slot is not None and not _DRIVE_SLOT.fullmatch(slot):
        raise InvalidRequest(f"cloud_init: slot {slot!r} is no ide, sata or scsi slot")
    return CloudInitWish(
        storage=options.get("storage"),
        slot=slot,
        password=options.get("password"),
        always_set_password=options.get("update_password") == "always",
        wishes=tuple(_wishes(given(options))),
    )


def _wishes(options: t.Mapping[str, t.Any]) -> t.Iterator[Wish]:
    if "user" in options:
        yield Wish("ciuser", options["user"])
    if "ssh_keys" in options:
        yield Wish("sshkeys", join_ssh_keys(options["ssh_keys"]) or None)
    if "nameservers" in options:
        for server in options["nameservers"]:
            _check_address("nameservers", server)
        yield Wish("nameserver", " ".join(options["nameservers"]) or None)
    if "search_domain" in options:
        yield Wish("searchdomain", options["search_domain"] or None)
    if "upgrade" in options:
        yield Wish("ciupgrade", flag(options["upgrade"]))
    if "custom" in options:
        yield Wish("cicustom", CICUSTOM.write(given(options["custom"])) or None)
    entries = options.get("ipconfig", ())
    check_unique("cloud_init: ipconfig", (entry["slot"] for entry in entries))
    for entry in entries:
        yield _ipconfig(entry)


def _ipconfig(entry: t.Mapping[str, t.Any]) -> Wish:
    slot, options = entry["slot"], given(entry)
    match = _NET_SLOT.fullmatch(slot)
    if not match or int(match[1]) > _LAST_NIC:
        raise InvalidRequest(f"cloud_init: ipconfig: {slot!r} is no network device: they are net0 to net{_LAST_NIC}")
    parts = {}
    for option, words, gateway, key in (
        ("ip", ("dhcp",), "gateway", "gw"),
        ("ip6", ("dhcp", "auto"), "gateway6", "gw6"),
    ):
        value = options.get(option)
        if value is not None:
            if value not in words:
                _check_interface(f"ipconfig: {slot}: {option}", value, words)
            parts[option] = value
        if gateway in options:
            if value is None or value in words:
                raise InvalidRequest(f"cloud_init: ipconfig: {slot}: {gateway} needs an address in {option}")
            _check_address(f"ipconfig: {slot}: {gateway}", options[gateway])
            parts[key] = options[gateway]
    return Wish(f"ipconfig{match[1]}", IPCONFIG.write(parts) or None)


def _check_interface(option: str, value: str, words: tuple[str, ...]) -> None:
    try:
        if "/" not in value:
            raise ValueError
        ipaddress.ip_interface(value)
    except ValueError:
        raise InvalidRequest(
            f"cloud_init: {option} {value!r} is neither {' nor '.join(words)} nor an address as in 192.0.2.10/24"
        ) from None


def _check_address(option: str, value: str) -> None:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        raise InvalidRequest(f"cloud_init: {option}: {value!r} is not an address") from None
