# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The console relay in the test's own process, in front of an embedded PVE."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.relay.console import ConsoleRequest
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.relay.relay import Relay
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._cloudstack.relay.settings import RelaySettings
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.console.target import console_target
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.console.vnc_viewer import open_for_viewer
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.client import PveClient
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.connection import connection_options
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.deadline import Deadline
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.transport import Transport
from tests.support.embedded_pve import running_embedded_pve, standard_guests
from tests.support.service import wait_until

# Another range than the role's, and one for each worker of the tests.
FIRST_PORT, PORT_COUNT = 20000, 40


@pytest.fixture(scope="module")
def shared_pve():
    with running_embedded_pve(nodes=("pve1", "pve2"), guests=standard_guests) as handle:
        yield handle


@pytest.fixture
def pve(shared_pve):
    shared_pve.reset_record()
    shared_pve.display(101).use(None)
    yield shared_pve
    shared_pve.call(lambda: setattr(shared_pve.server.guest(101), "status", "running"))


class Bench:
    """A relay, what it says and counts, and how many consoles it has taken charge of."""

    def __init__(self, pve, settings):
        self.pve = pve
        self.words = []
        self.counts = Counter()
        self.relay = Relay(settings, self.words.append, lambda what: self.counts.update([what]))

    def offer(self, vmid=101, label="i-2-45-VM", **options):
        options = {"guest": label, "endpoint": self.pve.url, **options}
        return self.relay.offer(ConsoleRequest(lambda: opened(self.pve, vmid), label, **options), "127.0.0.1")

    def wait_for(self, words):
        """Wait for something that the relay tells."""
        try:
            wait_until(lambda: any(words in line for line in list(self.words)), 20)
        except AssertionError:
            raise AssertionError(f"{words!r} is not in {self.words}") from None


def opened(pve, vmid):
    client = client_of(pve)
    try:
        return open_for_viewer(console_target(client, {"vmid": vmid}))
    finally:
        client.close()


def client_of(pve):
    user, _mark, token = pve.token_id.partition("!")
    options = {"api_host": pve.url, "api_user": user, "api_token_id": token, "ca_path": pve.cafile}
    found = connection_options({**options, "api_token_secret": pve.token_secret, "api_timeout": 20})
    return PveClient(found, Deadline(30), Transport(found))


@pytest.fixture
def ports(worker_id):
    number = int(worker_id.removeprefix("gw")) if worker_id.startswith("gw") else 0
    first = FIRST_PORT + number * PORT_COUNT
    return first, first + PORT_COUNT - 1


@pytest.fixture
def start(pve, ports):
    """Make a relay with other settings than the usual."""
    with ExitStack() as stack:

        def make(**settings):
            bench = Bench(pve, replace(RelaySettings(ports=ports), **settings))
            stack.callback(bench.relay.close)
            return bench

        yield make
    assert not [item for item in threading.enumerate() if item.name == "relay"]


@pytest.fixture
def bench(start):
    return start()
