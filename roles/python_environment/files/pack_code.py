# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pack parts of this collection's module_utils, on the controller.

pack_code.py <plugins/module_utils> <package>...             prints a zip archive, in base64
pack_code.py <plugins/module_utils> <package>... --version   prints the collection's version and the code's digest
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import re
import sys
import zipfile
from pathlib import Path

INSIDE = "ansible_collections/cloudbridge/proxmox/plugins/module_utils"


def collection_version(root: Path) -> str:
    manifest = root / "MANIFEST.json"
    if manifest.is_file():
        return str(json.loads(manifest.read_text("utf-8"))["collection_info"]["version"])
    # A checkout; PyYAML is not needed for one line.
    found = re.search(r"^version:\s*([\w.+-]+)", (root / "galaxy.yml").read_text("utf-8"), re.MULTILINE)
    return found.group(1) if found else "0"


def code(module_utils: Path, packages: list[str]) -> dict[str, bytes]:
    files = {}
    for package in sorted(set(packages)):
        found = sorted((module_utils / package).rglob("*.py"))
        if not found:
            sys.exit(f"{module_utils / package} holds no Python files; is the collection complete?")
        for path in found:
            files[f"{INSIDE}/{path.relative_to(module_utils).as_posix()}"] = path.read_bytes()
    return files


def digest(files: dict[str, bytes]) -> str:
    total = hashlib.sha256()
    for name, content in files.items():
        total.update(f"{name}\0{len(content)}\0".encode() + content)
    return total.hexdigest()[:12]


def pack(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("module_utils", type=Path)
    parser.add_argument("packages", nargs="+")
    parser.add_argument("--version", action="store_true")
    arguments = parser.parse_args()
    module_utils = arguments.module_utils.resolve()
    files = code(module_utils, arguments.packages)
    if arguments.version:
        print(f"{collection_version(arguments.module_utils.parent.parent)}-{digest(files)}")
    else:
        print(base64.b64encode(pack(files)).decode())


if __name__ == "__main__":
    main()
