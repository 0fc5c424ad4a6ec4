# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who asks: tokens, passwords, second factors, certificates, and the file that holds them."""

from __future__ import annotations

import pytest

from tests.support.person import run_console

TOKEN_NAMES = ("PROXMOX_TOKEN_ID", "PROXMOX_TOKEN_SECRET")


def opened(person):
    person.connected().expect(rb"~ # ")
    assert person.leave() == 0
    assert person.terminal_is_as_before


def test_a_password_is_asked_for_and_not_shown(pve, sit, login):
    pve.server.password = "correct-5ec4e7"
    person = sit("term", "--wake", env=login(password=None))
    person.expect(rb"Password of root@pam: ")
    person.type("wrong\r")
    person.expect(rb"does not accept the credentials of root@pam")
    person.expect(rb"Password of root@pam: ")
    person.type(f"{pve.server.password}\r")
    opened(person)
    assert str(pve.server.password).encode() not in person.seen
    assert b"wrong\r" not in person.seen


def test_everything_is_asked_for_where_nothing_is_said(pve, sit, login):
    person = sit("term", "--wake", env={**login(password=None, user=None), "PROXMOX_HOST": None})
    person.expect(rb"Proxmox VE \(name or address\): ")
    person.type(f"{pve.host}\r")
    person.expect(rb"User \[root@pam\]: ")
    person.type("\r")
    person.expect(rb"Password of root@pam: ")
    person.type(f"{pve.server.password}\r")
    opened(person)


def test_a_password_of_the_environment_that_is_wrong_is_not_asked_for(sit, login):
    person = sit("term", env=login(password="wrong"))
    assert person.end() == 6
    assert b"does not accept the credentials of root@pam" in person.seen


def test_a_second_factor_is_asked_for(pve, sit, login):
    pve.knobs.second_factor = "totp:123456"
    person = sit("term", "--wake", env=login())
    person.expect(rb"Second factor of root@pam: ")
    person.type("123456\r")
    opened(person)
    assert b"123456" not in person.seen


def test_a_recovery_key_is_a_second_factor(pve, sit, login):
    pve.knobs.second_factor = "recovery:abcd-ef01"
    opened(sit("term", "--wake", env={**login(), "PROXMOX_OTP": "recovery:abcd-ef01"}))


def test_a_token_that_this_release_refuses_gives_way_to_a_password(pve, sit):
    pve.knobs.release = "8.4"
    person = sit("term", "--wake")
    person.expect(rb"lets no API token such as root@pam!ansible open the terminal")
    person.expect(rb"User \[root@pam\]: ")
    person.type("\r")
    person.expect(rb"Password of root@pam: ")
    person.type(f"{pve.server.password}\r")
    opened(person)
    # One that PVE would refuse is not even opened.
    assert pve.summary().count("POST /nodes/pve1/qemu/110/termproxy") == 1


def test_a_password_beside_the_token_is_taken_without_a_question(pve, sit):
    pve.knobs.release = "8.4"
    opened(sit("term", "--wake", env={"PROXMOX_PASSWORD": str(pve.server.password)}))


def test_another_user_logs_in_with_a_password(pve, sit):
    person = sit("term", "--wake", "--user", "root@pam")
    person.expect(rb"Password of root@pam: ")
    person.type(f"{pve.server.password}\r")
    opened(person)


def test_a_missing_privilege_is_named(pve, sit):
    pve.add_token("watcher@pve!watch", "5ec4e7-5ec4e7")
    pve.grant("watcher@pve", "/vms", "VM.Audit")
    names = {"PROXMOX_USER": "watcher@pve", "PROXMOX_TOKEN_ID": "watch", "PROXMOX_TOKEN_SECRET": "5ec4e7-5ec4e7"}
    person = sit("term", env=names)
    assert person.end() == 6
    assert b"lacks the privilege VM.Console on /vms/110" in person.seen
    assert b"5ec4e7" not in person.seen


@pytest.mark.parametrize(
    ("arguments", "env", "words"),
    [
        (("--fingerprint", ":".join(["AB"] * 32)), {}, b"is not the one that api_fingerprint names"),
        ((), {"PROXMOX_CA_PATH": None}, b"is not trusted"),
        (("--host", "127.0.0.1:1"), {}, b"cannot connect to https://127.0.0.1:1"),
    ],
)
def test_a_server_that_is_not_the_one_meant(sit, arguments, env, words):
    person = sit("term", *arguments, env=env)
    assert person.end() == 4
    assert words in person.seen


def test_a_fingerprint_is_enough(pve, sit):
    opened(sit("term", "--wake", "--fingerprint", pve.fingerprint, env={"PROXMOX_CA_PATH": None}))


# ---- the file


@pytest.fixture
def credentials(pve, tmp_path):
    path = tmp_path / ".config" / "pve-console" / "credentials"
    path.parent.mkdir(parents=True)
    path.write_text(
        f"[default]\napi_host = 192.0.2.1\n\n[lab]\napi_host = {pve.host}:{pve.port}\napi_token_id = {pve.token_id}\n"
        f"api_token_secret = {pve.token_secret}\nca_path = {pve.cafile}\n"
    )
    path.chmod(0o600)
    return path


def test_a_cluster_of_the_file(pve, sit, credentials):
    # Nothing of the environment is mixed with it.
    opened(sit("term", "--wake", "--cluster", "lab", env={"PROXMOX_TOKEN_SECRET": "wrong"}))


def test_a_file_that_others_may_read_is_refused(sit, credentials):
    credentials.chmod(0o640)
    person = sit("term", "--cluster", "lab")
    assert person.end() == 3
    assert b"chmod 600" in person.seen


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[lab]\napi_tokenid = x\n", "has api_tokenid in [lab]"),
        ("[other]\n", "has no section [lab]: it has other"),
        ("api_token_secret = 5ec4e7\n", "is no file of [sections]"),
        ("[lab]\napi_host = h\napi_port = many\n", "api_port is 'many'"),
        ("[lab]\napi_host = h\nvalidate_certs = perhaps\n", "validate_certs is 'perhaps'"),
    ],
)
def test_a_file_that_is_wrong_is_told_without_its_secrets(pve, tmp_path, credentials, text, words):
    credentials.write_text(text)
    result = run_console(tmp_path, {"PROXMOX_PASSWORD": None}, "term", "--cluster", "lab", "--complete", "x")
    assert result.returncode == 3
    assert words in result.stderr
    assert "5ec4e7" not in result.stderr


# ---- completion


def test_guests_and_nodes_are_completed(pve, tmp_path):
    def words(prefix, env=None):
        return run_console(tmp_path, {**pve.environment, **(env or {})}, "--complete", prefix).stdout.split()

    assert words("") == ["100", "101", "110", "200", "ct", "db", "node/pve1", "term", "web"]
    assert words("node/") == ["node/pve1"]
    assert words("t") == ["term"]
    # A shell asks nothing, and waits for nobody.
    assert words("t", dict.fromkeys(TOKEN_NAMES)) == []


def test_the_shells_own_completion_knows_the_options(pve, tmp_path):
    import shutil
    import subprocess

    for shell in ("bash", "zsh"):
        script = run_console(tmp_path, {}, "--completion", shell)
        assert script.returncode == 0
        assert "--read-only" in script.stdout
        if shutil.which(shell):
            subprocess.run([shell, "-n"], input=script.stdout, text=True, check=True)
