# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A TLS connection beside the API's: to the same server, through the same proxy, its certificate checked alike."""

from __future__ import annotations

import http.client
import socket
import ssl

from .connection import ConnectionOptions, Endpoint
from .errors import Cause
from .exchange import certificate_rejected, no_connection
from .transport import root_cause, verification_of

try:
    from requests.utils import get_auth_from_url, get_environ_proxies, select_proxy
    from urllib3.exceptions import HTTPError
    from urllib3.util import parse_url
    from urllib3.util.request import make_headers
    from urllib3.util.ssl_ import assert_fingerprint, create_urllib3_context
except ImportError:
    HTTPError = OSError  # type: ignore[assignment,misc]  # require_libraries() says what is missing


def connect_tls(options: ConnectionOptions, endpoint: Endpoint, address: str, seconds: float) -> ssl.SSLSocket:
    """Connect to the endpoint, at that one of its addresses, if it is given; seconds bounds each wait.

    Raises CertificateRejected or Unreachable.
    """
    connection: socket.socket | None = None
    try:
        connection = _connect(endpoint, address, seconds)
        connection = secured = _context(options).wrap_socket(connection, server_hostname=endpoint.host)
        if options.fingerprint:
            assert_fingerprint(secured.getpeercert(binary_form=True), options.fingerprint)
        return secured
    except (OSError, HTTPError, http.client.HTTPException) as error:
        if connection is not None:
            connection.close()
        root, cause = root_cause(error), Cause(request="TLS")
        # Of the fingerprint, urllib3 complains with an error of its own.
        if isinstance(root, (ssl.SSLCertVerificationError, HTTPError)):
            raise certificate_rejected(endpoint.url, root, options, cause) from error
        late_after = seconds if isinstance(error, TimeoutError) else None
        raise no_connection(endpoint.url, root, cause, late_after) from error


def _connect(endpoint: Endpoint, address: str, seconds: float) -> socket.socket:
    proxy = select_proxy(endpoint.url, get_environ_proxies(endpoint.url))
    if not proxy:
        return socket.create_connection((address or endpoint.host, endpoint.port), seconds)
    where = parse_url(proxy)
    tunnel = http.client.HTTPConnection(where.host or "", where.port or 80, timeout=seconds)
    credentials = ":".join(get_auth_from_url(proxy)).strip(":")
    tunnel.set_tunnel(endpoint.host, endpoint.port, make_headers(proxy_basic_auth=credentials) if credentials else None)
    tunnel.connect()
    return tunnel.sock


def _context(options: ConnectionOptions) -> ssl.SSLContext:
    authorities = verification_of(options)
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED if authorities else ssl.CERT_NONE)
    context.check_hostname = bool(authorities)
    if authorities:
        context.load_verify_locations(authorities)
    return context
