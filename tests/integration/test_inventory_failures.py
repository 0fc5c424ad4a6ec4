# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes wrong: every failure has a reason and a status, and is never an empty inventory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ANSIBLE_VAULT = str(Path(sys.executable).parent / "ansible-vault")
LIST = "GET /cluster/resources"


def failure(found):
    """The reason of a run that must have failed."""
    assert found.returncode != 0, found.stdout
    assert found.stdout == ""
    assert "Completely failed to parse inventory source" in found.message
    return found.message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("connect_wiht: [name]", "the option 'connect_wiht' is not known: did you mean connect_with?"),
        ("connect_with: [agents]", "agent_ipv4"),
        ("filters: {tag: [a]}", "the filter 'tag' is not known: did you mean tags?"),
        ("agent_timeout: soon", "agent_timeout"),
        ("api_host: http://pve", "api_host 'http://pve' is plain http"),
        ("api_token_secret: '{{ nothing }}'", "'nothing' is undefined"),
    ],
)
def test_bad_options(pve, inventory, text, reason):
    assert reason in failure(inventory(text))
    assert pve.summary() == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("prefer_networks: [lan]", "'lan' does not appear to be an IPv4 or IPv6 network"),
        ("exclude_networks: [192.0.2.1/24]", "192.0.2.1/24 has host bits set"),
    ],
)
def test_a_message_gives_its_reason_once(pve, inventory, text, reason):
    # Behind <<<, ansible-core 2.19 and newer repeat each message with where it comes from.
    message = failure(inventory(text)).partition("<<<")[0]
    assert message.count(reason) == 1, message


def test_an_api_that_nobody_reaches(pve, inventory):
    message = failure(inventory(env={"PROXMOX_PORT": "1"}))
    assert f"cannot connect to https://{pve.host}:1: " in message


def test_variables_that_are_empty_are_not_set(pve, inventory):
    empty = dict.fromkeys(("PROXMOX_PORT", "PROXMOX_API_TIMEOUT", "PROXMOX_VALIDATE_CERTS", "PROXMOX_OTP"), "")
    assert set(inventory(f"api_port: {pve.port}", env=empty).hosts) == {"web", "db", "ct"}


def test_a_wrong_value_names_its_variable(inventory):
    assert "PROXMOX_PORT" in failure(inventory(env={"PROXMOX_PORT": "http"}))
    message = failure(inventory(env={"PROXMOX_PORT": "99999"}))
    assert "99999 is not a port number (from the environment variable PROXMOX_PORT)" in message


def test_the_next_host_is_tried(pve, inventory):
    assert set(inventory(f"api_host: {pve.host}:1,{pve.host}:{pve.port}").hosts) == {"web", "db", "ct"}


def test_credentials_that_are_not_accepted(pve, inventory):
    message = failure(inventory(env={"PROXMOX_TOKEN_SECRET": "wrong-secret"}))
    assert "PVE does not accept the credentials of root@pam!ansible" in message
    assert "wrong-secret" not in message


def test_a_list_that_is_refused(pve, inventory):
    pve.fault("GET", "/cluster/resources", "status", status=403, message="Permission check failed")
    assert "root@pam!ansible may not do GET /cluster/resources: Permission check failed" in failure(inventory())


def test_an_answer_that_is_not_pves(pve, inventory):
    pve.fault("GET", "/cluster/resources", "html", times=None, status=200)
    assert "is not PVE's API" in failure(inventory())


@pytest.mark.parametrize("bundle", [None, "/nowhere/bundle.pem"])
def test_certificates_are_checked_whatever_requests_ca_bundle_says(pve, inventory, bundle):
    env = {"REQUESTS_CA_BUNDLE": bundle, "CURL_CA_BUNDLE": bundle}
    assert set(inventory(env=env).hosts) == {"web", "db", "ct"}
    pinned = inventory(f"api_fingerprint: {pve.fingerprint}", env={**env, "PROXMOX_CA_PATH": None})
    assert set(pinned.hosts) == {"web", "db", "ct"}
    unchecked = inventory("validate_certs: false", env={**env, "PROXMOX_CA_PATH": None})
    assert set(unchecked.hosts) == {"web", "db", "ct"}
    message = failure(inventory(env={**env, "PROXMOX_CA_PATH": None}))
    assert "is not trusted" in message


