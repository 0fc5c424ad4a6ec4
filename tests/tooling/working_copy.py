# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a command in a copy of the collection that lies where Ansible's tools insist on finding it.

They want a real directory that ends in ansible_collections/cloudbridge/proxmox and holds nothing but the collection:
neither links nor environments nor caches. The copy holds what git tracks or would track.

    python -m tests.tooling.working_copy ansible-lint --offline
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / ".cache"
HOME = CACHE / "home"

# Left alone in the copy: its own repository, the results of ansible-test, and the pages made from the guides.
PAGES = Path("docs/docsite/rst")
KEPT = (Path(".git"), Path("tests/output"), PAGES)
# What reads or packs docs/docsite, and so needs these pages.
READS_PAGES = {"ansible-galaxy", "antsibull-docs"}


def collection_files() -> set[Path]:
    """Return the files, relative to the repository, that git tracks or would track."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    names = (Path(name) for name in listing.split("\0") if name)
    return {name for name in names if (REPOSITORY / name).is_file()}


def update_copy(name: str) -> Path:
    """Bring the copy .cache/<name>/ansible_collections/cloudbridge/proxmox up to date and return its path."""
    copy = CACHE / name / "ansible_collections" / "cloudbridge" / "proxmox"
    wanted = collection_files()
    if (copy / ".git").is_dir():
        _remove_vanished(copy, wanted)
    else:
        # Without one of its own, the tools would take the files from this repository, which ignores the cache.
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir(parents=True)
        subprocess.run(["git", "init", "--quiet"], cwd=copy, check=True)
    for relative in wanted:
        source, target = REPOSITORY / relative, copy / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        if not _same(source, target):
            shutil.copy2(source, target)
    return copy


def tool_environment(**extra: str) -> dict[str, str]:
    """Return the environment with this interpreter's command line tools first on PATH."""
    tools = Path(sys.executable).parent
    return {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', os.defpath)}", **extra}


def _remove_vanished(copy: Path, wanted: set[Path]) -> None:
    for path in sorted(copy.rglob("*"), reverse=True):
        relative = path.relative_to(copy)
        if relative in wanted or any(relative.is_relative_to(kept) for kept in KEPT):
            continue
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        else:
            path.unlink()


def _same(source: Path, target: Path) -> bool:
    if not target.exists():
        return False
    old, new = target.stat(), source.stat()
    return (old.st_size, old.st_mtime_ns, old.st_mode) == (new.st_size, new.st_mtime_ns, new.st_mode)


def main(command: list[str]) -> int:
    copy = update_copy("checks")
    if command[0] in READS_PAGES:
        # Only here: other commands have to run without the libraries that this needs.
        from tests.tooling.site.guides import write_guides

        write_guides(copy)
    root = str(copy.parents[2])
    HOME.mkdir(exist_ok=True)
    environment = tool_environment(
        ANSIBLE_COLLECTIONS_PATH=root,
        HOME=str(HOME),
        MYPYPATH=root,
        MYPY_CACHE_DIR=str(CACHE / "mypy"),
        PYTHONDONTWRITEBYTECODE="1",
    )
    program = shutil.which(command[0], path=environment["PATH"])
    if program is None:
        advice = "after an installation that was broken off, `make clean` starts afresh"
        print(f"{command[0]} is not installed beside {sys.executable}: {advice}", file=sys.stderr)
        return 127
    return subprocess.run([program, *command[1:]], cwd=copy, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
