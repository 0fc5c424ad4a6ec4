# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the API is and who asks: the connection options, checked once."""

from __future__ import annotations

import re
import typing as t
from urllib.parse import quote

from .errors import InvalidRequest
from .numbers import in_full

if t.TYPE_CHECKING:
    from .tls import TlsPolicy

DEFAULT_PORT = 8006
_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{2}(:?[0-9A-Fa-f]{2}){31}")
_HOST = re.compile(
    r"(?P<scheme>https://)?(\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<name>([a-z0-9_-]{1,63}\.){0,126}[a-z0-9_-]{1,63}\.?))"
    r"(:(?P<port>\d{1,5}))?(?P<prefix>(/(?!\.{1,2}(/|$))[a-z0-9._~-]+)*?)(/api2/json)?/?",
    re.ASCII | re.IGNORECASE,
)
_HTTPS_PORT = 443
# PVE::Auth::Plugin user_regex and realm_regex, PVE::AccessControl token_subid_regex.
_USER = re.compile(r"[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+")
_TOKEN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9.\-_]+")
_TOKEN_ID = re.compile(r"(?P<user>.+@[A-Za-z][A-Za-z0-9.\-_]+)!(?P<name>.*)", re.DOTALL)
# What a header takes as it is; the rest is percent-encoded, which PVE undoes (PVE::APIServer::Formatter).
_PLAIN_IN_HEADER = "".join(chr(code) for code in range(ord("!"), ord("~") + 1) if chr(code) not in "%;")
_MAX_PORT = 65535
_LONGEST_TIMEOUT = 86400


class Endpoint(t.NamedTuple):
    """One address of the API."""

    host: str
    port: int
    # What a proxy in front of PVE has before the paths of the API, as in /pve.
    prefix: str = ""

    @property
    def url(self) -> str:
        return f"https://{host_and_port(self.host, self.port)}{self.prefix}"


class ConnectionOptions(t.NamedTuple):
    """Everything that is needed to talk to PVE. Secrets are left out of repr()."""

    endpoints: tuple[Endpoint, ...]
    user: str
    password: str | None = None
    otp: str | None = None
    token_name: str | None = None
    token_secret: str | None = None
    validate_certs: bool = True
    ca_path: str | None = None
    fingerprint: str | None = None
    timeout: float = 30.0

    @property
    def identity(self) -> str:
        """The name that PVE knows the caller by, user@realm or user@realm!token."""
        return f"{self.user}!{self.token_name}" if self.token_name else self.user

    @property
    def user_in_header(self) -> str:
        """The name of the user as the header of a token has it."""
        return quote(self.user, safe=_PLAIN_IN_HEADER)

    @property
    def tls_policy(self) -> TlsPolicy:
        """What the server's certificate must be."""
        from .tls import tls_policy

        return tls_policy(self.validate_certs, self.ca_path, self.fingerprint)

    def __repr__(self) -> str:
        return "ConnectionOptions({}, {})".format(self.identity, ",".join(end.url for end in self.endpoints))


