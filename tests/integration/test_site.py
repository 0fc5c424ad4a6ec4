# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How guides become pages of Ansible's documentation site. `make docs` builds the whole site of the real ones."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.collection_tree import REPOSITORY

# The matrix has no such tools.
pytest.importorskip("m2r2")
pytest.importorskip("sphinx_ansible_theme")

from tests.tooling.site.guides import convert, sources

PREFIX = "ansible_collections.cloudbridge.proxmox.docsite"
GUIDE = Path("docs/snapshots.md")


def test_every_guide_is_in_one_section():
    content = yaml.safe_load((REPOSITORY / "docs/docsite/extra-docs.yml").read_text(encoding="utf-8"))
    listed = [page for section in content["sections"] for page in section["toctree"]]
    assert sorted(listed) == sorted(sources().values())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](inventory.md)", f":ref:`a <{PREFIX}.inventory>`"),
        ("[a](inventory.md#a-b)", f":ref:`a <{PREFIX}.inventory.a-b>`"),
        ("[a](#rights)", f":ref:`a <{PREFIX}.snapshots.rights>`"),
        ("[`a`](../README.md#rights)", f":ref:`a <{PREFIX}.readme.rights>`"),
        (
            "[a](https://github.com/cloudbridge/cloudbridge.proxmox/blob/main/benchmarks/RESULTS.md)",
            f":ref:`a <{PREFIX}.figures>`",
        ),
        (
            "[a](../CONTRIBUTING.md#tests)",
            "`a <https://github.com/cloudbridge/cloudbridge.proxmox/blob/main/CONTRIBUTING.md#tests>`__",
        ),
        ("[a](../roles)", "`a <https://github.com/cloudbridge/cloudbridge.proxmox/tree/main/roles>`__"),
        ("[a](https://example.com/b)", "`a <https://example.com/b>`__"),
        (
            "![a](../benchmarks/b.svg)",
            ".. image:: https://github.com/cloudbridge/cloudbridge.proxmox/raw/main/benchmarks/b.svg",
        ),
        ("## Who's `first`?", f".. _{PREFIX}.snapshots.whos-first:"),
        ("    a command", ".. code-block:: text"),
        ("```mermaid\nflowchart LR\n  a --> b\n```", ".. image:: data:image/svg+xml;base64,"),
    ],
)
def test_what_becomes_of_links_pictures_and_headings(text, expected):
    assert expected in convert(GUIDE, text)


def test_a_link_to_no_heading_and_no_guide_fails_the_build(tmp_path):
    pages = {
        "first": "# First\n\n[second](second.md#here), [lost](second.md#lost), [gone](gone.md)\n",
        "second": "# Second\n\n## Here\n\n[first](first.md)\n",
    }
    guides = {Path(f"docs/{name}.md"): name for name in (*pages, "gone")}
    for name, text in pages.items():
        rst = convert(Path(f"docs/{name}.md"), text, guides)
        (tmp_path / f"{name}.rst").write_text(f":orphan:\n\n{rst}", encoding="utf-8")
    (tmp_path / "index.rst").write_text("Index\n=====\n", encoding="utf-8")
    options = ["-q", "-W", "--keep-going", "-c", str(REPOSITORY / "tests/tooling/site")]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(tmp_path), str(tmp_path / "html")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert set(re.findall(r"undefined label: '([^']+)'", done.stderr)) == {f"{PREFIX}.gone", f"{PREFIX}.second.lost"}
    assert done.stderr.count("WARNING") == 2
