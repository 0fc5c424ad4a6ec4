# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest that exists on another node than the request names: it is moved there if that is asked for, or stays."""

from __future__ import annotations

from ..._pve.errors import InvalidRequest
from ..._pve.guests import GuestHandle, Selector
from ..migration.ensure_migration import look_at_move, target_of
from ..migration.migration_request import MigrationOptions, MigrationRequest
from ..migration.moving import apply_migration, plan_migration
from ..plan import Applier
from .guest_request import GuestRequest
from .state import GuestState, read_state


def bring_to_node(
    applier: Applier, request: GuestRequest, handle: GuestHandle, state: GuestState
) -> tuple[str, GuestState, tuple[str, ...]]:
    """The node that the guest is on afterwards, its state, and a warning when it stays elsewhere; raises a PveError."""
    here, wanted = handle.guest.node, request.node
    if wanted is None or wanted == here:
        return here, state, ()
    if not request.migrate:
        stays = f"{handle.guest.label} is on node {here}, not on {wanted}, and stays there"
        return here, state, (f"{stays}: move it with pve_migrate, or with migrate: true",)
    options = MigrationOptions(shutdown_timeout=request.shutdown_timeout)
    move = MigrationRequest(Selector(handle.guest.vmid), (wanted,), options)
    look = look_at_move(applier, move)
    if look.preconditions is not None:
        try:
            target = target_of(look, move)
        except InvalidRequest as error:
            raise InvalidRequest(f"{error}; pve_migrate has further options for this", error.cause) from error
        apply_migration(applier, look.handle, plan_migration(target, move, look.preconditions, look.handle), target)
    handle.guest = look.handle.guest
    return wanted, state if applier.check_mode else read_state(handle), ()
