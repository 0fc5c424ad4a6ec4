# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Building, serving and stopping an embedded PVE."""

from __future__ import annotations

import atexit
import dataclasses
import functools
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from fakepve.certs import make_cert

from . import seed
from .base import TOKEN_ID
from .handle import TOKEN_SECRET, PveHandle
from .knobs import Knobs
from .server import EmbeddedPve

Result = TypeVar("Result")
HOST = "127.0.0.1"


@functools.lru_cache(maxsize=8)
def certificate(*names: str) -> tuple[str, str]:
    """Certificate and key files for these names, made once per process and removed at its end."""
    directory = tempfile.mkdtemp(prefix="embedded-pve-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    certfile, keyfile, _der = make_cert(directory, hosts=names)
    return str(certfile), str(keyfile)


def build(nodes: Iterable[str] = ("pve1",), host: str = HOST, port: int = 0, **knobs: Any) -> EmbeddedPve:
    """A server that does not listen yet."""
    unknown = set(knobs) - {item.name for item in dataclasses.fields(Knobs)}
    if unknown:
        raise TypeError(f"unknown knobs: {', '.join(sorted(unknown))}")
    server = EmbeddedPve(host, port, Knobs(**knobs))
    names = list(nodes)
    server.nodes = {name: {"online": True} for name in names}
    server.version, server.release_version = "9.2.11", "9.2"
    seed.add_storages(server, shared=len(names) > 1)
    server.add_token(TOKEN_ID, TOKEN_SECRET)
    return server


@contextmanager
def running_embedded_pve(
    guests: Callable[[EmbeddedPve], None] | list[Mapping[str, Any]] | None = None,
    nodes: Iterable[str] = ("pve1",),
    host: str = HOST,
    port: int = 0,
    **knobs: Any,
) -> Iterator[PveHandle]:
    """Serve while the block runs. `guests`: a function that adds them, or a list as in a guests file."""
    server = build(nodes, host, port, **knobs)
    if callable(guests):
        guests(server)
    elif guests:
        seed.add_from_file(server, guests)
    certfile, keyfile = certificate(host)
    handle = PveHandle(server, certfile)
    handle.start(certfile, keyfile)
    try:
        yield handle
    finally:
        handle.stop()
    if server.internal_errors:
        raise server.internal_errors[0]
    if server.console_violations:
        raise AssertionError("broken console protocol: " + "; ".join(server.console_violations))
