# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""doctor: whether everything is as the other actions need it, and what to do where it is not."""

from __future__ import annotations

import os
import stat
import time
import typing as t
from dataclasses import dataclass

from ..._operations.ha import find_place
from ..._pve.errors import PveError
from ..answer import in_details_words, redact
from ..privileges import Privileges, needs
from ..run import Run
from ..tables import table
from .console import console_mode, relay_address

OK, WARNING, PROBLEM = "ok", "warning", "problem"
MOST_SKEW_SECONDS = 60
OLDEST_RELEASE = 8
FULL_SHARE = 0.95
_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True)
class Finding:
    """One row: what was looked at, what was found, and what to do about it."""

    check: str
    result: str
    found: str
    mend: str = ""


Findings = t.Iterator[Finding]


def doctor(run: Run) -> dict[str, t.Any]:
    """Examine everything that can be; the answer is an error, with the reasons, unless all is well."""
    findings = _examine(run)
    problems = [finding for finding in findings if finding.result == PROBLEM]
    rows = [
        {name: redact(text, run.secrets) for name, text in finding.__dict__.items()}
        for finding in sorted(findings, key=lambda item: (PROBLEM, WARNING, OK).index(item.result))
    ]
    if not problems:
        return table(rows)
    words = "; ".join(f"{item.check}: {item.found}{f' - {item.mend}' if item.mend else ''}" for item in problems)
    error = f"{len(problems)} of {len(findings)} checks failed: {words}"
    return {"status": "error", "error": redact(error, run.secrets)[:2000], "kind": "doctor", **table(rows)}


def _examine(run: Run) -> list[Finding]:
    findings = [*_guarded("site policy", _policy, run), *_guarded("log", _log, run)]
    findings += _guarded("service", _service, run)
    findings += _guarded("connection", _connection, run)
    if any(finding.result == PROBLEM for finding in findings):
        return findings
    for name, check in (
        ("clock", _clock),
        ("node", _node),
        ("bridges", _bridges),
        ("storages", _storages),
        ("templates", _templates),
        ("HA", _ha),
        ("console", _console),
        ("privileges", _privileges),
    ):
        findings += _guarded(name, check, run)
    return findings


def _guarded(name: str, check: t.Callable[[Run], Findings], run: Run) -> list[Finding]:
    try:
        return list(check(run))
    except PveError as error:
        return [Finding(name, PROBLEM, in_details_words(str(error)))]


def _policy(run: Run) -> Findings:
    try:
        mode = os.stat(run.policy_file).st_mode  # noqa: PTH116 - pathlib costs 10 ms
    except OSError:
        yield Finding("site policy", WARNING, f"{run.policy_file} is not there", "the defaults are in force")
        return
    if mode & stat.S_IWOTH:
        yield Finding("site policy", PROBLEM, "everybody may write it", f"chmod o-w {run.policy_file}")
    else:
        yield Finding("site policy", OK, run.policy_file)


def _log(run: Run) -> Findings:
    path = run.log.path
    if not path:
        yield Finding("log", WARNING, "there is none")
    elif os.access(path if os.path.exists(path) else os.path.dirname(path) or ".", os.W_OK):  # noqa: PTH110, PTH120
        yield Finding("log", OK, path)
    else:
        yield Finding("log", WARNING, f"{path} cannot be written", "make it writable for the user of CloudStack")


def _service(run: Run) -> Findings:
    path = run.host.service
    if not path:
        yield Finding("service", OK, "turned off: the executable carries actions out itself")
        return
    from ..service.control import ask_status

    try:
        state = ask_status(path)
    except (OSError, ValueError) as error:
        mend = "systemctl status cloudbridge-proxmoxd-*; meanwhile the executable carries actions out itself"
        yield Finding("service", WARNING, f"none answers at {path}: {getattr(error, 'strerror', '') or error}", mend)
        return
    half_made = state["now"]["half_made"]
    if os.path.basename(state["release"]) != os.path.basename(_root()):  # noqa: PTH119
        yield Finding("service", WARNING, f"it runs {state['release']}", "systemctl reload cloudbridge-proxmoxd-*")
    elif half_made:
        mend = "cloudbridge-proxmoxctl status names them; the next call by their token removes them"
        yield Finding("service", WARNING, f"{half_made} guests are half made", mend)
    else:
        yield Finding("service", OK, path)


