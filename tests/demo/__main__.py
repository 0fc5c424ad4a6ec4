# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A tour of the collection on an embedded Proxmox VE: `make demo`, or `make demo ARGS=--stay` to go on by hand."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from .acts import ACTS, Act, Scene
from .cloudstack import Call, ManagementServer
from .cloudstack_acts import CLOUDSTACK_ACTS
from .stage import Pve, Run, Shell, bold, running_pve, say, shell, show_command, show_requests
from .terminal import Typing, sit_down

REAL_PVE = """
The same commands work on your PVE. Install the collection (README.md says how), make an API token
(docs/first-vm.md), and set

    export PROXMOX_HOST=pve.example.com PROXMOX_USER=ansible@pve
    export PROXMOX_TOKEN_ID=automation PROXMOX_TOKEN_SECRET=...
    export PROXMOX_CA_PATH=pve-root-ca.pem    # from /etc/pve on a node; or PROXMOX_FINGERPRINT=AA:BB:...

docs/cloudstack-operator-guide.md brings the executable to your CloudStack.
"""


@dataclass(frozen=True)
class Part:
    """Acts that belong together."""

    name: str
    opening: str
    acts: Sequence[Act]


PARTS = (
    Part("ansible", "Ansible: a user types.", ACTS),
    Part(
        "cloudstack",
        "Apache CloudStack: a management server calls the executable that the role cloudstack_extension installs,\n"
        "each time with a payload file as CloudStack writes it.",
        CLOUDSTACK_ACTS,
    ),
)


@dataclass(frozen=True)
class Cast:
    """Those who act."""

    pve: Pve
    user: Shell
    cloudstack: ManagementServer

    def run(self, command: Sequence[str] | Call | Typing) -> Run:
        if isinstance(command, Call):
            return self.cloudstack.run(command)
        if isinstance(command, Typing):
            return sit_down(command, self.user.home, self.pve.connection)
        show_command(command)
        return self.user.run(command)


def perform(number: int, act: Act, cast: Cast) -> bool:
    """Play one act; False when PVE is not afterwards what the act says."""
    say()
    say(bold(f"{number}. {act.title}"))
    say(f"   {act.story}")
    say()
    before = cast.pve.look(act.prepare)
    run = cast.run(act.command)
    after = cast.pve.look()
    show_requests(after)
    claims = list(act.claims(Scene(run, before, after)))
    say("    Looked up on PVE and in the output above:")
    for sentence, true in claims:
        say(f"      {'yes' if true else 'NO '}  {sentence}")
    return all(true for _sentence, true in claims)


def stay(pve: Pve, user: Shell) -> None:
    """Leave PVE running for whoever wants to go on by hand."""
    names = {**pve.connection, "ANSIBLE_COLLECTIONS_PATH": user.environment["ANSIBLE_COLLECTIONS_PATH"]}
    say("The embedded PVE stays until Ctrl-C. In another terminal, with .venv/bin on PATH:")
    say()
    for name, value in names.items():
        say(f"    export {name}={shlex.quote(value)}")
    while pve.process.poll() is None:
        time.sleep(0.5)


def tour(parts: Sequence[Part], number_of_acts: int | None, staying: bool) -> int:
    began = time.monotonic()
    say("A tour of cloudbridge.proxmox. The Proxmox VE in it is embedded: it listens on 127.0.0.1 only,")
    say("knows one template, and answers as a real PVE 9.2 was recorded to answer. `make live` runs the acceptance")
    say("cases on a real one, and docs/testing.md shows what came of the last such run.")
    with running_pve() as pve, shell(pve.connection) as user:
        cast = Cast(pve, user, ManagementServer(user.home / "management-server", pve.connection))
        acts = list(islice(((part, act) for part in parts for act in part.acts), number_of_acts))
        failed = []
        for number, (part, act) in enumerate(acts, 1):
            if act is part.acts[0]:
                say(f"\n{bold(part.opening)}")
            if not perform(number, act, cast):
                failed.append(act.title)
        say()
        if failed:
            say(bold(f"These acts did not do what they say: {'; '.join(failed)}"))
            return 1
        say(bold(f"All {len(acts)} acts did what they say, in {time.monotonic() - began:.0f} seconds."))
        say(REAL_PVE)
        if staying:
            stay(pve, user)
    return 0


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description="A tour on an embedded Proxmox VE.")
    parser.add_argument("--stay", action="store_true", help="leave the embedded PVE running at the end, until Ctrl-C")
    parser.add_argument("--part", choices=[part.name for part in PARTS], help="only this part")
    parser.add_argument("--acts", type=int, metavar="N", help="only the first N acts")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = options(arguments)
    # Also when started in the background, where SIGINT is ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        return tour([part for part in PARTS if chosen.part in (None, part.name)], chosen.acts, chosen.stay)
    except KeyboardInterrupt:
        say("\nInterrupted; what was started is stopped.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
