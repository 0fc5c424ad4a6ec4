# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The site as the doctor sees it: what the details name, compared with what PVE has.

Each check yields one finding for each thing that it looked at.
"""

from __future__ import annotations

import fnmatch
import re
import typing as t
from dataclasses import dataclass

from .._operations.facts import split_tags
from .._operations.guest.volumes import parse_drive
from .._pve.guests import QEMU
from .._pve.vm_config import DRIVE_KEY
from .details import DETAILS
from .networks import Entry, bridges_of, bridges_on
from .tags import read_options, refused_tags, untold_tags, wanted_tags

if t.TYPE_CHECKING:
    from .run import Run

OK, WARNING, PROBLEM = "ok", "warning", "problem"
_WILDCARDS = frozenset("*?[")
Findings = t.Iterator["Finding"]
FULL_SHARE = 0.95
_MAPPED = {"usb": "usb", "hostpci": "pci"}
# To read the configurations of more templates would take too long.
MOST_TEMPLATES = 50


@dataclass(frozen=True)
class Finding:
    """One row: what was checked, what was found, and what to do about it."""

    check: str
    result: str
    found: str
    mend: str = ""


def is_pattern(word: str) -> bool:
    """Whether the word is a pattern."""
    return not _WILDCARDS.isdisjoint(word)


def matches(word: str, names: t.Iterable[str]) -> list[str]:
    """The names that match a pattern."""
    return [name for name in names if fnmatch.fnmatchcase(name, word)]


def nothing_of(detail: str, word: str, there: t.Iterable[str], mend: str) -> Finding:
    """The row for a word of a list without a match: a problem if it is a name, a warning if it is a pattern."""
    listed = ", ".join(sorted(there)) or "none"
    return Finding(f"{detail} {word}", WARNING if is_pattern(word) else PROBLEM, f"fits nothing of {listed}", mend)


class Site:
    """PVE as the doctor sees it. Each property is read once, on first use."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._resources: list[Entry] | None = None
        self._storages: dict[str, Entry] | None = None
        self._bridges: dict[str, Entry] | None = None
        self._templates: dict[int, t.Mapping[str, str]] = {}

    @property
    def resources(self) -> list[Entry]:
        """Everything in the cluster that the token may see."""
        if self._resources is None:
            self._resources = t.cast("list[Entry]", self.run.client.read("cluster", "resources"))
        return self._resources

    @property
    def storages(self) -> dict[str, Entry]:
        """The storages of the node, by name."""
        if self._storages is None:
            entries = self.run.client.read("nodes", self.run.node, "storage")
            self._storages = {str(entry["storage"]): entry for entry in entries}
        return self._storages

    @property
    def bridges(self) -> dict[str, Entry]:
        """The bridges and vnets of the node, by name."""
        if self._bridges is None:
            self._bridges = bridges_on(self.run)
        return self._bridges

    @property
    def nodes(self) -> list[str]:
        """The names of the cluster's nodes."""
        return sorted(str(entry["node"]) for entry in self.resources if entry.get("type") == "node")

    @property
    def guests(self) -> list[Entry]:
        """The virtual machines, templates among them."""
        return [entry for entry in self.resources if entry.get("type") == QEMU]

    @property
    def templates(self) -> list[Entry]:
        """The templates that tenants may select."""
        allowed = self.run.details.words("allowed_templates")
        templates = [entry for entry in self.guests if is_template(entry)]
        return [entry for entry in templates if any(matches(word, names_of(entry)) for word in allowed)]

    def config_of(self, template: Entry) -> t.Mapping[str, str]:
        """The configuration of a template."""
        vmid = int(template["vmid"])
        if vmid not in self._templates:
            self._templates[vmid] = self.run.client.read("nodes", str(template["node"]), QEMU, vmid, "config")
        return self._templates[vmid]

    def of_content(self, kind: str) -> list[str]:
        """The storages of the node that take this kind of content."""
        return sorted(name for name, entry in self.storages.items() if kind in split_tags(entry.get("content")))

    def wanted_bridges(self) -> list[str]:
        """The bridges and vnets that the details name."""
        details = self.run.details
        vnets = (name for name in details.mapping("vnet_map").values() if "{" not in name)
        bridges = [details.text("network_bridge") or "", *details.mapping("bridge_map").values(), *vnets]
        return sorted({name for name in bridges if name})

    def set_storages(self) -> set[str]:
        """The storages that the operator's details give to all instances of the host."""
        details = self.run.details
        return {details.text(name) or "" for name in ("storage", "efi_storage", "backup_storage")} - {""}

    def wanted_storages(self) -> list[str]:
        """The storages for disks that the details name, without patterns and by PVE's own names."""
        details, mapped = self.run.details, self.run.details.mapping("storage_map")
        allowed = (mapped.get(word, word) for word in details.words("allowed_storages") if not is_pattern(word))
        storages = [details.text("storage") or "", details.text("efi_storage") or "", *mapped.values(), *allowed]
        return sorted({name for name in storages if name})

    def _configs(self) -> list[t.Mapping[str, str]]:
        return [self.config_of(entry) for entry in self.templates[:MOST_TEMPLATES]]

    def bridges_of_templates(self) -> set[str]:
        """The bridges of the templates: to clone one, PVE wants SDN.Use on them (PVE::API2::Qemu, clone_vm)."""
        return {name for config in self._configs() for name in bridges_of(config)}

    def storages_of_templates(self) -> set[str]:
        """The storages of the templates: linked clones are made there."""
        texts = (config[key] for config in self._configs() for key in config if DRIVE_KEY.fullmatch(key))
        return {drive.storage for drive in map(parse_drive, texts) if drive.storage and not drive.is_cdrom}

    def mappings_of_templates(self) -> set[str]:
        """The paths of the mapped devices of the templates: a clone needs Mapping.Use on them."""
        found = (_mapping(key, str(config[key])) for config in self._configs() for key in config)
        return {path for path in found if path}

    def zones(self) -> dict[str, str]:
        """The zones of the vnets, by vnet; all other bridges are in PVE's own zone."""
        if not any(entry.get("type") == "vnet" for entry in self.bridges.values()):
            return {}
        return {str(item["vnet"]): str(item.get("zone")) for item in self.run.client.read("cluster", "sdn", "vnets")}


