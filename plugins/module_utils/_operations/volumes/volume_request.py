# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked of a file on a storage, checked before anything is sent."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..._pve.errors import InvalidRequest
from ..._pve.storage_names import check_storage_name
from .file_names import (
    COMPRESSIONS,
    CONTENTS,
    Checksum,
    check_file_name,
    name_in_url,
    normalised,
    parse_checksum,
    shown_url,
)

STATES = ("present", "absent")
# Where a file comes from, and which content it can be; each has one option of this name.
SOURCES: dict[str, tuple[str, ...]] = {
    "url": CONTENTS,
    "src": CONTENTS,
    "template": ("vztmpl",),
    "oci_reference": ("vztmpl",),
    "copy_from": CONTENTS,
}
# Whose file PVE compares with a checksum.
_HAS_CHECKSUM = ("url", "src")
ALL_NODES = "all"

# The options that say what a file is and where it comes from: of pve_volume, and of `image` of a disk.
IMAGE_SPEC: dict[str, t.Any] = {
    "url": {"type": "str"},
    "src": {"type": "path"},
    "checksum": {"type": "str"},
    "file_name": {"type": "str"},
    "verify_certificates": {"type": "bool", "default": True},
    "replace": {"type": "bool", "default": False},
}
VOLUME_SPEC: dict[str, t.Any] = {
    "state": {"type": "str", "choices": list(STATES), "default": "present"},
    "storage": {"type": "str", "required": True},
    "content": {"type": "str", "choices": list(CONTENTS)},
    **IMAGE_SPEC,
    "template": {"type": "str"},
    "oci_reference": {"type": "str"},
    "copy_from": {
        "type": "dict",
        "options": {"volume": {"type": "str", "required": True}, "node": {"type": "str"}},
    },
    "decompress": {"type": "str", "choices": list(COMPRESSIONS)},
    "nodes": {"type": "list", "elements": "str"},
    "force": {"type": "bool", "default": False},
}


@dataclass(frozen=True)
class Source:
    """Where a file comes from: the option that says so, and its value; node is that of a copy."""

    kind: str
    value: str
    node: str | None = None

    @property
    def shown(self) -> str:
        """The source for messages, without secrets."""
        return shown_url(self.value) if self.kind == "url" else self.value


@dataclass(frozen=True)
class VolumeRequest:
    """A file that a storage is to have, or not to have; nodes are those whose own storages are meant."""

    storage: str
    content: str
    file_name: str
    state: str = "present"
    source: Source | None = None
    checksum: Checksum | None = None
    decompress: str | None = None
    verify_certificates: bool = True
    nodes: tuple[str, ...] | None = None
    replace: bool = False
    force: bool = False

    @property
    def origin(self) -> Source:
        """Where the file comes from, of a request that makes one."""
        return t.cast("Source", self.source)

    @property
    def volid(self) -> str:
        """PVE's name of the file."""
        return f"{self.storage}:{self.content}/{self.file_name}"


def volume_request(parameters: t.Mapping[str, t.Any]) -> VolumeRequest:
    """Check the options; raises InvalidRequest, naming the option."""
    state, storage = parameters["state"], parameters["storage"]
    check_storage_name("storage", storage)
    source = _source(parameters, state)
    content = _content(parameters.get("content"), source)
    decompress = parameters.get("decompress")
    if decompress and (content != "iso" or source is None or source.kind != "url"):
        raise InvalidRequest("decompress only goes with url and content=iso: PVE unpacks nothing else")
    _check_options_of_state(parameters, state)
    return VolumeRequest(
        storage=storage,
        content=content,
        file_name=_file_name(parameters.get("file_name"), content, source, decompress),
        state=state,
        source=source,
        checksum=_checksum(parameters.get("checksum"), source),
        decompress=decompress,
        verify_certificates=bool(parameters.get("verify_certificates", True)),
        nodes=_nodes(parameters.get("nodes")),
        replace=bool(parameters.get("replace")),
        force=bool(parameters.get("force")),
    )


