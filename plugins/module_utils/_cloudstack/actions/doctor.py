# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""doctor: whether everything is as the other actions need it, and what to do where it is not."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import time
import typing as t

from ..._operations.ha import find_node_affinity
from ..._pve.errors import PveError
from ..answer import in_details_words, redact, table
from ..policy import ALLOWED_CALLERS, parse_callers
from ..privileges import Need, Privileges, needs
from ..run import Run
from ..site import (
    OK,
    PROBLEM,
    WARNING,
    Finding,
    Findings,
    Site,
    check_bridges,
    check_isos,
    check_nodes,
    check_pool,
    check_storages,
    check_tags,
    check_templates,
)
from .console import console_mode, relay_address

Subject = t.TypeVar("Subject")
MOST_SKEW_SECONDS = 60
OLDEST_RELEASE = 8
# Of which the kernel takes the ports of outgoing connections (ip(7)).
_EPHEMERAL_PORTS = "/proc/sys/net/ipv4/ip_local_port_range"


def doctor(run: Run) -> dict[str, t.Any]:
    """Run all checks. The answer is an error, with the reasons, if there is a problem."""
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
    site = Site(run)
    for name, check in (("clock", _clock), ("node", _node), ("HA", _ha), ("console", _console), ("callers", _callers)):
        findings += _guarded(name, check, run)
    for name, look in (
        ("bridges", check_bridges),
        ("storages", check_storages),
        ("ISO images", check_isos),
        ("templates", check_templates),
        ("nodes", check_nodes),
        ("tags", check_tags),
        ("pool", check_pool),
        ("privileges", _privileges),
    ):
        findings += _guarded(name, look, site)
    return findings


def _guarded(name: str, check: t.Callable[[Subject], Findings], subject: Subject) -> list[Finding]:
    try:
        return list(check(subject))
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
    path = run.context.service
    if not path:
        yield Finding("service", OK, "turned off: the executable carries out the actions itself")
        return
    from ..service.control import ask_status

    try:
        state = ask_status(path)
    except (OSError, ValueError) as error:
        mend = "systemctl status cloudbridge-proxmoxd-*; meanwhile the executable carries out the actions itself"
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
        yield Finding(
            "version", WARNING, f"PVE {version}", f"this collection is not tested with PVE before {OLDEST_RELEASE}"
        )
    details = run.details
    if not details.flag("verify_tls_certificate") and not details.text("fingerprint"):
        mend = "set fingerprint, or ca_file, and verify_tls_certificate to true"
        yield Finding("certificate", WARNING, "it is not verified, so an attacker can read the token", mend)
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


def _ha(run: Run) -> Findings:
    name = run.details.text("ha_group")
    if name:
        affinity = find_node_affinity(run.client, name)
        yield Finding("HA", OK, f"rule {affinity.rule}" if affinity.rule else f"group {affinity.group}")


def _console(run: Run) -> Findings:
    mode, relay = console_mode(run), run.context.relay
    if mode == "direct":
        url = run.details.text("console_url")
        yield Finding("console", OK if url else PROBLEM, f"direct: {url or 'no URL'}", "" if url else "set console_url")
    elif mode == "raw":
        yield Finding("console", OK, "raw: the console proxy reaches the ports 5900 to 5999 of every node")
    elif relay is None:
        yield Finding("console", PROBLEM, f"there is no relay: {run.context.no_relay}", _mend_relay(run))
    else:
        # A PveError of this is a finding of its own.
        host, (first, last) = relay_address(run, relay), relay.settings.ports
        try:
            relay.check(host)
        except PveError as error:
            yield Finding("console", PROBLEM, str(error))
        else:
            yield Finding("console", OK, f"relayed: the console proxy reaches {host}, ports {first} to {last}")
        yield from _relay_ports(relay.settings.bind or host, first, last)


def _mend_relay(run: Run) -> str:
    return "start the service, or set console_mode to raw" if run.context.expects_relay else "set console_mode to auto"


def _relay_ports(address: str, first: int, last: int) -> Findings:
    """Whether the ports of the relay are its own: not those of another program, nor of outgoing connections."""
    taken = [port for port in range(first, last + 1) if _is_taken(address, port)]
    with contextlib.suppress(OSError, ValueError), open(_EPHEMERAL_PORTS, encoding="ascii") as file:  # noqa: PTH123
        low, high = (int(word) for word in file.read().split())
        if first <= high and last >= low:
            found = f"ports {first} to {last} are among {low} to {high}, which the kernel gives to outgoing connections"
            yield Finding("console ports", WARNING, found, "give the relay others: cloudstack_extension_console_ports")
    if taken:
        found = f"{len(taken)} of {last - first + 1} are taken: {', '.join(map(str, taken[:10]))}"
        mend = "consoles that wait for their viewers hold one each; ss -ltnp shows other programs"
        yield Finding("console ports", WARNING if len(taken) <= last - first else PROBLEM, found, mend)


def _is_taken(address: str, port: int) -> bool:
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


def _callers(run: Run) -> Findings:
    rules = parse_callers(run.details.mapping(ALLOWED_CALLERS))
    if rules:
        yield Finding(ALLOWED_CALLERS, OK, f"rules for {', '.join(sorted(rules))}")


def _privileges(site: Site) -> Findings:
    run, client = site.run, site.run.client
    release = _release(str(client.read("version").get("version") or "0"))
    held, complete = Privileges(client), True
    raw_console = console_mode(run) == "raw"
    bridges = {*site.wanted_bridges(), *site.bridges_of_templates()}
    storages = {*site.wanted_storages(), *([] if run.details.text("storage") else site.storages_of_templates())}
    mapped = [Need(path, ("Mapping.Use",)) for path in sorted(site.mappings_of_templates())]
    for need in [*needs(run.details, release, sorted(bridges), sorted(storages), raw_console, site.zones()), *mapped]:
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
