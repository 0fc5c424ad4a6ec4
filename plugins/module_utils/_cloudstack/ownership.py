# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ownership: the mark on every guest of CloudStack, and the check before a guest is changed.

The mark is a tag, the UUID of the instance as the UUID of the firmware, and lines in the notes. An adopted
guest keeps the UUID of its firmware, to which a licence may be bound; its notes contain that UUID. A copy of a guest
inherits notes and tags, but not the UUID, so that it can be distinguished from the original.

A clone, too, has another UUID until its deployment has configured it. Until then its notes say that it is unfinished.
The notes of a finished guest, and so of a copy of one, never say that.
"""

from __future__ import annotations

import enum
import re
import typing as t

from .._operations.facts import split_tags
from .._pve.errors import PermissionDenied
from .payload import Instance

_NAMES = "instance|UUID|cloud|adopted guest|deployment|unfinished deployment"
_LINE = re.compile(rf"^CloudStack ({_NAMES}): *(\S+) *$", re.MULTILINE)
_ANY_LINE = re.compile(rf"^CloudStack ({_NAMES}):.*(\n|$)", re.MULTILINE)
_INSTANCE_NAME = re.compile(r"[a-z]+-\d+-\d+-[A-Za-z0-9]+")
_SMBIOS_UUID = re.compile(r"(?:^|,)uuid=([0-9A-Fa-f-]{36})(?:,|$)")
NO_UUID = "none"


class Verdict(enum.Enum):
    OURS = "ours"
    ADOPTABLE = "adoptable"
    FOREIGN = "foreign"
    UNFINISHED = "unfinished"


class Mark(t.NamedTuple):
    """What a guest's configuration says about its instance."""

    instance: str = ""
    # The name of its CloudStack, where several share a cluster.
    cloud: str = ""
    uuid: str = ""
    adopted_guest: str = ""
    deployment: str = ""
    unfinished: bool = False
    firmware_uuid: str = NO_UUID
    tags: tuple[str, ...] = ()

    @property
    def genuine(self) -> bool:
        """The notes are about this guest, and not copied from another one."""
        return bool(self.uuid) and self.firmware_uuid in (self.uuid, self.adopted_guest)

    @property
    def present(self) -> bool:
        return bool(self.instance or self.uuid)


def read_mark(config: t.Mapping[str, t.Any]) -> Mark:
    """Read the mark from a configuration."""
    lines = dict(_LINE.findall(str(config.get("description") or "")))
    firmware = _SMBIOS_UUID.search(str(config.get("smbios1") or ""))
    return Mark(
        instance=lines.get("instance", ""),
        cloud=lines.get("cloud", ""),
        uuid=lines.get("UUID", "").lower(),
        adopted_guest=lines.get("adopted guest", "").lower(),
        deployment=lines.get("deployment", "") or lines.get("unfinished deployment", ""),
        unfinished="unfinished deployment" in lines,
        firmware_uuid=firmware[1].lower() if firmware else NO_UUID,
        tags=split_tags(config.get("tags")),
    )


def judge(mark: Mark, name: str, instance: Instance, ownership: str, custom_name: str | None = None) -> Verdict:
    """Whether a guest of this name and mark is the instance; custom_name is a name that it may have instead."""
    if mark.firmware_uuid == instance.uuid and mark.uuid in ("", instance.uuid):
        return Verdict.OURS
    if mark.uuid == instance.uuid and mark.genuine:
        return Verdict.OURS
    if mark.unfinished and (mark.uuid, mark.instance) == (instance.uuid, instance.name):
        return Verdict.UNFINISHED
    if ownership == "ignore":
        return Verdict.OURS
    if ownership == "adopt" and not mark.present and name in (instance.name, custom_name):
        return Verdict.ADOPTABLE
    return Verdict.FOREIGN


def foreign(label: str, node: str, mark: Mark, instance: Instance, ownership: str) -> PermissionDenied:
    """The error for a guest that is not the instance's."""
    whose = f"it is marked as {mark.instance or mark.uuid}" if mark.present else "it has no mark of CloudStack"
    if mark.uuid == instance.uuid:
        whose = "it is a copy of the instance's guest"
    hint = "" if mark.present else f" (ownership is {ownership}, docs/cloudstack-details.md says what that is)"
    return PermissionDenied(f"{label} on node {node} is not {instance.name}: {whose}, so it was not touched{hint}")


def new_notes(instance: Instance, deployment: str, cloud: str | None = None, finished: bool = True) -> str:
    """The notes of a guest that this deployment creates for the instance."""
    name = "deployment" if finished else "unfinished deployment"
    return "\n".join([*_first_lines(instance, cloud), f"CloudStack {name}: {deployment}"])


def _first_lines(instance: Instance, cloud: str | None) -> list[str]:
    lines = [f"CloudStack instance: {instance.name}", f"CloudStack UUID: {instance.uuid}"]
    return [*lines, f"CloudStack cloud: {cloud}"] if cloud else lines


def adopted_notes(notes: str, mark: Mark, instance: Instance, cloud: str | None = None) -> str:
    """The notes of an adopted guest: the lines of the mark, then its own."""
    rest = _ANY_LINE.sub("", notes).strip("\n")
    if mark.deployment:
        last = f"CloudStack deployment: {mark.deployment}"
    else:
        last = f"CloudStack adopted guest: {mark.adopted_guest or mark.firmware_uuid}"
    return "\n".join([*_first_lines(instance, cloud), last, *([rest] if rest else [])])


def is_instance_name(name: str) -> bool:
    """Whether the name has the form of CloudStack's internal names of instances."""
    return bool(_INSTANCE_NAME.fullmatch(name))
