# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The search for secrets finds them; that it is made after each test is for every other test to show."""

from __future__ import annotations

import subprocess
import sys

import pytest
import requests

from tests.support import canaries
from tests.support.api_client import ApiClient
from tests.support.collection_tree import REPOSITORY

WRONG_PASSWORD = "correct horse / battery"
PRINT = 'echo "$1"; echo "$2" >&2'


def places_of():
    return {place.partition(":")[0] for place in canaries.found()}


def test_secrets_are_found_wherever_they_come_out(pve, tmp_path):
    api = ApiClient(pve)
    answers = [
        requests.post(
            f"{pve.url}/api2/json/access/ticket",
            {"username": "root@pam", "password": password},
            verify=pve.cafile,
            timeout=10,
        )
        for password in (WRONG_PASSWORD, "secret")
    ]
    login = answers[1].json()["data"]
    console = api.data("POST", "/nodes/pve1/qemu/101/vncproxy", websocket=1)
    subprocess.run(["sh", "-c", PRINT, "canary", pve.token_secret, login["ticket"]], capture_output=True, check=True)
    (tmp_path / "bridge.log").write_text("request: password=correct%20horse%20%2F%20battery\n")
    (tmp_path / "test.pve.yml").write_text(f"api_token_secret: {pve.token_secret}\n")
    canaries.see("answer", f'{{"ticket": "{console["ticket"]}"}}')
    canaries.see("wanted answer", console["ticket"], [canaries.CONSOLE])
    canaries.see_files(tmp_path)
    assert places_of() == {
        "a secret (token) in output of sh -c",
        "a secret (login) in errors of sh -c",
        "a secret (console) in answer",
        "a secret (password) in bridge.log",
    }
    (tmp_path / "bridge.log").unlink()
    assert places_of() == set()


LEAKING = """
from tests.support.api_client import ApiClient

def test_leak(pve):
    ApiClient(pve).data("GET", "/version")
    print(pve.token_secret)
"""


@pytest.mark.shows_secrets(canaries.TOKEN)
def test_a_test_that_shows_a_secret_fails(tmp_path):
    (tmp_path / "test_leak.py").write_text(LEAKING)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {REPOSITORY}\nmarkers = shows_secrets\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.integration.conftest", "-p", "no:cacheprovider", "-q"]
    done = subprocess.run([*command, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "a secret (token) in Captured stdout call: ...[here]..." in done.stdout
    assert "1 passed, 1 error" in done.stdout
