# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The password of a user in a guest. Nobody can read one; a hash of it can be compared."""

from __future__ import annotations

import re
import shlex
import typing as t
from dataclasses import dataclass

from ..._pve.errors import AgentUnavailable, GuestFileError, InvalidRequest, PveError
from ..._pve.guests import Selector
from ..plan import Applier, Outcome, outcome
from .access import GuestAccess, agent_selector, guest_access

ON_CREATE, ALWAYS = UPDATES = ("on_create", "always")
# minLength and maxLength of PVE, whose characters are bytes to the agent (75-agent.json: "set-user-password, ...").
_SHORTEST, _LONGEST = 5, 1024
# The second field of the user's line. These begin a field that no password fits: it is locked, or has never been set.
_SHADOW = """user={user}
for f in /etc/shadow /etc/master.passwd; do
if [ -f "$f" ]; then
while IFS=: read -r name hash rest; do
[ "$name" != "$user" ] || {{ echo "$hash"; exit 0; }}
done <"$f"
exit 3
fi
done
exit 4
"""
_LOCKED = ("!", "*")
# crypt(5): a method, its parameters, salt and hash; or the 13 characters of DES.
_HASH = re.compile(r"[!*]*|!?(\$[^\s:]+\$[^\s:]+|[./0-9A-Za-z]{13})")


@dataclass(frozen=True)
class PasswordRequest:
    """A user of a guest and the password that it is to have, or the hash of one."""

    selector: Selector
    user: str
    password: str
    is_crypted: bool
    update: str


def password_request(parameters: t.Mapping[str, t.Any]) -> PasswordRequest:
    """Check the options of a password; raises InvalidRequest, which does not show it."""
    user, password = parameters["user"], parameters["password"]
    if not user or any(character in user for character in ":\n\0"):
        raise InvalidRequest(f"user {user!r} is no name of a user")
    if any(character in password for character in "\n\0") or (parameters.get("crypted") and ":" in password):
        raise InvalidRequest("password holds a character that none can have: a line break, or a colon in a crypted one")
    if parameters.get("crypted") and not _HASH.fullmatch(password):
        raise InvalidRequest("password is no hash as /etc/shadow has it, like $6$...: leave crypted out for a password")
    size = len(password.encode("utf-8", "surrogateescape"))
    if not _SHORTEST <= size <= _LONGEST:
        raise InvalidRequest(f"password has {size} bytes, and PVE takes from {_SHORTEST} to {_LONGEST}")
    return PasswordRequest(
        agent_selector(parameters),
        user,
        password,
        bool(parameters.get("crypted")),
        parameters.get("update_password") or ON_CREATE,
    )


def ensure_password(applier: Applier, request: PasswordRequest) -> Outcome:
    """Give the user its password, unless it has it or is to keep another one."""
    with guest_access(applier, request.selector) as access:
        if _differs(access, request):
            if not applier.check_mode:
                _set(access, request)
            applier.record(f"set the password of {request.user}")
        return outcome(applier, access.guest, user=request.user)


def _differs(access: GuestAccess, request: PasswordRequest) -> bool:
    if request.update == ALWAYS and not request.is_crypted:
        # Whether it is the one that the user has, only the guest could say.
        return True
    current = _hash_of(access, request.user)
    if request.update == ON_CREATE:
        return not current or current.startswith(_LOCKED)
    return current != request.password


def _hash_of(access: GuestAccess, user: str) -> str:
    """The hash of the user's password, which leaves the guest as output only."""
    label = access.handle.guest.label
    result = access.runner.run(_SHADOW.format(user=shlex.quote(user)))
    if result.status == 3:
        raise GuestFileError(f"there is no user {user} in {label}", "/etc/shadow")
    if result.status:
        raise GuestFileError(
            f"{label} has neither /etc/shadow nor /etc/master.passwd: without them a password can only be set with "
            f"update_password: always and without crypted",
            "/etc/shadow",
        )
    return result.stdout.decode("utf-8", "surrogateescape").rstrip("\n")


def _set(access: GuestAccess, request: PasswordRequest) -> None:
    label = access.handle.guest.label
    try:
        access.runner.calls.set_password(
            request.user, request.password.encode("utf-8", "surrogateescape"), request.is_crypted
        )
    except AgentUnavailable:
        raise
    except PveError as error:
        if "child process has failed to set user password" not in str(error):
            raise
        raise AgentUnavailable(
            f"{label} has not set the password of {request.user}: there is no such user, or its system refuses this "
            f"password",
            error.cause,
        ) from error