def _root() -> str:
    """The directory that this code is installed in."""
    return __file__.partition("/ansible_collections/")[0]


def _connection(run: Run) -> Findings:
    version = str(run.client.read_once("version").get("version") or "0")
    yield Finding("connection", OK, f"PVE {version} at {run.client.address} as {run.client.identity}")
    if _release(version) < OLDEST_RELEASE:
        yield Finding("version", WARNING, f"PVE {version}", f"nobody tests against PVE before {OLDEST_RELEASE}")
    details = run.details
    if not details.flag("verify_tls_certificate") and not details.text("fingerprint"):
        mend = "set fingerprint, or ca_file, and verify_tls_certificate to true"
        yield Finding("certificate", WARNING, "it is not checked, so that anybody can get the token", mend)
    else:
        yield Finding("certificate", OK, "it is the one that it should be")


def _release(version: str) -> int:
    first = version.partition(".")[0]
    return int(first) if first.isdigit() else 0


def _clock(run: Run) -> Findings:
    skew = run.client.server_time - time.time()
    if abs(skew) > MOST_SKEW_SECONDS:
        yield Finding("clock", PROBLEM, f"PVE's clock is {skew:+.0f} s off this one", "set both by NTP")
    else:
        yield Finding("clock", OK, f"within {MOST_SKEW_SECONDS} s")


def _node(run: Run) -> Findings:
    nodes = {str(entry["node"]): str(entry.get("status")) for entry in run.client.read("nodes")}
    status = nodes.get(run.node)
    if status is None:
        yield Finding("node", PROBLEM, f"there is no node {run.node}", f"set node to one of {', '.join(sorted(nodes))}")
    elif status != "online":
        yield Finding("node", PROBLEM, f"{run.node} is {status}", "start it, or disable the host in CloudStack")
    else:
        yield Finding("node", OK, run.node)


def _wanted_bridges(run: Run) -> list[str]:
    details = run.details
    vnets = (name for name in details.mapping("vnet_map").values() if "{" not in name)
    bridges = [details.text("network_bridge") or "", *details.mapping("bridge_map").values(), *vnets]
    return sorted({name for name in bridges if name})


def _bridges(run: Run) -> Findings:
    wanted = _wanted_bridges(run)
    there = {str(entry["iface"]): entry for entry in run.client.read("nodes", run.node, "network", type="any_bridge")}
    listed = ", ".join(sorted(there)) or "none that the token may use"
    if not wanted:
        yield Finding("bridges", PROBLEM, "none is set", f"set network_bridge; {run.node} has {listed}")
    for name in wanted:
        if name not in there:
            yield Finding(f"bridge {name}", PROBLEM, f"not on node {run.node}", f"{run.node} has {listed}")
        elif "active" in there[name] and not int(there[name]["active"] or 0):
            yield Finding(f"bridge {name}", WARNING, f"not active on node {run.node}", "ifreload -a")
        else:
            yield Finding(f"bridge {name}", OK, run.node)


def _wanted_storages(run: Run) -> list[str]:
    details = run.details
    storages = [
        details.text("storage") or "",
        details.text("efi_storage") or "",
        *details.mapping("storage_map").values(),
    ]
    return sorted({name for name in storages if name})


def _storages(run: Run) -> Findings:
    there = {str(entry["storage"]): entry for entry in run.client.read("nodes", run.node, "storage")}
    content = {name: set(str(entry.get("content") or "").split(",")) for name, entry in there.items()}
    for_disks = sorted(name for name, kinds in content.items() if "images" in kinds)
    listed = ", ".join(for_disks) or "none that the token may use"
    wanted = _wanted_storages(run)
    for name in wanted:
        yield _storage(run.node, name, there.get(name), "images", content)
    if not wanted:
        result = OK if for_disks else PROBLEM
        yield Finding("storages", result, f"for disks: {listed}", "" if for_disks else "grant Datastore.AllocateSpace")
    backups = run.details.text("backup_storage")
    if backups:
        yield _storage(run.node, backups, there.get(backups), "backup", content)
    for_isos = sorted(name for name, kinds in content.items() if "iso" in kinds)
    mend = "" if for_isos else "instances cannot be installed from ISO images, nor AttachISO be used"
    yield Finding("ISO storages", OK if for_isos else WARNING, ", ".join(for_isos) or "none", mend)


