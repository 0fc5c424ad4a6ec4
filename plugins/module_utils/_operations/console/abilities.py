# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which consoles a guest or a node has, and whether this caller can use them, checked before one is opened."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, replace

from ..._pve.client import PveClient
from ..._pve.errors import InvalidRequest, PermissionDenied
from ..._pve.guests import LXC, QEMU
from ..._pve.properties import PropertyFormat, truth
from ..facts import PAUSED, RUNNING, Status, read_status
from .target import ConsoleTarget
from .versions import SPICE, TERMINAL, TOKEN_RULES, VNC, Release, Since, read_release

_VGA = PropertyFormat(default_key="type", defaults={"type": "std"})
_AGENT = PropertyFormat(default_key="enabled")
SERIAL = re.compile(r"serial[0-3]")
# PVE::API2::Qemu vm_status, PVE::QemuServer vga_conf_has_spice
_SPICE_DISPLAY = re.compile(r"qxl[2-4]?|virtio(-gl)?")
# PVE::API2::AccessControl vncticket, authid
_MAX_TOKEN_LETTERS = 64


@dataclass(frozen=True)
class Abilities:
    """The consoles of a guest. display and serials are a virtual machine's only.

    condition is running, paused, hibernated or stopped, serials are those of its serial lines that PVE can connect to.
    started is when it was started, by the server's clock; 0 is not known.
    """

    condition: str
    display: str = ""
    serials: tuple[str, ...] = ()
    spice: bool = False
    agent: bool = False
    started: int = 0

    @property
    def runs(self) -> bool:
        return self.condition in (RUNNING, PAUSED)


def read_abilities(target: ConsoleTarget, status: Status | None = None) -> Abilities:
    """Read what consoles there are; status is the guest's if it has just been read. At most two requests.

    Raises a PveError.
    """
    if target.handle is None:
        return Abilities(RUNNING, spice=True)
    status = status or read_status(target.handle)
    if target.kind == LXC:
        return Abilities(status.condition, spice=True)
    started = target.client.server_time - status.uptime if status.uptime else 0
    # Without current, there would be the settings of the next start.
    found = machine_abilities(status.condition, target.handle.read("config", current=1))
    return replace(found, started=started)


def machine_abilities(condition: str, config: t.Mapping[str, t.Any]) -> Abilities:
    """Say what consoles a virtual machine has, by its configuration."""
    display = _VGA.parse(str(config.get("vga") or "")).get("type", _VGA.defaults["type"])
    return Abilities(
        condition,
        display,
        tuple(sorted(key for key in config if SERIAL.fullmatch(key) and config[key] == "socket")),
        _SPICE_DISPLAY.fullmatch(display) is not None,
        truth(_AGENT.parse(str(config.get("agent") or "")).get("enabled", "0")) == "1",
    )


def check_running(target: ConsoleTarget, abilities: Abilities) -> None:
    """Raise InvalidRequest unless it runs: PVE opens the port of a stopped guest as well, and closes it on connect."""
    if not abilities.runs:
        raise InvalidRequest(f"{target.label} is {abilities.condition}, so it has no console: start it first")


def check_terminal(target: ConsoleTarget, abilities: Abilities, serial: str | None = None) -> None:
    """Raise InvalidRequest unless a terminal can be opened, on that serial line if one is named."""
    check_running(target, abilities)
    check_serial(target, abilities, serial)


def check_serial(target: ConsoleTarget, abilities: Abilities, serial: str | None = None) -> None:
    """Raise InvalidRequest unless there is the serial line that a terminal is to be opened on."""
    if target.kind != QEMU:
        if serial:
            raise InvalidRequest(f"serial is for virtual machines: {target.label} has a terminal of its own")
        return
    # qm terminal takes the line that is the display, then the first one.
    wanted = serial or (abilities.display if SERIAL.fullmatch(abilities.display) else None)
    if wanted in abilities.serials or (wanted is None and abilities.serials):
        return
    if not abilities.serials:
        raise InvalidRequest(
            f"{target.label} has no serial line that a terminal can use: add {wanted or 'serial0'}: socket to its "
            f"configuration, restart it, and have its system use the line (kernel option console=ttyS0)"
        )
    raise InvalidRequest(
        f"{target.label} has no serial line {wanted} that a terminal can use: it has {', '.join(abilities.serials)}"
    )


def check_vnc(target: ConsoleTarget, abilities: Abilities, raw: bool = False) -> None:
    """Raise InvalidRequest unless VNC can show something; raw is straight to the port, without PVE's websocket."""
    check_running(target, abilities)
    check_display(target, abilities, raw)


def check_display(target: ConsoleTarget, abilities: Abilities, raw: bool = False) -> None:
    """Raise InvalidRequest unless there is something that VNC can show."""
    if abilities.display == "none":
        raise InvalidRequest(f"{target.label} has no display (vga: none), which VNC could show: use its terminal")
    if not raw:
        return
    # There vncterm speaks, and only VeNCrypt with X509Plain, which hardly any viewer does.
    if target.kind != QEMU:
        raise InvalidRequest(f"{target.label} has no display of its own, which plain VNC could show: use the websocket")
    if SERIAL.fullmatch(abilities.display):
        raise InvalidRequest(
            f"{target.label} has a serial terminal instead of a display (vga: {abilities.display}), "
            f"which plain VNC cannot show: use the websocket"
        )


def check_spice(target: ConsoleTarget, abilities: Abilities) -> None:
    """Raise InvalidRequest unless there is SPICE."""
    check_running(target, abilities)
    if not abilities.spice:
        raise InvalidRequest(
            f"{target.label} has no SPICE (vga: {abilities.display}): "
            f"set vga to qxl or virtio and restart it, or use VNC"
        )


def check_identity(client: PveClient, target: ConsoleTarget, what: str) -> None:
    """Raise PermissionDenied when the caller is an API token that this server lets no such console be opened with.

    what is vnc, terminal or spice. No request, or one or two when the server's release matters.
    """
    rule = token_rule(client.identity, target.kind, what)
    problem = token_problem(client, target, what, read_release(client) if isinstance(rule, Since) else None)
    if problem:
        raise PermissionDenied(problem)


def token_rule(identity: str, kind: str, what: str) -> bool | Since:
    """Whether the caller can open the console, or since which release; a user always can."""
    return TOKEN_RULES[kind, what] if "!" in identity else True


def token_problem(client: PveClient, target: ConsoleTarget, what: str, release: Release | None) -> str:
    """Say why a token cannot open the console, and what to do; nothing when it can.

    release is the server's, as far as the console depends on it.
    """
    identity, cure = client.identity, "log in with api_user and api_password instead"
    rule = token_rule(identity, target.kind, what)
    if rule is False:
        instead = " (or use the terminal)" if what == VNC else ""
        return f"PVE lets no API token such as {identity} open {_SHOWN[what]} of {target.label}: {cure}{instead}"
    if isinstance(rule, Since) and release is not None and not release.has(rule):
        return (
            f"{client.address} lets no API token such as {identity} open {_SHOWN[what]} of {target.label}: that takes "
            f"{rule.words}, and it has {release.words(rule)}; {cure}, or update it"
        )
    if isinstance(rule, Since) and len(identity) > _MAX_TOKEN_LETTERS:
        return (
            f"PVE opens {_SHOWN[what]} of {target.label} for tokens of at most {_MAX_TOKEN_LETTERS} letters, and "
            f"{identity} has {len(identity)}: use a token with a shorter name"
        )
    return ""


_SHOWN = {VNC: "VNC", TERMINAL: "the terminal", SPICE: "SPICE"}
