# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checkout under the name Ansible wants: <cache>/ansible_collections/cloudbridge/proxmox.

    python -m tests.support.collection_tree

prints the directory that ANSIBLE_COLLECTIONS_PATH and PYTHONPATH need.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
COLLECTIONS = REPOSITORY / ".cache" / "collections"
# Never the repository itself: its cache holds this tree.
PARTS = ("plugins", "meta", "roles", "playbooks", "galaxy.yml", "tests", "README.md", "changelogs")


def link_collection(root: Path = COLLECTIONS) -> Path:
    """Make or mend the tree of symlinks and return the collections path."""
    tree = root / "ansible_collections" / "cloudbridge" / "proxmox"
    tree.mkdir(parents=True, exist_ok=True)
    for name in PARTS:
        link, target = tree / name, REPOSITORY / name
        if link.is_symlink() and (not target.exists() or link.resolve() != target.resolve()):
            link.unlink(missing_ok=True)
        if target.exists() and not link.is_symlink():
            # Another test process may be making the same link.
            with contextlib.suppress(FileExistsError):
                link.symlink_to(target)
    return root


def put_on_path(root: Path = COLLECTIONS) -> None:
    """Make `import ansible_collections.cloudbridge.proxmox` work in this process."""
    path = str(link_collection(root))
    if path not in sys.path:
        sys.path.insert(0, path)


if __name__ == "__main__":
    sys.stdout.write(f"{link_collection()}\n")