def _mapping(key: str, value: str) -> str:
    """The path of what a device is mapped to; empty for all else (PVE::QemuServer, check_mapping_access)."""
    kind, first = key.rstrip("0123456789"), value.partition(",")[0]
    if kind == "rng":
        return "/mapping/hwrng" if "/dev/hwrng" in value else ""
    name = re.search(r"(?:^|,)(?:mapping|dirid)=([^,]+)", value)
    if kind == "virtiofs":
        return f"/mapping/dir/{name[1] if name else first}"
    return f"/mapping/{_MAPPED[kind]}/{name[1]}" if kind in _MAPPED and name else ""


def is_template(entry: Entry) -> bool:
    return bool(int(entry.get("template") or 0))


def names_of(entry: Entry) -> list[str]:
    """The number and the name of a guest."""
    return [str(entry["vmid"]), *([str(entry["name"])] if entry.get("name") else [])]


def check_bridges(site: Site) -> Findings:
    node, wanted, there = site.run.node, site.wanted_bridges(), site.bridges
    listed = ", ".join(sorted(there)) or "none that the token may use"
    if not wanted:
        yield Finding("bridges", PROBLEM, "none is set", f"set network_bridge; {node} has {listed}")
    for name in wanted:
        if name not in there:
            yield Finding(f"bridge {name}", PROBLEM, f"not on node {node}", f"{node} has {listed}")
        elif "active" in there[name] and not int(there[name]["active"] or 0):
            yield Finding(f"bridge {name}", WARNING, f"not active on node {node}", "ifreload -a")
        else:
            yield Finding(f"bridge {name}", OK, node)


