# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The environment of the peers: what PyPI has beside this collection, and the Ansible that both sides run on."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.collection_tree import REPOSITORY, link_collection

REQUIREMENTS = Path(__file__).parent / "requirements.txt"
ENVIRONMENT = REPOSITORY / ".cache" / "peers"
BIN = ENVIRONMENT / "bin"
STAMP = ENVIRONMENT / "installed"
EXTENSION = BIN / "cloudstack-extension-proxmox"
# Compiled as pip does it. That of all the collections of ansible would take minutes.
COMPILED = (
    *("ansible", "cloudstack_extension_proxmox_ngine", "proxmoxer", "requests", "urllib3", "yaml", "jinja2"),
    *("certifi", "charset_normalizer", "idna", "cryptography", "packaging", "resolvelib", "websocket"),
    *("ansible_collections/community/proxmox",),
)


def install() -> None:
    """Make the environment, unless it is there with these very versions."""
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if STAMP.exists() and STAMP.read_text("ascii") == wanted:
        return
    # The interpreter that ours runs on, not a shim that starts it.
    subprocess.run([os.path.realpath(sys.executable), "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
    pip = [str(BIN / "pip"), "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)
    packages = [str(path) for name in COMPILED if (path := site_packages() / name).exists()]
    subprocess.run([str(BIN / "python"), "-m", "compileall", "-q", *packages], check=True)
    STAMP.write_text(wanted, "ascii")


def site_packages() -> Path:
    return next((ENVIRONMENT / "lib").glob("python*/site-packages"))


def versions() -> dict[str, str]:
    """What is compared, by the names of the packages."""
    script = (
        "import importlib.metadata as m, json, platform; names = ('ansible', 'ansible-core', 'proxmoxer', 'requests', "
        "'cloudstack-extension-proxmox-ngine'); "
        "print(json.dumps({'Python': platform.python_version(), **{name: m.version(name) for name in names}}))"
    )
    done = subprocess.run([str(BIN / "python"), "-c", script], check=True, capture_output=True, text=True)
    found: dict[str, str] = json.loads(done.stdout)
    manifest = site_packages() / "ansible_collections" / "community" / "proxmox" / "MANIFEST.json"
    found["community.proxmox"] = json.loads(manifest.read_text("utf-8"))["collection_info"]["version"]
    return found


def ansible_environment(home: Path, *layers: Mapping[str, str], tools: Path = BIN) -> dict[str, str]:
    """The whole environment of ansible's programs, the same for both sides."""
    environment = {
        "PATH": f"{tools}{os.pathsep}/usr/bin{os.pathsep}/bin",
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "LANG": "C.UTF-8",
        "ANSIBLE_COLLECTIONS_PATH": str(link_collection()),
        "ANSIBLE_HOME": str(home / "ansible"),
        "ANSIBLE_LOCAL_TEMP": str(home / "tmp"),
        "ANSIBLE_REMOTE_TEMP": str(home / "tmp"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "ANSIBLE_DEPRECATION_WARNINGS": "false",
    }
    for layer in layers:
        environment.update(layer)
    return environment
