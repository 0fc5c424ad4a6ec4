# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What PVE refuses of a value beyond its API schema, and what it makes of one that it stores.

Sources: PVE::QemuServer (parse_vm_config, write_vm_config, check_type), PVE::QemuServer::Drive (parse_drive),
PVE::QemuServer::OVMF, PVE::Tools (validate_ssh_public_keys).
"""

from __future__ import annotations

import re
import urllib.parse
import uuid
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from fakepve import schema as pve_schema
from fakepve.lxc import split_props
from fakepve.model import PveError
from fakepve.qemu import DRIVE_KEY, is_cdrom, join_drive, split_drive, with_mac
from fakepve.routing import split_list

from .base import EmbeddedBase, parameter_error

HIGHEST_WEIGHT = 10000  # cpu.weight of the second version of control groups
KEY_TYPE = re.compile(r"(?:^|\s)((?:sk-)?(?:ssh|ecdsa)-\S+)\s")
LEAST_RSA_BITS = 1024
MICROSOFT = "2023k"
CREATE = "/nodes/{node}/qemu"


def check_values(options: dict[str, Any]) -> None:
    """Refuse what the schema lets pass; raises PveError. The drive `cdrom` becomes ide2 ($resolve_cdrom_alias)."""
    if "cdrom" in options:
        value = str(options.pop("cdrom"))
        options["ide2"] = value if "media=" in value else f"{value},media=cdrom"
    if "sshkeys" in options:
        check_ssh_keys(urllib.parse.unquote(str(options["sshkeys"])))
    for key, value in options.items():
        if DRIVE_KEY.match(key) and not is_whole_drive(key, str(value)):
            raise parameter_error(**{key: "unable to parse drive options"})
        _check_line(key, str(value))


def _check_line(key: str, value: str) -> None:
    """The configuration file is stricter than the API; the guest is not touched when it cannot be written."""
    if key != "description" and re.search(r"[\r\n]", value.strip()):
        raise PveError(500, f"unable to parse value of '{key}' - property contains a line feed")


def _properties() -> dict[str, Any]:
    properties: dict[str, Any] = pve_schema.load().paths[CREATE]["POST"]["parameters"]["properties"]
    return properties


def is_whole_drive(key: str, value: str) -> bool:
    """Does PVE::QemuServer::Drive::parse_drive take the options together?"""
    volume, props = split_drive(value)
    limits = {name for name, text in props.items() if text not in ("", "0")}
    limits |= {f"m{name}" for name in limits & {"bps", "bps_rd", "bps_wr"}}
    for way in ("", "_rd", "_wr"):
        for option, needed in (
            (f"mbps{way}_max", f"mbps{way}"),
            (f"bps{way}_max_length", f"mbps{way}_max"),
            (f"iops{way}_max_length", f"iops{way}_max"),
        ):
            if option in limits and needed not in limits:
                return False
    if any({unit, f"{unit}{way}"} <= limits for unit in ("mbps", "iops") for way in ("_rd", "_wr")):
        return False
    if any({f"bps{way}", f"mbps{way}"} <= set(props) for way in ("", "_rd", "_wr")):
        return False
    return not is_cdrom(volume, props) or not ({"snapshot", "format"} & set(props) or key.startswith("virtio"))


def check_ssh_keys(text: str) -> None:
    """One line that ssh-keygen does not read refuses all, and a comment is such a line."""
    for line in text.split("\n"):
        if line.strip() and not is_ssh_key(line.strip()):
            raise PveError(500, "SSH public key validation error")


def is_ssh_key(line: str) -> bool:
    found = KEY_TYPE.search(line)
    if line.startswith("#") or found is None:
        return False
    try:
        key = load_ssh_public_key(line[found.start(1) :].encode())
    except (ValueError, UnsupportedAlgorithm):
        return False
    return not isinstance(key, RSAPublicKey) or key.key_size >= LEAST_RSA_BITS


def stored_value(key: str, value: Any) -> Any:
    """The value as it is read back from the line of the configuration file."""
    if key == "description":
        text = str(value).rstrip()
        # Perl takes the text 0 for none.
        return "" if text == "0" else text
    if key == "vmgenid" and str(value) == "1":
        return str(uuid.uuid4())
    if key == "cpuunits":
        return min(int(value), HIGHEST_WEIGHT)
    if not isinstance(value, str):
        return value
    text = value.strip()
    if DRIVE_KEY.match(key):
        return _stored_drive(text)
    if "format" not in (pve_schema._prop(_properties(), key) or {"format": ""}):
        text = re.sub(r'^"(.*)"$', r"\1", text)
    return text


def _stored_drive(text: str) -> str:
    volume, props = split_drive(text)
    for option in {"bps", "bps_rd", "bps_wr"} & set(props):
        props[f"m{option}"] = f"{int(props.pop(option)) / 1024**2:.3f}"
    for old in [name for name in props if re.fullmatch(r"(bps|iops)_(rd|wr)_length", name)]:
        props[old.replace("_length", "_max_length")] = props.pop(old)
    return str(join_drive(volume, props))


def with_certificates(old: str | None, volume: str, props: dict[str, str]) -> dict[str, str]:
    """An EFI disk with keys gets Microsoft's newest certificates when it is made, or when its marker changes."""
    before, then = split_drive(old or "")
    enrolled = str(props.get("pre-enrolled-keys", "0")) == "1"
    asked = str(props.get("ms-cert", ""))
    marker = {"ms-cert": MICROSOFT} if enrolled else {}
    if volume != before:
        return {**props, **marker}
    if asked.startswith("2023") and asked != then.get("ms-cert"):
        return {**{name: value for name, value in props.items() if name != "ms-cert"}, **marker}
    return props


def normal_tags(value: str, style: str = "") -> str:
    """Tags as PVE stores them with this tag-style of the datacenter (PVE::GuestHelpers::get_unique_tags)."""
    options = split_props(style)[1]
    tags = split_list(value)
    if options.get("case-sensitive") not in ("1", "on", "yes", "true"):
        tags = [tag.lower() for tag in tags]
    return ";".join(dict.fromkeys(tags if options.get("ordering") == "config" else sorted(tags)))


class Values(EmbeddedBase):
    """What becomes of a guest's values, which depends on the datacenter's options, too."""

    def normal_options(self, changes: dict[str, Any]) -> dict[str, Any]:
        """Values as PVE writes them; a NIC without MAC gets a new one at every write."""
        normal = {key: stored_value(key, value) for key, value in changes.items()}
        for key, value in normal.items():
            if re.fullmatch(r"net\d+", key):
                normal[key] = with_mac(str(value))
            elif key == "tags":
                normal[key] = normal_tags(str(value), self.tag_style)
        return normal
