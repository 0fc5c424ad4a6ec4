# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A module as data: whatever runs a module takes the same description."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .._operations.plan import Applier, Outcome
from .argument_spec import ArgumentSpec

Parameters = t.Mapping[str, t.Any]


@dataclass(frozen=True)
class ModuleDescription:
    """What a module takes, how that becomes a request, and the operation that carries the request out."""

    argument_spec: ArgumentSpec
    # Raises InvalidRequest, naming the option, before anything is sent.
    request_from: t.Callable[[Parameters], t.Any]
    # Raises a PveError; what was done before that is noted in the applier.
    operation: t.Callable[[Applier, t.Any], Outcome]
    # The module changes nothing, and its result has neither steps nor a diff.
    only_looks: bool = False
    # The options are shown neither in results nor in the system's log.
    hides_options: bool = False
