# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of the two ways to PVE's API a caller takes."""

from __future__ import annotations

import typing as t

from .connection import ConnectionOptions
from .libraries import find_libraries

if t.TYPE_CHECKING:
    from .direct import DirectTransport
    from .transport import Transport

PROXY_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def quickest_transport(options: ConnectionOptions, environment: t.Mapping[str, str]) -> Transport | DirectTransport:
    """Take Python's own HTTP where it is enough: with an API token, and without a proxy.

    To import requests takes longer than most calls. Raises MissingLibrary.
    """
    if options.token_name and not any(environment.get(name) for name in PROXY_VARIABLES):
        from .direct import DirectTransport

        return DirectTransport(options)
    find_libraries()
    from .transport import Transport

    return Transport(options)
