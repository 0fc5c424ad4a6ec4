# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which PVE the suite runs on, and what of it the suite may use: read from the environment once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

CONNECTION = (
    "PROXMOX_HOST",
    "PROXMOX_PORT",
    "PROXMOX_USER",
    "PROXMOX_TOKEN_ID",
    "PROXMOX_TOKEN_SECRET",
    "PROXMOX_CA_PATH",
    "PROXMOX_VALIDATE_CERTS",
    "PROXMOX_FINGERPRINT",
)
PREFIX = "CLOUDBRIDGE_LIVE_"
YES = ("1", "true", "yes")


@dataclass(frozen=True)
class LiveSettings:
    """The names on a PVE that the suite may use; what is not named is not used, and its cases are skipped."""

    pool: str
    first_vmid: int
    last_vmid: int
    node: str
    storage: str
    image_format: str | None = None
    other_storage: str | None = None
    shared_storage: str | None = None
    other_node: str | None = None
    bridge: str | None = None
    template: int | None = None
    iso: str | None = None
    import_image: str | None = None
    # The URL of a small qcow2 image that the node can download.
    image_url: str | None = None
    backup_storage: str | None = None
    # A template of containers, as in local:vztmpl/debian.tar.zst, and where their volumes are, if not on `storage`.
    container_template: str | None = None
    container_storage: str | None = None
    # A distribution that the role cloud_template knows, and the URL of its cloud image.
    distribution: str | None = None
    distribution_image: str | None = None
    # The template has a system with a guest agent, so that one knows when a shutdown will be heard.
    shuts_down: bool = False
    # It has a shell on its serial line, without a login.
    serial_shell: bool = False
    # So many bytes of a file, and of output, go over the guest agent.
    agent_file: int = 700_000
    agent_output: int = 2_000_000

    @property
    def vmids(self) -> range:
        return range(self.first_vmid, self.last_vmid + 1)

    def own(self, vmid: int, pool: str) -> bool:
        """Whether a guest may be touched: by its number and by its pool."""
        return vmid in self.vmids and pool == self.pool


def live_settings(environment: Mapping[str, str]) -> LiveSettings:
    """Read CLOUDBRIDGE_LIVE_*; raises ValueError with a sentence that names what is missing or wrong."""

    def text(name: str) -> str | None:
        return environment.get(PREFIX + name) or None

    def needed(name: str, example: str) -> str:
        value = text(name)
        if value is None:
            raise ValueError(f"{PREFIX}{name} is not set: give it a value as in {example}")
        return value

    span = needed("VMIDS", "7000-7099")
    numbers = re.fullmatch(r"(\d+)-(\d+)", span)
    if not numbers or not 100 <= int(numbers[1]) <= int(numbers[2]):
        raise ValueError(f"{PREFIX}VMIDS is {span!r}, and not a range of numbers as in 7000-7099")
    template = text("TEMPLATE")
    if template is not None and not template.isdigit():
        raise ValueError(f"{PREFIX}TEMPLATE is {template!r}, and not the number of a template")
    return LiveSettings(
        pool=needed("POOL", "cloudbridge-live"),
        first_vmid=int(numbers[1]),
        last_vmid=int(numbers[2]),
        node=needed("NODE", "pve1"),
        storage=needed("STORAGE", "local-lvm"),
        image_format=text("IMAGE_FORMAT"),
        other_storage=text("OTHER_STORAGE"),
        shared_storage=text("SHARED_STORAGE"),
        other_node=text("OTHER_NODE"),
        bridge=text("BRIDGE"),
        template=int(template) if template else None,
        iso=text("ISO"),
        import_image=text("IMPORT_IMAGE"),
        image_url=text("IMAGE_URL"),
        backup_storage=text("BACKUP_STORAGE"),
        container_template=text("CONTAINER_TEMPLATE"),
        container_storage=text("CONTAINER_STORAGE"),
        distribution=text("DISTRIBUTION"),
        distribution_image=text("DISTRIBUTION_IMAGE"),
        shuts_down=text("SHUTS_DOWN") in YES,
        serial_shell=text("SERIAL_SHELL") in YES,
        agent_file=int(text("AGENT_FILE") or LiveSettings.agent_file),
        agent_output=int(text("AGENT_OUTPUT") or LiveSettings.agent_output),
    )


def connection_from(environment: Mapping[str, str]) -> dict[str, str]:
    """The connection that modules, inventory and terminal take from the environment."""
    found = {name: environment[name] for name in CONNECTION if environment.get(name)}
    missing = [name for name in ("PROXMOX_USER", "PROXMOX_TOKEN_ID", "PROXMOX_TOKEN_SECRET") if name not in found]
    if missing:
        raise ValueError(f"{', '.join(missing)} is not set: the suite logs in with an API token")
    return found
