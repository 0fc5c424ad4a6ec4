# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Completion of guests and nodes for the shell; a shell that waits for an answer is worse than one without it."""

from __future__ import annotations

import contextlib
import typing as t

from .._pve.client import PveClient
from .._pve.connection import connection_options
from .._pve.deadline import Deadline
from .._pve.errors import PveError

_SECONDS = 3.0
_BASH = """\
# bash completion of pve-console, made by: pve-console --completion bash
_pve_console() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
    case $previous in
        --log|--record|--script|--ca|--credentials|--password-file)
            compopt -o default; COMPREPLY=(); return ;;
        --serial)
            COMPREPLY=($(compgen -W 'serial0 serial1 serial2 serial3' -- "$current")); return ;;
    esac
    case $current in
        -*) COMPREPLY=($(compgen -W '%(options)s' -- "$current")) ;;
        *) COMPREPLY=($(compgen -W "$(pve-console --complete "$current" 2>/dev/null)" -- "$current")) ;;
    esac
}
complete -F _pve_console pve-console
"""
_ZSH = """\
#compdef pve-console
# zsh completion of pve-console, made by: pve-console --completion zsh
_pve_console() {
    case $words[CURRENT-1] in
        --log|--record|--script|--ca|--credentials|--password-file) _files; return ;;
        --serial) compadd serial0 serial1 serial2 serial3; return ;;
    esac
    if [[ $PREFIX == -* ]]; then
        compadd -- %(options)s
    else
        compadd -- ${(f)"$(pve-console --complete "$PREFIX" 2>/dev/null)"}
    fi
}
if [ "$funcstack[1]" = _pve_console ]; then _pve_console "$@"; else compdef _pve_console pve-console; fi
"""


def script(shell: str, options: t.Iterable[str]) -> str:
    """The completion script of bash or zsh, with the options of the command."""
    return (_BASH if shell == "bash" else _ZSH) % {"options": " ".join(sorted(options))}


def candidates(settings: t.Mapping[str, t.Any], prefix: str) -> list[str]:
    """Names and vmids of the guests, and nodes as node/NAME, that begin so; none when PVE cannot be asked quickly."""
    if not settings.get("api_host") or not (settings.get("api_token_secret") or settings.get("api_password")):
        return []
    found: set[str] = set()
    with contextlib.suppress(PveError):
        client = PveClient(connection_options({**settings, "api_timeout": _SECONDS}), Deadline(_SECONDS))
        for entry in client.read_once("cluster", "resources"):
            if entry.get("type") == "node":
                found.add(f"node/{entry['node']}")
            elif entry.get("type") in ("qemu", "lxc") and not int(entry.get("template") or 0):
                found |= {str(entry["vmid"]), str(entry.get("name") or entry["vmid"])}
        client.close()
    return sorted(word for word in found if word.startswith(prefix))
