# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command line of pve-console."""

from __future__ import annotations

import argparse
import os
import sys
import typing as t

from .._pve.channel import require_websockets
from .._pve.errors import MissingLibrary, PveError
from .connecting import SessionRequest, parse_target
from .credentials import Credentials, read_settings, with_choices
from .escape import DEFAULT_ESCAPE, parse_escape
from .exit_codes import Ending, ExitCode, SessionInterrupted, exit_code
from .interactive_session import SessionOptions, check_terminal_is_there, notify, run_interactive_session
from .prompt import Prompt
from .screen import end_by_signals

DESCRIPTION = """\
A terminal on Proxmox VE: the serial line of a virtual machine, the console of a container, the shell of a node.
"""
EPILOG = """\
TARGET is a guest's vmid or name, or node/NAME.

The host and the credentials come from the environment (PROXMOX_HOST, PROXMOX_TOKEN_ID, ...), from a section of a
credentials file, or from a prompt. A guest that is named vnc is reached by its vmid, or after "--".

"%(prog)s vnc TARGET" carries a display to a VNC viewer on this machine: see "%(prog)s vnc --help".

exit codes: 0 left, or ended by the guest; 1 refused by PVE, or a command of a script failed; 2 usage; 3 configuration;
4 connection; 5 not found; 6 not allowed; 7 not running, or no serial line; 8 in use by somebody else, or silent;
124 timeout of a script; 130 interrupted.
"""
VNC = "vnc"
_BRIDGE_SECONDS = 60.0


