# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who asks: an API token, or a user with a password, a ticket for it, and perhaps a second factor."""

from __future__ import annotations

import time
import typing as t

from .connection import ConnectionOptions
from .errors import AuthenticationFailed

# A ticket lives two hours (PVE::AccessControl), and gets a new one while it does.
TICKET_SECONDS = 3600.0
TICKET_LIFE_SECONDS = 7200.0 - 60.0
TICKET_PATH = "/access/ticket"

# Sends a form to TICKET_PATH, and returns the data of the answer.
Post = t.Callable[[t.Mapping[str, str]], t.Any]


class TokenLogin:
    """An API token, which needs no request of its own."""

    is_fresh = True

    def __init__(self, options: ConnectionOptions) -> None:
        token = f"{options.user_in_header}!{options.token_name}={options.token_secret}"
        self._headers = {"Authorization": f"PVEAPIToken={token}"}

    def headers(self, method: str) -> dict[str, str]:  # noqa: ARG002 - of tickets, changes need more
        """Return the headers that say who asks; secret."""
        return dict(self._headers)

    def log_in(self, post: Post) -> None:
        """Do nothing: a token is always fresh."""

    def copy(self) -> TokenLogin:
        """Return a login for another thread."""
        return self


class TicketLogin:
    """A ticket for a user and a password; secret."""

    def __init__(self, options: ConnectionOptions) -> None:
        self._user, self._password, self._otp = options.user, options.password, options.otp
        self._ticket = ""
        self._csrf_token = ""
        self._created = 0.0

    @property
    def is_fresh(self) -> bool:
        """Whether no log_in() has to come before the next request."""
        return bool(self._ticket) and time.monotonic() - self._created < TICKET_SECONDS

    def headers(self, method: str) -> dict[str, str]:
        """Return the headers that say who asks; secret."""
        headers = {"Cookie": f"PVEAuthCookie={self._ticket}"}
        return headers if method == "GET" else {**headers, "CSRFPreventionToken": self._csrf_token}

    def copy(self) -> TicketLogin:
        """Return a login for another thread, which renews its ticket by itself."""
        copied = TicketLogin.__new__(TicketLogin)
        copied.__dict__.update(self.__dict__)
        return copied

    def log_in(self, post: Post) -> None:
        """Get a ticket; raises AuthenticationFailed, or what post raises."""
        # A half expired ticket is a valid password (PVE::API2::AccessControl create_ticket).
        lives = self._ticket and time.monotonic() - self._created < TICKET_LIFE_SECONDS
        data = post({"username": self._user, "password": (lives and self._ticket) or self._password or ""}) or {}
        if data.get("NeedTFA"):
            if not self._otp:
                raise AuthenticationFailed(f"{self._user} has a second factor: give api_otp", needs_code=True)
            # A recovery key is written as recovery:KEY (PVE::AccessControl, authenticate_2nd_new).
            code = self._otp if ":" in self._otp else f"totp:{self._otp}"
            data = post({"username": self._user, "tfa-challenge": data["ticket"], "password": code}) or {}
            # It serves one login only.
            self._otp = None
        if not data.get("ticket"):
            raise AuthenticationFailed(f"PVE answered the login of {self._user} without a ticket: check api_host")
        self._ticket, self._csrf_token = data["ticket"], data.get("CSRFPreventionToken") or ""
        self._created = time.monotonic()


Login = t.Union[TokenLogin, TicketLogin]


def login_for(options: ConnectionOptions) -> Login:
    """The login that the options are for: a token comes before a password."""
    return TokenLogin(options) if options.token_name else TicketLogin(options)
