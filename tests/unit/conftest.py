# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("ci", derandomize=True, database=None, deadline=None, print_blob=True)
# The inner loop stays short; CI looks at as many examples as hypothesis wants.
settings.register_profile("developer", deadline=None, max_examples=15)
settings.load_profile("ci" if os.environ.get("CI") else "developer")
