# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client of one call: it counts its requests, and writes them to the log when debugging is on."""

from __future__ import annotations

import time
import typing as t

from .._pve.client import PveClient
from .._pve.connection import ConnectionOptions
from .._pve.deadline import Deadline
from .._pve.errors import PveError
from .call_context import CallContext
from .call_log import CallLog


class BridgeClient(PveClient):
    """A client whose connection belongs to the context of the call. In a dry run it only reads."""

    def __init__(
        self, options: ConnectionOptions, deadline: Deadline, log: CallLog, context: CallContext, dry_run: bool = False
    ) -> None:
        super().__init__(options, deadline, context.connect(options))
        self._dry_run = dry_run
        self.requests = 0
        self.own_upids = context.own_upids()
        self._log = log
        self._context = context

    def _send(self, method: str, path: tuple[str | int, ...], form: t.Mapping[str, t.Any]) -> t.Any:
        where = "/".join(str(part) for part in path)
        if self._dry_run and method != "GET":
            raise RuntimeError(f"a dry run must not send {method} /{where}")
        began, result = time.monotonic(), "ok"
        try:
            with self._context.turn(self.deadline):
                self.requests += 1
                return super()._send(method, path, form)
        except PveError as error:
            result = str(error)
            raise
        finally:
            seconds = f"{time.monotonic() - began:.3f}"
            keys = ",".join(sorted(form))
            self._log.trace(request=f"{method} /{where}", keys=keys, seconds=seconds, result=result)

    def close(self) -> None:
        self._context.disconnect(self._transport)
