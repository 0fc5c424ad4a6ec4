# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines of an authorized_keys file: which are keys, and what is said of those that are none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.ssh_keys import key_lines, key_problem
from tests.support.ssh_keys import ECDSA, ED25519, RSA

GOOD = [
    ED25519,
    f"{RSA} a@b",
    f"{ECDSA} two words",
    f"ssh-ed25519\t{ED25519.split()[1]}",
    f'restrict,command="say \\"a  b\\"  # c" {ED25519} a@b',
    f"no-pty {RSA}",
]
BAD = [
    "nonsense",
    "ssh-ed25519",
    "ssh-ed25519 AAAA",
    f"{ED25519[:-1]} a@b",
    f"{ED25519}A a@b",
    f"{ED25519[:-4]} a@b",
    f"ssh-rsa {ED25519.split()[1]}",
    f"ssh-rsa {RSA.split()[1][:60]}",
    f"ecdsa-sha2-nistp384 {ECDSA.split()[1]}",
    f"a b {ED25519}",
    f'command="open {ED25519}',
    "-----BEGIN OPENSSH PRIVATE KEY-----",
    "ssh-ed25519 äöü",
]


@pytest.mark.parametrize("line", GOOD)
def test_a_key_is_taken_with_its_options_and_its_comment(line: str) -> None:
    assert key_problem(line) is None
    assert key_lines(f"\n# a comment\n   \n  {line}  \r\n") == ((4, line),)


@pytest.mark.parametrize("line", BAD)
def test_what_is_no_key_is_told_and_not_repeated(line: str) -> None:
    problem = key_problem(line)
    assert problem is not None
    words = line.split()
    assert not any(word in problem for word in words if len(word) > len("ssh-ed25519") and "nistp" not in word)


@given(st.text(max_size=80))
def test_any_line_is_a_key_or_has_a_problem(text: str) -> None:
    for _number, line in key_lines(text):
        assert key_problem(line) is None or "\n" not in str(key_problem(line))


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="OpenSSH is not installed")
def test_openssh_says_the_same(tmp_path: Path) -> None:
    said = {}
    for number, line in enumerate([*GOOD, *BAD]):
        path = tmp_path / str(number)
        path.write_text(line + "\n", encoding="utf-8")
        command = ["ssh-keygen", "-l", "-f", str(path)]
        said[line] = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL).returncode == 0
    assert said == {line: key_problem(line) is None for line in [*GOOD, *BAD]}
