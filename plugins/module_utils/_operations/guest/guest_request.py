# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a request desires of any guest: the options that all kinds share, and what a kind adds to the machinery."""

# ruff: noqa: ARG002 - of what only some kinds have there is nothing here
from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..._pve.errors import InvalidRequest
from ..._pve.guests import NAME_KEYS, GuestHandle, Selector
from ..._pve.vm_config import VOLUME_KEY
from ..facts import Pending
from ..plan import Applier, Change, Plan
from ..selection import check_dns_name, check_vmid, selector_from
from .config_changes import ConfigChanges
from .desired import DesiredDevice, DesiredSetting
from .kind import GuestKind
from .placement import Needs
from .settings import check_config_key
from .state import GuestState
from .tags import DesiredTags, desired_tags
from .volumes import VolumeChanges, VolumeProgress

STATES = ("present", "absent", "template")
_CLONE_SPEC: dict[str, t.Any] = {
    "source": {"type": "str", "required": True},
    "full": {"type": "bool"},
    "snapshot": {"type": "str", "aliases": ["snapname"]},
    "storage": {"type": "str"},
    "format": {"type": "str", "choices": ["raw", "qcow2", "vmdk"]},
    "target_node": {"type": "str", "aliases": ["target"]},
}


@dataclass(frozen=True)
class CloneOptions:
    """Which guest a new one is made from, and how."""

    source: Selector
    full: bool | None = None
    snapshot: str | None = None
    storage: str | None = None
    format: str | None = None
    # The notes of the clone, from its first moment on, instead of the source's.
    description: str | None = None


@dataclass(frozen=True)
class GuestRequest:
    """A guest as desired; what it does not say stays as it is. The methods say what only its kind has."""

    kind: t.ClassVar[GuestKind]

    selector: Selector
    state: str = "present"
    node: str | None = None
    migrate: bool = False
    rename: bool = False
    clone: CloneOptions | None = None
    settings: tuple[DesiredSetting, ...] = ()
    tags: DesiredTags | None = None
    networks: tuple[DesiredDevice, ...] = ()
    devices: tuple[DesiredDevice, ...] = ()
    remove: tuple[str, ...] = ()
    pool: str | None = None
    apply_pending: str = "never"
    force: bool = False
    purge: bool = False
    destroy_unreferenced_disks: bool = False
    shutdown_timeout: int = 180

    def volume_changes(self, state: GuestState, progress: VolumeProgress | None = None) -> VolumeChanges:
        """Compare the desired volumes with those that are there; raises InvalidRequest."""
        return VolumeChanges()

    def complete(self, changes: ConfigChanges) -> None:
        """Add to a write of the configuration what only this kind has; raises InvalidRequest."""

    def creation_options(self) -> t.Mapping[str, t.Any]:
        """What the call that makes the guest takes besides its settings."""
        return {}

    def needs(self) -> Needs:
        """What a node must have for the guest to be made on it."""
        return Needs()

    def keys(self) -> set[str]:
        """The keys that the request sets, but for volumes."""
        devices = {device.slot for device in (*self.networks, *self.devices)}
        return {setting.key for setting in self.settings} | devices | ({"tags"} if self.tags else set())

    def provided(self, applier: Applier, node: str, values: t.Mapping[str, str]) -> GuestRequest:
        """The request once the node has what it needs for it; in check mode that is only noted. Raises a PveError.

        values are the settings that the guest has, or has from its source; a new one that is no clone has none.
        """
        return self

    def check_clone(self, source: t.Mapping[str, str]) -> None:
        """Raise InvalidRequest for what cannot be made of a clone whose source has these settings."""

    def not_read(self, handle: GuestHandle, state: GuestState, changes: t.Sequence[Change]) -> tuple[Pending, ...]:
        """What a running guest has not read of its settings, although PVE has nothing pending of it."""
        return ()

    def plan_not_read(self, state: GuestState) -> Plan:
        """The plan by which the guest finds at its next start what it has not read."""
        return Plan()


