# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Python runs this at the start of the processes that have this directory on PYTHONPATH.

Ansible packs each module with its libraries in a zip, of which Python compiles every file anew for every task: half of
what a task takes. What has the same text is compiled once, and kept in the directory that CLOUDBRIDGE_TEST_COMPILED
names.
"""

from __future__ import annotations

import _imp
import marshal
import os
import sys
import zipimport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType

DIRECTORY = os.environ.get("CLOUDBRIDGE_TEST_COMPILED")
compile_source = getattr(zipimport, "_compile_source", None)


def compile_once(pathname: str, source: bytes) -> CodeType:
    name = f"{DIRECTORY}/{sys.implementation.cache_tag}-{_imp.source_hash(0, source).hex()}"
    try:
        with open(name, "rb") as file:  # noqa: PTH123 - pathlib takes longer than all the rest
            code = marshal.loads(file.read())
    except (OSError, ValueError, EOFError):
        code = compile_source(pathname, source)
        keep(name, marshal.dumps(code))
    else:
        _imp._fix_co_filename(code, pathname)
    return code


def keep(name: str, content: bytes) -> None:
    mine = f"{name}.{os.getpid()}"
    try:
        os.makedirs(DIRECTORY, exist_ok=True)  # noqa: PTH103
        with open(mine, "wb") as file:  # noqa: PTH123
            file.write(content)
        os.replace(mine, name)  # noqa: PTH105
    except OSError:
        pass  # Another account may not write there.


if DIRECTORY and compile_source:
    zipimport._compile_source = compile_once
