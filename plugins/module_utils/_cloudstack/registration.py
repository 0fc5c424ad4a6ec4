# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make the extension, its custom actions and its clusters known to CloudStack, through CloudStack's API.

The role runs main() with an order; what was done is printed as JSON. Custom actions and clusters that the order does
not name stay as they are.
"""

from __future__ import annotations

import importlib
import json
import sys
import typing as t
from dataclasses import dataclass, field

# What a tenant must not set: with it he would name another tenant's guest (CVE-2026-25199).
RESERVED_DETAILS = "proxmox_vmid"
RESOURCE_TYPE = "VirtualMachine"
CLUSTER = "Cluster"
# Since CloudStack 4.23; without it a registration stays as it was made.
UPDATE_REGISTERED = "updateRegisteredExtension"

Fields = t.Dict[str, t.Any]  # noqa: UP006 - Python 3.9 evaluates it


class RegistrationFailed(Exception):
    """CloudStack cannot be brought to know the extension; the message says why."""


class CommandRefused(RegistrationFailed):
    """CloudStack has answered with an error."""


@dataclass(frozen=True)
class Extension:
    """The extension as the order wants it; path is relative to CloudStack's directory of extensions."""

    name: str
    path: str
    description: str
    enabled: bool
    details: dict[str, str]

    @property
    def state(self) -> str:
        return "Enabled" if self.enabled else "Disabled"


@dataclass
class RegistrationResult:
    """What was done, or would be."""

    check: bool
    changes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def document(self) -> Fields:
        """Return the result as the role reads it."""
        return {"changed": bool(self.changes), "changes": self.changes, "warnings": self.warnings}


class CloudStack:
    """CloudStack's API, by the cs library; its failures become RegistrationFailed."""

    def __init__(self, url: str, key: str, secret: str, validate_certs: bool, ca_path: str, timeout: int) -> None:
        try:
            self._cs: t.Any = importlib.import_module("cs")
        except ImportError:
            raise RegistrationFailed("the Python library cs is missing in the environment of the extension") from None
        self._url = url
        # POST keeps the details, which can hold a secret, out of access logs.
        self._client = self._cs.CloudStack(
            endpoint=url,
            key=key,
            secret=secret,
            method="post",
            timeout=timeout,
            verify=ca_path or None,
            dangerous_no_tls_verify=not validate_certs,
        )

    def call(self, command: str, **parameters: t.Any) -> Fields:
        """Call the API; raises RegistrationFailed with CloudStack's own words."""
        try:
            answer: Fields = getattr(self._client, command)(**parameters)
        except self._cs.CloudStackApiException as error:
            words = error.error.get("errortext") if isinstance(error.error, dict) else None
            raise CommandRefused(f"CloudStack refused {command}: {words or error}") from None
        except (self._cs.CloudStackException, OSError) as error:
            raise RegistrationFailed(f"CloudStack's API at {self._url} did not answer {command}: {error}") from None
        return answer

    def parameters_of(self, command: str) -> set[str]:
        """Return the names of the parameters that this CloudStack knows for a command; none for one it lacks."""
        try:
            listed = self.call("listApis", name=command).get("api") or [{}]
        except CommandRefused:
            # CloudStack refuses to list what is not there.
            return set()
        return {parameter["name"] for parameter in listed[0].get("params", ())}


def register(
    cloudstack: CloudStack,
    extension: Extension,
    actions: t.Sequence[Fields],
    clusters: t.Mapping[str, t.Mapping[str, str]],
    result: RegistrationResult,
) -> None:
    """Bring the extension, its custom actions and its clusters to what is wanted; raises RegistrationFailed."""
    extension_id = ensure_extension(cloudstack, extension, result)
    present = {}
    if extension_id:
        listed = cloudstack.call("listCustomActions", extensionid=extension_id)
        present = {action["name"]: action for action in listed.get("extensioncustomaction") or ()}
    for action in actions:
        ensure_action(cloudstack, extension_id, wanted_action(action), present.get(action["name"]), result)
    if clusters:
        ensure_clusters(cloudstack, extension, extension_id, clusters, result)


