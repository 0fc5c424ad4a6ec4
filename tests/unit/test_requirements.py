# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever the tests install is pinned, and within what is asked for; `make lock` mends it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.collection_tree import REPOSITORY

TESTS = REPOSITORY / "tests"
LOCKED = [
    ("requirements-quality.txt", "constraints.txt"),
    ("requirements-galaxy.txt", "constraints-galaxy.txt"),
]
ENVIRONMENTS = [{"python_version": version, "python_full_version": f"{version}.4"} for version in ("3.11", "3.13")]


def requirements(path: Path) -> Iterator[Requirement]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            yield from requirements(path.parent / line.removeprefix("-r "))
        elif line and not line.startswith("#"):
            yield Requirement(line)


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda environment: environment["python_version"])
@pytest.mark.parametrize(("wanted", "locked"), LOCKED)
def test_every_requirement_is_pinned(wanted, locked, environment):
    pins = {
        canonicalize_name(pin.name): next(iter(pin.specifier)).version
        for pin in requirements(TESTS / locked)
        if pin.marker is None or pin.marker.evaluate(environment)
    }
    lost = [
        str(requirement)
        for requirement in requirements(TESTS / wanted)
        if not requirement.specifier.contains(pins.get(canonicalize_name(requirement.name), "0"))
    ]
    assert lost == []


@pytest.mark.xdist_group("one")
def test_the_tests_of_a_group_stay_together(request):
    """pytest-xdist writes the group into the test's name, where another pytest may not look for it."""
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("only --dist loadgroup has groups")
    assert request.node.nodeid.endswith("@one")
