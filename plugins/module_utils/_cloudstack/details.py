# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The details: what operators and tenants can set beside CloudStack's own fields, one row each.

Operators set them in the details of the action, the host, the cluster's mapping (resourcemap) and the extension, and in
the site policy, in this order of precedence; tenants set those of the VM, where the row allows it.
"""

from __future__ import annotations

import re
import typing as t

from .._pve.errors import InvalidRequest
from .._pve.storage_names import STORAGE_NAME
from .payload import Payload

POLICY = "policy"
TENANT = "virtualmachine"
# The order of precedence: CloudStack's sections, then the site policy, then the tenant.
ORDER = ("action", "host", "resourcemap", "extension", POLICY, TENANT)

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_MAX_TEXT = 1024
_MAX_LINES = 32768
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029\ud800-\udfff]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x09\x0b-\x1f\x7f\u2028\u2029\ud800-\udfff]")
_STORAGE = STORAGE_NAME.pattern
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"


class Detail(t.NamedTuple):
    """One row: its name, the kind of its value, who may set it, which values it may have, and its default."""

    name: str
    kind: str = "text"
    tenant: bool = False
    default: t.Any = None
    pattern: str = ""
    choices: tuple[str, ...] = ()
    bounds: tuple[int, int] | None = None
    secret: bool = False


def _rows(*rows: Detail) -> dict[str, Detail]:
    return {row.name: row for row in rows}


DETAILS = _rows(
    # Where PVE is, and the credentials.
    Detail("url"),
    Detail("user"),
    Detail("token"),
    Detail("secret", secret=True),
    Detail("secret_file"),
    Detail("verify_tls_certificate", "flag", default=True),
    Detail("ca_file"),
    Detail("fingerprint"),
    Detail("api_timeout", "number", default=30, bounds=(1, 3600)),
    Detail("node", pattern=r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"),
    # Which guests may be changed.
    Detail("ownership", default="adopt", choices=("require", "adopt", "ignore")),
    Detail("adopt_custom_names", "flag", default=False),
    Detail("cloud", pattern=NAME),
    Detail("import_map", "mapping", default={}),
    Detail("tag", default="cloudstack", pattern=r"[A-Za-z0-9_][A-Za-z0-9_.+-]*"),
    # What tenants may select.
    Detail("allowed_templates", "words", default=("*",)),
    Detail("allowed_storages", "words", default=("*",)),
    Detail("allowed_isos", "words", default=("*:iso/*",)),
    Detail("max_disk_size_gb", "number", default=10240, bounds=(1, 1024 * 1024)),
    Detail("max_disks", "number", default=8, bounds=(1, 256)),
    # CloudStack no longer sees an instance on a node that has no host there.
    Detail("allowed_nodes", "words", default=()),
    Detail("allowed_callers", "mapping", default={}),
    Detail("max_snapshots", "number", bounds=(0, 10_000)),
    Detail("max_snapshot_description", "number", default=1024, bounds=(0, 8192)),
    Detail("allowed_backup_storages", "words", default=("*",)),
    Detail("allowed_backup_modes", "words", default=("snapshot", "suspend", "stop")),
    Detail("allow_protected_backups", "flag", default=False),
    Detail("max_backups", "number", bounds=(0, 10_000)),
    # The new guest.
    Detail("vm_name", tenant=True),
    Detail("template_type", tenant=True, default="template"),
    Detail("template_id", tenant=True, pattern=NAME),
    Detail("template_map", "mapping", default={}),
    Detail("is_full_clone", "flag", tenant=True),
    Detail("iso_path", tenant=True),
    Detail("iso_os_type", tenant=True, default="l26", pattern=r"[a-z0-9]+"),
    Detail("storage", tenant=True, pattern=_STORAGE),
    Detail("storage_map", "mapping", default={}),
    Detail("disk_size_gb", "number", tenant=True, bounds=(1, 1024 * 1024)),
    Detail("disk_bus", tenant=True, default="scsi", choices=("scsi", "virtio", "sata", "ide")),
    Detail("disk_format", choices=("raw", "qcow2", "vmdk")),
    Detail("disk_cache", choices=("none", "writethrough", "writeback", "unsafe", "directsync")),
    Detail("disk_discard", "flag"),
    Detail("disk_ssd", "flag"),
    Detail("disk_iothread", "flag"),
    Detail("vmid_range", default="100000-999999", pattern=r"[0-9]{3,9}-[0-9]{3,9}"),
    Detail("vmid_offset", "number", bounds=(100, 999_999_999)),
    # The hardware.
    Detail("cpu_type", pattern=r"[A-Za-z0-9][A-Za-z0-9_.-]*"),
    Detail("cpu_mhz", "number", bounds=(100, 100_000)),
    Detail("balloon", "flag", default=True),
    Detail("reconcile_hardware", "flag", default=True),
    Detail("machine", tenant=True, pattern=r"(pc|q35|pc-(i440fx|q35)-[0-9.]+(\+pve[0-9]+)?)"),
    Detail("os_type", tenant=True, pattern=r"[a-z0-9]+"),
    Detail("efi_storage", pattern=_STORAGE),
    Detail("tpm", tenant=True, choices=("v1.2", "v2.0")),
    Detail("agent", "flag", tenant=True),
    Detail("onboot", "flag"),
    Detail("protection", "flag"),
    Detail("tags", "words", default=()),
    Detail("pool", pattern=r"[A-Za-z0-9/._-]+"),
    Detail("ha", "flag", default=False),
    Detail("ha_group", pattern=NAME),
    # The networks.
    Detail("network_bridge", pattern=r"[A-Za-z][A-Za-z0-9_.-]*"),
    Detail("bridge_map", "mapping", default={}),
    Detail("vnet_map", "mapping", default={}),
    Detail("nic_model", tenant=True, default="virtio", pattern=r"[a-z0-9_-]+"),
    Detail("nic_mtu", default="network", choices=("network", "bridge", "off")),
    Detail("nic_firewall", "flag", default=False),
    # cloud-init.
    Detail("ci_user", tenant=True, pattern=r"[a-z_][a-z0-9_-]{0,31}"),
    Detail("ci_ssh_keys", "lines", tenant=True),
    Detail("ci_network", tenant=True, choices=("none", "static", "dhcp"), default="none"),
    Detail("ci_search_domain", tenant=True, pattern=NAME),
    Detail("ci_upgrade", "flag", tenant=True),
    # Power.
    Detail("stop_method", default="stop", choices=("stop", "shutdown", "shutdown_then_stop")),
    Detail("shutdown_timeout", "number", default=60, bounds=(1, 3600)),
    Detail("reboot_fallback", default="reset", choices=("reset", "fail")),
    # The console.
    Detail("console_mode", default="auto", choices=("auto", "relay", "raw", "direct")),
    Detail("console_host", pattern=r"[A-Za-z0-9:][A-Za-z0-9.:_-]*"),
    Detail("console_host_map", "mapping", default={}),
    Detail("console_url"),
    # Backups.
    Detail("backup_storage", pattern=_STORAGE),
    Detail("prune_backups", "flag", default=False),
    # Moving.
    Detail("migrate_local_disks", "flag", default=False),
    # The log; read from the site policy alone, before anything else is known.
    Detail("log_debug", "flag", default=False),
    Detail("log_max_bytes", "number", default=5 * 1024 * 1024, bounds=(4096, 1024**3)),
)


class Details:
    """The values in force, and the section that each came from."""

    def __init__(self, values: t.Mapping[str, t.Any], origins: t.Mapping[str, str]) -> None:
        self._values = values
        self._origins = origins

    def from_tenant(self, name: str) -> bool:
        """The value in force is the tenant's, so that the policy applies to it."""
        return self._origins.get(name) == TENANT

    def given(self, name: str) -> bool:
        """It has been set."""
        return name in self._origins

    def text(self, name: str) -> str | None:
        value = self._values[name]
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{name} is no text")
        return value

    def required(self, name: str) -> str:
        """A text that must be there; raises InvalidRequest."""
        value = self.text(name)
        if not value:
            raise InvalidRequest(f"the detail {name} is missing: set it on the host or the extension")
        return value

    def flag(self, name: str) -> bool | None:
        value = self._values[name]
        if value is not None and not isinstance(value, bool):
            raise TypeError(f"{name} is no flag")
        return value

    def number(self, name: str) -> int | None:
        value = self._values[name]
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise TypeError(f"{name} is no number")
        return value

    def words(self, name: str) -> tuple[str, ...]:
        value = self._values[name]
        return () if value is None else tuple(value)

    def mapping(self, name: str) -> t.Mapping[str, str]:
        value: t.Mapping[str, str] = self._values[name] or {}
        return value


