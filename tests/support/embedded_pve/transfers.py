# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What puts files on a storage: downloads that are real, uploads, PVE's list of appliances, registries of containers.

PVE::API2::Storage::Status, PVE::Tools download_file_from_url, PVE::API2::Nodes; 73-volumes-downloads.json and
73-volumes-uploads.json.
"""

from __future__ import annotations

import asyncio
import bz2
import gzip
import hashlib
import os
import re
import ssl
import tarfile
from pathlib import Path
from typing import Any, NoReturn

import aiohttp
from aiohttp import web
from fakepve.model import PveError, TaskError
from fakepve.qemu import volume_ref
from fakepve.routing import split_list

from .base import parameter_error
from .files import Files, is_qcow2
from .knobs import Knobs
from .multipart import UPLOADED
from .volumes import owner_is_not_root

CHUNK = 256 * 1024
EXTENSIONS = {
    "iso": re.compile(r"[^/]+\.(?:iso|img)$", re.IGNORECASE),
    "vztmpl": re.compile(r"[^/]+\.(?:tar|tar\.(?:gz|xz|zst|bz2))$", re.IGNORECASE),
    "import": re.compile(r"[a-zA-Z0-9.+=_-]+\.(?:ova|qcow2|raw|vmdk)$"),
}
UNPACKERS = {"gz": ("zcat", gzip.decompress), "bz2": ("bzcat", bz2.decompress)}
# wget's exit codes.
NETWORK_FAILURE, SERVER_ERROR = 4, 8
HTTP_OK, HTTP_ERRORS = 200, 400
SKOPEO = "Install 'skopeo' to {} OCI {}.\n"


def normalised(name: str) -> str:
    """PVE::Storage normalize_content_filename."""
    return re.sub(r"[^a-zA-Z0-9_.-]", "_", re.sub(r"^.*[/\\]", "", name.encode().decode("latin-1"), flags=re.DOTALL))


def checksum_of(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


class Transfers(Files):
    def __init__(self, host: str, port: int, knobs: Knobs) -> None:
        super().__init__(host, port, knobs)
        # The list of `pveam update`, by the names of the files.
        self.appliances: dict[str, dict[str, Any]] = {}
        # What registries hold: references and the bytes of their archives.
        self.oci_images: dict[str, bytes] = {}

    def _parse_volname(self, store: Any, volname: str) -> Any:
        """What PVE pulls from a registry is a plain archive (PVE::Storage, VZTMPL_EXT_RE_1)."""
        if re.fullmatch(r"vztmpl/[^/]+\.tar", volname, re.IGNORECASE):
            volname += ".gz"
        return super()._parse_volname(store, volname)

    def _routes_embedded_transfers(self) -> list[tuple[str, str, Any]]:
        storage = "/nodes/{node}/storage/{storage}"
        return [
            ("GET", "/nodes/{node}/query-url-metadata", self._query_url),
            ("GET", "/nodes/{node}/aplinfo", self._appliance_list),
            ("POST", "/nodes/{node}/aplinfo", self._appliance_download),
            ("POST", storage + "/oci-registry-pull", self._oci_pull),
            ("POST", storage + "/content/{volume}", self._content_copy),
        ]

    # fakepve has routes of its own for these two.

    async def _download_url(self, request: Any) -> web.Response:
        handler = self._stateful_handler("/nodes/{node}/storage/{storage}/download-url", self._download)
        answer: web.Response = await handler(request)
        return answer

    async def _upload(self, request: Any) -> web.Response:
        upload = request.get(UPLOADED)
        if upload is None:
            raise PveError(500, "missing temporary file name")

        async def import_file(values: dict[str, Any], user: str) -> str:
            return await self._import_file(values, user, upload.path)

        handler = self._stateful_handler("/nodes/{node}/storage/{storage}/upload", import_file)
        answer: web.Response = await handler(request)
        return answer

    # ---- names and places

    def _target(self, values: dict[str, Any], refusal: str) -> str:
        """The name of the volume, checked as PVE does before it makes a task."""
        store = self._check_enabled(values["storage"], values["node"])
        content = values["content"]
        if content not in split_list(store.get("content")):
            raise PveError(500, refusal.format(storage=values["storage"], content=content))
        name = normalised(values["filename"])
        if not EXTENSIONS[content].match(name):
            wrong = "invalid filename or wrong extension" if content == "import" else "wrong file extension"
            raise parameter_error(filename=wrong)
        return f"{content}/{name}"

    def _path_shown(self, storage: str, name: str) -> str:
        return str(self._volume_path(storage, name, name.partition("/")[0]))

    # ---- downloads

    async def _download(self, values: dict[str, Any], user: str) -> str:
        name = self._target(values, "storage '{storage}' is not configured for content-type '{content}'")
        log: list[str] = []
        algorithm = values.get("checksum-algorithm") if values.get("checksum") else None
        checksum = (algorithm, values["checksum"]) if algorithm else None
        compression = values.get("compression")

        async def body() -> None:
            if compression and values["content"] != "iso":
                raise TaskError(f"decompression not supported for {values['content']}")
            verify = str(values.get("verify-certificates", 1)) in ("1", "True")
            await self._fetch(values, name, values["url"], checksum, log, verify=verify, compression=compression)

        return await self._in_task(values["node"], "download", name.partition("/")[2], user, body, log)

    async def _in_task(self, node: str, kind: str, task_id: str, user: str, body: Any, log: list[str]) -> str:
        return str(await self.task(node, kind, task_id, user, body, lock=False, log=log, background=True))

    async def _fetch(
        self,
        values: dict[str, Any],
        name: str,
        url: str,
        checksum: tuple[str, str] | None,
        log: list[str],
        verify: bool = True,
        compression: str | None = None,
    ) -> None:
        """PVE::Tools download_file_from_url: looks once whether the file is there, and renames over it at the end."""
        storage, node = values["storage"], values["node"]
        shown = self._path_shown(storage, name)
        log.append(f"downloading {url} to {shown}")
        if node in self.copies(storage, name):
            self._check_what_is_there(self.file_of(storage, node, name), shown, checksum, log)
            return
        path = self.directory / f"{name.partition('/')[2]}.tmp_dwnl.{len(self.tasklog)}"
        try:
            try:
                await self._wget(url, path, storage, f"{shown}.tmp_dwnl.1", verify)
            except asyncio.CancelledError:
                raise TaskError("download failed: received interrupt") from None
            if checksum:
                log.append("calculating checksum...")
                self._compare(path, checksum)
                log[-1] += "OK, checksum verified"
            if compression:
                self._unpack(path, compression, f"{shown}.tmp_dwnl.1")
            try:
                self._check_content(path, name, f"{shown}.tmp_dwnl.1")
            except TaskError as problem:
                raise TaskError(f"failed to verify file: {problem}") from None
            self.put_file(storage, node, name, path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        log.append(f"download of '{url}' to '{shown}' finished")

    def _check_what_is_there(
        self, path: Path | None, shown: str, checksum: tuple[str, str] | None, log: list[str]
    ) -> None:
        if checksum is None or path is None:
            raise TaskError(f"refusing to override existing file '{shown}'")
        log.append("calculating checksum of existing file...")
        self._compare(path, checksum, ", aborting")
        log[-1] += "OK, got correct file already, no need to download"

    @staticmethod
    def _compare(path: Path, checksum: tuple[str, str], end: str = "") -> None:
        found = checksum_of(path, checksum[0])
        if found != checksum[1].lower():
            raise TaskError(f"checksum mismatch: got '{found}' != expect '{checksum[1]}'{end}")

    @staticmethod
    def _unpack(path: Path, compression: str, shown: str) -> None:
        program, unpack = UNPACKERS[compression]
        try:
            path.write_bytes(unpack(path.read_bytes()))
        except (OSError, EOFError, ValueError):
            raise TaskError(f"command '{program} {shown}' failed: exit code 1") from None

    @staticmethod
    def _check_content(path: Path, name: str, shown: str) -> None:
        """What qemu-img and tar say of an image for imports; an ISO image may be anything."""
        if name.startswith("import/") and name.endswith(".qcow2") and not is_qcow2(path):
            raise TaskError(f"qemu-img: Could not open '{shown}': Image is not in qcow2 format")
        if name.endswith(".ova"):
            try:
                with tarfile.open(path) as archive:
                    names = archive.getnames()
            except tarfile.TarError:
                raise TaskError(f"command 'tar -t -f {shown}' failed: exit code 2") from None
            if not any(member.endswith(".ovf") for member in names):
                raise TaskError("ova archive has no .ovf file inside")

    def _tls(self, verify: bool) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.knobs.trusted_authority or None)
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    async def _wget(self, url: str, path: Path, storage: str, shown: str, verify: bool) -> None:
        host = str(aiohttp.client.URL(url).host)
        if host.endswith(".invalid"):
            raise TaskError(f"download failed: wget: unable to resolve host address '{host}'")
        connector = aiohttp.TCPConnector(ssl=self._tls(verify))
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
            for left in reversed(range(self.knobs.download_tries)):
                try:
                    await self._get(session, url, path, storage, shown)
                except aiohttp.ClientConnectorCertificateError:
                    text = f"ERROR: The certificate of '{host}' doesn't have a known issuer."
                    raise TaskError(f"download failed: {text}") from None
                except aiohttp.ClientConnectorError as problem:
                    port = aiohttp.client.URL(url).port
                    text = f"Connecting to {host}:{port}... failed: {reason_of(problem)}."
                    raise TaskError(f"download failed: {text}") from None
                except (aiohttp.ClientError, ConnectionError):
                    # A connection that breaks is tried again for two minutes and more.
                    if not left:
                        raise TaskError(f"download failed: exit code {NETWORK_FAILURE}") from None
                else:
                    return

    def _found(self, url: str) -> str:
        """The URL of the web server that stands for one that only has a name."""
        for start, other in self.knobs.web_servers.items():
            if url.startswith(start):
                return other + url.rpartition("/")[2]
        return url

    async def _get(self, session: Any, url: str, path: Path, storage: str, shown: str) -> None:
        async with session.get(self._found(url)) as answer:
            if answer.status >= HTTP_ERRORS:
                raise TaskError(f"download failed: exit code {SERVER_ERROR}")
            size = 0
            with path.open("wb") as file:
                async for chunk in answer.content.iter_chunked(CHUNK):
                    size += len(chunk)
                    text = f"Cannot write to '{shown}' (No space left on device)."
                    self.refuse_full(storage, size, f"download failed: {text}")
                    file.write(chunk)

    async def _query_url(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        """HEAD, as LWP does it: what goes wrong on the way is a 500 of its own."""
        url = values["url"]
        verify = str(values.get("verify-certificates", 1)) in ("1", "True")
        where = aiohttp.client.URL(url)
        if str(where.host).endswith(".invalid"):
            _invalid(f"500 Can't connect to {where.host}:{where.port} (Temporary failure in name resolution)")
        try:
            connector = aiohttp.TCPConnector(ssl=self._tls(verify))
            session = aiohttp.ClientSession(connector=connector)
            async with session, session.head(self._found(url), allow_redirects=True) as answer:
                if answer.status != HTTP_OK:
                    _invalid(f"{answer.status} {answer.reason}")
                headers = answer.headers
        except aiohttp.ClientConnectorCertificateError:
            _invalid(f"500 Can't connect to {where.host}:{where.port} (certificate verify failed)")
        except (aiohttp.ClientError, ConnectionError) as problem:
            _invalid(f"500 Can't connect to {where.host}:{where.port} ({reason_of(problem)})")
        named = re.search(r'filename="([^"]*)"', headers.get("Content-Disposition", ""))
        found = {
            "filename": named[1] if named else where.name,
            "size": int(headers.get("Content-Length") or 0),
            "mimetype": headers.get("Content-Type", "").partition(";")[0],
        }
        return {key: value for key, value in found.items() if value}

    # ---- uploads

    async def _import_file(self, values: dict[str, Any], user: str, path: Path) -> str:
        """A refusal leaves the temporary file on the node (73-volumes-uploads.json)."""
        name = self._target(values, "storage '{storage}' does not support '{content}' content")
        storage, node, log = values["storage"], values["node"], [f"starting file import from: /var/tmp/{path.name}"]

        async def body() -> None:
            try:
                if values.get("checksum-algorithm"):
                    log.append("calculating checksum...")
                    self._compare(path, (values["checksum-algorithm"], values["checksum"]))
                    log[-1] += "OK, checksum verified"
                self._check_content(path, name, f"/var/tmp/{path.name}")
                # cp writes over what is there, and what fails is deleted.
                self.drop_when_full(storage, node, name, path)
                self.put_file(storage, node, name, path)
            finally:
                path.unlink(missing_ok=True)
            log.append("finished file import successfully")

        return await self._in_task(node, "imgcopy", "", user, body, log)

    def drop_when_full(self, storage: str, node: str, name: str, path: Path) -> None:
        """Raise the TaskError of a full storage, which has lost the old file then."""
        old = self.copies(storage, name).get(node, {}).get("size", 0)
        try:
            shown = self._path_shown(storage, name)
            text = f"import failed: cp: error writing '{shown}': No space left on device"
            self.refuse_full(storage, path.stat().st_size - old, text)
        except TaskError:
            self.drop_file(storage, node, name)
            raise
        if old:
            self.drop_file(storage, node, name)

    # ---- appliances, registries, copies

    async def _appliance_list(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        return [dict(entry) for entry in self.appliances.values()]

    async def _appliance_download(self, values: dict[str, Any], user: str) -> str:
        entry = self.appliances.get(values["template"])
        if entry is None:
            raise parameter_error(template="no such template")
        store = self._check_enabled(values["storage"], values["node"])
        if "vztmpl" not in split_list(store.get("content")):
            raise PveError(500, f"storage '{values['storage']}' does not support templates")
        log: list[str] = []

        async def body() -> None:
            checksum = ("sha512", entry["sha512sum"])
            await self._fetch(values, f"vztmpl/{values['template']}", entry["location"], checksum, log)

        return await self._in_task(values["node"], "download", values["template"], user, body, log)

    async def _oci_pull(self, values: dict[str, Any], user: str) -> str:
        if not self.knobs.skopeo:
            raise PveError(500, SKOPEO.format("pull", "images from registries"))
        storage, node, reference = values["storage"], values["node"], values["reference"]
        store = self._check_enabled(storage, node)
        if "vztmpl" not in split_list(store.get("content")):
            raise PveError(500, f"storage '{storage}' is not configured for content-type 'vztmpl'")
        file_name = normalised(values.get("filename") or reference) + ".tar"
        if node in self.copies(storage, f"vztmpl/{file_name}"):
            raise PveError(500, f"refusing to override existing file '{file_name}'")

        async def body() -> None:
            content = self.oci_images.get(reference)
            if content is None:
                command = f"skopeo copy docker://{reference} oci-archive:{self._path_shown(storage, file_name)}"
                raise TaskError(f"command '{command}' failed: exit code 1")
            path = self.directory / f"{len(self.tasklog)}-{file_name}"
            path.write_bytes(content)
            self.put_file(storage, node, f"vztmpl/{file_name}", path)

        return await self._in_task(node, "ociregistrypull", file_name, user, body, [])

    async def _content_copy(self, values: dict[str, Any], user: str) -> str:
        """For root@pam with a ticket only, and within one storage (73-volumes.json)."""
        if owner_is_not_root(user):
            raise PveError(403, "Permission check failed (user != root@pam)")
        storage, name, volid = self._volume_target(values)[:3]
        to_storage, to_name = volume_ref(values["target"]) if ":" in values["target"] else (storage, values["target"])
        if to_storage != storage:
            raise parameter_error(volume=f"storage ID mismatch ({to_storage} != {storage})\n")
        node = values["node"]
        to_node = values.get("target_node") or node

        async def body() -> None:
            path = self.file_of(storage, node, name)
            if path is None:
                raise TaskError(f"volume '{volid}' does not exist")
            if to_node in self.copies(storage, to_name):
                command = f"pvesm export {volid} raw+size - -with-snapshots 0 | ... pvesm import {values['target']} ..."
                raise TaskError(f"command 'set -o pipefail && {command}' failed: exit code 255")
            copy = self.directory / f"{len(self.tasklog)}-{to_name.partition('/')[2]}"
            copy.write_bytes(path.read_bytes())
            self.put_file(storage, to_node, to_name, copy)

        return await self._in_task(node, "imgcopy", "", user, body, [])


def reason_of(problem: BaseException) -> str:
    """The system's own words for what failed."""
    cause = getattr(problem, "os_error", problem)
    number = getattr(cause, "errno", None)
    return os.strerror(number) if number else str(problem)


def _invalid(line: str) -> NoReturn:
    raise PveError(500, f"invalid server response: '{line}'")
