# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files on storages: ISO images, templates and disk images, with what is in them, on each node or shared."""

from __future__ import annotations

import re
import secrets
import shutil
import time
from pathlib import Path
from typing import Any

from fakepve.model import PveError, TaskError
from fakepve.qemu import volume_ref

from .volumes import Volumes

FILE_CONTENTS = ("iso", "vztmpl", "import")
QCOW2_MAGIC = b"QFI\xfb"


class Files(Volumes):
    async def stop(self) -> None:
        await super().stop()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def copies(self, storage: str, name: str) -> dict[str, dict[str, Any]]:
        """What each node has under this name of a storage; one that is shared has the same for all."""
        volume = self._volumes(storage).get(name)
        if volume is None:
            return {}
        if "copies" in volume:
            return dict(volume["copies"])
        nodes = [volume["node"]] if volume.get("node") else list(self.nodes)
        return {node: {"size": volume.get("size") or 0, "ctime": volume.get("ctime") or 0} for node in nodes}

    def put_file(self, storage: str, node: str, name: str, path: Path) -> None:
        """Make a file the volume of that name, on the node, or on all of them when the storage is shared."""
        store = self.storages[storage]
        path = path.rename(self.directory / secrets.token_hex(16))
        copy = {"size": path.stat().st_size, "ctime": int(time.time()), "path": path}
        nodes = list(self.nodes) if store.get("shared") else [node]
        copies = {**self.copies(storage, name), **dict.fromkeys(nodes, copy)}
        self._set_copies(storage, name, copies)
        if "avail" in store:
            store["avail"] -= copy["size"]

    def _set_copies(self, storage: str, name: str, copies: dict[str, dict[str, Any]]) -> None:
        store = self.storages[storage]
        kind, _slash, file_name = name.partition("/")
        if not copies:
            store.setdefault("volumes", {}).pop(name, None)
            store["files"].discard(file_name)
            return
        newest = max(copies.values(), key=lambda copy: copy["ctime"])
        volume = {"content": kind, "format": format_of(name), "size": newest["size"], "ctime": newest["ctime"]}
        store.setdefault("volumes", {})[name] = {**volume, "copies": copies}

    def drop_file(self, storage: str, node: str, name: str) -> None:
        """Forget what the node has under this name."""
        store, copies = self.storages[storage], self.copies(storage, name)
        nodes = list(copies) if store.get("shared") else [node]
        gone = [copies.pop(place) for place in nodes if place in copies]
        if gone and "avail" in store:
            store["avail"] += gone[0]["size"]
        self._set_copies(storage, name, copies)

    def file_of(self, storage: str, node: str, name: str) -> Path | None:
        """Where the content is; None when there is no such file, or one that has none."""
        path: Path | None = self.copies(storage, name).get(node, {}).get("path")
        return path

    async def _content_list(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        """Sizes are those of the files (73-volumes.json)."""
        items: list[dict[str, Any]] = await super()._content_list(values, user)
        for item in items:
            copy = self.copies(*volume_ref(item["volid"])).get(values["node"]) if is_file(item) else None
            item.update({"size": copy["size"], "ctime": copy["ctime"]} if copy else {})
        return items

    async def _content_info(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        """The size is that of the disk in the image, and rounded up to 512 bytes (73-volumes.json)."""
        data: dict[str, Any] = await super()._content_info(values, user)
        storage, name = self._volume_target(values)[:2]
        path = self.file_of(storage, values["node"], name)
        if path is not None:
            data.update(size=disk_size(path), format="qcow2" if is_qcow2(path) else "raw")
        return data

    async def _content_delete(self, values: dict[str, Any], user: str) -> str | None:
        """A file that is not there is deleted well (73-volumes.json: "delete a missing iso")."""
        storage, name, volid, _store, kind, _owner, _format = self._volume_target(values)
        if kind not in FILE_CONTENTS:
            deleted: str | None = await super()._content_delete(values, user)
            return deleted
        self.require(user, "/storage/" + storage, "Datastore.Allocate")

        async def body() -> str:
            self.drop_file(storage, values["node"], name)
            return f"Removed volume '{volid}'"

        upid = await self.task(values["node"], "imgdel", storage, user, body, lock=False)
        record = self.tasks[upid]
        if values.get("delay") and record["status"] == "stopped":
            if record["exitstatus"] != "OK":
                raise PveError(500, record["exitstatus"])
            return None
        return str(upid)

    def _imported_size(self, source: str, node: str) -> int:
        storage, name = volume_ref(source)
        path = self.file_of(storage, node, name) if storage in self.storages else None
        return super()._imported_size(source, node) if path is None else disk_size(path)

    def refuse_full(self, storage: str, size: int, text: str) -> None:
        """Raise a TaskError with this text when so many bytes do not fit."""
        if size > self.storages[storage].get("avail", size):
            raise TaskError(text)


def is_file(item: dict[str, Any]) -> bool:
    return item["content"] in FILE_CONTENTS


def format_of(name: str) -> str:
    """PVE::Storage::Plugin get_subdir_files."""
    if name.startswith("iso/"):
        return "iso"
    found = re.search(r"\.tar(?:\.(gz|xz|zst|bz2))?$", name)
    return "t" + (found[1] or "ar") if found else name.rsplit(".", 1)[-1]


def is_qcow2(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == QCOW2_MAGIC


def disk_size(path: Path) -> int:
    """The size that a disk of this image would have."""
    with path.open("rb") as file:
        head = file.read(32)
    if head.startswith(QCOW2_MAGIC):
        return int.from_bytes(head[24:32], "big")
    return -(-path.stat().st_size // 512) * 512
