# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Where the API is, and who asks."""

    DOCUMENTATION = r"""
options:
  api_host:
    description:
      - The name or address of a PVE node, or several with commas between them, which are tried in this order.
      - Each may also be V(host:port), an V(https://) URL, or an IPv6 address. Plain V(http://) is refused.
      - A URL may have the path of a reverse proxy, as in V(https://proxy.example.com/pve), and may be pasted from a
        browser. Such a URL without a port means V(443), unless O(api_port) is another one than its default.
      - If not set, the environment variable E(PROXMOX_HOST) is used.
    type: str
  api_port:
    description:
      - The port of the API, for the hosts that do not name one.
      - If not set, the environment variable E(PROXMOX_PORT) is used.
    type: int
    default: 8006
  api_user:
    description:
      - The user, with its realm, as in V(root@pam).
      - Can be left out when O(api_token_id) is a whole token id.
      - If not set, the environment variable E(PROXMOX_USER) is used.
    type: str
  api_password:
    description:
      - The user's password. It is not looked at when there is an API token.
      - If not set, the environment variable E(PROXMOX_PASSWORD) is used.
    type: str
  api_otp:
    description:
      - The one-time password of a user with a second factor. API tokens need none.
      - If not set, the environment variable E(PROXMOX_OTP) is used.
    type: str
  api_token_id:
    description:
      - The API token, as its name (V(ansible)) or as PVE prints it (V(root@pam!ansible)).
      - If not set, the environment variable E(PROXMOX_TOKEN_ID) is used.
    type: str
  api_token_secret:
    description:
      - The API token's secret.
      - If not set, the environment variable E(PROXMOX_TOKEN_SECRET) is used.
    type: str
  validate_certs:
    description:
      - Whether the certificate must be signed by a known authority, see O(ca_path).
      - If not set, the environment variable E(PROXMOX_VALIDATE_CERTS) is used.
    type: bool
    default: true
  ca_path:
    description:
      - A file with the certificate authority that signed the certificates of the cluster,
        which on a node is C(/etc/pve/pve-root-ca.pem).
      - E(REQUESTS_CA_BUNDLE) is not looked at.
      - If not set, the environment variable E(PROXMOX_CA_PATH) is used.
    type: path
  api_fingerprint:
    description:
      - The SHA-256 fingerprint of the certificate, as PVE prints it. Only this certificate is then accepted, and
        without O(ca_path) nobody needs to have signed it.
      - If not set, the environment variable E(PROXMOX_FINGERPRINT) is used.
    type: str
  api_timeout:
    description:
      - Seconds to wait for one answer of the API.
      - If not set, the environment variable E(PROXMOX_API_TIMEOUT) is used.
    type: float
    default: 30
requirements:
  - certifi, unless O(ca_path) or O(api_fingerprint) is set or O(validate_certs) is false
notes:
  - A proxy is used as the environment variables E(HTTPS_PROXY), E(ALL_PROXY) and E(NO_PROXY) say; it must be one of
    the kind C(http://).
  - Reads are repeated while the network or PVE fails for a moment. A change is only sent again when PVE has surely not
    made it, or after looking whether it has.
"""

    # The same for plugins, whose options name their environment variables.
    INVENTORY = r"""
options:
  api_host:
    description:
      - The name or address of a PVE node, or several with commas between them, which are tried in this order.
      - Each may also be V(host:port), an V(https://) URL, or an IPv6 address. Plain V(http://) is refused.
      - A URL may have the path of a reverse proxy, as in V(https://proxy.example.com/pve), and may be pasted from a
        browser. Such a URL without a port means V(443), unless O(api_port) is another one than its default.
    env:
      - name: PROXMOX_HOST
    type: str
  api_port:
    description:
      - The port of the API, for the hosts that do not name one.
    env:
      - name: PROXMOX_PORT
    type: int
    default: 8006
  api_user:
    description:
      - The user, with its realm, as in V(root@pam).
      - Can be left out when O(api_token_id) is a whole token id.
    env:
      - name: PROXMOX_USER
    type: str
  api_password:
    description:
      - The user's password. It is not looked at when there is an API token.
    env:
      - name: PROXMOX_PASSWORD
    type: str
  api_otp:
    description:
      - The one-time password of a user with a second factor. API tokens need none.
    env:
      - name: PROXMOX_OTP
    type: str
  api_token_id:
    description:
      - The API token, as its name (V(ansible)) or as PVE prints it (V(root@pam!ansible)).
    env:
      - name: PROXMOX_TOKEN_ID
    type: str
  api_token_secret:
    description:
      - The API token's secret.
    env:
      - name: PROXMOX_TOKEN_SECRET
    type: str
  validate_certs:
    description:
      - Whether the certificate must be signed by a known authority, see O(ca_path).
    env:
      - name: PROXMOX_VALIDATE_CERTS
    type: bool
    default: true
  ca_path:
    description:
      - A file with the certificate authority that signed the certificates of the cluster,
        which on a node is C(/etc/pve/pve-root-ca.pem).
      - E(REQUESTS_CA_BUNDLE) is not looked at.
    env:
      - name: PROXMOX_CA_PATH
    type: path
  api_fingerprint:
    description:
      - The SHA-256 fingerprint of the certificate, as PVE prints it. Only this certificate is then accepted, and
        without O(ca_path) nobody needs to have signed it.
    env:
      - name: PROXMOX_FINGERPRINT
    type: str
  api_timeout:
    description:
      - Seconds to wait for one answer of the API.
    env:
      - name: PROXMOX_API_TIMEOUT
    type: float
    default: 30
requirements:
  - certifi, unless O(ca_path) or O(api_fingerprint) is set or O(validate_certs) is false
"""

    # The same for connection plugins, whose options come from variables as well.
    VARIABLES = r"""
options:
  api_host:
    description:
      - The name or address of a PVE node, or several with commas between them, which are tried in this order.
      - Each may also be V(host:port), an V(https://) URL, or an IPv6 address. Plain V(http://) is refused.
      - A URL may have the path of a reverse proxy, as in V(https://proxy.example.com/pve), and may be pasted from a
        browser. Such a URL without a port means V(443), unless O(api_port) is another one than its default.
    env:
      - name: PROXMOX_HOST
    vars:
      - name: pve_api_host
    type: str
  api_port:
    description:
      - The port of the API, for the hosts that do not name one.
    env:
      - name: PROXMOX_PORT
    vars:
      - name: pve_api_port
    type: int
    default: 8006
  api_user:
    description:
      - The user, with its realm, as in V(root@pam).
      - Can be left out when O(api_token_id) is a whole token id.
    env:
      - name: PROXMOX_USER
    vars:
      - name: pve_api_user
    type: str
  api_password:
    description:
      - The user's password. It is not looked at when there is an API token.
    env:
      - name: PROXMOX_PASSWORD
    vars:
      - name: pve_api_password
    type: str
  api_otp:
    description:
      - The one-time password of a user with a second factor. API tokens need none.
    env:
      - name: PROXMOX_OTP
    vars:
      - name: pve_api_otp
    type: str
  api_token_id:
    description:
      - The API token, as its name (V(ansible)) or as PVE prints it (V(root@pam!ansible)).
    env:
      - name: PROXMOX_TOKEN_ID
    vars:
      - name: pve_api_token_id
    type: str
  api_token_secret:
    description:
      - The API token's secret.
    env:
      - name: PROXMOX_TOKEN_SECRET
    vars:
      - name: pve_api_token_secret
    type: str
  validate_certs:
    description:
      - Whether the certificate must be signed by a known authority, see O(ca_path).
    env:
      - name: PROXMOX_VALIDATE_CERTS
    vars:
      - name: pve_validate_certs
    type: bool
    default: true
  ca_path:
    description:
      - A file with the certificate authority that signed the certificates of the cluster,
        which on a node is C(/etc/pve/pve-root-ca.pem).
      - E(REQUESTS_CA_BUNDLE) is not looked at.
    env:
      - name: PROXMOX_CA_PATH
    vars:
      - name: pve_ca_path
    type: path
  api_fingerprint:
    description:
      - The SHA-256 fingerprint of the certificate, as PVE prints it. Only this certificate is then accepted, and
        without O(ca_path) nobody needs to have signed it.
    env:
      - name: PROXMOX_FINGERPRINT
    vars:
      - name: pve_api_fingerprint
    type: str
  api_timeout:
    description:
      - Seconds to wait for one answer of the API.
    env:
      - name: PROXMOX_API_TIMEOUT
    vars:
      - name: pve_api_timeout
    type: float
    default: 30
requirements:
  - certifi, unless O(ca_path) or O(api_fingerprint) is set or O(validate_certs) is false
"""
