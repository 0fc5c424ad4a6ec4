# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backup jobs of the cluster (PVE::API2::Backup; 74-backups-jobs.json)."""

from __future__ import annotations

import re
import secrets
from typing import Any

from fakepve import schema
from fakepve.model import PveError
from fakepve.routing import die, split_list

from .backups import Backups
from .base import is_true, parameter_error
from .pruning import parse_keep

NUMBERS = ("enabled", "all", "repeat-missed", "protected", "bwlimit", "zstd", "remove")
DAYS = "mon|tue|wed|thu|fri|sat|sun"
NAMED = "minutely|hourly|daily|weekly|monthly|yearly|annually|quarterly|semiannually|semi-annually"
SCHEDULE = re.compile(rf"({NAMED})|((({DAYS})[a-z]*((\.\.|,)({DAYS})[a-z]*)*) ?)?([\d*,/.-]+ ?)?([\d*,/.:]+)?")


OPTIONS = schema.load().paths["/cluster/backup/{id}"]["PUT"]["parameters"]["properties"].keys() - {
    *("id", "delete", "schedule", "starttime", "dow"),
}


class BackupJobs(Backups):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.backup_jobs: dict[str, dict[str, Any]] = {}

    def _routes_embedded_backup_jobs(self) -> list[tuple[str, str, Any]]:
        one = "/cluster/backup/{id}"
        return [
            ("GET", "/cluster/backup", self._jobs),
            ("POST", "/cluster/backup", self._job_create),
            ("GET", one, self._job),
            ("PUT", one, self._job_change),
            ("DELETE", one, self._job_delete),
        ]

    async def _jobs(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        self.require(user, "/", "Sys.Audit")
        return [{**self._shown_job(name), "next-run": 1795834800} for name in self.backup_jobs]

    def _shown_job(self, name: str) -> dict[str, Any]:
        shown: dict[str, Any] = {"id": name, "type": "vzdump"}
        for key, value in self.backup_jobs[name].items():
            shown[key] = int(is_true(value)) if key in NUMBERS[:4] else int(value) if key in NUMBERS else value
            if key in ("prune-backups", "fleecing", "performance"):
                parts = dict(part.split("=", 1) for part in str(value).split(","))
                shown[key] = {name: int(text) if name == "enabled" else text for name, text in parts.items()}
        return shown

    async def _job(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        self.require(user, "/", "Sys.Audit")
        if values["id"] not in self.backup_jobs:
            raise parameter_error(id=f"No such job '{values['id']}'")
        return self._shown_job(values["id"])

    def _check_job(self, values: dict[str, Any], user: str) -> None:
        self.require(user, "/", "Sys.Modify")
        pool = values.get("pool")
        if pool and pool not in self.pools:
            raise PveError(403, f"Permission check failed (pool '{pool}' does not exist)")
        if values.get("storage"):
            self.require(user, f"/storage/{values['storage']}", "Datastore.Allocate")
        if "prune-backups" in values:
            parse_keep(str(values["prune-backups"]))
        schedule = values.get("schedule")
        if schedule is not None and not SCHEDULE.fullmatch(str(schedule).lower()):
            what = "weekday " if re.fullmatch(r"[a-z]{3,}", str(schedule).lower()) else ""
            text = f"invalid format - invalid calendar event '{schedule}' - unable to parse {what}'{schedule}'\n\n"
            raise parameter_error(schedule=text)

    @staticmethod
    def _check_selection(job: dict[str, Any]) -> None:
        if job.get("vmid") and is_true(job.get("all", 0)):
            raise die("400 Parameter verification failed.\nall: option conflicts with option 'vmid'")
        if not job.get("vmid") and not is_true(job.get("all", 0)) and not job.get("pool"):
            raise die("400 Parameter verification failed.\nvmid: property is missing")

    async def _job_create(self, values: dict[str, Any], user: str) -> None:
        self._check_job(values, user)
        if values.get("starttime"):
            values["schedule"] = f"{values.pop('dow', DAYS.replace('|', ','))} {values.pop('starttime')}"
        if not values.get("schedule"):
            raise parameter_error(schedule="neither 'starttime' nor 'schedule' were set")
        name = values.get("id") or f"backup-{secrets.token_hex(4)}"
        if name in self.backup_jobs:
            raise die(f"Job '{name}' already exists")
        job = {key: value for key, value in values.items() if key != "id"}
        self._check_selection(job)
        self.backup_jobs[name] = {"enabled": 1, **job}

    async def _job_change(self, values: dict[str, Any], user: str) -> None:
        name, deleted = values["id"], split_list(values.get("delete") or "")
        given = {key: value for key, value in values.items() if key not in ("id", "delete")}
        self._check_job(given, user)
        if not given and not deleted:
            raise die("no options specified")
        if name not in self.backup_jobs:
            raise die("no such vzdump job")
        for key in deleted:
            if key not in OPTIONS:
                raise die(f"400 Parameter verification failed.\ndelete: unknown option '{key}'")
        job = {key: value for key, value in self.backup_jobs[name].items() if key not in deleted}
        if job.get("storage"):
            try:
                self.require(user, f"/storage/{job['storage']}", "Datastore.Allocate")
            except PveError as problem:
                raise PveError(500, f"403 {problem.message}") from problem
        job.update(given)
        if "vmid" in given:
            job.pop("all", None)
            job.pop("exclude", None)
        self._check_selection(job)
        self.backup_jobs[name] = job

    async def _job_delete(self, values: dict[str, Any], user: str) -> None:
        self.require(user, "/", "Sys.Modify")
        if values["id"] not in self.backup_jobs:
            raise die(f"400 Parameter verification failed.\nid: No such job '{values['id']}'")
        del self.backup_jobs[values["id"]]
