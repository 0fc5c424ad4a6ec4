# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PVE below a path of a proxy, a URL as a browser shows it, and users with unusual names."""

from __future__ import annotations

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.connection import connection_options
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.transport import Transport
from tests.support.embedded_pve.runner import TOKEN_SECRET
from tests.support.reverse_proxy import reverse_proxy

BY_PASSWORD = {"PROXMOX_TOKEN_ID": None, "PROXMOX_TOKEN_SECRET": None, "PROXMOX_PASSWORD": "secret"}


@pytest.mark.parametrize("page", ["", "/", "/api2/json", "/#v1:0:=qemu%2F100:4:::::::"])
def test_pve_may_be_below_a_path(pve, run_module, page: str) -> None:
    with reverse_proxy(pve, "/cluster-a/pve") as port:
        host = {"PROXMOX_HOST": f"https://{pve.host}:{port}/cluster-a/pve{page}"}
        result = run_module("pve_vm", {"vmid": 100, "cores": 3}, env=host)
        assert not result.failed, result.msg
        assert str(pve.config(100)["cores"]) == "3"


def test_a_login_and_the_bridge_s_client_find_the_path_too(pve, run_module) -> None:
    with reverse_proxy(pve, "/pve") as port:
        url = f"https://{pve.host}:{port}/pve"
        result = run_module("pve_vm", {"vmid": 100, "memory": 512}, env={**BY_PASSWORD, "PROXMOX_HOST": url})
        assert not result.failed, result.msg
        options = {"api_host": url, "api_token_id": pve.token_id, "api_token_secret": TOKEN_SECRET, "api_timeout": 30}
        transport = Transport(connection_options({**options, "ca_path": pve.cafile}))
        assert transport.send("GET", "/version", {}, 30)["release"] == "9.2"
        transport.close()


def test_the_wrong_path_is_an_error_that_names_the_address(pve, run_module) -> None:
    with reverse_proxy(pve, "/pve") as port:
        result = run_module("pve_vm", {"vmid": 100}, env={"PROXMOX_HOST": f"https://{pve.host}:{port}/other"})
    assert result.failed
    assert "Traceback" not in result.stdout + result.stderr


@pytest.mark.parametrize("user", ["a=b@pve", "100%;@pve", "jö@pve"])
def test_users_may_have_the_names_that_pve_allows(pve, run_module, user: str) -> None:
    pve.add_token(f"{user}!ci", TOKEN_SECRET)
    pve.grant(user, "/", "VM.Audit", "Sys.Audit")
    token = {"PROXMOX_USER": user, "PROXMOX_TOKEN_ID": "ci", "PROXMOX_TOKEN_SECRET": TOKEN_SECRET}
    result = run_module("pve_vm_info", {"vmid": 100}, env=token)
    assert not result.failed, result.msg
    assert [guest["vmid"] for guest in result["guests"]] == [100]
