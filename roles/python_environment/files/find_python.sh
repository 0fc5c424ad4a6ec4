#!/bin/sh
# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Print, as JSON, the interpreter named by the argument, or the newest one found that can make a virtual environment.
# Each candidate is run: a pyenv shim may have no interpreter behind it, and Debian's python3 may lack ensurepip.

set -eu
PATH="${PATH:-/usr/bin:/bin}:/usr/local/bin:/usr/bin"

describe() {
    "$1" -I -c '
import json, sys
if sys.version_info < (3, 9):
    sys.exit(1)
if sys.prefix == sys.base_prefix:
    import ensurepip, venv
print(json.dumps({"executable": sys.executable, "version": "%d.%d" % sys.version_info[:2]}))
' 2>/dev/null
}

if [ -n "${1:-}" ]; then
    describe "$1" && exit 0
    echo "$1 is not a Python 3.9 or newer with the modules venv and ensurepip." >&2
    exit 1
fi

for name in python3.14 python3.13 python3.12 python3.11 python3.10 python3.9 python3; do
    describe "$name" && exit 0
done

echo "No Python 3.9 or newer with the modules venv and ensurepip was found on PATH. Install one (EL 8:" \
    "dnf install python3.11; Debian and Ubuntu: apt install python3-venv), or name one that lies elsewhere by the" \
    "role's variable that ends in _python." >&2
exit 1
