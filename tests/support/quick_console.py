# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pve-console with less patience: its first argument says after how many seconds of silence it looks at the guest."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[2] / "plugins")

from module_utils._terminal import watch  # noqa: E402
from module_utils._terminal.command_line import main  # noqa: E402

watch.LOOK_SECONDS = (float(sys.argv.pop(1)),)
sys.exit(main())
