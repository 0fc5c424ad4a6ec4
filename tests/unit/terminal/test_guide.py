# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guide of the terminal, its help and its completion speak of the same options and exit codes."""

from __future__ import annotations

import re

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._terminal import command_line, completion
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._terminal.exit_codes import ExitCode
from tests.support.collection_tree import REPOSITORY

GUIDE = (REPOSITORY / "docs" / "terminal.md").read_text(encoding="utf-8")
OPTIONS = command_line.options_of(command_line.terminal_parser())
VNC_OPTIONS = command_line.options_of(command_line.vnc_parser())


def test_every_option_is_in_the_guide_and_no_other():
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", re.sub(r"^# qm .*$", "", GUIDE, flags=re.MULTILINE)))
    assert named - VNC_OPTIONS == (OPTIONS - {"--help"}) - VNC_OPTIONS
    assert named <= OPTIONS | VNC_OPTIONS


def test_every_exit_code_is_in_the_guide():
    table = GUIDE.partition("## Exit codes")[2].partition("\n## ")[0]
    codes = {int(code) for row in re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE) for code in row.split(",")}
    assert codes == {*map(int, ExitCode), 129, 143}


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_completion_knows_every_option(shell):
    script = completion.script(shell, OPTIONS | VNC_OPTIONS)
    assert set(re.findall(r"--[a-z-]+", script)) >= OPTIONS | VNC_OPTIONS
