# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Remove all but the newest releases, and the environments that none of the rest uses.

prune_releases.py <directory> <how many to keep>
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

# What another play may still be preparing.
FRESH_SECONDS = 3600


def fresh(path: Path) -> bool:
    return time.time() - path.lstat().st_mtime < FRESH_SECONDS


def main(directory: Path, keep: int) -> None:
    releases, environments = directory / "releases", directory / "environments"
    current = (directory / "current").resolve()
    newest_first = sorted(releases.iterdir(), key=lambda path: (path == current, path.lstat().st_mtime), reverse=True)
    kept = [path for path in newest_first if not path.name.startswith(".")][: max(keep, 1)]
    kept += [path for path in newest_first if path.name.startswith(".") and fresh(path)]
    used = {(path / "python").resolve() for path in kept}
    removed = [path for path in newest_first if path not in kept]
    if environments.is_dir():
        removed += [path for path in environments.iterdir() if path.resolve() not in used]
    for path in removed:
        shutil.rmtree(path)
        print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), int(sys.argv[2]))
