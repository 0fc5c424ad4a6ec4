# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Argument specs that several modules share."""

from __future__ import annotations

import typing as t

from .._pve.connection import ConnectionOptions, connection_options
from .._pve.errors import InvalidRequest
from .environment import fallback, with_variables

ArgumentSpec = dict[str, t.Any]


def connection_spec() -> ArgumentSpec:
    """The connection options, each with its environment variable."""
    return {
        "api_host": {"type": "str", "fallback": fallback("PROXMOX_HOST")},
        "api_port": {"type": "int", "fallback": fallback("PROXMOX_PORT", "int"), "default": 8006},
        "api_user": {"type": "str", "fallback": fallback("PROXMOX_USER")},
        "api_password": {"type": "str", "no_log": True, "fallback": fallback("PROXMOX_PASSWORD")},
        "api_otp": {"type": "str", "no_log": True, "fallback": fallback("PROXMOX_OTP")},
        "api_token_id": {"type": "str", "no_log": False, "fallback": fallback("PROXMOX_TOKEN_ID")},
        "api_token_secret": {"type": "str", "no_log": True, "fallback": fallback("PROXMOX_TOKEN_SECRET")},
        "validate_certs": {"type": "bool", "fallback": fallback("PROXMOX_VALIDATE_CERTS", "bool"), "default": True},
        "ca_path": {"type": "path", "fallback": fallback("PROXMOX_CA_PATH")},
        "api_fingerprint": {"type": "str", "fallback": fallback("PROXMOX_FINGERPRINT")},
        "api_timeout": {"type": "float", "fallback": fallback("PROXMOX_API_TIMEOUT", "float"), "default": 30.0},
    }


def connection_from(parameters: t.Mapping[str, t.Any]) -> ConnectionOptions:
    """Check the connection options; raises InvalidRequest, which names the variable where a value comes from one."""
    spec = connection_spec()
    try:
        return connection_options({name: parameters[name] for name in spec})
    except InvalidRequest as error:
        raise InvalidRequest(with_variables(str(error), spec, parameters)) from error


def timeout_spec(seconds: int) -> ArgumentSpec:
    """The time that the whole operation may take, its tasks included."""
    return {"timeout": {"type": "int", "default": seconds}}


def lock_spec() -> ArgumentSpec:
    """The time that a guest is waited for that PVE has locked."""
    return {"wait_for_lock": {"type": "int", "default": 0}}


def check_lock_option(parameters: t.Mapping[str, t.Any]) -> None:
    """Raise InvalidRequest for a time that is none."""
    seconds = parameters.get("wait_for_lock") or 0
    if seconds < 0:
        raise InvalidRequest(f"wait_for_lock must be at least 0 seconds, not {seconds}")


def guest_spec() -> ArgumentSpec:
    """The options that say which guest is meant."""
    return {"vmid": {"type": "int"}, "name": {"type": "str"}}


def guest_type_spec() -> ArgumentSpec:
    """Virtual machines, containers, or whichever the guest is."""
    return {"guest_type": {"type": "str", "choices": ["auto", "qemu", "lxc"], "default": "auto"}}


def differing_aliases(spec: ArgumentSpec, given: t.Any, place: str = "") -> str:
    """Say which option was given together with its alias and with another value; empty when none was.

    Ansible takes the alias, and warns at the most. place is the option that has these suboptions.
    """
    if not isinstance(given, t.Mapping):
        return ""
    for name, row in spec.items():
        named = [key for key in (name, *row.get("aliases", ())) if given.get(key) is not None]
        if len({str(given[key]) for key in named}) > 1:
            where = f"{place}: " if place else ""
            return f"{where}{' and '.join(named)} are one option, and were given different values: give one"
        for key in named:
            path, value = f"{place}.{key}" if place else key, given[key]
            entries = [(f"{path}[{n}]", item) for n, item in enumerate(value)] if isinstance(value, list) else []
            for deeper, item in entries or [(path, value)]:
                found = differing_aliases(row.get("options") or {}, item, deeper)
                if found:
                    return found
    return ""