def check_storages(site: Site) -> Findings:
    details, for_disks, for_isos = site.run.details, site.of_content("images"), site.of_content("iso")
    wanted = site.wanted_storages()
    for name in wanted:
        yield _storage(site, name, "images")
    if not wanted:
        listed = ", ".join(for_disks) or "none that the token may use"
        result = OK if for_disks else PROBLEM
        yield Finding("storages", result, f"for disks: {listed}", "" if for_disks else "grant Datastore.AllocateSpace")
    aliases = [*for_disks, *details.mapping("storage_map")]
    yield from _patterns(site, "allowed_storages", aliases, "tenants can select no storage by it")
    backups = [details.text("backup_storage"), *details.words("allowed_backup_storages")]
    for name in dict.fromkeys(name for name in backups if name and not is_pattern(name)):
        yield _storage(site, name, "backup")
    yield from _patterns(site, "allowed_backup_storages", site.of_content("backup"), "Backup can use no storage by it")
    mend = "" if for_isos else "instances cannot be installed from ISO images, nor AttachISO be used"
    yield Finding("ISO storages", OK if for_isos else WARNING, ", ".join(for_isos) or "none", mend)


def _patterns(site: Site, detail: str, there: t.Sequence[str], mend: str) -> Findings:
    """A row for each pattern of a list without a match; names have rows of their own."""
    for word in site.run.details.words(detail):
        if is_pattern(word) and word not in DETAILS[detail].default and not matches(word, there):
            yield nothing_of(detail, word, there, mend)


def _storage(site: Site, name: str, kind: str) -> Finding:
    node, entry = site.run.node, site.storages.get(name)
    check, what = ("backup storage", "backups") if kind == "backup" else ("storage", "disks of guests")
    check = f"{check} {name}"
    if entry is None or not int(entry.get("enabled", 1) or 0):
        fit = f"for {what} there: {', '.join(site.of_content(kind)) or 'none'}"
        elsewhere = [str(item["node"]) for item in site.resources if item.get("storage") == name]
        # What tenants may select can be for other hosts of the cluster.
        if elsewhere and name not in site.set_storages():
            return Finding(check, WARNING, f"not on node {node}, but on {', '.join(elsewhere)}", fit)
        return Finding(check, PROBLEM, f"not on node {node}, or the token may not use it", fit)
    if not int(entry.get("active") or 0):
        return Finding(check, PROBLEM, f"not active on node {node}", "enable it, and look at its server")
    if kind not in split_tags(entry.get("content")):
        return Finding(check, PROBLEM, f"not for {what}", f"pvesm set {name} --content {kind},...")
    total, used = int(entry.get("total") or 0), int(entry.get("used") or 0)
    if total and used / total > FULL_SHARE:
        return Finding(check, WARNING, f"{100 * used // total} % full", "make room")
    return Finding(check, OK, node)


def check_isos(site: Site) -> Findings:
    """Whether each word of allowed_isos fits an image; nothing is read where all images are allowed."""
    words = [word for word in site.run.details.words("allowed_isos") if word not in DETAILS["allowed_isos"].default]
    if not words:
        return
    images: list[str] = []
    for storage in site.of_content("iso"):
        entries = site.run.client.read("nodes", site.run.node, "storage", storage, "content", content="iso")
        images += [str(entry["volid"]) for entry in entries]
    for word in words:
        found = matches(word, images)
        if not found:
            mend = f"upload it, or look at its name; the storages for images are {', '.join(site.of_content('iso'))}"
            yield nothing_of("allowed_isos", word, images[:5], mend)
        else:
            yield Finding(f"allowed_isos {word}", OK, f"{len(found)} images")


