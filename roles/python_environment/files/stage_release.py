# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prepare a release, the code and a link to its Python environment, on the managed node.

The role runs this from standard input, with a call of main() after it. Nothing that is in use is touched: the release
gets its name only when it is complete and its modules can be imported.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

# The last thing written into an environment.
COMPLETE = ".complete"
# What is younger may be what another play prepares.
ABANDONED_SECONDS = 3600

COMPILE = """
import compileall, sys
source, target = sys.argv[1:]
sys.exit(not compileall.compile_dir(source, quiet=1, stripdir=source, prependdir=target))
"""
IMPORT = """
import importlib, sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]:
    importlib.import_module(name)
"""


def run(what: str, *command: str) -> None:
    """Run a command, or end with what it said."""
    completed = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if completed.returncode:
        sys.exit(f"{what} failed, and what is in use was left as it is:\n{completed.stdout.strip()[-4000:]}")


def make_environment(order: dict) -> None:
    environment = Path(order["directory"], "environments", order["environment"])
    if (environment / COMPLETE).exists():
        return
    run("Making the Python environment", sys.executable, "-m", "venv", "--clear", str(environment))
    source = ["--no-index", "--find-links", order["wheelhouse"]] if order["wheelhouse"] else []
    python = str(environment / "bin" / "python")
    install = [python, "-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    run("pip install", *install, *source, *order["pip_arguments"], *order["requirements"])
    (environment / COMPLETE).touch()


def make_release(order: dict) -> None:
    releases = Path(order["directory"], "releases")
    release = releases / order["release"]
    staging = releases / f".{order['release']}.{os.getpid()}"
    staging.mkdir(parents=True)
    try:
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(order["archive"]))) as archive:
            archive.extractall(staging)
        (staging / "VERSION").write_text(order["release"] + "\n", "utf-8")
        (staging / "python").symlink_to(order["existing"] or f"../../environments/{order['environment']}")
        python = str(staging / "python" / "bin" / "python")
        run("Compiling the code", python, "-I", "-c", COMPILE, str(staging), str(release))
        run("Importing the code", python, "-I", "-c", IMPORT, str(staging), *order["imports"])
        try:
            staging.rename(release)
        except OSError:
            # Another play may have been faster.
            if not release.is_dir():
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def prune(order: dict) -> None:
    """Remove all releases but the new one and the one in use, and the environments that neither needs."""
    directory = Path(order["directory"])
    kept = {(directory / "releases" / order["release"]).resolve(), (directory / "current").resolve()}
    needed = {(release / "python").resolve() for release in kept}
    for path in [*(directory / "releases").iterdir(), *directory.glob("environments/*")]:
        abandoned = time.time() - path.stat().st_mtime > ABANDONED_SECONDS
        if path.resolve() not in kept | needed and (abandoned or not path.name.startswith(".")):
            shutil.rmtree(path, ignore_errors=True)


def main(text: str) -> None:
    os.umask(0o022)
    order = json.loads(text)
    if not order["existing"]:
        make_environment(order)
    make_release(order)
    prune(order)
    if order["wheels_brought"]:
        shutil.rmtree(order["wheelhouse"], ignore_errors=True)
