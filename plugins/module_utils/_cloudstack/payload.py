# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The payload file that CloudStack writes for each call, checked once and in typed form."""

from __future__ import annotations

import json
import os
import re
import stat
import types
import typing as t

from .._pve.errors import InvalidRequest

MAX_BYTES = 4 * 1024 * 1024
SECTIONS = ("host", "resourcemap", "extension", "virtualmachine", "action")
_INSTANCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_WHOLE = re.compile(r"-?[0-9]{1,18}")

Object = t.Mapping[str, t.Any]


class Nic(t.NamedTuple):
    """A network card as CloudStack describes it; speeds are Mbit/s, 0 or less is no limit."""

    device_id: int
    mac: str
    broadcast_uri: str = ""
    isolation_uri: str = ""
    broadcast_type: str = ""
    traffic_type: str = ""
    network_uuid: str = ""
    network_id: str = ""
    network_names: tuple[str, ...] = ()
    rate: int = 0
    mtu: int = 0
    default: bool = False
    enabled: bool = True
    ip: str = ""
    netmask: str = ""
    gateway: str = ""
    ip6: str = ""
    ip6_cidr: str = ""
    ip6_gateway: str = ""
    nameservers: tuple[str, ...] = ()


class Instance(t.NamedTuple):
    """The VM of a call. Memory is in bytes; vmid is its number in PVE, if CloudStack knows it."""

    uuid: str
    name: str
    id: int | None = None
    vmid: int | None = None
    cpus: int | None = None
    max_speed: int = 0
    max_memory: int | None = None
    min_memory: int | None = None
    limit_cpu: bool = False
    boot_type: str = ""
    boot_mode: str = ""
    nics: tuple[Nic, ...] = ()


class Caller(t.NamedTuple):
    """The user of CloudStack who called the action; empty if CloudStack does not say."""

    id: str = ""
    name: str = ""
    role_type: str = ""
    role_name: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.role_type}, {self.role_name}, {self.id})" if self.id or self.role_type else ""


class Payload(t.NamedTuple):
    """What CloudStack sent. sections are the external details by their origin, unchecked."""

    sections: t.Mapping[str, Object] = types.MappingProxyType({})
    parameters: Object = types.MappingProxyType({})
    caller: Caller = Caller()
    vm: Object | None = None
    uuid: str = ""
    name: str = ""

    def instance(self) -> Instance:
        """Read the VM that the call is about; raises InvalidRequest if there is none, or it is invalid."""
        return _instance(self)


def read_payload(path: str, stream: int | None = None) -> Payload:
    """Read and check the payload file; raises InvalidRequest. stream is the file when it is open already."""
    if not path:
        raise InvalidRequest("the payload file is missing: it is the second argument")
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC) if stream is None else os.dup(stream)
        try:
            if not stat.S_ISREG(os.fstat(opened).st_mode):
                raise InvalidRequest(f"the payload {path!r} is not a regular file")
            with open(opened, "rb", closefd=False) as file:
                content = file.read(MAX_BYTES + 1)
        finally:
            os.close(opened)
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"the payload {path!r} cannot be read: {getattr(error, 'strerror', error)}") from error
    if len(content) > MAX_BYTES:
        raise InvalidRequest(f"the payload {path!r} has more than {MAX_BYTES} bytes")
    try:
        data = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the payload {path!r} is not JSON: {type(error).__name__}") from error
    return parse_payload(data)


def parse_payload(data: t.Any) -> Payload:
    """Check the outer form of a payload; raises InvalidRequest."""
    if not isinstance(data, dict):
        raise InvalidRequest("the payload is not a JSON object")
    details = _object(data, "externaldetails")
    sections = {name: _object(details, name, "externaldetails.") for name in SECTIONS}
    vm = data.get("cloudstack.vm.details")
    return Payload(
        sections=sections,
        parameters=_object(data, "parameters"),
        # CloudStack 4.21 has it among the external details.
        caller=_caller(_object(data, "caller") or _object(details, "caller", "externaldetails.")),
        vm=_object(data, "cloudstack.vm.details") if vm is not None else None,
        uuid=_text(data, "virtualmachineid", ""),
        name=_text(data, "virtualmachinename", ""),
    )


def _caller(caller: Object) -> Caller:
    return Caller(
        id=_text(caller, "id", "caller."),
        name=_text(caller, "name", "caller."),
        role_type=_text(caller, "roletype", "caller."),
        role_name=_text(caller, "rolename", "caller."),
    )


