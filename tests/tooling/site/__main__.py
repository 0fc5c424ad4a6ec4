# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Build one site of the guides and the pages of all modules, plugins and roles, offline; fail on any warning.

A link between pages that leads nowhere is a warning.

python -m tests.tooling.site
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.tooling.site.guides import add_guides
from tests.tooling.working_copy import CACHE
from tests.tooling.working_copy import main as in_working_copy

HERE = Path(__file__).parent
SITE = CACHE / "site"


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
    add_guides(pages)
    options = ["-q", "-W", "-j", "2", "--keep-going", "-c", str(HERE), "-d", str(SITE / "doctrees")]
    failed = in_working_copy(["sphinx-build", *options, str(pages), str(SITE / "html")])
    if not failed:
        print(SITE / "html" / "index.html")
    return failed


if __name__ == "__main__":
    sys.exit(main())