def host_and_port(host: str, port: int) -> str:
    """Write an address and a port as a URL has them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def connection_options(options: t.Mapping[str, t.Any]) -> ConnectionOptions:
    """Check the options named api_host, api_user, ... and bring them into one form.

    Raises InvalidRequest, naming the option, before anything is sent.
    """
    user, token_name = _user_and_token(options.get("api_user"), options.get("api_token_id"))
    token_secret = options.get("api_token_secret") or None
    password = options.get("api_password") or None
    if token_name and not token_secret:
        raise InvalidRequest("api_token_secret is required with api_token_id")
    if token_secret and not token_name:
        raise InvalidRequest("api_token_id is required with api_token_secret")
    if not token_name and not password:
        raise InvalidRequest(f"give api_token_id and api_token_secret, or api_password, to log in as {user}")
    if token_secret and not re.fullmatch(r"[!-~]+", token_secret):
        raise InvalidRequest("api_token_secret holds a blank, a line break or another character that no secret has")
    timeout = float(options.get("api_timeout") or 0)
    if not 0 < timeout <= _LONGEST_TIMEOUT:
        raise InvalidRequest(f"api_timeout must be more than 0 seconds and at most a day, not {in_full(timeout)}")
    port = options.get("api_port")
    fingerprint = _fingerprint(options.get("api_fingerprint"))
    return ConnectionOptions(
        endpoints=parse_hosts(options.get("api_host") or "", DEFAULT_PORT if port is None else int(port)),
        user=user,
        password=None if token_name else password,
        otp=options.get("api_otp") or None,
        token_name=token_name,
        token_secret=token_secret,
        validate_certs=bool(options.get("validate_certs", True)),
        ca_path=_ca_path(options.get("ca_path"), fingerprint),
        fingerprint=fingerprint,
        timeout=timeout,
    )


def parse_hosts(text: str, default_port: int = DEFAULT_PORT) -> tuple[Endpoint, ...]:
    """Read a comma separated list of hosts, each a name, an address, host:port or an https URL."""
    hosts = [item.strip() for item in text.split(",") if item.strip()]
    if not hosts:
        raise InvalidRequest("api_host is required: the name or address of a PVE node (or PROXMOX_HOST)")
    return tuple(parse_endpoint(host, default_port) for host in hosts)


def parse_endpoint(text: str, default_port: int = DEFAULT_PORT, name: str = "api_host") -> Endpoint:
    """Read one host, of the option that is named."""
    text, pasted = _without_page(text)
    if "@" in text:
        raise InvalidRequest(f"{name} must not hold credentials: use api_user and api_password or an API token")
    if text.lower().startswith("http://"):
        raise InvalidRequest(f"{name} {text!r} is plain http: PVE's API is only spoken over https")
    parts = _HOST.fullmatch(f"[{text}]" if _is_ipv6(text) else text)
    if not parts or (parts["ipv6"] and not _is_ipv6(parts["ipv6"])) or (parts["prefix"] and not parts["scheme"]):
        raise InvalidRequest(f"{name} {text!r} is not a host name, an address, host:port or https://host:port/path")
    if (pasted or parts["prefix"]) and default_port == DEFAULT_PORT:
        # A browser, and whoever names the path of a proxy, leaves this port out.
        default_port = _HTTPS_PORT
    option, port = (f"{name} {text!r}", int(parts["port"])) if parts["port"] else ("api_port", default_port)
    if not 0 < port <= _MAX_PORT:
        raise InvalidRequest(f"{option}: {port} is not a port number")
    return Endpoint((parts["ipv6"] or parts["name"]).lower(), port, parts["prefix"])


def _without_page(text: str) -> tuple[str, bool]:
    """A URL as a browser shows it without the page of the web interface, and whether there was one."""
    url = re.split("[?#]", text, maxsplit=1)[0]
    return (url, url != text) if url.lower().startswith("https://") else (text, False)


def _is_ipv6(text: str) -> bool:
    if text.count(":") < 2:
        return False
    import ipaddress

    try:
        return ipaddress.IPv6Address(text).version == 6
    except ValueError:
        return False


def _user_and_token(user: str | None, token_id: str | None) -> tuple[str, str | None]:
    """Accept the token as its name alone or as PVE prints it, user@realm!name."""
    owner, token_id = _owner_and_name(token_id)
    if owner:
        if user and user not in (owner, f"{owner}!{token_id}"):
            raise InvalidRequest(f"api_user {user!r} and the user of api_token_id {owner!r} differ")
        user = owner
    parts = _TOKEN_ID.fullmatch(user or "")
    if parts:
        if token_id and token_id != parts["name"]:
            raise InvalidRequest(f"api_user {user!r} and api_token_id {token_id!r} name different tokens")
        user, token_id = parts["user"], parts["name"]
    if not user:
        raise InvalidRequest("api_user is required, as in root@pam (or PROXMOX_USER)")
    if not re.fullmatch(r".+@.+", user, re.DOTALL):
        raise InvalidRequest(f"api_user {user!r} has no name or no realm: write it as in root@pam")
    if not _USER.fullmatch(user):
        raise InvalidRequest(f"api_user {user!r} holds a character that PVE does not allow there")
    if token_id and not _TOKEN_NAME.fullmatch(token_id):
        raise InvalidRequest(f"api_token_id {token_id!r} is not the name of a token: letters, digits and .-_ only")
    return user, token_id or None


def _owner_and_name(token_id: str | None) -> tuple[str | None, str | None]:
    parts = _TOKEN_ID.fullmatch(token_id or "")
    if parts:
        return parts["user"], parts["name"]
    owner, mark, name = (token_id or "").partition("!")
    return (owner, name) if mark else (None, token_id)


def _ca_path(path: str | None, fingerprint: str | None) -> str | None:
    if not path:
        return None
    from .tls import TlsPolicy, context_for

    try:
        context_for(TlsPolicy(ca_path=path, fingerprint=fingerprint))
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"ca_path {path!r} cannot be read as a file of certificates: {error}") from error
    return path


def _fingerprint(text: str | None) -> str | None:
    if not text:
        return None
    if not _FINGERPRINT.fullmatch(text.strip()):
        raise InvalidRequest("api_fingerprint must be a SHA-256 fingerprint: 32 hexadecimal pairs, as PVE prints it")
    return text.strip().replace(":", "").lower()
