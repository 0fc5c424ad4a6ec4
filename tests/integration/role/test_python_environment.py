# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role python_environment makes an environment without a network, and keeps the old one when it cannot."""

from __future__ import annotations

import subprocess
import sys

import pytest

REQUIREMENTS = ["certifi>=2022.12.7"]
# Nothing answers there, and no configuration of this machine tells of another place.
OFFLINE = {"PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": "http://127.0.0.1:1/simple", "PIP_RETRIES": "0"}

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory):
    """The wheels, downloaded as the README says."""
    directory = tmp_path_factory.mktemp("wheelhouse")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "-d", str(directory)]
    subprocess.run([*command, *REQUIREMENTS], check=True, timeout=300)
    return directory


@pytest.mark.slow
def test_an_environment_from_a_wheelhouse(server, wheelhouse):
    variables = {
        "python_environment_existing": "",
        "python_environment_python": sys.executable,
        "python_environment_requirements": REQUIREMENTS,
        "python_environment_imports": ["certifi"],
        "python_environment_wheelhouse": str(wheelhouse),
    }
    foretold = server.environment(check=True, env=OFFLINE, **variables)
    assert foretold.returncode == 0, foretold.stdout
    assert any(foretold.changed)
    assert not server.root.exists()

    made = server.environment(env=OFFLINE, **variables)
    assert made.returncode == 0, made.stdout
    assert sorted(path.name for path in server.directory.iterdir()) == ["current", "environments", "releases"]
    python = server.directory / "current" / "python" / "bin" / "python"
    where = subprocess.check_output([str(python), "-IBc", "import certifi; print(certifi.__file__)"], text=True)
    assert where.startswith(str(server.directory / "current" / "python"))

    assert not any(server.environment(env=OFFLINE, **variables).changed)

    variables["python_environment_requirements"] = ["no-such-distribution-of-ours"]
    failed = server.environment(env=OFFLINE, **variables)
    assert failed.returncode != 0
    told = next(task.result["stderr"] for task in failed.tasks if task.failed)
    assert "pip install failed" in told
    assert "no-such-distribution-of-ours" in told
    assert subprocess.run([str(python), "-IBc", "import certifi"], check=False).returncode == 0


@pytest.mark.smoke
def test_an_interpreter_that_does_not_do_is_told(server):
    result = server.environment(python_environment_existing="", python_environment_python="/bin/false")
    assert result.returncode != 0
    assert "/bin/false is not a Python 3.9 or newer" in str([task.result for task in result.tasks if task.failed])
    assert not server.root.exists()
