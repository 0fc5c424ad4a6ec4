# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Have a QEMU for the tests of VNC consoles: `python -m tests.tooling.qemu` installs it where it may.

It always succeeds: without QEMU its tests skip and say why.
"""

from __future__ import annotations

import os
import shutil
import subprocess

PROGRAM = "qemu-system-x86_64"
PACKAGE = "qemu-system-x86"
SECONDS = 180


def install() -> str | None:
    """Why there is no QEMU, or None when there is one."""
    if shutil.which(PROGRAM):
        return None
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return f"{PROGRAM} is not installed, and only root on Debian or Ubuntu can install {PACKAGE} here"
    print(f"Installing {PACKAGE}")
    install_it = ["install", "-y", "-q", "--no-install-recommends", PACKAGE]
    # Package lists may be there, old, or missing.
    problem = apt_get(install_it) and (apt_get(["update", "-q"]) or apt_get(install_it))
    return problem or (None if shutil.which(PROGRAM) else f"{PACKAGE} has no {PROGRAM}")


def apt_get(arguments: list[str]) -> str | None:
    """Why it failed, or None."""
    command = ["apt-get", "-o", "DPkg::Lock::Timeout=60", *arguments]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(command, env=environment, timeout=SECONDS, capture_output=True, text=True, check=False)
    except subprocess.TimeoutExpired:
        return f"{' '.join(command)} took more than {SECONDS} s"
    lines = (done.stderr or done.stdout).strip().splitlines()
    return f"{' '.join(command)} failed: {lines[-1] if lines else done.returncode}" if done.returncode else None


def main() -> None:
    reason = install()
    if reason:
        print(f"The tests with QEMU will be skipped: {reason}")


if __name__ == "__main__":
    main()
