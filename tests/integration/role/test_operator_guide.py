# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the guides of CloudStack's operators say is typed, from the token to the uninstallation."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible.constants import DEFAULT_VAULT_IDENTITY
from ansible.parsing.vault import VaultLib, VaultSecret

from tests.integration.guides import Block, Command, blocks
from tests.integration.reader import SECRET, Reader, check_output
from tests.support.cloudstack import payload
from tests.support.cloudstack_api import CloudStackApi, running_cloudstack_api
from tests.support.collection_tree import REPOSITORY
from tests.support.embedded_pve import PveHandle
from tests.support.embedded_pve.seed import directory
from tests.support.forks import forking_python
from tests.support.management_servers import ManagementServer

GUIDE = REPOSITORY / "docs" / "cloudstack-operator-guide.md"
ACTIONS = REPOSITORY / "docs" / "cloudstack-actions.md"
INSTANCE = "6f2c9a0e"
PASSWORD = "the password of the vault"


class Operator(Reader):
    """Somebody who follows the guides on a management server on which CloudStack has its own extension."""

    def __init__(self, pve: PveHandle, home: Path, server: ManagementServer, cloudstack: CloudStackApi) -> None:
        super().__init__(pve, home)
        # The storage that the guide's policy names: the doctor looks for it.
        pve.call(lambda: pve.server.storages.update({"ceph-vm": dict(directory("/mnt/ceph-vm", "images"), shared=1)}))
        self.server = server
        self.cloudstack = cloudstack
        (home / "vault-password").write_text(PASSWORD)
        self.connection = {
            "ANSIBLE_VAULT_PASSWORD_FILE": str(home / "vault-password"),
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_PYTHON_INTERPRETER": str(forking_python()),
        }
        variables = home / "group_vars" / "cloudstack_management.json"
        variables.parent.mkdir()
        variables.write_text(json.dumps(server.variables))
        server.executable.parent.mkdir(parents=True)
        server.executable.write_text("#!/bin/sh\n# CloudStack's own\n")
        server.executable.chmod(0o755)

    def read(self, block: Block) -> None:
        text = self.here(block.text)
        if block.name == "cloudstack.ini":
            # One server is enough: test_extension_role.py has several.
            text = text.replace("mgmt2.example.com\n", "")
        super().read(Block(block.language, text, block.line))

    def here(self, text: str) -> str:
        """The text with what is elsewhere at each reader's."""
        server = self.server
        standing_for = {
            "sudo -u cloud ": "",
            f"~cloud/extensions/CloudbridgeProxmox/{INSTANCE}.json": str(self.home / "payloads" / f"{INSTANCE}.json"),
            "CloudbridgeProxmox/cloudbridge-proxmox.py": f"{server.name}/{server.entry_point}",
            "/usr/share/cloudstack-management/extensions": str(server.extensions),
            "/opt/cloudbridge-proxmox/Proxmox": str(server.directory),
            "https://pve1.example.com:8006": self.pve.url,
            "pve1.example.net": f"{self.pve.host}:{self.pve.port}",
            "/etc/ssl/pve-root-ca.pem": self.pve.cafile,
            # No systemd runs here, and so no service with a relay for consoles.
            "  network_bridge: vmbr0\n": "  network_bridge: vmbr0\n  console_mode: raw\n",
            '"network_bridge": "vmbr0"': '"network_bridge": "vmbr0", "console_mode": "raw"',
            '"secret": "..."': f'"secret": "{SECRET}"',
            "https://cloudstack.example.com/client/api": self.cloudstack.url,
            "api_key: !vault |\n  ...": f"api_key: {vaulted(self.cloudstack.key)}",
            "api_secret: !vault |\n  ...": f"api_secret: {vaulted(self.cloudstack.secret)}",
            "!vault |\n    ...": vaulted(SECRET),
        }
        return functools.reduce(lambda text, item: text.replace(*item), standing_for.items(), text)

    def type(self, command: Command) -> None:
        program = command.words[0]
        if command.prompt == "#" or program.startswith("ansible"):
            super().type(command)
        elif program == "cat":
            path = self.home / "payloads" / command.words[1]
            path.parent.mkdir(exist_ok=True)
            path.write_text("\n".join(command.expected))
        elif program in ("systemctl", "journalctl"):
            units = [path.name for path in self.server.units.iterdir()]
            named = next(word for word in command.words if word.startswith("cloudbridge-proxmoxd-"))
            assert any(name.startswith(named.rstrip("*")) for name in units), units
        elif program.startswith(str(self.server.directory)):
            # They ask the service, and CloudMonkey.
            assert shutil.which(program) == program
        else:
            self.call(command)

    def ansible(self, command: Command) -> None:
        words = [word for word in command.words if word != "--ask-vault-pass"]
        check_output(command, self.shell(words))

    def call(self, command: Command) -> None:
        """A line for a shell, such as a call of the executable."""
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command.line],
            cwd=self.home / "payloads" if "host.json" in command.line else self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
        )
        check_output(command, done)


def vaulted(secret: str) -> str:
    vault = VaultLib([(DEFAULT_VAULT_IDENTITY, VaultSecret(PASSWORD.encode()))])
    lines = vault.encrypt(secret).decode().strip().splitlines()
    return "!vault |\n" + "\n".join(f"      {line}" for line in lines)


@pytest.mark.smoke
@pytest.mark.timeout(300)
def test_an_operator_follows_the_guides(pve, tmp_path):
    server = ManagementServer(tmp_path / "s", name="Proxmox", entry_point="proxmox.sh")
    with running_cloudstack_api(server.extensions) as cloudstack:
        operator = Operator(pve, tmp_path, server, cloudstack)
        instance = tmp_path / "payloads" / f"{INSTANCE}.json"
        instance.parent.mkdir()
        instance.write_text(json.dumps(payload("create_template", pve)))
        *before, uninstall = blocks(GUIDE)
        for block in [*before, *blocks(ACTIONS)]:
            operator.read(block)
        registered = {action["name"] for action in cloudstack.actions}
        assert {"CreateSnapshot", "Backup"} <= registered
        assert pve.vmids() == [100, 101, 200, 9000]

        assert re.search(rb"CloudStack's own", server.executable.read_bytes()) is None
        operator.read(uninstall)
        assert server.executable.read_text() == "#!/bin/sh\n# CloudStack's own\n"
