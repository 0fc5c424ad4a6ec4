# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Build the guides and the pages of modules, plugins and roles as one site, offline, and fail on any warning.

python -m tests.tooling.site
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.tooling.site.guides import picture_address
from tests.tooling.working_copy import CACHE, REPOSITORY
from tests.tooling.working_copy import main as in_working_copy

HERE = Path(__file__).parent
SITE = CACHE / "site"
PLOT = Path("benchmarks/results.svg")


def main() -> int:
    shutil.rmtree(SITE, ignore_errors=True)
    pages = SITE / "pages"
    # antsibull-docs wants a directory that nobody else can write to.
    pages.mkdir(parents=True, mode=0o755)
    options = ["--use-current", "--squash-hierarchy", "--fail-on-error", "--dest-dir", str(pages)]
    failed = in_working_copy(["antsibull-docs", "collection", *options, "cloudbridge.proxmox"])
    if failed:
        return failed
    shutil.copy(HERE / "ansible.rst", pages)
    use_own_plot(pages / "docsite")
    options = ["-q", "-W", "-j", "2", "--keep-going", "-c", str(HERE), "-d", str(SITE / "doctrees")]
    failed = in_working_copy(["sphinx-build", *options, str(pages), str(SITE / "html")])
    if not failed:
        print(SITE / "html" / "index.html")
    return failed


def use_own_plot(guides: Path) -> None:
    """Show the plot of this working tree, where a published guide shows that of the main branch."""
    shutil.copy(REPOSITORY / PLOT, guides)
    for guide in guides.glob("*.rst"):
        text = guide.read_text(encoding="utf-8")
        guide.write_text(text.replace(picture_address(PLOT), PLOT.name), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
