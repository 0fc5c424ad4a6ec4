# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What consoles there are, by a configuration, and who can open them, by a release."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.console.abilities import (
    Abilities,
    check_identity,
    check_spice,
    check_terminal,
    check_vnc,
    machine_abilities,
    token_problem,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.console.target import ConsoleTarget
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.console.versions import (
    MANAGER,
    TOKEN_RULES,
    Release,
    Since,
    parse_version,
    reaches,
    read_release,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest, PermissionDenied
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.guests import Guest, GuestHandle
from tests.support.collection_tree import REPOSITORY


def client(identity="root@pam!ci"):
    return SimpleNamespace(identity=identity, address="https://pve1:8006")


def target(kind="qemu", identity="root@pam!ci"):
    asker = client(identity)
    if kind == "node":
        return ConsoleTarget(asker, "pve1")
    return ConsoleTarget(asker, handle=GuestHandle(asker, Guest(100, "pve1", kind, "web")))


@pytest.mark.parametrize(
    ("config", "display", "serials", "spice", "agent"),
    [
        ({}, "std", (), False, False),
        ({"vga": "qxl2,memory=32", "agent": "1,fstrim_cloned_disks=1"}, "qxl2", (), True, True),
        ({"vga": "memory=32,type=virtio-gl", "agent": "enabled=yes"}, "virtio-gl", (), True, True),
        ({"vga": "memory=32", "agent": "0"}, "std", (), False, False),
        ({"vga": "serial1", "serial1": "socket", "serial0": "/dev/ttyS0"}, "serial1", ("serial1",), False, False),
        ({"vga": "none", "serial3": "socket", "serial0": "socket"}, "none", ("serial0", "serial3"), False, False),
        ({"vga": "vmware", "serial_note": "socket"}, "vmware", (), False, False),
    ],
)
def test_a_configuration_says_which_consoles_there_are(config, display, serials, spice, agent):
    assert machine_abilities("running", config) == Abilities("running", display, serials, spice, agent)


@pytest.mark.parametrize(
    ("abilities", "serial", "words"),
    [
        (Abilities("stopped", "std", ("serial0",)), None, "guest 100 (web) is stopped, so it has no console: start it"),
        (Abilities("running", "std"), None, "add serial0: socket to its configuration, restart it, and have its"),
        (Abilities("running", "serial1"), None, "add serial1: socket to its configuration"),
        (Abilities("running", "std"), "serial2", "add serial2: socket to its configuration"),
        (Abilities("running", "std", ("serial0", "serial1")), "serial2", "serial2 that a terminal can use: it has ser"),
        # PVE takes the line that is the display, whether it can be used or not.
        (Abilities("running", "serial1", ("serial0",)), None, "has no serial line serial1 that a terminal can use"),
    ],
)
def test_why_there_is_no_terminal(abilities, serial, words):
    with pytest.raises(InvalidRequest) as caught:
        check_terminal(target(), abilities, serial)
    assert words in str(caught.value)


def test_a_terminal_where_there_is_one():
    check_terminal(target(), Abilities("paused", "std", ("serial1",)), None)
    check_terminal(target(), Abilities("running", "serial1", ("serial0", "serial1")), "serial0")
    check_terminal(target("lxc"), Abilities("running"), None)
    check_terminal(target("node"), Abilities("running"), None)
    with pytest.raises(InvalidRequest, match="serial is for virtual machines: node pve1 has a terminal of its own"):
        check_terminal(target("node"), Abilities("running"), "serial0")


def test_vnc_and_spice_where_there_are_any():
    check_vnc(target(), Abilities("running", "std"), raw=True)
    check_vnc(target(), Abilities("running", "serial0"))
    check_vnc(target("lxc"), Abilities("running"))
    check_spice(target(), Abilities("running", "qxl", spice=True))
    for kind, abilities, raw, words in (
        ("qemu", Abilities("hibernated", "std"), False, "is hibernated, so it has no console"),
        ("qemu", Abilities("running", "none"), False, "vga: none"),
        ("qemu", Abilities("running", "serial0"), True, r"vga: serial0.*use the websocket"),
        ("lxc", Abilities("running"), True, "no display of its own.*use the websocket"),
    ):
        with pytest.raises(InvalidRequest, match=words):
            check_vnc(target(kind), abilities, raw)
    with pytest.raises(InvalidRequest, match=r"has no SPICE \(vga: std\): set vga to qxl"):
        check_spice(target(), Abilities("running", "std"))


@pytest.mark.parametrize(
    ("kind", "what", "packages", "words"),
    [
        ("qemu", "terminal", {"qemu-server": (9, 1, 7), MANAGER: (9, 1, 5)}, ""),
        ("qemu", "terminal", {"qemu-server": (9, 1, 6), MANAGER: (9, 1, 9)}, "qemu-server 8.4.7 or 9.1.7, and it has"),
        ("qemu", "terminal", {"qemu-server": (8, 4, 7), MANAGER: (8, 4, 0)}, ""),
        ("qemu", "terminal", {MANAGER: (9, 1, 8)}, "and it has pve-manager 9.1.8; log in with api_user"),
        ("qemu", "terminal", {MANAGER: (9, 1, 9)}, ""),
        ("qemu", "terminal", {MANAGER: ()}, "pve-manager of no known version"),
        ("lxc", "terminal", {"pve-container": (5, 3, 4), MANAGER: (8, 4, 19)}, ""),
        ("lxc", "terminal", {"pve-container": (6, 1, 2), MANAGER: (9, 1, 9)}, "pve-container 5.3.4 or 6.1.3"),
        ("node", "terminal", {MANAGER: (9, 0, 13)}, ""),
        ("node", "terminal", {MANAGER: (8, 4, 19)}, "that takes pve-manager 9.0.13"),
        ("node", "vnc", {}, "no API token such as root@pam!ci open VNC of node pve1.*or use the terminal"),
        ("node", "spice", {}, "SPICE of node pve1"),
        ("qemu", "vnc", {}, ""),
        ("lxc", "spice", {}, ""),
    ],
)
def test_which_release_lets_a_token_in(kind, what, packages, words):
    problem = token_problem(client(), target(kind), what, Release(packages))
    assert bool(problem) is bool(words)
    if words:
        head, _star, tail = words.partition(".*")
        assert head in problem
        assert problem.rstrip(")").endswith(tail)
    assert token_problem(client("root@pam"), target(kind, "root@pam"), what, Release(packages)) == ""


def test_a_token_with_a_long_name_has_no_terminal():
    name = "automation@pve!" + "x" * 50
    problem = token_problem(client(name), target(identity=name), "terminal", Release({"qemu-server": (9, 9, 9)}))
    assert problem.startswith("PVE opens the terminal of guest 100 (web) for tokens of at most 64 letters, and auto")


def test_identity_that_needs_no_release_is_checked_without_a_request():
    for kind, what in TOKEN_RULES:
        check_identity(client("root@pam"), target(kind), what)
    check_identity(client(), target(), "vnc")
    with pytest.raises(PermissionDenied, match="PVE lets no API token"):
        check_identity(client(), target("node"), "vnc")


@given(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30)))
def test_versions_count_within_their_major_release(version):
    firsts = ((8, 4, 7), (9, 1, 7))
    expected = (8, 4, 7) <= version < (9,) or version >= (9, 1, 7)
    assert reaches(version, firsts) is expected
    assert parse_version(".".join(map(str, version)) + "~bpo12+1") == version


