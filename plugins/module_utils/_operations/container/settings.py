# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings of a container that have one option and one key each: the table that drives them."""

from __future__ import annotations

import re
import typing as t

from ..._pve.container_config import ARCHITECTURES, ENV_SEPARATOR, OS_TYPES
from ..._pve.errors import InvalidRequest
from ..._pve.numbers import write_number
from ..guest.desired import DesiredSetting, flag
from ..guest.ip_addresses import check_address
from ..guest.settings import SHARED_SETTINGS, Setting

_INTEGER = {"type": "int"}
_TEXT = {"type": "str"}
_BOOLEAN = {"type": "bool"}
_LIST = {"type": "list", "elements": "str"}
_FEATURES: dict[str, t.Any] = {
    **dict.fromkeys(("nesting", "keyctl", "fuse", "mknod", "force_rw_sys"), _BOOLEAN),
    "mount": _LIST,
}
_VARIABLE = re.compile(r"\w+", re.ASCII)
# PVE::LXC::Config, env and entrypoint: no control characters but tabs.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def _line(text: str) -> str | None:
    if _CONTROL.search(text):
        raise InvalidRequest("entrypoint must be one line")
    return text.strip() or None


def _servers(servers: t.Sequence[str]) -> str | None:
    for server in servers:
        address, _percent, _interface = server.partition("%")
        # A link-local address may name the interface that it is on (PVE::LXC::Config, verify_ip_with_ll_iface).
        check_address("nameservers", address if address.lower().startswith("fe80:") else server)
    return " ".join(servers) or None


def _domains(domains: t.Sequence[str]) -> str | None:
    return " ".join(domains) or None


SETTINGS: tuple[Setting, ...] = (
    *SHARED_SETTINGS,
    Setting("cores", _INTEGER, bounds=(1, 8192)),
    Setting("cpulimit", {"type": "float"}, bounds=(0, 8192), write=write_number),
    Setting("cpuunits", _INTEGER, bounds=(1, 500000)),
    Setting("memory", _INTEGER, bounds=(16,)),
    Setting("swap", _INTEGER, bounds=(0,)),
    Setting("features", {"type": "dict", "options": _FEATURES}, write=lambda _nothing: None),
    Setting("nameservers", {**_LIST, "aliases": ["nameserver"]}, key="nameserver", write=_servers),
    Setting("search_domains", {**_LIST, "aliases": ["searchdomain"]}, key="searchdomain", write=_domains),
    Setting("ostype", {"type": "str", "choices": list(OS_TYPES)}),
    Setting("arch", {"type": "str", "choices": list(ARCHITECTURES)}),
    Setting("timezone", _TEXT),
    Setting("console", _BOOLEAN, write=flag),
    Setting("tty", _INTEGER, bounds=(0, 6)),
    Setting("cmode", {"type": "str", "choices": ["tty", "console", "shell"]}),
    Setting("hookscript", _TEXT),
    Setting("entrypoint", _TEXT, write=_line),
)


def environment(variables: t.Mapping[str, t.Any] | None) -> t.Iterator[DesiredSetting]:
    """The environment of the container's first process, when it is given; raises InvalidRequest."""
    if variables is None:
        return
    for name, value in variables.items():
        if not _VARIABLE.fullmatch(name):
            raise InvalidRequest(f"env: {name!r} is not the name of a variable")
        if value is None or _CONTROL.search(str(value)):
            raise InvalidRequest(f"env: {name} must be one line of text")
    yield DesiredSetting("env", ENV_SEPARATOR.join(f"{name}={value}" for name, value in variables.items()) or None)