def find_extension(cloudstack: CloudStack, name: str) -> Fields | None:
    """Return the extension as CloudStack lists it, with the resources that it is registered with."""
    listed = cloudstack.call("listExtensions", name=name).get("extension") or []
    # Old releases took the name for a part of one.
    return next((item for item in listed if item.get("name") == name), None)


def ensure_clusters(
    cloudstack: CloudStack,
    extension: Extension,
    extension_id: str,
    clusters: t.Mapping[str, t.Mapping[str, str]],
    result: RegistrationResult,
) -> None:
    """Register the extension with the clusters, and bring the details of each up to date."""
    listed = (find_extension(cloudstack, extension.name) or {}).get("resources") or ()
    present = {str(item["id"]): item.get("details") or {} for item in listed if item.get("type") == CLUSTER}
    for cluster, details in clusters.items():
        place = {"extensionid": extension_id, "resourceid": cluster, "resourcetype": CLUSTER}
        there = present.get(cluster)
        if there is None:
            result.changes.append(f"register extension {extension.name} with cluster {cluster}")
            if not result.check:
                cloudstack.call("registerExtension", **place, **({"details": details} if details else {}))
        elif {**there, **details} != there:
            if not cloudstack.parameters_of(UPDATE_REGISTERED):
                result.warnings.append(
                    f"this CloudStack cannot change the details of cluster {cluster}, which 4.23 and newer can: "
                    f"unregister the extension from the cluster, and run this again"
                )
                continue
            changed = sorted(name for name in details if there.get(name) != details[name])
            result.changes.append(f"update extension {extension.name} in cluster {cluster}: {', '.join(changed)}")
            if not result.check:
                # An update replaces all of them, but those that CloudStack hides.
                cloudstack.call(UPDATE_REGISTERED, **place, details={**there, **details})


def ensure_extension(cloudstack: CloudStack, extension: Extension, result: RegistrationResult) -> str:
    """Create or update the extension, and return its id, which is empty in check mode before it exists."""
    present = find_extension(cloudstack, extension.name)
    reserved = {"reservedresourcedetails": RESERVED_DETAILS}
    if "reservedresourcedetails" not in cloudstack.parameters_of("createExtension"):
        reserved = {}
        result.warnings.append(
            f"this CloudStack cannot reserve the detail {RESERVED_DETAILS}, which 4.23 and newer can, so that tenants "
            f"may change it (CVE-2026-25199): name {RESERVED_DETAILS} in the global setting user.vm.denied.details"
        )
    if present is None:
        result.changes.append(f"create extension {extension.name}")
        if result.check:
            return ""
        answer = cloudstack.call(
            "createExtension",
            name=extension.name,
            type="Orchestrator",
            path=extension.path,
            description=extension.description,
            state=extension.state,
            orchestratorrequirespreparevm=True,
            details=extension.details,
            **reserved,
        )
        return str(answer["extension"]["id"])
    changes = extension_changes(extension, present, reserved)
    if changes:
        result.changes.append(f"update extension {extension.name}: {', '.join(sorted(changes))}")
        if not result.check:
            cloudstack.call("updateExtension", id=present["id"], **changes)
    return str(present["id"])


def extension_changes(extension: Extension, present: Fields, reserved: Fields) -> Fields:
    """Return the parameters of updateExtension that bring what is present to what is wanted."""
    # CloudStack lists the absolute path, and has no command that changes it.
    if not f"/{present.get('path', '')}".endswith(f"/{extension.path}"):
        raise RegistrationFailed(
            f"the extension {extension.name} is registered with the executable {present.get('path')} instead of "
            f"{extension.path}, which CloudStack cannot change: set cloudstack_extension_entry_point to that name, "
            f"or choose another cloudstack_extension_name"
        )
    changes: Fields = {}
    if present.get("state") != extension.state:
        changes["state"] = extension.state
    if not present.get("orchestratorrequirespreparevm"):
        changes["orchestratorrequirespreparevm"] = True
    if reserved and RESERVED_DETAILS not in str(present.get("reservedresourcedetails", "")).split(","):
        others = present.get("reservedresourcedetails")
        changes["reservedresourcedetails"] = f"{others},{RESERVED_DETAILS}" if others else RESERVED_DETAILS
    # The extensions that CloudStack brings along keep their own description.
    if present.get("isuserdefined", True) and present.get("description") != extension.description:
        changes["description"] = extension.description
    details = present.get("details") or {}
    if {**details, **extension.details} != details:
        # An update replaces all of them.
        changes["details"] = {**details, **extension.details}
    return changes