def test_a_version_as_pve_writes_it():
    assert [parse_version(text) for text in ("7.4-16", "9.2.11", "unknown", "")] == [(7, 4, 16), (9, 2, 11), (), ()]


def test_every_rule_has_a_hint_for_each_of_its_versions():
    rules = [rule for rule in TOKEN_RULES.values() if isinstance(rule, Since)]
    assert rules
    assert all(len(rule.versions) == len(rule.hints) for rule in rules)


def test_the_guide_tells_the_rules():
    text = (REPOSITORY / "docs" / "consoles.md").read_text(encoding="utf-8")
    table = text.partition("## Who can open what")[2].partition("\n\nThe module knows")[0]
    told = set(re.findall(r"from ([a-z-]+ [0-9.]+) on", table))
    known = {rule for rule in TOKEN_RULES.values() if isinstance(rule, Since)}
    assert told == {f"{rule.package} {'.'.join(map(str, version))}" for rule in known for version in rule.versions}


@pytest.mark.parametrize(
    "listed",
    [
        [],
        None,
        [{"Package": "proxmox-ve", "OldVersion": "9.1.0"}],
        [{"Package": "pve-manager", "Version": "99.0.0"}],
        [{"Package": "pve-manager", "OldVersion": "not installed"}],
    ],
)
def test_a_release_that_the_packages_do_not_tell_is_asked_for(listed):
    answers = {"versions": listed, "version": {"version": "9.2.11", "release": "9.2"}}
    release = read_release(SimpleNamespace(read=lambda *path: answers[path[-1]]))
    assert release.packages[MANAGER] == (9, 2, 11)
    # Of qemu-server nothing is known, and so pve-manager's version is the hint.
    rule = TOKEN_RULES["qemu", "terminal"]
    assert isinstance(rule, Since)
    assert release.has(rule)
