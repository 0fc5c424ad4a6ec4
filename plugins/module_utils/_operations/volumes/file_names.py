# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a file on a storage may be called, and the checksums that PVE verifies."""

from __future__ import annotations

import re
import typing as t
from urllib.parse import unquote, urlsplit

from ..._pve.errors import InvalidRequest

CONTENTS = ("iso", "vztmpl", "import")
COMPRESSIONS = ("gz", "lzo", "zst", "bz2")
# PVE::Storage ISO_EXT_RE_0, VZTMPL_EXT_RE_1, UPLOAD_IMPORT_EXT_RE_1; PVE looks whether a name ends in one of these.
_ENDINGS = {
    "iso": re.compile(r".+\.(iso|img)", re.IGNORECASE),
    "vztmpl": re.compile(r".+\.(tar|tar\.(gz|xz|zst|bz2))", re.IGNORECASE),
    "import": re.compile(r".+\.(ova|qcow2|raw|vmdk)"),
}
_ENDINGS_IN_WORDS = {
    "iso": ".iso or .img",
    "vztmpl": ".tar, .tar.gz, .tar.xz, .tar.zst or .tar.bz2",
    "import": ".qcow2, .raw, .vmdk or .ova",
}
MAX_NAME = 255
_ALGORITHMS = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}


class Checksum(t.NamedTuple):
    """The checksum of a file, in lower case, and how it is calculated."""

    algorithm: str
    value: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value}"


def parse_checksum(text: str) -> Checksum:
    """Read a checksum as in sha256:0123... or without its algorithm, which its length tells; raises InvalidRequest."""
    algorithm, colon, value = text.strip().rpartition(":")
    expected = _ALGORITHMS.get(len(value))
    if not re.fullmatch(r"[0-9A-Fa-f]+", value) or expected is None:
        lengths = ", ".join(f"{name} ({length})" for length, name in _ALGORITHMS.items())
        raise InvalidRequest(f"checksum {text!r} is none: give one of {lengths}, in so many hexadecimal digits")
    if colon and algorithm.lower() != expected:
        raise InvalidRequest(f"checksum {text!r} has {len(value)} digits, which makes it {expected}, not {algorithm}")
    return Checksum(expected, value.lower())


def normalised(name: str) -> str:
    """The name that PVE gives a file (PVE::Storage normalize_content_filename); it counts the bytes of UTF-8."""
    last = re.sub(r"^.*[/\\]", "", name, flags=re.DOTALL)
    return re.sub(rb"[^a-zA-Z0-9_.-]", b"_", last.encode()).decode("ascii")


def name_in_url(url: str, compression: str | None) -> str:
    """The last part of a URL's path, without the ending of what is unpacked."""
    name = normalised(unquote(urlsplit(url).path))
    ending = f".{compression}" if compression else ""
    return name[: -len(ending)] if ending and name.endswith(ending) else name


def check_file_name(name: str, content: str) -> None:
    """Raise InvalidRequest for a name that PVE refuses, or changes."""
    kept = normalised(name)
    if kept != name:
        raise InvalidRequest(f"file_name {name!r} is not what PVE would call the file, {kept!r}: give that name")
    if len(name) > MAX_NAME:
        raise InvalidRequest(f"file_name must be at most {MAX_NAME} characters long, not {len(name)}")
    if not _ENDINGS[content].fullmatch(name):
        raise InvalidRequest(
            f"file_name {name!r} must end in {_ENDINGS_IN_WORDS[content]}, as PVE has no other files "
            f"of the content {content}: give file_name with the ending of what the file is"
        )


def shown_url(url: str) -> str:
    """A URL without what may be secret: the user, the password and the query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def in_words(size: int) -> str:
    """Write a number of bytes for people."""
    for exponent, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if size >= 1024**exponent:
            return f"{size / 1024**exponent:.1f} {unit}"
    return f"{size} bytes"
