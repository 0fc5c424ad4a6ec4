# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Put the guides, which are Markdown, beside the pages that antsibull-docs makes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.tooling.working_copy import REPOSITORY

ON_GITHUB = "https://github.com/cloudbridge/cloudbridge.proxmox"
# Where the guides are in the site, with the folders that they have in the repository, so that links stay as they are.
FOLDER = "guide"
PATTERNS = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/*.md", "roles/*/README.md", "benchmarks/RESULTS.md")
PICTURES = ("benchmarks/results.svg",)
_LINK = re.compile(r"\]\(([^)\s#]+)(#[^)\s]*)?\)")
_GUIDE_URL = re.compile(rf"{re.escape(ON_GITHUB)}/(?:blob|raw)/main/([\w./-]+\.(?:md|svg))")
_RST_LINK = re.compile(rf"`([^`<]+) <{re.escape(ON_GITHUB)}/blob/main/([\w./-]+)\.md>`__")


def guide_paths() -> list[Path]:
    """Return the paths of all guides, relative to the repository."""
    return sorted(path.relative_to(REPOSITORY) for pattern in PATTERNS for path in REPOSITORY.glob(pattern))


def add_guides(pages: Path) -> None:
    """Copy the guides into the pages, and let the list of guides, and everything in it, be part of the site."""
    paths = guide_paths()
    known = {*map(str, paths), *PICTURES}
    for path in (*paths, *map(Path, PICTURES)):
        target = pages / FOLDER / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            text = (REPOSITORY / path).read_text(encoding="utf-8")
            target.write_text(with_site_links(text, path, known), encoding="utf-8")
        else:
            shutil.copy(REPOSITORY / path, target)
    index = pages / "docsite" / "guides.rst"
    entries = "".join(f"   /{FOLDER}/{path.with_suffix('')}\n" for path in paths)
    listed = _RST_LINK.sub(rf":doc:`\1 </{FOLDER}/\2>`", index.read_text(encoding="utf-8"))
    index.write_text(f"{listed}\n.. toctree::\n   :hidden:\n\n{entries}", encoding="utf-8")


def with_site_links(text: str, path: Path, known: set[str]) -> str:
    """Let links to files that the site lacks lead to the repository, and those to guides on GitHub into the site.

    A link to nothing stays as it is: Sphinx fails on it.
    """
    # Sphinx has no lexer for mermaid, whose diagrams GitHub draws.
    text = text.replace("```mermaid", "```text")
    up = "../" * (len(path.parts) - 1)
    text = _GUIDE_URL.sub(lambda found: up + found[1] if found[1] in known else found[0], text)

    def target(found: re.Match[str]) -> str:
        file = (REPOSITORY / path.parent / found[1]).resolve()
        if ":" in found[1] or not file.exists() or not file.is_relative_to(REPOSITORY):
            return found[0]
        relative = file.relative_to(REPOSITORY)
        if str(relative) in known:
            return found[0]
        return f"]({ON_GITHUB}/{'tree' if file.is_dir() else 'blob'}/main/{relative}{found[2] or ''})"

    return _LINK.sub(target, text)
