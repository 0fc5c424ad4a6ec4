# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every part of the embedded PVE shares: the guests of either kind, locks and PVE's texts."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from aiohttp import web
from fakepve.model import PveError, TaskError, lock_timeout
from fakepve.server import FakePve

from .knobs import Knobs

TOKEN_ID = "root@pam!ansible"
# Kept on a request: that its credentials were refused, and what to call when it becomes a websocket.
UNAUTHENTICATED: Any = web.RequestKey("unauthenticated", bool)
UPGRADED: Any = web.RequestKey("upgraded", object)


def parameter_error(**fields: str) -> PveError:
    """PVE's raise_param_exc: 400 with a message per field."""
    return PveError(400, "Parameter verification failed.", fields)


def missing_config(node: str, vmid: int, kind: str = "qemu-server") -> str:
    return f"Configuration file 'nodes/{node}/{kind}/{vmid}.conf' does not exist"


def unfindable(node: str, vmid: int) -> str:
    return f"unable to find configuration file for VM {vmid} on node '{node}'"


def no_quorum_write(vmid: int, node: str) -> str:
    """What a write to the read-only /etc/pve says (81-node-down.json)."""
    path = f"/etc/pve/nodes/{node}/qemu-server/{vmid}.conf.tmp.{1000 + vmid}"
    return f"unable to open file '{path}' - Permission denied"


def is_true(value: Any) -> bool:
    return str(value).lower() in ("1", "true", "yes", "on")


def owner_of(user: str) -> str:
    """The user of a token id, or the user."""
    return user.split("!", maxsplit=1)[0]


class EmbeddedBase(FakePve):  # type: ignore[misc]
    """FakePve with our knobs and small helpers; the other parts derive from it."""

    # `tag-style` of the datacenter's options, as in case-sensitive=1.
    tag_style = ""

    def __init__(self, host: str, port: int, knobs: Knobs) -> None:
        super().__init__(host=host, port=port)
        self.knobs = knobs
        self.lock_timeouts: dict[int, int] = {}
        self.background: set[asyncio.Task[Any]] = set()
        self.stopping = False
        # Mistakes of the embedded PVE or of a test's hook; running_embedded_pve raises the first at its end.
        self.internal_errors: list[BaseException] = []
        self.max_requests = 0
        self.certfile = ""
        self._directory: Path | None = None

    @property
    def directory(self) -> Path:
        """Where the content of all nodes' files is, and what uploads leave in /var/tmp."""
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="embedded-pve-files-"))
        return self._directory

    async def acquire(self, vm: Any, holder: str, wait: float | None = None) -> None:
        """Take the guest's lock file, waiting as PVE::Tools::lock_file does."""
        seconds = self.knobs.lock_wait if wait is None else wait
        deadline = asyncio.get_running_loop().time() + seconds
        while vm.lock_holder is not None:
            remaining = deadline - asyncio.get_running_loop().time()
            if remaining <= 0:
                raise TaskError(getattr(vm, "lock_error", None) or lock_timeout(vm.vmid))
            vm.lock_released = vm.lock_released or asyncio.Event()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(vm.lock_released.wait(), remaining)
        vm.lock_holder = holder

    def in_background(self, coroutine: Any) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(coroutine)
        self.background.add(task)
        task.add_done_callback(self.background.discard)
        return task

    def find_vm(self, node: str, vmid: int, text: Any = missing_config) -> Any:
        """The VM on that node, or the 500 with PVE's text for a missing one."""
        vm = self.vm(int(vmid))
        if vm is None or vm.node != node:
            raise PveError(500, text(node, int(vmid)))
        return vm

    def forget_guest(self, guest: Any) -> None:
        if guest in self.vms:
            self.vms.remove(guest)
        if guest in self.cts:
            self.cts.remove(guest)
        self._pool_leave(guest.vmid)

    def lock_timed_out(self, vmid: int) -> str | None:
        """The lock time-out text if a test asked for one on this guest (used up one at a time)."""
        left = self.lock_timeouts.get(vmid, 0)
        if not left:
            return None
        self.lock_timeouts[vmid] = left - 1
        guest = self.guest(vmid)
        return str(getattr(guest, "lock_error", None) or lock_timeout(vmid))

    def refuse_lock_timeout(self, vmid: int) -> None:
        text = self.lock_timed_out(vmid)
        if text:
            raise PveError(500, text)

    @staticmethod
    def set_lock(guest: Any, lock: str | None) -> None:
        guest.lock = lock
        if lock:
            guest.config["lock"] = lock
        else:
            guest.config.pop("lock", None)

    @staticmethod
    def refuse_locked(guest: Any, allow: tuple[str, ...] = ()) -> None:
        if guest.lock and guest.lock not in allow:
            raise PveError(500, f"VM is locked ({guest.lock})")

    @staticmethod
    def fail_locked(guest: Any, allow: tuple[str, ...] = ()) -> None:
        if guest.lock and guest.lock not in allow:
            raise TaskError(f"VM is locked ({guest.lock})")

    @staticmethod
    def digest_of(guest: Any) -> str:
        """The SHA-1 of the whole configuration file: live values, pending ones and snapshots."""
        more = [sorted(getattr(guest, name, ())) for name in ("forced", "deletes")]
        more.append(getattr(guest, "cloudinit_old", {}))
        text = json.dumps([guest.config, guest.pending, guest.snapshots, *more], sort_keys=True, default=str)
        return hashlib.sha1(text.encode()).hexdigest()

    def apply_pending(self, vm: Any) -> None:
        """Overridden by the configuration part."""
        vm.apply_pending()

    def regenerate_cloudinit(self, vm: Any) -> None:
        """Overridden by the configuration part."""

    def run_guest(self, vm: Any) -> None:
        self.apply_pending(vm)
        self.regenerate_cloudinit(vm)
        self._show_status(vm, "running")
        vm.started_at = time.time()

    def halt_guest(self, vm: Any) -> None:
        """Pending changes are applied when the guest stops (vm_stop_cleanup)."""
        self._show_status(vm, "stopped")
        vm.started_at = None
        self.apply_pending(vm)

    def _show_status(self, vm: Any, status: str) -> None:
        vm.status = status
        if vm in self.vms:
            vm.qmpstatus = status
