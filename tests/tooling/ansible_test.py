# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run ansible-test without containers and without touching the user's home directory.

    python -m tests.tooling.ansible_test sanity --test validate-modules
    python -m tests.tooling.ansible_test sanity --ends

With --ends, code is compiled and imported with the oldest Python of managed nodes and this one only. Each takes a
quarter of a minute, and what fails in between fails at one of the ends, too; `nox -s sanity` has them all.

Three things make that work: a copy of the collection in a real directory, real interpreters first on PATH (a pyenv shim
may have none behind it), and a stand-in for the get-pip.py that ansible-test would download.
"""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.tooling.working_copy import CACHE, HOME, tool_environment, update_copy

INTERPRETERS = CACHE / "interpreters"
# The oldest that a managed node may have.
OLDEST = "3.9"
PYTHON_VERSIONS = [f"3.{minor}" for minor in range(8, 16)]

# The names under which the supported ansible-core releases look for get-pip.py in their cache.
GET_PIP_NAMES = ("get_pip_24_2.py", "get_pip_25_2.py")

GET_PIP = '''\
"""Install pip with the one that ensurepip ships, instead of one that is downloaded."""
import subprocess
import sys

arguments = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "ensurepip"], stdout=subprocess.DEVNULL)
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install"] + arguments))
'''


def find_interpreters() -> dict[str, Path]:
    """Return the real interpreter of each Python version that works on this machine."""
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = {running: Path(sys.executable).resolve()}
    for version in PYTHON_VERSIONS:
        for candidate in _candidates(version):
            if version not in found and _works(candidate, version):
                found[version] = candidate
    return found


def prepare_interpreters() -> None:
    """Link the real interpreters in one directory, to be put first on PATH."""
    shutil.rmtree(INTERPRETERS, ignore_errors=True)
    INTERPRETERS.mkdir(parents=True)
    for version, interpreter in find_interpreters().items():
        (INTERPRETERS / f"python{version}").symlink_to(interpreter)


def _candidates(version: str) -> list[Path]:
    name = f"python{version}"
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    shims = [Path(entry).parent for entry in path if Path(entry).name == "shims"]
    roots = [Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")), *shims]
    pyenv = [root / "versions" for root in roots]
    return [
        *(Path(entry) / name for entry in path if Path(entry).name != "shims"),
        *(binary for versions in pyenv for binary in sorted(versions.glob(f"{version}*/bin/{name}"), reverse=True)),
    ]


def _works(candidate: Path, version: str) -> bool:
    if not candidate.exists():
        return False
    probe = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
    answer = subprocess.run([candidate, "-c", probe], capture_output=True, text=True, check=False)
    return answer.returncode == 0 and answer.stdout.strip() == version


def _prepare_home() -> None:
    cache = HOME / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for name in GET_PIP_NAMES:
        (cache / name).write_text(GET_PIP, encoding="utf-8")
    _write_pip_configuration(HOME / ".config" / "pip" / "pip.conf")


def _write_pip_configuration(target: Path) -> None:
    """Carry the user's pip settings over: ansible-test hides both his home and the PIP_* variables from pip."""
    settings = configparser.RawConfigParser()
    settings.read([Path.home() / ".pip" / "pip.conf", Path.home() / ".config" / "pip" / "pip.conf"], encoding="utf-8")
    if not settings.has_section("global"):
        settings.add_section("global")
    settings.set("global", "quiet", "1")
    for variable, value in os.environ.items():
        if variable.startswith("PIP_") and variable not in {"PIP_CONFIG_FILE", "PIP_REQUIRE_VIRTUALENV"}:
            settings.set("global", variable.removeprefix("PIP_").lower().replace("_", "-"), value)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", encoding="utf-8") as file:
        settings.write(file)


def runs(arguments: list[str]) -> list[list[str]]:
    """The calls of ansible-test."""
    if "--ends" not in arguments:
        return [arguments]
    rest = [argument for argument in arguments if argument != "--ends"]
    this = f"{sys.version_info.major}.{sys.version_info.minor}"
    everything = [*rest, "--python", this]
    if this == OLDEST or OLDEST not in find_interpreters():
        return [everything]
    return [everything, [*rest, "--python", OLDEST, "--test", "compile", "--test", "import"]]


def main(arguments: list[str]) -> int:
    copy = update_copy("ansible-test")
    prepare_interpreters()
    _prepare_home()
    environment = tool_environment(HOME=str(HOME), PYTHONUNBUFFERED="1")
    environment["PATH"] = f"{INTERPRETERS}{os.pathsep}{environment['PATH']}"
    program = [sys.executable, str(Path(sys.executable).with_name("ansible-test"))]
    codes = [
        subprocess.run([*program, *words], cwd=copy, env=environment, stdin=subprocess.DEVNULL, check=False).returncode
        for words in runs(arguments)
    ]
    return max(codes, key=abs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
