# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""API tokens and tickets, as PVE::AccessControl checks them (10-auth-tokens.json, 11-auth-tickets.json)."""

from __future__ import annotations

import json
import time
import urllib.parse
from typing import Any

from aiohttp import web
from fakepve.model import PveError
from fakepve.server import ok

from .base import UNAUTHENTICATED, EmbeddedBase, owner_of
from .knobs import Knobs
from .parameters import request_parameters


class Access(EmbeddedBase):
    def __init__(self, host: str, port: int, knobs: Knobs) -> None:
        super().__init__(host, port, knobs)
        self.separated_tokens: set[str] = set()
        self.challenges: dict[str, str] = {}

    def add_token(self, token_id: str, secret: str, privilege_separation: bool = False) -> None:
        """A privilege separated token may do what both it and its user were granted."""
        self.apitokens[token_id] = secret
        if privilege_separation:
            self.separated_tokens.add(token_id)

    def _authenticate(self, request: Any) -> str | None:
        try:
            return self._identity_of(request)
        except PveError:
            request[UNAUTHENTICATED] = True
            raise

    def _identity_of(self, request: Any) -> str | None:
        if request.path.endswith("/access/ticket") and request.method == "POST":
            if request.headers.get("Authorization", "").startswith("PVEAPIToken"):
                raise PveError(403, "Permission check failed (API token not allowed)")
            return None
        header = request.headers.get("Authorization", "")
        # A cookie is raw or percent-encoded, and wins over the header (PVE::APIServer::Formatter).
        ticket = urllib.parse.unquote(request.cookies.get("PVEAuthCookie") or "")
        if not ticket and header.startswith(("PVEAPIToken=", "PVEAPIToken ")):
            token_id, _equals, secret = urllib.parse.unquote(header[len("PVEAPIToken=") :]).rpartition("=")
            if not secret or self.apitokens.get(token_id) != secret:
                raise PveError(401, "Authentication failed!")
            return token_id
        if not ticket and header.startswith(("PVEAuthCookie=", "PVEAuthCookie ")):
            ticket = header[len("PVEAuthCookie=") :]
        if not ticket:
            raise PveError(401, "No ticket")
        session = self.tickets.get(ticket)
        if session is None or session["expires"] < time.time():
            raise PveError(401, "Authentication failed!")
        if request.method != "GET" and request.headers.get("CSRFPreventionToken") != session["csrf"]:
            raise PveError(401, "Permission denied - invalid csrf token")
        return str(session["user"])

    def check_password(self, user: str, password: str) -> bool:
        """A ticket that is still valid is a password as well (11-auth-tickets.json: "renew ticket ...")."""
        session = self.tickets.get(password)
        if session is not None:
            return bool(session["user"] == user and session["expires"] > time.time())
        return bool(super().check_password(user, password))

    async def _ticket(self, request: Any) -> web.Response:
        """With a second factor, a ticket that is only good for the second step, and the step itself."""
        values = await request_parameters(request)
        challenge = str(values.get("tfa-challenge", ""))
        if challenge:
            return self._second_step(values, challenge)
        self.tfa = bool(self.knobs.second_factor) or self.tfa
        answer: web.Response = await super()._ticket(request)
        data = json.loads(answer.text or "{}").get("data") or {}
        if data.get("NeedTFA"):
            self.challenges[str(data["ticket"])] = str(data["username"])
        return answer

    def _second_step(self, values: dict[str, Any], challenge: str) -> web.Response:
        user = self.challenges.get(challenge)
        if user is None or user != values.get("username") or values.get("password") != self.knobs.second_factor:
            raise PveError(401, "authentication failure")
        del self.challenges[challenge]
        ticket, csrf = self.issue_ticket(user)
        return ok({"ticket": ticket, "CSRFPreventionToken": csrf, "username": user, "cap": {}})

    async def _pool_update(self, values: dict[str, Any], user: str) -> None:
        """A missing right is a 500 that speaks of a 403 (PVE::AccessControl lock_user_config)."""
        try:
            await super()._pool_update(values, user)
        except PveError as problem:
            text = problem.message.replace("failed: Permission", "failed: 403 Permission")
            raise PveError(problem.status, text) from problem

    def allowed(self, user: str, path: str, priv: str) -> bool:
        if user not in self.separated_tokens:
            return bool(super().allowed(user, path, priv))
        return self._granted_to_token(user, path, priv) and bool(super().allowed(owner_of(user), path, priv))

    def _granted_to_token(self, token_id: str, path: str, priv: str) -> bool:
        paths = [path]
        if path.startswith("/vms/"):
            vmid = int(path.split("/")[2])
            paths += ["/vms"] + ["/pool/" + name for name, members in self.pools.items() if vmid in members]
        for granted, privileges in (self.acl or {}).get(token_id, []):
            if priv in privileges and (
                granted == "/" or any(p == granted or p.startswith(granted + "/") for p in paths)
            ):
                return True
        return False

    def check_permissions(self, user: Any, perms: Any, values: Any, declared: Any = None) -> None:
        if user not in self.separated_tokens:
            super().check_permissions(user, perms, values, declared)
            return
        if perms is not None and perms.get("user") in ("all", "world"):
            return
        allowed, why = False, "user != root@pam"
        if perms is not None and "check" in perms:
            allowed, why = self._check(user, perms["check"], values, declared)
        if not allowed:
            raise PveError(403, f"Permission check failed ({why})" if why else "Permission check failed")
