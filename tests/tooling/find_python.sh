#!/bin/sh
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Print the newest interpreter that can make a virtual environment for the tests. Each candidate is run, because a
# pyenv shim may be on PATH without an interpreter behind it, and Debian's python3 may come without ensurepip.
# PYTHON names the one to take instead.

set -eu

real_path() {
    "$1" -c '
import sys, ensurepip, venv
if sys.version_info < (3, 11):
    sys.exit(1)
print(sys.executable)
' 2>/dev/null
}

if [ -n "${PYTHON:-}" ]; then
    if real_path "$PYTHON"; then
        exit 0
    fi
    echo "PYTHON=$PYTHON is not a Python 3.11 or newer with the venv and ensurepip modules." >&2
    exit 1
fi

for version in 3.14 3.13 3.12 3.11; do
    for candidate in \
        "python$version" \
        "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/"$version"*/bin/"python$version" \
        "$(command -v python3 2>/dev/null | sed -n 's,/shims/python3$,,p')"/versions/"$version"*/bin/"python$version"; do
        if real_path "$candidate"; then
            exit 0
        fi
    done
done

if real_path python3; then
    exit 0
fi

echo "No Python 3.11 or newer with the venv and ensurepip modules was found (on Debian: apt install python3-venv)." >&2
echo "Name one with: make PYTHON=/path/to/python3 ..." >&2
exit 1