def test_a_token_that_sees_no_guest(pve, inventory):
    pve.add_token("ops@pve!blind", "blind-secret", privilege_separation=True)
    pve.grant("ops@pve", "/vms", "VM.Audit")
    blind = {"PROXMOX_USER": "ops@pve", "PROXMOX_TOKEN_ID": "blind", "PROXMOX_TOKEN_SECRET": "blind-secret"}
    found = inventory(env=blind)
    assert found.hosts == {}
    assert len(found.warnings) == 1
    assert "ops@pve!blind sees no guest on https://" in found.warnings[0]
    assert "VM.Audit on /vms" in found.warnings[0]
    pve.grant("ops@pve!blind", "/vms/101", "VM.Audit")
    found = inventory(env=blind)
    assert set(found.hosts) == {"db"}
    assert found.stderr == ""


def test_a_source_that_is_not_required_leaves_it_to_ansible(pve, inventory):
    broken = {"PROXMOX_PORT": "1"}
    found = inventory("required: false", env=broken)
    assert found.hosts == {}
    assert "cannot connect to" in found.message
    insisted = inventory("required: false", env={**broken, "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true"})
    assert insisted.returncode != 0


@pytest.mark.smoke
def test_a_play_does_not_run_without_its_hosts(pve, inventory, play, tmp_path):
    inventory()
    source = str(tmp_path / "test.pve.yml")
    pve.fault("GET", "/cluster/resources", "status", times=None, status=403, message="Permission check failed")
    run = play("- ansible.builtin.debug:\n    msg: ran", "-i", "localhost,", "-i", source)
    assert run.failed
    assert run.tasks == []


@pytest.mark.parametrize("name", ["pve.yml", "test.proxmox.yml", "test.pve.json"])
def test_files_of_another_name_are_left_alone(pve, inventory, name):
    found = inventory(name=name)
    assert found.hosts == {}
    assert pve.summary() == []


def test_the_other_ending(pve, inventory):
    assert set(inventory(name="test.pve.yaml").hosts) == {"web", "db", "ct"}


@pytest.mark.smoke
def test_options_may_be_templates_and_secrets_of_ansible_vault(pve, inventory, tmp_path):
    password = tmp_path / "vault-password"
    password.write_text("open sesame\n")

    def encrypt(*arguments, **options):
        command = [ANSIBLE_VAULT, *arguments, "--vault-password-file", str(password)]
        environment = {"PATH": "/usr/bin", "LC_ALL": "C.UTF-8", "HOME": str(tmp_path)}
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, **options).stdout

    env = dict.fromkeys(("PROXMOX_HOST", "PROXMOX_PORT", "PROXMOX_TOKEN_SECRET"))
    secret = encrypt("encrypt_string", pve.token_secret, "--name", "api_token_secret")
    text = f"""
api_host: "{{{{ lookup('ansible.builtin.env', 'HIDDEN') }}}}:{{{{ port }}}}"
validate_certs: "{{{{ checked }}}}"
filters: {{nodes: ["{{{{ node }}}}"]}}
{secret}
"""
    arguments = ["-e", f"port={pve.port}", "-e", "checked=true", "-e", "node=pve1"]
    arguments += ["--vault-password-file", str(password)]
    found = inventory(text, *arguments, env={**env, "HIDDEN": pve.host})
    assert set(found.hosts) == {"web", "db", "ct"}
    whole = tmp_path / "whole.yml"
    whole.write_text(f"plugin: cloudbridge.proxmox.pve\napi_host: {pve.host}:{pve.port}\n{secret}\n")
    encrypt("encrypt", str(whole))
    found = inventory(whole.read_text(), "--vault-password-file", str(password), env=env)
    assert set(found.hosts) == {"web", "db", "ct"}


def test_an_environment_variable_is_no_template(pve, inventory):
    message = failure(inventory(env={"PROXMOX_TOKEN_SECRET": "{{lookup('pipe','id')}}"}))
    assert "PVE does not accept the credentials" in message
