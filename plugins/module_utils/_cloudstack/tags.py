# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the datacenter's options let the token put the tags on a guest (PVE::GuestHelpers get_allowed_tags).

PVE refuses the tags only when the guest is configured, which is after its clone.
"""

from __future__ import annotations

import typing as t

from .._pve.errors import PermissionDenied

if t.TYPE_CHECKING:
    from .details import Details
    from .run import Run

Options = t.Mapping[str, t.Any]
# The options that PVE shows without Sys.Audit on /.
_FOR_ALL = frozenset({"console", "tag-style", "allowed-tags"})


def wanted_tags(details: Details) -> list[str]:
    """The tags that every guest gets."""
    return [details.required("tag"), *details.words("tags")]


def check_tags(run: Run, there: t.Callable[[], t.Iterable[str]]) -> None:
    """Raise PermissionDenied for a tag that the token may not set; one request.

    there returns the tags that the guest has from its template; it is called only if a tag is refused.
    """
    refused = refused_tags(read_options(run), wanted_tags(run.details))
    known = {tag.lower() for tag in there()} if refused else set()
    for tag, why in refused.items():
        if tag.lower() not in known:
            raise PermissionDenied(f"{run.client.identity} may not set the tag {tag}: {why}")


def read_options(run: Run) -> Options:
    """The datacenter's options, as far as PVE shows them; one request."""
    try:
        options: Options = run.client.read("cluster", "options") or {}
    except PermissionDenied:
        # Before PVE 7.3, which has no tags to restrict.
        return {}
    return options


def refused_tags(options: Options, tags: t.Iterable[str]) -> dict[str, str]:
    """Those of the tags that PVE is known to refuse, and why."""
    allowed = set(options.get("allowed-tags") or ())
    registered = set(options.get("registered-tags") or ())
    access = (options.get("user-tag-access") or {}).get("user-allow") or "free"
    grant = "or grant Sys.Modify on /"
    refused = {}
    for tag in tags:
        if {tag, tag.lower()} & allowed:
            continue
        if {tag, tag.lower()} & registered:
            refused[tag] = f"it is one of the datacenter's registered-tags: choose another in tag and tags, {grant}"
        elif access != "free":
            refused[tag] = (
                f"user-allow in the datacenter's user-tag-access is {access}: "
                f"set it to list or existing, with {tag} in user-allow-list, {grant}"
            )
    return refused


def untold_tags(options: Options, tags: t.Iterable[str]) -> list[str]:
    """The tags for which PVE does not show whether this token may set them."""
    if not _FOR_ALL.issuperset(options):
        return []
    allowed = set(options.get("allowed-tags") or ())
    return [tag for tag in tags if not {tag, tag.lower()} & allowed]
