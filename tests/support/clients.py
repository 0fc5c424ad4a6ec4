# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The product's own client of an embedded Proxmox VE, for tests that call operations without a module around them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.guest.ensure_guest import ensure_guest
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.guest.guest_request import GuestRequest
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.plan import Applier, Outcome
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.client import PveClient
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.connection import connection_options
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.deadline import Deadline
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import PveError

from .embedded_pve import PveHandle


def client_of(pve: PveHandle, seconds: float, **options: Any) -> PveClient:
    """A client whose operation has so many seconds."""
    known = {
        "api_host": pve.url,
        "api_token_id": pve.token_id,
        "api_token_secret": pve.token_secret,
        "ca_path": pve.cafile,
    }
    return PveClient(connection_options({**known, **options}), Deadline(seconds))


def breaking_off(pve: PveHandle, kind: str, step: int = 1) -> Iterator[Callable[[], None]]:
    """Break off one request after the other, and give what ends that, until there was none to break off.

    kind is the fault; of each so many requests one is broken off.
    """
    left: list[int] = []

    def end() -> None:
        left.append(len(pve.server.faults))
        pve.server.faults.clear()

    for number in itertools.count(step=step):
        pve.fault("*", ".", kind, after=number)
        yield end
        if left.pop():
            return


def converge(pve: PveHandle, request: GuestRequest, seconds: float) -> tuple[Applier, Outcome | PveError]:
    """Bring a guest into the state asked for; what was done, and what came of it."""
    client = client_of(pve, seconds, api_timeout=10)
    applier = Applier(client)
    try:
        return applier, ensure_guest(applier, request)
    except PveError as error:
        return applier, error
    finally:
        client.close()
