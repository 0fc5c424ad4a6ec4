# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The environment of the processes that tests start."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from .collection_tree import REPOSITORY, link_collection

# REQUESTS_CA_BUNDLE goes along as it is: the collection must not be moved by it.
PASSED_ON = ("PATH", "TMPDIR", "REQUESTS_CA_BUNDLE", "COVERAGE_PROCESS_START", "COVERAGE_FILE")
STARTUP = Path(__file__).parent / "startup"
COMPILED = REPOSITORY / ".cache" / "compiled"


def child_environment(home: Path, *layers: Mapping[str, str | None]) -> dict[str, str]:
    """Only what is needed, then the layers; a None takes a variable away."""
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    # Ansible refuses to start without a UTF-8 locale.
    environment["LC_ALL"] = environment["LANG"] = "C.UTF-8"
    tools = str(Path(sys.executable).parent)
    environment["PATH"] = f"{tools}{os.pathsep}{environment.get('PATH', os.defpath)}"
    environment["HOME"] = str(home)
    environment["PYTHONPATH"] = f"{link_collection()}{os.pathsep}{STARTUP}"
    environment["CLOUDBRIDGE_TEST_COMPILED"] = str(COMPILED)
    for layer in layers:
        for name, value in layer.items():
            if value is None:
                environment.pop(name, None)
            else:
                environment[name] = value
    return environment


def refuse_deprecations(output: str) -> None:
    """Fail when Ansible has told the user of something that a later ansible-core will not have."""
    _before, mark, told = output.partition("[DEPRECATION WARNING]")
    assert not mark, mark + told