def _instance(payload: Payload) -> Instance:
    where = "cloudstack.vm.details."
    if payload.vm is None and not payload.uuid:
        raise InvalidRequest("the payload describes no VM: cloudstack.vm.details is missing")
    vm = payload.vm or {}
    name = payload.name or _text(vm, "name", where)
    if not _INSTANCE_NAME.fullmatch(name):
        raise InvalidRequest(f"virtualmachinename {name[:100]!r} is not the name of an instance, as in i-2-45-VM")
    uuid = payload.uuid or _text(vm, "uuid", where)
    if not _UUID.fullmatch(uuid):
        raise InvalidRequest(f"virtualmachineid {uuid[:100]!r} is not a UUID")
    details = _object(vm, "details", where)
    nics = vm.get("nics") or []
    if not isinstance(nics, list):
        raise InvalidRequest(f"{where}nics is not a list")
    return Instance(
        uuid=uuid.lower(),
        name=name,
        id=_number(vm, "id", where),
        vmid=_number(details, "proxmox_vmid", where + "details."),
        cpus=_number(vm, "cpus", where),
        max_speed=_number(vm, "maxSpeed", where) or 0,
        max_memory=_number(vm, "maxRam", where),
        min_memory=_number(vm, "minRam", where),
        limit_cpu=_flag(vm, "limitCpuUse", where),
        boot_type=_text(vm, "bootType", where).upper(),
        boot_mode=_text(vm, "bootMode", where).upper(),
        nics=tuple(_nic(nic, f"{where}nics[{index}]", vm) for index, nic in enumerate(nics)),
    )


def _nic(nic: t.Any, what: str, vm: Object) -> Nic:
    if not isinstance(nic, dict):
        raise InvalidRequest(f"{what} is not an object")
    where = what + "."
    device_id = _number(nic, "deviceId", where)
    if device_id is None:
        raise InvalidRequest(f"{where}deviceId is missing")
    network_id = _text(nic, "networkId", where)
    names = _object(vm, "networkIdToNetworkNameMap", "cloudstack.vm.details.")
    found = (_text(nic, "networkSegmentName", where), _text(nic, "name", where), _text(names, network_id, "network "))
    nameservers = (_text(nic, key, where) for key in ("dns1", "dns2", "ip6Dns1", "ip6Dns2"))
    return Nic(
        device_id=device_id,
        mac=_text(nic, "mac", where),
        broadcast_uri=_text(nic, "broadcastUri", where),
        isolation_uri=_text(nic, "isolationUri", where),
        broadcast_type=_text(nic, "broadcastType", where),
        traffic_type=_text(nic, "type", where),
        network_uuid=_text(nic, "uuid", where).lower(),
        network_id=network_id,
        network_names=tuple(name for name in found if name),
        rate=_number(nic, "networkRateMbps", where) or 0,
        mtu=_number(nic, "mtu", where) or 0,
        default=_flag(nic, "defaultNic", where),
        enabled=_flag(nic, "enabled", where, default=True),
        ip=_text(nic, "ip", where),
        netmask=_text(nic, "netmask", where),
        gateway=_text(nic, "gateway", where),
        ip6=_text(nic, "ip6address", where),
        ip6_cidr=_text(nic, "ip6cidr", where),
        ip6_gateway=_text(nic, "ip6gateway", where),
        nameservers=tuple(server for server in nameservers if server),
    )


def _object(data: Object, key: str, where: str = "") -> Object:
    value = data.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidRequest(f"{where}{key} is not an object")
    return value


def _text(data: Object, key: str, where: str) -> str:
    value = data.get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise InvalidRequest(f"{where}{key} is not a text")
    return str(value)


def _number(data: Object, key: str, where: str) -> int | None:
    value = data.get(key)
    if value is None or value == "":
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not _WHOLE.fullmatch(str(value)[:20].strip()):
        raise InvalidRequest(f"{where}{key} is not a whole number: {str(value)[:100]!r}")
    return int(value)


def _flag(data: Object, key: str, where: str, default: bool = False) -> bool:
    value = data.get(key)
    if value is None or value == "":
        return default
    word = str(value).lower()
    if word not in ("true", "false"):
        raise InvalidRequest(f"{where}{key} is neither true nor false: {word[:100]!r}")
    return word == "true"
