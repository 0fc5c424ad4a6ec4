# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Network devices of a virtual machine."""

from __future__ import annotations

import typing as t

from ..._pve.vm_config import NIC
from ..guest import networks
from ..guest.desired import DesiredSetting
from ..guest.networks import DesiredNetwork, Parts, numeric_part, shared_parts

NETWORK_SPEC: dict[str, t.Any] = {
    **networks.NETWORK_SPEC,
    "model": {"type": "str", "choices": sorted(NIC.models)},
    "queues": {"type": "int"},
}


class DesiredVmNetwork(DesiredNetwork):
    """A network device of a virtual machine as desired."""

    def setting(self, current: str | None) -> DesiredSetting:
        """The setting of the device, given the one that is there; a new one has a model and no address yet."""
        parts = dict(self.parts)
        if current is None:
            parts.setdefault("model", "virtio")
        return DesiredSetting(self.slot, parts=parts)


def desired_networks(entries: t.Sequence[t.Mapping[str, t.Any]] | None) -> tuple[DesiredVmNetwork, ...]:
    """Check the network devices of a request; raises InvalidRequest, naming the slot."""
    return networks.desired_networks(DesiredVmNetwork, NETWORK_SPEC, entries, _parts)


def _parts(slot: str, options: t.Mapping[str, t.Any]) -> Parts:
    if "model" in options:
        yield "model", options["model"]
    yield from shared_parts(slot, options, "macaddr")
    yield from numeric_part(slot, options, "mtu", "mtu", 0, 65520)
    yield from numeric_part(slot, options, "queues", "queues", 0, 64)