def _storage(
    node: str, name: str, entry: t.Mapping[str, t.Any] | None, kind: str, content: t.Mapping[str, set[str]]
) -> Finding:
    check, what = ("backup storage", "backups") if kind == "backup" else ("storage", "disks of guests")
    check = f"{check} {name}"
    if entry is None:
        fit = ", ".join(sorted(other for other, kinds in content.items() if kind in kinds)) or "none"
        found = f"not on node {node}, or the token may not use it"
        return Finding(check, PROBLEM, found, f"for {what} there: {fit}")
    if not int(entry.get("active") or 0) or not int(entry.get("enabled", 1) or 0):
        return Finding(check, PROBLEM, f"not active on node {node}", "enable it, and look at its server")
    if kind not in content[name]:
        return Finding(check, PROBLEM, f"not for {what}", f"pvesm set {name} --content {kind},...")
    total, used = int(entry.get("total") or 0), int(entry.get("used") or 0)
    if total and used / total > FULL_SHARE:
        return Finding(check, WARNING, f"{100 * used // total} % full", "make room")
    return Finding(check, OK, node)


def _templates(run: Run) -> Findings:
    details = run.details
    named = [*details.words("allowed_templates"), *details.mapping("template_map").values()]
    if details.given("template_id") and not details.from_tenant("template_id"):
        named.append(details.text("template_id") or "")
    guests = [entry for entry in run.client.read("cluster", "resources", type="vm") if entry.get("type") == "qemu"]
    templates = [entry for entry in guests if int(entry.get("template") or 0)]
    wanted = sorted({name for name in named if name and not _WILDCARDS.intersection(name)})
    if not wanted:
        names = ", ".join(sorted(str(entry.get("name") or entry["vmid"]) for entry in templates))
        mend = "" if names else "make one, or grant VM.Audit and VM.Clone on it"
        yield Finding("templates", OK if names else WARNING, names or "none that the token can see", mend)
    for name in wanted:
        found = [entry for entry in guests if name in (str(entry["vmid"]), entry.get("name"))]
        if not found:
            yield Finding(f"template {name}", PROBLEM, "not there", "make it, or grant VM.Audit and VM.Clone on it")
        elif not any(entry in templates for entry in found):
            yield Finding(f"template {name}", WARNING, "a guest, no template", f"qm template {found[0]['vmid']}")
        else:
            yield Finding(f"template {name}", OK, ", ".join(f"{entry['vmid']} on {entry['node']}" for entry in found))


def _ha(run: Run) -> Findings:
    name = run.details.text("ha_group")
    if name:
        place = find_place(run.client, name)
        yield Finding("HA", OK, f"rule {place.rule}" if place.rule else f"group {place.group}")


def _console(run: Run) -> Findings:
    mode, relay = console_mode(run), run.host.relay
    if mode == "direct":
        url = run.details.text("console_url")
        yield Finding("console", OK if url else PROBLEM, f"direct: {url or 'no URL'}", "" if url else "set console_url")
    elif mode == "raw":
        yield Finding("console", OK, "raw: the console proxy reaches the ports 5900 to 5999 of every node")
    elif relay is None:
        yield Finding("console", PROBLEM, f"there is no relay: {run.host.no_relay}", "set console_mode to auto")
    else:
        host, (first, last) = relay_address(run, relay), relay.settings.ports
        try:
            relay.check(host)
        except PveError as error:
            yield Finding("console", PROBLEM, str(error))
        else:
            yield Finding("console", OK, f"relayed: the console proxy reaches {host}, ports {first} to {last}")


def _privileges(run: Run) -> Findings:
    client = run.client
    release = _release(str(client.read("version").get("version") or "0"))
    held, complete = Privileges(client), True
    raw_console = console_mode(run) == "raw"
    for need in needs(run.details, release, _wanted_bridges(run), _wanted_storages(run), raw_console):
        missing = held.missing(need)
        if not missing:
            continue
        complete = False
        result = WARNING if need.optional else PROBLEM
        found = f"{client.identity} lacks {', '.join(missing)} on {need.path}"
        place = need.path.rpartition("/")[0] or "/" if need.path.startswith("/vms/") else need.path
        mend = f"grant a role with it to user and token: pveum acl modify {place} ..."
        check = f"privileges for {need.purpose}" if need.optional else f"privileges on {need.path}"
        yield Finding(check, result, found, mend)
    if complete:
        yield Finding("privileges", OK, f"{client.identity} has all that are needed")
