# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prepare a release, the code and a link to its Python environment, on the managed node.

The order comes as JSON on standard input. Nothing that is in use is touched: the release gets its name only when it is
complete and its modules can be imported.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

# The last thing written into an environment.
COMPLETE = ".complete"

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
        # Another play may have been faster.
        with contextlib.suppress(FileExistsError):
            staging.rename(release)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def main() -> None:
    os.umask(0o022)
    order = json.load(sys.stdin)
    if not order["existing"]:
        make_environment(order)
    make_release(order)
    if order["wheels_brought"]:
        shutil.rmtree(order["wheelhouse"], ignore_errors=True)


if __name__ == "__main__":
    main()
