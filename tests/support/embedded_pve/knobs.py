# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings a test turns on an embedded PVE."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Knobs:
    """Durations are real seconds; task types are PVE's (qmclone, qmcreate, qmstart, qmconfig, ...)."""

    auth_failure_delay: float = 0.0
    """Seconds before a 401 is answered (a real node takes 3)."""
    idle_timeout: float = 5.0
    """Seconds after which an idle connection is closed (90-transport.json: 5)."""
    default_task_seconds: float = 0.0
    task_seconds: dict[str, float] = field(default_factory=dict)
    node_lost_long_ago: bool = False
    """Nodes that are offline have been so for more than five minutes: their guests have no names."""
    no_route_seconds: float = 0.0
    """Seconds before a request for a node that is offline is answered with 595 (81-node-down.json: 1 to 4)."""
    clock_ahead: dict[str, float] = field(default_factory=dict)
    """By how many seconds a node's clock is ahead of that which answers; it dates the node's tasks."""
    clean_up_seconds: float = 0.6
    """Seconds a create or clone needs to take its guest away after a TERM (97b-tasks-stop-twice.json)."""
    destroyed_seconds: float = 0.0
    """Seconds that a guest shows the lock destroyed, and nothing else, before it is gone."""
    stop_look_seconds: float = 1.0
    """Seconds between the looks of a DELETE of a task, which answers when the task has ended, or after five of them."""
    lost_terms: int = 0
    """How many of the next TERMs have no effect."""
    resources_lag: float = 0.0
    """Seconds /cluster/resources needs to know a new guest, name or status (pvestatd broadcasts every 10 s)."""
    lock_wait: float = 10.0
    """Seconds a task or a configuration write waits for another one's lock on the guest."""
    hotplug_seconds: float = 0.0
    """Seconds a running guest needs to take, or to refuse, a change of its configuration."""
    proxy_seconds: float = 30.0
    """Seconds after which pveproxy answers 596 to a request that is still being worked on."""
    ha_seconds: float = 0.0
    """Seconds between the rounds of the HA manager, which take a service from one state to the next; 0 acts at once."""
    ha_loses: int = 0
    """How many of the next requests to move a service HA's manager loses, as when it is busy with the service."""
    ha_groups: bool = False
    """As before PVE 9: HA has groups, and no rules."""
    web_servers: dict[str, str] = field(default_factory=dict)
    """Where servers are that only have a name: the beginning of a URL, and of the one to ask."""
    trusted_authority: str = ""
    """A file of authorities whose web servers PVE downloads from."""
    download_tries: int = 2
    """How often a download that breaks off is begun (wget: 20 times, in two minutes and more)."""
    upload_breaks_after: int = 0
    """Bytes of an upload after which the connection breaks; 0: it does not."""
    skopeo: bool = True
    """The node has the program that fetches images from registries."""
    silent_agent_seconds: float = 0.0
    """Seconds a silent guest agent keeps a call waiting (a real node: 3)."""
    agent_seconds: float = 0.0
    """Seconds that an agent needs to answer."""
    agent_timeout_seconds: float = 0.0
    """Seconds after which PVE gives an answer of an agent up (a real node: 5)."""
    local_node: str = ""
    """The node that answers the API, and opens the ports of consoles; the first one when empty."""
    node_addresses: dict[str, str] = field(default_factory=dict)
    """What /cluster/status says a node's address is, instead of one that leads nowhere."""
    release: str = "9.2"
    """A key of releases.RELEASES: what consoles can do, and the versions that the API names."""
    second_factor: str = ""
    """What the second step of a login has to send as its password, like totp:123456."""
    console_hardening: bool = True
    """As since April 2026 (qemu-server 9.1.7 and 8.4.7); False is the release before that."""
    console_password: str = ""
    """The VNC password; random when empty."""
    console_port: int | str | None = None
    """What an answer says is the port, whatever it is."""
    console_number_ports: bool = False
    """Ports as JSON numbers."""
    console_ticket_seconds: float = 40.0
    console_listen_seconds: float = 10.0
    console_credentials_seconds: float = 10.0
    console_password_seconds: float = 30.0
    """How long a ticket, an open port, termproxy's first line and a VNC password live. They can be shortened."""
    console_ticket_age: float = 0.0
    """Seconds that are added to the age of every ticket."""
    console_dead_port: str = "hang"
    """What a websocket to a port that nobody listens on gets: no answer ("hang") or the end of file ("drop")."""
    console_joined_ok: bool = True
    """termproxy's OK comes in one frame with the first output."""
    console_terminal_seconds: float = 0.0
    """Seconds from termproxy's OK to the start of `qm terminal` (a busy node: 3 to 6)."""
    console_frame_bytes: int = 128 * 1024
    """The most that a frame of the server carries: 1 is byte by byte."""

    def shortened(self, name: str) -> float:
        """A duration of consoles; raises ValueError when it is longer than PVE's."""
        seconds, limit = float(getattr(self, name)), float(type(self).__dataclass_fields__[name].default)
        if seconds > limit:
            raise ValueError(f"{name} is {seconds}; PVE's is {limit}, and a client must not rely on more")
        return seconds
