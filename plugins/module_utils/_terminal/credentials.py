# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connection settings and credentials: from the environment or a file, and what is missing from a prompt."""

from __future__ import annotations

import configparser
import os
import stat
import typing as t
from pathlib import Path

from .._pve.client import PveClient
from .._pve.connection import ConnectionOptions, connection_options
from .._pve.deadline import Deadline
from .._pve.errors import AuthenticationFailed, InvalidRequest
from .exit_codes import Ending, ExitCode
from .prompt import Prompt

ENVIRONMENT = {
    "PROXMOX_HOST": "api_host",
    "PROXMOX_PORT": "api_port",
    "PROXMOX_USER": "api_user",
    "PROXMOX_PASSWORD": "api_password",
    "PROXMOX_OTP": "api_otp",
    "PROXMOX_TOKEN_ID": "api_token_id",
    "PROXMOX_TOKEN_SECRET": "api_token_secret",
    "PROXMOX_VALIDATE_CERTS": "validate_certs",
    "PROXMOX_CA_PATH": "ca_path",
    "PROXMOX_FINGERPRINT": "api_fingerprint",
    "PROXMOX_API_TIMEOUT": "api_timeout",
}
DEFAULT_SECTION = "default"
# As long as one answer may take, and as often as a password may be mistyped.
_TIMEOUT_SECONDS = 30.0
_TRIES = 3
_TRUTHS = {
    **dict.fromkeys(("1", "yes", "true", "on", "y", "t"), True),
    **dict.fromkeys(("0", "no", "false", "off", "n", "f"), False),
}

Settings = t.Mapping[str, t.Any]


def default_file(environment: t.Mapping[str, str]) -> Path:
    """The path of the credentials file without --credentials."""
    base = environment.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "pve-console" / "credentials"


def read_settings(environment: t.Mapping[str, str], file: str | None, cluster: str | None) -> Settings:
    """Read the connection settings from the environment, or from a section of the file.

    Never from both: a secret is only for the host that is stored with it. Raises Ending.
    """
    path = Path(file).expanduser() if file else default_file(environment)
    if file is None and cluster is None and (environment.get("PROXMOX_HOST") or not path.exists()):
        found = {option: environment[name] for name, option in ENVIRONMENT.items() if environment.get(name)}
        return _typed(found, {option: name for name, option in ENVIRONMENT.items()})
    return _typed(_section(path, cluster), {})


def _section(path: Path, cluster: str | None) -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        with path.open(encoding="utf-8") as file:
            facts = os.fstat(file.fileno())
            if stat.S_ISREG(facts.st_mode) and facts.st_mode & 0o077:
                raise Ending(
                    ExitCode.CONFIGURATION,
                    f"{path} holds secrets, and others than its owner may read or change it: chmod 600 {path}",
                )
            parser.read_file(file)
    except OSError as error:
        raise Ending(ExitCode.CONFIGURATION, f"{path} cannot be read: {error.strerror}") from error
    except (configparser.Error, UnicodeDecodeError) as error:
        # The library's own words quote the line, which may hold a secret.
        where = f" at line {error.lineno}" if isinstance(error, configparser.MissingSectionHeaderError) else ""
        raise Ending(
            ExitCode.CONFIGURATION, f"{path} is no file of [sections] with lines of the form option = value{where}"
        ) from error
    name = cluster or DEFAULT_SECTION
    if not parser.has_section(name):
        known = ", ".join(parser.sections()) or "none"
        raise Ending(ExitCode.CONFIGURATION, f"{path} has no section [{name}]: it has {known}")
    values = dict(parser.items(name))
    unknown = sorted(set(values) - set(ENVIRONMENT.values()))
    if unknown:
        raise Ending(
            ExitCode.CONFIGURATION,
            f"{path} has {', '.join(unknown)} in [{name}]: known are {', '.join(ENVIRONMENT.values())}",
        )
    return {option: value for option, value in values.items() if value}


