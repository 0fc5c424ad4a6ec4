# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turn the guides, which are Markdown, into the reStructuredText that Ansible's documentation site reads.

The pages appear in docs/docsite/rst of a copy of the collection. Links between guides become references to labels, so
that Sphinx sees when a page or a heading is missing; links to other files of the repository lead to GitHub.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Any

import mermaidx
from m2r2.m2r2 import BaseM2R2
from m2r2.rst.renderer import RestRenderer, escape_role_title, flatten_to_plain_text
from mistune.core import BlockState

from tests.tooling.working_copy import CACHE, PAGES, REPOSITORY

GITHUB = "https://github.com/cloudbridge/cloudbridge.proxmox"
# Antsibull wants this in front of every label.
LABELS = "ansible_collections.cloudbridge.proxmox.docsite"
# The guides that are not in docs.
OTHERS = {Path("README.md"): "readme", Path("benchmarks/RESULTS.md"): "figures"}


def sources() -> dict[Path, str]:
    """Return each guide, relative to the repository, and the name of its page."""
    return {**{path.relative_to(REPOSITORY): path.stem for path in (REPOSITORY / "docs").glob("*.md")}, **OTHERS}


def write_guides(copy: Path) -> None:
    """Write a page for each guide into this copy of the collection."""
    pages = copy / PAGES
    shutil.rmtree(pages, ignore_errors=True)
    pages.mkdir(parents=True)
    for source, name in sources().items():
        text = (REPOSITORY / source).read_text(encoding="utf-8")
        (pages / f"{name}.rst").write_text(convert(source, text), encoding="utf-8")


def convert(source: Path, text: str, pages: dict[Path, str] | None = None) -> str:
    """Return a guide's page; links lead to these pages, which are those of all guides."""
    return BaseM2R2(renderer=GuideRenderer(source, pages or sources()), inline_math=None)(text)


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def label(page: str, anchor: str) -> str:
    return f"{LABELS}.{page}.{anchor}" if anchor else f"{LABELS}.{page}"


class GuideRenderer(RestRenderer):
    """A guide's text, with labels that are the collection's own, and links that lead from page to page."""

    # Blocks without a language are commands and settings of all kinds.
    unlabeled_code_block_start = "\n.. code-block:: text\n\n"

    def __init__(self, source: Path, pages: dict[Path, str]) -> None:
        super().__init__()
        self.source = source
        self.pages = pages

    def heading(self, token: dict[str, Any], state: BlockState) -> str:
        anchor = slug(flatten_to_plain_text(token))
        names = [label(self.pages[self.source], anchor)]
        if token["attrs"]["level"] == 1:
            names.append(label(self.pages[self.source], ""))
        title = super().heading(token, state)  # type: ignore[no-untyped-call]
        return "".join(f"\n.. _{name}:\n" for name in names) + str(title)

    def block_code(self, token: dict[str, Any], state: BlockState) -> str:
        if token.get("attrs", {}).get("info") == "mermaid":
            return f"\n.. image:: data:image/svg+xml;base64,{diagram(token['raw'])}\n   :alt: Diagram\n"
        return str(super().block_code(token, state))

    def render_hyperlink_reference(
        self, token: dict[str, Any], state: BlockState, url: str, emphasis_marker: str
    ) -> str:
        text = escape_role_title(" ".join(flatten_to_plain_text(token).split()))
        path, _hash, anchor = url.removeprefix(f"{GITHUB}/blob/main/").partition("#")
        if url.startswith(f"{GITHUB}/blob/main/"):
            target = Path(path)
        elif ":" in url:
            return rf"\ `{text} <{url}>`__\ "
        else:
            target = Path(os.path.normpath(self.source.parent / path)) if path else self.source
        if target in self.pages:
            return rf"\ :ref:`{text} <{label(self.pages[target], anchor)}>`\ "
        return rf"\ `{text} <{on_github(target)}{_hash}{anchor}>`__\ "

    def render_image(self, token: dict[str, Any], state: BlockState, target: str | None, *, inline: bool = True) -> str:
        if ":" not in token["attrs"]["url"]:
            token["attrs"]["url"] = picture_address(self.source.parent / token["attrs"]["url"])
        return super().render_image(token, state, target=None, inline=inline)


def on_github(target: Path) -> str:
    return f"{GITHUB}/{'tree' if (REPOSITORY / target).is_dir() else 'blob'}/main/{target.as_posix()}"


def picture_address(path: Path) -> str:
    """Return where a picture of the repository can be seen: Ansible's site takes the text of guides alone."""
    return f"{GITHUB}/raw/main/{os.path.normpath(path)}"


def diagram(source: str) -> str:
    """Draw a Mermaid diagram, which takes a second, once; return the SVG as base64."""
    drawn = CACHE / "diagrams" / f"{hashlib.sha256(source.encode()).hexdigest()}.svg"
    if not drawn.exists():
        drawn.parent.mkdir(parents=True, exist_ok=True)
        picture = mermaidx.render(source).svg()
        # Others may draw the same one now.
        unfinished = drawn.with_suffix(f".{os.getpid()}")
        unfinished.write_text(picture, encoding="utf-8")
        unfinished.replace(drawn)
    return base64.b64encode(drawn.read_bytes()).decode()