def resolve_details(payload: Payload, policy: t.Mapping[str, t.Any]) -> Details:
    """Check the details of every section and choose those in force; raises InvalidRequest, naming the detail."""
    values: dict[str, t.Any] = {row.name: row.default for row in DETAILS.values()}
    origins: dict[str, str] = {}
    for section in reversed(ORDER):
        given = policy if section == POLICY else payload.sections.get(section, {})
        for name, raw in given.items():
            row = DETAILS.get(name)
            if row is None or raw is None or raw == "" or (section == TENANT and not row.tenant):
                continue
            values[name] = parse_detail(row, raw, section)
            origins[name] = section
    return Details(values, origins)


def parse_detail(row: Detail, raw: t.Any, section: str) -> t.Any:
    """Bring a value into the form of its row; raises InvalidRequest."""
    where = f"{section}: {row.name}"
    if row.kind == "words":
        return tuple(_words(row, raw, where))
    if row.kind == "mapping":
        return dict(_mapping(raw, where))
    if row.kind == "lines":
        return tuple(line.strip() for line in _plain(raw, where, _CONTROL_BUT_LINES, _MAX_LINES).split("\n") if line)
    if row.kind == "flag" and isinstance(raw, bool):
        return raw
    text = _plain(raw, where, _CONTROL, _MAX_TEXT, secret=row.secret).strip()
    if row.kind == "flag":
        return _flag(text, where)
    if row.kind == "number":
        return _number(row, text, where)
    if row.choices and text not in row.choices:
        raise InvalidRequest(f"{where} must be one of {', '.join(row.choices)}, not {text[:100]!r}")
    if row.pattern and not re.fullmatch(row.pattern, text):
        raise InvalidRequest(f"{where} cannot be {text[:100]!r}")
    return text


