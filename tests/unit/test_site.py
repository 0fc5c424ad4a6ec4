# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Links of the guides, as they are in the site of `make docs`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tooling.site.guides import ON_GITHUB, with_site_links

KNOWN = {"README.md", "docs/inventory.md", "docs/testing.md", "benchmarks/results.svg"}


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("README.md", "[a](docs/inventory.md#begin)", "[a](docs/inventory.md#begin)"),
        ("docs/inventory.md", "[a](#begin)", "[a](#begin)"),
        ("docs/inventory.md", "[a](https://www.rfc-editor.org)", "[a](https://www.rfc-editor.org)"),
        ("README.md", "[a](playbooks/power.yml)", f"[a]({ON_GITHUB}/blob/main/playbooks/power.yml)"),
        ("docs/testing.md", "[a](../tests/unit)", f"[a]({ON_GITHUB}/tree/main/tests/unit)"),
        ("docs/testing.md", f"![a]({ON_GITHUB}/raw/main/benchmarks/results.svg)", "![a](../benchmarks/results.svg)"),
        # Nothing is there, and Sphinx says so.
        ("README.md", "[a](docs/absent.md)", "[a](docs/absent.md)"),
    ],
)
def test_links(path, before, after):
    assert with_site_links(before, Path(path), KNOWN) == after