def main(arguments: t.Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        end_by_signals()
        return _run(arguments)
    except (Ending, PveError) as error:
        notify(str(error))
        return exit_code(error)
    except SessionInterrupted as error:
        notify(str(error))
        return error.code
    except KeyboardInterrupt:
        notify("interrupted")
        return ExitCode.INTERRUPTED


def _run(arguments: t.Sequence[str]) -> int:
    if arguments and arguments[0] == VNC:
        return _bridge(vnc_parser().parse_args(arguments[1:]))
    chosen = terminal_parser().parse_args(arguments)
    if chosen.completion:
        from .completion import script

        sys.stdout.write(script(chosen.completion, options_of(terminal_parser()) | options_of(vnc_parser())))
        return ExitCode.OK
    if chosen.complete is not None:
        from .completion import candidates

        sys.stdout.write("".join(f"{word}\n" for word in candidates(_settings(chosen), chosen.complete)))
        return ExitCode.OK
    _require_libraries()
    parameters = parse_target(chosen.target, chosen.node)
    prompt = Prompt()
    if chosen.script:
        from .script_command import run_script_command

        return run_script_command(Credentials(_settings(chosen), prompt), _request(chosen, parameters), chosen.script)
    options = SessionOptions(
        escape=parse_escape(chosen.escape),
        read_only=chosen.read_only,
        wake=chosen.wake,
        reconnect=not chosen.no_reconnect,
        log=chosen.log,
        record=chosen.record,
    )
    check_terminal_is_there()
    return run_interactive_session(
        Credentials(_settings(chosen), prompt), prompt, _request(chosen, parameters), options
    )


def _require_libraries() -> None:
    """Say what is missing, before any prompt or request."""
    try:
        require_websockets()
    except MissingLibrary as error:
        raise Ending(
            ExitCode.CONFIGURATION,
            f"{error}: {sys.executable} has none; install it there with pip install {error.library}",
        ) from error


def _request(chosen: argparse.Namespace, parameters: t.Mapping[str, t.Any]) -> SessionRequest:
    return SessionRequest(parameters, chosen.serial, chosen.start, chosen.wait_running, chosen.force, chosen.read_only)


def _settings(chosen: argparse.Namespace) -> t.Mapping[str, t.Any]:
    settings = read_settings(os.environ, chosen.credentials, chosen.cluster)
    return with_choices(
        settings,
        api_host=chosen.host,
        api_user=chosen.user,
        ca_path=chosen.ca,
        api_fingerprint=chosen.fingerprint,
        validate_certs=False if chosen.insecure else None,
    )


def _bridge(chosen: argparse.Namespace) -> int:
    _require_libraries()
    from .vnc_bridge import bridge_options, run_bridge

    parameters = parse_target(chosen.target, None)
    options = bridge_options(chosen.bridge, os.environ, chosen.password_file, chosen.no_password, chosen.any_address)
    credentials = Credentials(_settings(chosen), Prompt())
    return run_bridge(credentials.client(_BRIDGE_SECONDS), parameters, options, sys.stderr)


def terminal_parser() -> argparse.ArgumentParser:
    """The options of a terminal."""
    parser = _new_parser("pve-console", DESCRIPTION, EPILOG)
    parser.add_argument("target", metavar="TARGET", nargs="?", help="the guest or node whose terminal to open")
    parser.add_argument("--node", metavar="NAME", help="the shell of this node, as TARGET node/NAME")
    session = parser.add_argument_group("session")
    session.add_argument(
        "--serial",
        choices=[f"serial{number}" for number in range(4)],
        help="which serial line of a virtual machine, if not the first",
    )
    session.add_argument("--start", action="store_true", help="start the guest if it does not run")
    session.add_argument("--wait-running", action="store_true", help="wait until the guest runs")
    session.add_argument("--force", action="store_true", help="end other sessions that have the serial line in use")
    session.add_argument("--wake", action="store_true", help="press Enter once, so that a login shows its prompt")
    session.add_argument("--read-only", action="store_true", help="send nothing that is typed")
    session.add_argument(
        "--escape",
        metavar="KEY",
        default=DEFAULT_ESCAPE,
        help="the key that leaves, as ^], ctrl-] or none (%(default)s)",
    )
    session.add_argument("--no-reconnect", action="store_true", help="end when the session breaks off")
    session.add_argument("--log", metavar="FILE", help="append what is shown to this file")
    session.add_argument("--record", metavar="FILE", help="record the session for asciinema, in a new file")
    session.add_argument("--script", metavar="FILE", help="carry out this script instead of what a person types")
    _add_connection(parser)
    other = parser.add_argument_group("other")
    other.add_argument("--completion", choices=["bash", "zsh"], help="print the shell's completion of this command")
    other.add_argument("--complete", metavar="PREFIX", help=argparse.SUPPRESS)
    return parser


def vnc_parser() -> argparse.ArgumentParser:
    """The options of the bridge for viewers."""
    parser = _new_parser("pve-console vnc", "A VNC port on this machine that shows a guest's display.", None)
    parser.add_argument("target", metavar="TARGET", help="a guest's vmid or name, or node/NAME")
    parser.add_argument(
        "--bridge", metavar="ADDRESS:PORT", default="127.0.0.1:5901", help="where a viewer connects (%(default)s)"
    )
    parser.add_argument("--password-file", metavar="FILE", help="the password that a viewer is asked for")
    parser.add_argument("--no-password", action="store_true", help="ask viewers for no password")
    parser.add_argument("--any-address", action="store_true", help="allow an address that others can reach")
    _add_connection(parser)
    return parser


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """The long options that are no secret."""
    names = {name for action in parser._actions if action.help != argparse.SUPPRESS for name in action.option_strings}
    return {name for name in names if name.startswith("--")}


def _new_parser(name: str, description: str, epilog: str | None) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        name,
        description=description,
        epilog=epilog,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_connection(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("connection")
    group.add_argument("--host", metavar="NAME", help="a node's name or address, instead of PROXMOX_HOST")
    group.add_argument("--user", metavar="USER@REALM", help="log in as this user, with a password instead of a token")
    group.add_argument("--ca", metavar="FILE", help="the certificate authority of the cluster")
    group.add_argument("--fingerprint", metavar="SHA256", help="the one certificate to trust")
    group.add_argument("--insecure", action="store_true", help="do not verify the certificate")
    group.add_argument("--credentials", metavar="FILE", help="the credentials file (~/.config/pve-console/credentials)")
    group.add_argument("--cluster", metavar="SECTION", help="the section of the credentials file (default)")
