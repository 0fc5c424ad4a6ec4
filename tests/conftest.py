# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the collection importable for every test, whatever the checkout is called."""

from __future__ import annotations

from tests.support.collection_tree import put_on_path

put_on_path()
