# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role as root for CloudStack's own account, which another stands in for, up to a deployment by that account."""

from __future__ import annotations

import grp
import importlib.util
import json
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.cloudstack import payload
from tests.support.management_servers import ManagementServer

ACCOUNT = "nobody"
LIBRARIES = ("certifi",)
# The interpreter of the tests may be below root's home.
PYTHON = "/usr/bin/python3"
USABLE = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 9))"


def account():
    try:
        return pwd.getpwnam(ACCOUNT)
    except KeyError:
        return None


def has_python():
    return Path(PYTHON).exists() and subprocess.run([PYTHON, "-c", USABLE], check=False).returncode == 0


pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.skipif(
        os.geteuid() != 0 or account() is None or not has_python(),
        reason=f"needs to be root, the account {ACCOUNT}, and {PYTHON} with venv",
    ),
]


@pytest.fixture(scope="module")
def open_directory():
    """A directory that every account may enter, as none of pytest's is."""
    directory = Path(tempfile.mkdtemp(prefix="cloudbridge-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def environment(open_directory):
    """A Python environment that every account may use, with the libraries of the tests' own."""
    directory = open_directory / "environment"
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", directory], check=True, timeout=120)
    (packages,) = directory.glob("lib/python3*/site-packages")
    for name in LIBRARIES:
        found = importlib.util.find_spec(name)
        assert found is not None
        assert found.origin is not None
        shutil.copytree(Path(found.origin).parent, packages / name, ignore=shutil.ignore_patterns("__pycache__"))
    return directory


@pytest.fixture
def order(open_directory, environment, pve):
    """The variables of an operator who installs it for good, and lets the doctor look."""
    user, _mark, token = pve.token_id.partition("!")
    return {
        # su instead of sudo, which is not everywhere.
        "ansible_become": True,
        "ansible_become_method": "ansible.builtin.su",
        "cloudstack_extension_user": ACCOUNT,
        "cloudstack_extension_group": group_of(account().pw_gid),
        "cloudstack_extension_admin_user": "root",
        "cloudstack_extension_admin_group": "root",
        "cloudstack_extension_python_environment": str(environment),
        "cloudstack_extension_policy": {"allowed_templates": ["debian-template"]},
        "cloudstack_extension_doctor": {
            "url": pve.url,
            "user": user,
            "token": token,
            "secret": pve.token_secret,
            "fingerprint": pve.fingerprint,
            "node": "pve1",
            "network_bridge": "vmbr0",
            "storage": "local-lvm",
            "backup_storage": "local",
            # No systemd runs here, and so no service with a relay for consoles.
            "console_mode": "raw",
        },
    }


def group_of(number):
    return grp.getgrgid(number).gr_name


def owner_and_mode(path):
    found = path.stat()
    return f"{path.owner()}:{path.group()} {stat.filemode(found.st_mode)}"


def as_account(server, action, data):
    """Call the executable as CloudStack does, by its account."""
    user = account()
    file = server.home / f"{action}.json"
    file.write_text(json.dumps(data))
    os.chown(file, user.pw_uid, user.pw_gid)
    file.chmod(0o600)
    who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    completed = subprocess.run(
        [server.executable, action, file, "60"], capture_output=True, cwd="/", timeout=90, check=False, env={}, **who
    )
    assert completed.stderr == b""
    return completed.returncode, json.loads(completed.stdout)


def test_installed_by_root_for_another_account(open_directory, order, pve):
    server = ManagementServer(open_directory / "server")
    result = server.install(**order)
    assert result.returncode == 0, result.stdout + result.stderr

    (verdict,) = [task for task in result.tasks if task.task.endswith("Show what the doctor found")]
    rows = json.loads(verdict.msg.removeprefix("The doctor says "))["message"]
    # Nothing starts the service here: where the tests run there is no systemd.
    assert {row["check"]: row["result"] for row in rows if row["result"] != "ok"} == {"service": "warning"}, rows
    checks = {row["check"] for row in rows}
    assert {"connection", "certificate", "node", "privileges", "storage local-lvm", "backup storage local"} <= checks

    group = order["cloudstack_extension_group"]
    assert owner_and_mode(server.executable) == f"{ACCOUNT}:{group} -rwxr-xr-x"
    assert owner_and_mode(server.policy) == f"root:{group} -rw-r-----"
    assert owner_and_mode(server.policy.parent) == f"root:{group} drwxr-x---"
    assert owner_and_mode(server.log.parent) == f"{ACCOUNT}:{group} drwxr-x---"
    # The account runs the code and can change none of it.
    code = [path for path in server.directory.rglob("*") if not path.is_symlink()]
    assert {path.owner() for path in code} == {"root"}
    assert not [path for path in code if path.stat().st_mode & 0o022]

    data = payload("create_template", pve, host={"ca_file": None, "fingerprint": pve.fingerprint})
    assert as_account(server, "create", data) == (
        0,
        {"status": "success", "message": "Instance created as 105 on node pve1"},
    )
    assert pve.status(105) == "running"
    assert owner_and_mode(server.log) == f"{ACCOUNT}:{group} -rw-r-----"
    assert "action=create vm=i-2-45-VM" in server.log.read_text()

    again = server.install(**order)
    assert again.returncode == 0, again.stdout
    assert not any(again.changed)
