# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rooms of the house import in one direction, and the collection stands on its own."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.tooling.working_copy import REPOSITORY, collection_files

COLLECTION = "ansible_collections.cloudbridge.proxmox"
ROOMS = f"{COLLECTION}.plugins.module_utils"

# What the files under a path must not import.
FORBIDDEN = {
    "plugins": ("fakepve", "tests", f"{COLLECTION}.tests"),
    "roles": ("fakepve", "tests", f"{COLLECTION}.tests"),
    "plugins/module_utils/_pve": (
        "ansible",
        f"{ROOMS}._ansible",
        f"{ROOMS}._cloudstack",
        f"{ROOMS}._operations",
        f"{ROOMS}._terminal",
    ),
    "plugins/module_utils/_operations": (
        "ansible",
        f"{ROOMS}._ansible",
        f"{ROOMS}._cloudstack",
        f"{ROOMS}._terminal",
    ),
    # The machinery knows no kind of guest.
    "plugins/module_utils/_operations/guest": (f"{ROOMS}._operations.container", f"{ROOMS}._operations.vm"),
    "plugins/module_utils/_cloudstack": ("ansible", f"{ROOMS}._ansible"),
    "plugins/module_utils/_terminal": ("ansible", f"{ROOMS}._ansible", f"{ROOMS}._cloudstack"),
}


@functools.cache
def imported_names(source: str, path: Path) -> tuple[str, ...]:
    """What a file imports, as absolute dotted names: `from a import b` is a.b."""
    return tuple(_imported_names(source, path))


def _imported_names(source: str, path: Path) -> Iterator[str]:
    package = [*COLLECTION.split("."), *path.parent.parts]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            prefix = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{prefix}.{alias.name}" for alias in node.names)


def violations(source: str, path: Path, forbidden: tuple[str, ...]) -> list[str]:
    return [
        f"{path}: {name}"
        for name in imported_names(source, path)
        if any(name == module or name.startswith(f"{module}.") for module in forbidden)
    ]


@pytest.mark.parametrize("room", FORBIDDEN)
def test_room_imports_only_what_lies_below(room):
    files = [path for path in collection_files() if path.suffix == ".py" and path.is_relative_to(room)]
    found = [
        violation
        for path in sorted(files)
        for violation in violations((REPOSITORY / path).read_text("utf-8"), path, FORBIDDEN[room])
    ]
    assert found == []


def circle(imports: dict[str, set[str]]) -> list[str]:
    """Modules of which each imports the next, and the last the first; none when there is no circle."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def module_of(path: Path) -> str:
    return ".".join([*COLLECTION.split("."), *path.with_suffix("").parts])


def imports_of(sources: dict[Path, str]) -> dict[str, set[str]]:
    """The modules among these that each of them imports; those for types, and within functions, count as well."""
    modules = {module_of(path) for path in sources}
    found: dict[str, set[str]] = {}
    for path, source in sources.items():
        names = set(imported_names(source, path))
        found[module_of(path)] = {name for item in names for name in (item, item.rpartition(".")[0]) if name in modules}
    return found


def test_no_modules_import_each_other():
    files = [path for path in collection_files() if path.suffix == ".py" and path.is_relative_to("plugins")]
    assert circle(imports_of({path: (REPOSITORY / path).read_text("utf-8") for path in files})) == []


def test_circles_are_seen():
    where = Path("plugins/module_utils/_pve")
    sources = {
        where / "a.py": "from .b import B",
        where / "b.py": "if TYPE_CHECKING:\n    from . import c",
        where / "c.py": "def f():\n    from .a import A",
    }
    assert len(circle(imports_of(sources))) == 4
    assert circle(imports_of({**sources, where / "b.py": "import json"})) == []


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("from .._operations import vm", True),
        ("from .._operations.vm import plan", True),
        (f"from {ROOMS}._ansible import runner", True),
        (f"import {ROOMS}._terminal.session", True),
        ("def f():\n    from ansible.module_utils.basic import env_fallback", True),
        ("from .client import Client", False),
        (f"from {ROOMS}._pve.client import Client", False),
        ("import requests", False),
    ],
)
def test_forbidden_imports_are_seen(statement, forbidden):
    room = "plugins/module_utils/_pve"
    assert bool(violations(statement, Path(room, "sample.py"), FORBIDDEN[room])) is forbidden


def test_no_file_needs_the_machine_it_was_written_on():
    foreign = "/".join(["", "work", "shared"]).encode()
    assert [str(path) for path in collection_files() if foreign in (REPOSITORY / path).read_bytes()] == []