def _typed(found: t.Mapping[str, str], names: t.Mapping[str, str]) -> Settings:
    """The settings with their types; names is what the user calls them, where that is not the option's name."""
    settings: dict[str, t.Any] = {"api_timeout": _TIMEOUT_SECONDS, **found}
    for option, kind in (("api_port", int), ("api_timeout", float)):
        if option in found:
            try:
                settings[option] = kind(found[option])
            except ValueError as error:
                raise Ending(
                    ExitCode.CONFIGURATION, f"{names.get(option, option)} is {found[option]!r}, not a number"
                ) from error
    if "validate_certs" in found:
        truth = _TRUTHS.get(found["validate_certs"].lower())
        if truth is None:
            name = names.get("validate_certs", "validate_certs")
            raise Ending(ExitCode.CONFIGURATION, f"{name} is {found['validate_certs']!r}: true or false")
        settings["validate_certs"] = truth
    return settings


def with_choices(settings: Settings, **choices: t.Any) -> Settings:
    """Apply the command line's options to the settings; with a user, the password replaces the token."""
    chosen = {**settings, **{option: value for option, value in choices.items() if value is not None}}
    user = choices.get("api_user")
    if user is not None:
        chosen = {option: value for option, value in chosen.items() if not option.startswith("api_token")}
        if user != settings.get("api_user"):
            chosen.pop("api_password", None)
    return chosen


class Credentials:
    """Logs clients in, and prompts for a password or a second factor where one is needed."""

    def __init__(self, settings: Settings, prompt: Prompt) -> None:
        self._settings = dict(settings)
        self._prompt = prompt
        # Whether the password came from a prompt, which can ask again.
        self._asked = False
        self._client: PveClient | None = None
        self._options = self._complete()

    @property
    def uses_token(self) -> bool:
        return self._options.token_name is not None

    def client(self, seconds: float) -> PveClient:
        """Return the client, logged in, with so many seconds for its next requests; raises Ending or a PveError."""
        tries = _TRIES
        while True:
            if self._client is None:
                self._client = PveClient(self._options, Deadline(seconds))
            # Again in each round: the time at a prompt does not count.
            self._client.deadline = Deadline(seconds)
            try:
                self._client.log_in()
                return self._client
            except AuthenticationFailed as error:
                if error.needs_code:
                    self._log_in_anew(otp=self._prompt.secret(f"Second factor of {self._options.user}: "))
                    continue
                tries -= 1
                if not tries or not self._asked:
                    raise
                self._prompt.say(str(error))
                self._log_in_anew(otp=None, password=self._prompt.secret(f"Password of {self._options.user}: "))

    def _log_in_anew(self, **credentials: str | None) -> None:
        self.close()
        self._options = self._options._replace(**credentials)  # type: ignore[arg-type]

    def close(self) -> None:
        """Close the connection to the API."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def turn_to_password(self, why: Exception) -> None:
        """Log in with a password from now on, as PVE does not accept the token; raises why when there is no prompt."""
        owner = self._options.user
        settings = {option: value for option, value in self._settings.items() if not option.startswith("api_token")}
        if not settings.get("api_password") and not self._prompt.possible:
            raise why
        self._prompt.say(str(why))
        if not settings.get("api_password"):
            settings["api_user"] = self._prompt.line(f"User [{owner}]: ") or owner
        else:
            settings["api_user"] = owner
        self.close()
        self._settings = settings
        self._options = self._complete()

    def _complete(self) -> ConnectionOptions:
        """Prompt for what is missing, and check all settings."""
        settings = self._settings
        if not settings.get("api_host"):
            self._require("no host is given: set PROXMOX_HOST, or use --host")
            settings["api_host"] = self._prompt.line("Proxmox VE (name or address): ")
        if not settings.get("api_token_id") and not settings.get("api_token_secret"):
            if not settings.get("api_user"):
                self._require("no user is given: set PROXMOX_TOKEN_ID and PROXMOX_TOKEN_SECRET, or use --user")
                settings["api_user"] = self._prompt.line("User [root@pam]: ") or "root@pam"
            if not settings.get("api_password"):
                settings["api_password"] = self._prompt.secret(f"Password of {settings['api_user']}: ")
                self._asked = True
        try:
            return connection_options(settings)
        except InvalidRequest as error:
            raise Ending(ExitCode.CONFIGURATION, str(error)) from error

    def _require(self, message: str) -> None:
        if not self._prompt.possible:
            raise Ending(ExitCode.CONFIGURATION, message)