def check_templates(site: Site) -> Findings:
    details = site.run.details
    templates = [entry for entry in site.guests if is_template(entry)]
    labels = {int(entry["vmid"]): names_of(entry)[-1] for entry in templates}
    allowed = ", ".join(sorted(labels[int(entry["vmid"])] for entry in site.templates))
    others = ", ".join(sorted(set(labels.values()) - {labels[int(entry["vmid"])] for entry in site.templates}))
    if allowed:
        yield Finding("templates", OK, f"{allowed}{f' (not for tenants: {others})' if others else ''}")
    elif templates:
        yield Finding(
            "templates", WARNING, f"allowed_templates fits none of {others}", "name those that tenants may use"
        )
    else:
        mend = "make one, or grant VM.Audit and VM.Clone on it"
        yield Finding("templates", WARNING, "none that the token can see", mend)
    own = "" if details.from_tenant("template_id") else details.text("template_id") or ""
    targets = [text.partition("@")[0] for text in details.mapping("template_map").values()]
    for word in dict.fromkeys([*details.words("allowed_templates"), *targets, own]):
        if word and is_pattern(word) and not any(matches(word, names_of(entry)) for entry in templates):
            if templates:
                mend = "tenants can select no template by it"
                yield nothing_of("allowed_templates", word, labels.values(), mend)
        elif word and not is_pattern(word):
            yield _template(site, word)
    yield from _nodes_named(site, "template_map", [_node_of(text) for text in details.mapping("template_map")])


def _template(site: Site, name: str) -> Finding:
    found = [entry for entry in site.guests if name in names_of(entry)]
    templates = [entry for entry in found if is_template(entry)]
    check = f"template {name}"
    if not found:
        return Finding(check, PROBLEM, "not there", "make it, or grant VM.Audit and VM.Clone on it")
    if templates:
        places = ", ".join(f"{entry['vmid']} on {entry['node']}" for entry in templates)
        here = [entry for entry in templates if entry["node"] == site.run.node]
        if len(templates) > 1 and len(here) != 1:
            return Finding(check, WARNING, f"several: {places}", "tenants can select it by number only: rename one")
        return Finding(check, OK, places)
    vmid = found[0]["vmid"]
    if name != str(vmid):
        found_words = f"guest {vmid}, no template: its name counts for nothing"
        return Finding(check, PROBLEM, found_words, f"qm template {vmid}, or name its number")
    return Finding(check, WARNING, "a guest, no template", f"qm template {vmid}")


def _node_of(text: str) -> str:
    return text.partition("@")[2]


def check_nodes(site: Site) -> Findings:
    """The nodes that the details name beside that of the host."""
    yield from _nodes_named(site, "allowed_nodes", site.run.details.words("allowed_nodes"))
    yield from _nodes_named(site, "console_host_map", list(site.run.details.mapping("console_host_map")))


def _nodes_named(site: Site, detail: str, words: t.Iterable[str]) -> Findings:
    for word in dict.fromkeys(word for word in words if word):
        if not matches(word, site.nodes):
            yield nothing_of(detail, word, site.nodes, "name the nodes of the cluster")


def check_tags(site: Site) -> Findings:
    """Whether the token may set the tags of the details; one request."""
    options, tags = read_options(site.run), wanted_tags(site.run.details)
    refused, untold = refused_tags(options, tags), untold_tags(options, tags)
    for tag in tags:
        if tag in refused:
            yield Finding(f"tag {tag}", PROBLEM, f"{site.run.client.identity} may not set it", refused[tag])
    if untold and site.run.details.words("tags"):
        found = f"PVE does not show whether {site.run.client.identity} may set {', '.join(untold)}"
        yield Finding("tags", WARNING, found, "grant Sys.Audit on /")
    elif not refused:
        yield Finding("tags", OK, ", ".join(tags))


def check_pool(site: Site) -> Findings:
    """Whether the pool is there; one request, and none without a pool."""
    name = site.run.details.text("pool")
    if name:
        pools = [str(entry["poolid"]) for entry in site.run.client.read("pools")]
        if name in pools:
            yield Finding(f"pool {name}", OK, "there")
        else:
            mend = f"pvesh create /pools --poolid {name}, or grant Pool.Audit on it"
            yield Finding(f"pool {name}", PROBLEM, "not there", mend)
