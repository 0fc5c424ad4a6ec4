# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the bridge listens, and what a viewer has to know."""

from __future__ import annotations

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import InvalidRequest
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._terminal.vnc_bridge import (
    PASSWORD_VARIABLE,
    bridge_options,
)


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [("127.0.0.1:5901", "127.0.0.1", 5901), ("[::1]:0", "::1", 0), (":5902", "127.0.0.1", 5902)],
)
def test_addresses(address, host, port):
    options = bridge_options(address, {})
    assert (options.host, options.port) == (host, port)


@pytest.mark.parametrize("address", ["5901", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:99999", "[::1]"])
def test_what_is_no_address(address):
    with pytest.raises(InvalidRequest, match="must be an address and a port"):
        bridge_options(address, {})


@pytest.mark.parametrize("address", ["0.0.0.0:5901", "192.0.2.1:5901", "[::]:5901"])
def test_others_may_only_come_when_that_is_said(address):
    with pytest.raises(InvalidRequest, match="could be reached by others"):
        bridge_options(address, {})
    assert bridge_options(address, {}, any_address=True).port == 5901


def test_passwords(tmp_path):
    file = tmp_path / "password"
    file.write_text("of file\n", encoding="utf-8")
    environment = {PASSWORD_VARIABLE: "of-env"}
    made_up = [bridge_options(":0", {}) for _number in range(2)]
    assert all(options.generated and len(options.password) == 8 for options in made_up)
    assert made_up[0].password != made_up[1].password
    assert made_up[0].password not in repr(made_up[0])
    assert bridge_options(":0", environment).password == "of-env"
    assert bridge_options(":0", environment, str(file)).password == "of file"
    assert bridge_options(":0", environment, no_password=True).password is None
    file.write_text("\n", encoding="utf-8")
    with pytest.raises(InvalidRequest, match="is empty: --no-password is for none"):
        bridge_options(":0", environment, str(file))
