# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""List the backup jobs of the cluster, and say which guests each is about."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..._pve.client import PveClient
from ..._pve.guests import Guest, Selector, get_guest
from ..plan import Applier, Outcome
from ..selection import selector_from
from .backup_job import job_result
from .restore_place import Surroundings


@dataclass(frozen=True)
class JobsRequest:
    """The conditions for a list of jobs; None is no condition."""

    job: str | None = None
    selector: Selector | None = None


def jobs_request(parameters: t.Mapping[str, t.Any]) -> JobsRequest:
    """Check the options; raises InvalidRequest."""
    named = parameters.get("vmid") is not None or parameters.get("name") is not None
    return JobsRequest(parameters.get("job"), selector_from(parameters) if named else None)


def list_jobs(applier: Applier, request: JobsRequest) -> Outcome:
    """Return the jobs by their names, each with the numbers of the guests that it backs up now; two requests."""
    client = applier.client
    jobs = [job for job in client.read("cluster", "backup") if request.job in (None, job.get("id"))]
    guests = Surroundings.read(client).guests
    vmid = _vmid(client, request.selector, guests)
    results = []
    for job in sorted(jobs, key=lambda job: str(job["id"])):
        result = job_result(job) or {}
        covered = [guest.vmid for guest in guests if _covers(result, guest)]
        # One that is gone stays in the list, and fails in the night.
        if vmid is None or vmid in (*covered, *result["vmids"]):
            results.append({**result, "covers": sorted(covered)})
    return Outcome(changed=False, facts={"jobs": results})


def _vmid(client: PveClient, selector: Selector | None, guests: t.Sequence[Guest]) -> int | None:
    """The number of the guest that is meant; one that is given by its number alone may be gone."""
    if selector is None or selector.name is None:
        return selector.vmid if selector else None
    return get_guest(client, selector, guests).vmid


def _covers(job: t.Mapping[str, t.Any], guest: Guest) -> bool:
    """Whether the job backs the guest up when it runs now (PVE::VZDump, get_included_guests)."""
    if job["node"] not in (None, guest.node):
        return False
    if job["pool"]:
        return bool(guest.pool == job["pool"])
    return bool(guest.vmid in job["vmids"] or (job["all_guests"] and guest.vmid not in job["exclude"]))
