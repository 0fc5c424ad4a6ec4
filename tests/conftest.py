# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the collection importable for every test, whatever the checkout is called, and tells hypothesis how to look."""

from __future__ import annotations

import os

from hypothesis import settings

from tests.support.collection_tree import put_on_path

put_on_path()

settings.register_profile("developer", deadline=None, max_examples=15)
# What has to pass before a change goes in looks at the same examples each time.
settings.register_profile("gate", settings.get_profile("developer"), derandomize=True, database=None, print_blob=True)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("CLOUDBRIDGE_TEST_EXAMPLES", "developer"))