def image_request(options: t.Mapping[str, t.Any]) -> VolumeRequest:
    """The file that a disk is made from, by the options of `image`; raises InvalidRequest, naming the option."""
    given = [name for name in ("url", "src") if options.get(name) is not None]
    if len(given) != 1:
        raise InvalidRequest("give one of url and src, not both" if given else "give url or src")
    request = volume_request({**options, "state": "present", "content": "import"})
    if request.file_name.endswith(".ova"):
        raise InvalidRequest(
            f"{request.file_name} holds disks of its own: fetch it with pve_volume, and name one of them in import_from"
        )
    return request


def _source(parameters: t.Mapping[str, t.Any], state: str) -> Source | None:
    named = [name for name in SOURCES if parameters.get(name)]
    if state == "absent":
        if named:
            raise InvalidRequest(f"{named[0]} only goes with state=present")
        return None
    if len(named) != 1:
        found = " and ".join(named) if named else "none of them"
        raise InvalidRequest(f"say where the file comes from by one of {', '.join(SOURCES)}, not by {found}")
    kind, value = named[0], parameters[named[0]]
    if kind == "copy_from":
        return Source(kind, value["volume"], value.get("node"))
    if kind == "url":
        _check_url(value)
        # PVE knows the scheme in small letters only (PVE::API2::Storage::Status, download-url).
        value = re.sub("^[^:]+", lambda scheme: scheme[0].lower(), value)
    return Source(kind, value)


def _check_url(url: str) -> None:
    try:
        shown = shown_url(url)
        # The port is looked at when it is asked for.
        urlsplit(url).port  # noqa: B018
    except ValueError as error:
        raise InvalidRequest(f"url is not a valid URL: {error}") from error
    if not re.fullmatch(r"(?i)https?://[^/\s]\S*", url):
        raise InvalidRequest(f"url {shown!r} must begin with http:// or https://, and have no blanks")


def _content(content: str | None, source: Source | None) -> str:
    allowed = SOURCES[source.kind] if source else CONTENTS
    if content is None and len(allowed) == 1:
        return allowed[0]
    if content is None:
        raise InvalidRequest(f"content is required: one of {', '.join(allowed)}")
    if content not in allowed:
        raise InvalidRequest(f"{source.kind if source else 'state'} makes files of the content {allowed[0]} only")
    return content


def _file_name(name: str | None, content: str, source: Source | None, decompress: str | None) -> str:
    if name is None:
        if source is None:
            raise InvalidRequest("file_name is required with state=absent")
        name = _derived_name(source, decompress)
    elif source is not None and source.kind == "template" and name != source.value:
        raise InvalidRequest(f"file_name does not go with template: PVE calls the file {source.value}")
    if source is None or source.kind != "template":
        # What a template is called is in PVE's list, which the node is asked for.
        check_file_name(name, content)
    return name


def _derived_name(source: Source, decompress: str | None) -> str:
    if source.kind == "url":
        return name_in_url(source.value, decompress)
    if source.kind == "oci_reference":
        return f"{normalised(source.value)}.tar"
    return normalised(source.value)


def _checksum(text: str | None, source: Source | None) -> Checksum | None:
    if text is None:
        return None
    if source is None or source.kind not in _HAS_CHECKSUM:
        raise InvalidRequest(f"checksum only goes with {' and '.join(_HAS_CHECKSUM)}")
    return parse_checksum(text)


def _check_options_of_state(parameters: t.Mapping[str, t.Any], state: str) -> None:
    if state == "absent" and parameters.get("replace"):
        raise InvalidRequest("replace only goes with state=present")


def _nodes(nodes: t.Sequence[str] | None) -> tuple[str, ...] | None:
    if nodes is None:
        return None
    if not nodes or (ALL_NODES in nodes and len(nodes) > 1):
        raise InvalidRequest(f"nodes must be names of nodes, or {ALL_NODES} alone")
    return tuple(dict.fromkeys(nodes))