def wanted_action(action: Fields) -> Fields:
    """Return a custom action of the order as CloudStack lists it."""
    return {
        **action,
        "resourcetype": RESOURCE_TYPE,
        "enabled": True,
        # CloudStack always adds the administrators.
        "allowedroletypes": sorted({*action["allowedroletypes"], "Admin"}),
        "parameters": [wanted_parameter(parameter) for parameter in action["parameters"]],
        **{name: action[name].replace("[instance]", "{{resourceName}}") for name in ("successmessage", "errormessage")},
    }


def wanted_parameter(parameter: Fields) -> Fields:
    """Return a parameter with what CloudStack takes for granted."""
    return {
        "name": parameter["name"],
        "type": str(parameter.get("type", "STRING")).upper(),
        "required": bool(parameter.get("required", False)),
        "validationformat": str(parameter.get("validationformat", "NONE")).upper(),
    }


def ensure_action(
    cloudstack: CloudStack, extension_id: str, wanted: Fields, present: Fields | None, result: RegistrationResult
) -> None:
    """Add a custom action, or update what differs."""
    name = wanted["name"]
    if present is None:
        result.changes.append(f"add custom action {name}")
        if not result.check:
            cloudstack.call("addCustomAction", extensionid=extension_id, **for_api(wanted))
        return
    listed = {
        **present,
        "allowedroletypes": sorted(present.get("allowedroletypes") or ()),
        "parameters": [wanted_parameter(parameter) for parameter in present.get("parameters") or ()],
    }
    changes = {key: value for key, value in wanted.items() if listed.get(key) != value}
    if not changes:
        return
    result.changes.append(f"update custom action {name}: {', '.join(sorted(changes))}")
    if "parameters" in changes and not changes["parameters"]:
        del changes["parameters"]
        changes["cleanupparameters"] = True
    if not result.check:
        cloudstack.call("updateCustomAction", id=present["id"], **for_api(changes))


def for_api(fields: Fields) -> Fields:
    """Write truth values inside lists as CloudStack reads them; the library does it only outside."""
    if "parameters" not in fields:
        return fields
    parameters = [{**item, "required": str(item["required"]).lower()} for item in fields["parameters"]]
    return {**fields, "parameters": parameters}


def as_texts(details: t.Mapping[t.Any, t.Any] | None) -> dict[str, str]:
    """Return details as CloudStack keeps them; flags are true and false there."""
    return {
        str(name): str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in (details or {}).items()
    }


def main(text: str) -> int:
    """Carry out an order, which is JSON, and return the exit code: 1 when CloudStack could not be brought to it."""
    order = json.loads(text)
    result = RegistrationResult(bool(order["check"]))
    wanted = order["extension"]
    details = as_texts(wanted["details"])
    clusters = {str(cluster): as_texts(given) for cluster, given in order["clusters"].items()}
    try:
        cloudstack = CloudStack(**order["api"])
        register(cloudstack, Extension(**{**wanted, "details": details}), order["custom_actions"], clusters, result)
    except RegistrationFailed as error:
        text = str(error)
        for secret in (order["api"]["secret"], *(given.get("secret") for given in (details, *clusters.values()))):
            text = text.replace(secret, "********") if secret else text
        sys.stdout.write(json.dumps({"error": text, **result.document()}) + "\n")
        return 1
    sys.stdout.write(json.dumps(result.document()) + "\n")
    return 0
