# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the connection settings come from, and what wins over what."""

from __future__ import annotations

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._ansible.argument_spec import connection_spec
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve import errors
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._terminal.connecting import parse_target
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._terminal.credentials import (
    ENVIRONMENT,
    read_settings,
    with_choices,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._terminal.exit_codes import (
    Ending,
    ExitCode,
    exit_code,
)

HOST = {"PROXMOX_HOST": "a.example", "PROXMOX_PASSWORD": "of a"}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "pve-console" / "credentials"
    path.parent.mkdir()
    path.write_text("[default]\napi_host = b.example\n[lab]\napi_host = c.example\napi_password = p%5;q #r\n")
    path.chmod(0o600)
    return path


def test_the_variables_are_those_of_the_modules():
    assert {str(option["fallback"][1][0]): name for name, option in connection_spec().items()} == ENVIRONMENT


@pytest.mark.parametrize(
    ("environment", "named", "cluster", "host"),
    [
        (HOST, False, None, "a.example"),
        ({}, False, None, "b.example"),
        (HOST, True, None, "b.example"),
        (HOST, False, "lab", "c.example"),
        ({"PROXMOX_PASSWORD": "of nobody"}, False, None, "b.example"),
    ],
)
def test_settings_come_from_one_place(file, environment, named, cluster, host):
    environment = {**environment, "XDG_CONFIG_HOME": str(file.parent.parent)}
    settings = read_settings(environment, str(file) if named else None, cluster)
    assert settings["api_host"] == host
    assert settings.get("api_password") == {"a.example": "of a", "c.example": "p%5;q #r"}.get(host)


def test_values_have_their_types(tmp_path):
    settings = read_settings(
        {"PROXMOX_PORT": "443", "PROXMOX_VALIDATE_CERTS": "No", "PROXMOX_USER": "", "XDG_CONFIG_HOME": str(tmp_path)},
        None,
        None,
    )
    assert settings == {"api_port": 443, "validate_certs": False, "api_timeout": 30.0}


def test_a_user_of_the_command_line_has_no_secrets_of_another_one():
    known = {"api_user": "a@pve", "api_token_id": "t", "api_token_secret": "s", "api_password": "p"}
    assert with_choices(known, api_user="a@pve") == {"api_user": "a@pve", "api_password": "p"}
    assert with_choices(known, api_user="b@pve") == {"api_user": "b@pve"}
    assert with_choices(known, api_user=None, ca_path="/ca") == {**known, "ca_path": "/ca"}


@pytest.mark.parametrize(
    ("text", "node", "parameters"),
    [
        ("100", None, {"vmid": 100}),
        ("web", None, {"name": "web"}),
        ("node/pve1", None, {"node": "pve1"}),
        (None, "pve1", {"node": "pve1"}),
        ("١٠٠", None, {"name": "١٠٠"}),
    ],
)
def test_targets(text, node, parameters):
    assert parse_target(text, node) == parameters


@pytest.mark.parametrize(("text", "node"), [(None, None), ("web", "pve1")])
def test_targets_that_mean_nothing(text, node):
    with pytest.raises(Ending, match="say whose console"):
        parse_target(text, node)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Ending(8, "busy"), 8),
        (errors.InvalidRequest("no"), 2),
        (errors.MissingLibrary("no", "l", ""), 3),
        (errors.CertificateRejected("no"), 4),
        (errors.AnswerLost("no"), 4),
        (errors.TimedOut("no"), 4),
        (errors.NotFound("no"), 5),
        (errors.AuthenticationFailed("no", needs_code=True), 6),
        (errors.PermissionDenied("no"), 6),
        (errors.TaskFailed("no"), 1),
    ],
)
def test_exit_codes(error, code):
    assert exit_code(error) == code


def test_exit_codes_are_those_of_the_guide():
    assert [code.value for code in ExitCode] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 124, 130]