def guest_request_spec() -> dict[str, t.Any]:
    """The options that all kinds of guests share."""
    return {
        "state": {"type": "str", "choices": list(STATES), "default": "present"},
        "rename": {"type": "bool", "default": False},
        "node": {"type": "str"},
        "migrate": {"type": "bool", "default": False},
        "clone": suboptions(_CLONE_SPEC),
        "tags": {"type": "list", "elements": "str"},
        "tags_mode": {"type": "str", "choices": ["set", "add"], "default": "set"},
        "pool": {"type": "str"},
        "config": {"type": "dict"},
        "remove": {"type": "list", "elements": "str", "aliases": ["delete"]},
        "apply_pending": {"type": "str", "choices": ["never", "reboot"], "default": "never"},
        "shutdown_timeout": {"type": "int", "default": 180},
        "force": {"type": "bool", "default": False},
        "purge": {"type": "bool", "default": False},
        "destroy_unreferenced_disks": {"type": "bool", "default": False},
    }


def suboptions(spec: t.Mapping[str, t.Any], *, many: bool = False) -> dict[str, t.Any]:
    """The argument spec of an option that has suboptions, or a list of these."""
    if many:
        return {"type": "list", "elements": "dict", "options": dict(spec)}
    return {"type": "dict", "options": dict(spec)}


def shared_options(kind: GuestKind, parameters: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Check the options that all kinds share; raises InvalidRequest, naming the option."""
    name = parameters.get("name")
    if name is not None:
        check_dns_name("name", name)
    if parameters["shutdown_timeout"] <= 0:
        raise InvalidRequest(f"shutdown_timeout must be more than 0 seconds, not {parameters['shutdown_timeout']}")
    selector = selector_from(parameters, kind.path)
    if parameters["rename"] and (selector.vmid is None or name is None):
        raise InvalidRequest("rename needs both vmid, the guest that is meant, and name, its new name")
    if parameters.get("migrate") and not parameters.get("node"):
        raise InvalidRequest("migrate needs node, which the guest is moved to")
    as_they_are = (
        "state rename migrate pool apply_pending force purge destroy_unreferenced_disks shutdown_timeout".split()
    )
    return {
        **{option: parameters.get(option) for option in as_they_are},
        "selector": selector,
        "node": _node(parameters),
        "migrate": bool(parameters.get("migrate")),
        "clone": _clone(kind, parameters.get("clone")),
        "tags": desired_tags(parameters.get("tags"), parameters["tags_mode"]),
        "remove": tuple(parameters.get("remove") or ()),
    }


def _node(parameters: t.Mapping[str, t.Any]) -> str | None:
    node, target = parameters.get("node"), (parameters.get("clone") or {}).get("target_node")
    if node and target and node != target:
        raise InvalidRequest(f"node is {node} and clone.target_node is {target}: give one of them")
    return node or target or None


def _clone(kind: GuestKind, options: t.Mapping[str, t.Any] | None) -> CloneOptions | None:
    if options is None:
        return None
    if options.get("full") is False and (options.get("storage") or options.get("format")):
        raise InvalidRequest(
            "clone: storage and format are only for full clones: a linked clone stays with its template"
        )
    return CloneOptions(
        source=_source(kind, options["source"]),
        full=options.get("full"),
        snapshot=options.get("snapshot"),
        storage=options.get("storage"),
        format=options.get("format"),
    )


def _source(kind: GuestKind, text: str) -> Selector:
    """Read the source of a clone, a number or a name."""
    if not text.isdigit():
        check_dns_name("clone.source", text)
        return Selector(name=text, kind=kind.path)
    check_vmid("clone.source", int(text))
    return Selector(vmid=int(text), kind=kind.path)


def check_remove(request: GuestRequest) -> None:
    """Raise InvalidRequest for a key that a request cannot unset."""
    kind, desired = request.kind, request.keys()
    for key in request.remove:
        check_config_key(kind, "remove", key)
        if key in kind.required_keys:
            raise InvalidRequest(f"remove: PVE has no {kind.noun} without {key}: give it another value")
        if VOLUME_KEY.fullmatch(key) or key.startswith("unused"):
            option = kind.volumes_option
            raise InvalidRequest(f"remove: {key} is a disk: set its state to detached or absent in {option}")
        if key == NAME_KEYS[kind.path]:
            raise InvalidRequest("remove: a guest keeps its name")
        if key in desired:
            raise InvalidRequest(f"remove: {key} is to be set by another option of the same task")