def _plain(raw: t.Any, where: str, forbidden: t.Pattern[str], most: int, secret: bool = False) -> str:
    if isinstance(raw, bool) or not isinstance(raw, (str, int, float)):
        raise InvalidRequest(f"{where} is not a text")
    text = str(raw)
    if len(text) > most:
        raise InvalidRequest(f"{where} has {len(text)} characters, more than {most}")
    if forbidden.search(text):
        shown = "" if secret else f": {text[:100]!r}"
        raise InvalidRequest(f"{where} holds a line break or another character that is not allowed{shown}")
    return text


def _flag(text: str, where: str) -> bool:
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise InvalidRequest(f"{where} is neither true nor false: {text[:100]!r}")
    return word in _TRUE


def _number(row: Detail, text: str, where: str) -> int:
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise InvalidRequest(f"{where} is not a whole number: {text[:100]!r}")
    number = int(text)
    if row.bounds and not row.bounds[0] <= number <= row.bounds[1]:
        raise InvalidRequest(f"{where} must be from {row.bounds[0]} to {row.bounds[1]}, not {number}")
    return number


def _words(row: Detail, raw: t.Any, where: str) -> t.Iterator[str]:
    items = raw if isinstance(raw, list) else _plain(raw, where, _CONTROL, _MAX_LINES).split(",")
    for item in items:
        word = _plain(item, where, _CONTROL, _MAX_TEXT).strip()
        if word and row.pattern and not re.fullmatch(row.pattern, word):
            raise InvalidRequest(f"{where} cannot be {word[:100]!r}")
        if word:
            yield word


def _mapping(raw: t.Any, where: str) -> t.Iterator[tuple[str, str]]:
    """Read a JSON object, or key=value pairs with commas between them."""
    if isinstance(raw, dict):
        pairs = [(str(key), _plain(value, f"{where}: {key}", _CONTROL, _MAX_TEXT)) for key, value in raw.items()]
    else:
        items = [item for item in _plain(raw, where, _CONTROL, _MAX_LINES).split(",") if item.strip()]
        pairs = [(key, value) for key, _equals, value in (item.partition("=") for item in items)]
    for key, value in pairs:
        if not key.strip() or not value.strip():
            raise InvalidRequest(f"{where} is not of the form key=value,key=value")
        yield key.strip(), value.strip()
