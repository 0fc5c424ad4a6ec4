# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a script may say, as a module's options or in a file, and what is refused, with the step named."""

from __future__ import annotations

import builtins
import json

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest, MissingLibrary
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._terminal.script.files import read_script
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._terminal.script.steps import script_from


def steps_of(*steps, **options):
    return script_from({"steps": list(steps), **options}, strict=True).steps


@pytest.mark.parametrize(
    ("step", "typed"),
    [
        ({"send": "ls"}, "ls\r"),
        ({"send": ""}, "\r"),
        ({"send": "a\nb"}, "a\rb\r"),
        ({"send": "a\nb\n"}, "a\rb\r"),
        ({"send": "\x03", "end": ""}, "\x03"),
        ({"send": "y", "end": "\n"}, "y\n"),
        ({"send_secret": "pw"}, "pw\r"),
    ],
)
def test_what_is_typed(step, typed):
    assert steps_of(step)[0].text == typed


def test_what_a_step_is_called():
    steps = steps_of(
        {"run": "uname -r"},
        {"send": "ls"},
        {"send_secret": "pw"},
        {"expect": "login: "},
        {"name": "Look around", "run": "ls"},
    )
    assert [step.title for step in steps] == [
        *("run uname -r", "send 'ls'", "send a secret", "wait for 'login: '", "Look around")
    ]
    assert [step.types for step in steps] == [True, True, True, False, True]


def test_secrets_are_those_of_the_login_the_steps_and_the_list_and_in_no_representation():
    script = script_from(
        {
            "steps": [{"send_secret": "typed-1"}, {"send": "x"}],
            "login": {"user": "root", "password": "login-2"},
            "secrets": ["other-3"],
        }
    )
    assert sorted(script.all_secrets()) == ["login-2", "other-3", "typed-1"]
    assert not [secret for secret in script.all_secrets() if secret in repr(script)]


@pytest.mark.parametrize(
    ("options", "needed"),
    [
        ({"steps": [{"send": "x"}]}, False),
        ({"steps": [{"run": "x"}]}, True),
        ({"steps": [{"send": "x", "unless": "y"}]}, True),
        ({"steps": [{"send": "x"}], "unless": "y"}, True),
        ({"steps": [{"send": "x"}], "login": {"user": "a", "password": ""}}, True),
    ],
)
def test_when_there_has_to_be_a_shell(options, needed):
    assert script_from(options).needs_shell is needed


def test_the_seconds_of_a_step_are_its_own_or_everybodys():
    steps = steps_of({"send": "a", "timeout": 5}, {"send": "b"}, step_timeout=7)
    assert [step.seconds for step in steps] == [5.0, 7.0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "steps is required"),
        ({"steps": []}, "steps is required"),
        ({"steps": ["ls"]}, r"steps\[1\] must be names with values, not str"),
        ({"steps": [{"run": "a"}, {}]}, r"steps\[2\] does nothing: give it one of run, send, send_secret or expect"),
        ({"steps": [{"run": "a", "send": "b"}]}, r"steps\[1\] has run and send: a step has one of"),
        ({"steps": [{"run": "a", "expect": "b"}]}, r"steps\[1\] has run, which waits for the end"),
        ({"steps": [{"send": "a", "fail_on": "b"}]}, r"steps\[1\] has fail_on"),
        ({"steps": [{"expect": "("}]}, r"steps\[1\].expect is not a regular expression: .* in '\('"),
        ({"steps": [{"run": "a\tb"}]}, r"steps\[1\].run must be without tabs"),
        ({"steps": [{"run": " "}]}, r"steps\[1\].run is empty"),
        ({"steps": [{"run": "x" * 4000}]}, r"steps\[1\].run has a line of more than 3900 bytes"),
        ({"steps": [{"send": 5}]}, r"steps\[1\].send must be text, not int: put it in quotes"),
        ({"steps": [{"send": "a", "timeout": 0}]}, r"steps\[1\].timeout must be more than 0 seconds, not 0"),
        ({"steps": [{"send": "a", "expekt": "b"}]}, r"steps\[1\] has expekt, which is not known: known are changes"),
        ({"steps": [{"send": "a"}], "wake": "no"}, "wake must be true or false, not 'no'"),
        ({"steps": [{"send": "a"}], "login": {"user": "root"}}, "login needs a user and a password"),
        ({"steps": [{"send": "a"}], "login": {"user": "a\n", "password": "b"}}, "without control characters"),
        ({"steps": [{"send": "a"}], "prompt": "["}, "prompt is not a regular expression"),
        ({"steps": [{"send": "a"}], "vmid": 100}, "the script has vmid, which is not known"),
    ],
)
def test_what_is_refused(options, words):
    with pytest.raises(InvalidRequest, match=words):
        script_from(options, strict=True)


# ---- files


@pytest.fixture
def write(tmp_path):
    def make(text, name="script.yml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return make


def test_a_file_is_json_or_yaml(write):
    content = {"steps": [{"send": "ls", "expect": r"\$ \Z"}]}
    from_json = read_script(write(json.dumps(content), "a.json"), {})
    from_yaml = read_script(write("steps:\n  - send: ls\n    expect: '\\$ \\Z'\n"), {})
    assert from_json == from_yaml


def test_secrets_may_be_elsewhere(write, tmp_path):
    (tmp_path / "secret").write_text("of-file\n", encoding="utf-8")
    text = f"""
        login: {{user: root, password: {{env: GUEST_PASSWORD}}}}
        secrets: [{{file: {tmp_path}/secret}}]
        steps: [{{send_secret: {{env: OTHER}}}}]
    """
    script = read_script(write(text), {"GUEST_PASSWORD": "of-environment", "OTHER": "another"})
    assert script.all_secrets() == ["of-file", "another", "of-environment"]


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("{", "a.json", "is not JSON"),
        ("a: [", "a.yml", "is not YAML in line 1"),
        ("just text", "a.yml", "must be names with values"),
        ("steps: [{send: ls, to: web}]", "a.yml", r"a.yml: steps\[1\] has to, which is not known"),
        ("steps: [{send_secret: {env: NOT_SET}}]", "a.yml", "environment variable NOT_SET, which is not set"),
        ("steps: [{send_secret: {file: /nonexistent}}]", "a.yml", r"steps\[1\].send_secret cannot be read"),
        ("steps: [{send_secret: {vault: x}}]", "a.yml", "must be text, or env or file"),
    ],
)
def test_files_that_are_refused(write, text, name, words):
    with pytest.raises(InvalidRequest, match=words):
        read_script(write(text, name), {})


def test_a_file_that_is_not_there():
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read_script("/nonexistent", {})


def test_a_mistake_in_a_file_does_not_show_its_secrets(write):
    with pytest.raises(InvalidRequest) as caught:
        read_script(write("login: {user: root, password: s3cret\nsteps: []\n"), {})
    assert "s3cret" not in str(caught.value)


def test_json_needs_no_other_library(write, monkeypatch):
    real = builtins.__import__

    def without_yaml(name, *rest):
        if name == "yaml":
            raise ImportError("no yaml")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_yaml)
    assert read_script(write('{"steps": [{"send": "ls"}]}', "script"), {}).steps
    with pytest.raises(MissingLibrary, match="PyYAML"):
        read_script(write("steps: [{send: ls}]"), {})
