# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: pve
short_description: Inventory of the guests and nodes of a Proxmox VE cluster
version_added: 1.0.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Adds every virtual machine and container of a Proxmox VE cluster as a host, with one request for all of them, and
    the nodes as well if O(nodes) is set.
  - The name of the file must end in C(.pve.yml) or C(.pve.yaml).
  - Each host has variables that begin with O(hostvars_prefix), C(pve_vmid), C(pve_name), C(pve_node), C(pve_type)
    (V(qemu) or V(lxc)), C(pve_status) (V(running), V(stopped), V(hibernated) or V(unknown)), C(pve_tags) (a list),
    C(pve_pool), C(pve_template), C(pve_lock), C(pve_ha_managed), C(pve_ha_state), C(pve_uptime) in seconds,
    C(pve_cpu) as a part of C(pve_maxcpu), and C(pve_mem), C(pve_maxmem), C(pve_disk) and C(pve_maxdisk) in bytes.
    Unknown values are null.
  - The list is up to 10 seconds old. A guest that is younger, or on a node that is down, has the status V(unknown)
    in it and no name. The name is then read from its configuration. If that fails, the host name is the type and the
    number, as in C(qemu-100).
  - When several guests have the same name, the one with the lowest number keeps it. The others have their number
    added, as in C(web-105), with a warning. The same happens to a guest that is called C(localhost), and to one with
    the name of a host of another file of this plugin. These hosts are never connected to by name, because the name
    belongs to another machine.
  - When the cluster cannot be read, Ansible stops, see O(required).
extends_documentation_fragment:
  - cloudbridge.proxmox.connection.inventory
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
options:
  plugin:
    description: The name of this plugin.
    type: str
    required: true
    choices: [cloudbridge.proxmox.pve]
  hostvars_prefix:
    description: The prefix of the variables' names.
    type: str
    default: pve_
  hostname:
    description:
      - The name of a host, as a Jinja template or expression of its variables.
      - If the result is empty, the guest's own name is used.
    type: str
  templates:
    description: Whether templates are hosts, too.
    type: bool
    default: false
  nodes:
    description:
      - Whether the nodes of the cluster are hosts, too. They have the same variables, with C(pve_type) V(node) and
        C(pve_status) V(online) or V(offline), and are in the groups of these, but not in those of the guests on them.
      - Of the filters, O(filters.nodes), O(filters.include) and O(filters.exclude) apply to them.
    type: bool
    default: false
    version_added: 1.1.0
  node_address:
    description:
      - With V(cluster), C(ansible_host) of a node is the address by which the cluster knows it. That is one more
        request, and takes C(Sys.Audit) on C(/). With V(name) it is not set, and Ansible takes the node's name.
    type: str
    choices: [name, cluster]
    default: name
    version_added: 1.1.0
  cluster:
    description:
      - The name of the cluster, for the variable C(pve_cluster) and a group such as C(pve_cluster_east). It
        distinguishes the hosts of several files of this plugin.
    type: str
    version_added: 1.1.0
  group_by:
    description:
      - The kinds of groups to create, such as C(pve_status_running), C(pve_type_qemu), C(pve_node_pve1),
        C(pve_node_type_pve1_qemu) (not by default), C(pve_pool_prod), C(pve_tag_web) and C(pve_cluster_east).
        Characters that are not allowed in a group name become C(_).
    type: list
    elements: str
    choices: [status, type, node, node_type, pool, tag, cluster]
    default: [status, type, node, pool, tag, cluster]
  group_prefix:
    description: The prefix of those groups' names.
    type: str
    default: pve_
  filters:
    description:
      - Which guests are hosts. A guest must meet all of these conditions.
      - All but O(filters.include) and O(filters.exclude) are applied to the list, before any other request.
      - Conditions in Jinja are evaluated before any agent is asked, unless they use values of the agent. A condition
        that cannot be evaluated counts as not met, with a warning, or is an error with O(strict).
    type: dict
    default: {}
    suboptions:
      status:
        description:
          - Guests that are in one of these states, V(running), V(stopped), V(hibernated) or V(unknown).
          - V(paused) and V(prelaunch) are states, too. The list calls them running, so that each running virtual
            machine is asked.
        type: list
        elements: str
      tags:
        description: Guests that have all these tags. Case does not matter.
        type: list
        elements: str
      pools:
        description: Guests that are in one of these pools.
        type: list
        elements: str
      nodes:
        description: Guests that are on one of these nodes.
        type: list
        elements: str
      types:
        description: Virtual machines, V(qemu), or containers, V(lxc).
        type: list
        elements: str
      include:
        description: Guests for which all of these conditions in Jinja hold.
        type: list
        elements: str
      exclude:
        description: Guests for which none of these conditions in Jinja holds.
        type: list
        elements: str
  gather:
    description:
      - What else to read of each guest, with one more request for each.
      - V(config) sets C(pve_config) to the configuration, including pending changes. Passwords are
        masked. It sets C(pve_networks) to its network devices, in the words of the option C(networks) of
        M(cloudbridge.proxmox.pve_vm) or M(cloudbridge.proxmox.pve_container), each with the C(ip) and the C(gateway)
        that it is configured with.
      - V(status) sets C(pve_status) of a running virtual machine to V(paused) or V(prelaunch) when it is that, and
        C(pve_qmpstatus) to what QEMU says. The list calls them running.
      - V(snapshots) sets C(pve_snapshots) to the snapshots, as M(cloudbridge.proxmox.pve_snapshot_info) returns them.
      - V(agent) sets C(pve_addresses) to the addresses, in the lists C(ipv4) and C(ipv6), and C(pve_interfaces) to the
        interfaces, each with its C(name), its C(mac) and its C(addresses) with their prefixes, as the agent of a
        running virtual machine or the node of a running container reports them. Without a report they are null.
        Together with V(config), C(pve_addresses) has only those of the guest's own network devices, which are
        recognized by their MAC addresses.
    type: list
    elements: str
    choices: [config, status, snapshots, agent]
    default: []
  connect_with:
    description:
      - The sources of C(ansible_host), in order. The first one that gives an address is used, and the rest are not
        tried.
      - V(agent_ipv4) and V(agent_ipv6) are the first address that the guest's agent reports, or the node for a
        container. Loopback and link-local addresses are left out, and with O(gather=config) all that are not on one of
        the guest's own network devices. It sets C(pve_addresses) and C(pve_interfaces), too.
      - V(cloud_init_ipv4) and V(cloud_init_ipv6) are the first fixed address of cloud-init's configuration, or of a
        container's network devices.
      - V(name) is the guest's name, which differs from the host's when that comes from O(hostname). It is not used for
        a guest
        whose name belongs to another one, or is C(localhost).
      - V(fqdn) is the name with the search domain of the guest's configuration, unless the guest has no V(name).
      - V(proxmox) is the name of the node that the guest is on, for connections through Proxmox VE.
      - V(agent) is no address. It sets C(ansible_connection) of a virtual machine to
        P(cloudbridge.proxmox.pve_agent#connection), with what that needs, and so is the last in the list. Where the API
        is and who asks are set as well if this file says so, as C(pve_api_host), but never a secret. Secrets come from
        the environment, or from a variable such as C(pve_api_token_secret) in an encrypted file.
      - When a guest has none of them, or none is given, C(ansible_host) is not set, and Ansible takes the host's name.
    type: list
    elements: str
    choices: [agent_ipv4, agent_ipv6, cloud_init_ipv4, cloud_init_ipv6, name, fqdn, proxmox, agent]
    default: []
  prefer_networks:
    description:
      - Networks, as in V(192.0.2.0/24). Of several addresses the one in the first of these networks is taken, otherwise
        the first address.
    type: list
    elements: str
    default: []
  exclude_networks:
    description: Networks whose addresses are never taken, such as those of a bridge inside the guests.
    type: list
    elements: str
    default: []
  workers_per_node:
    description:
      - How many guests of one node are asked at a time. A node answers such requests with three workers, which also
        start
        and stop its guests, and an agent that is configured but silent holds one for 3 seconds.
    type: int
    default: 2
  agent_timeout:
    description: Seconds to wait for the answer to one of the requests of O(gather) and O(connect_with).
    type: float
    default: 5
  agent_budget:
    description:
      - Seconds that all those requests together may take. Guests without an answer by then have neither addresses nor
        configuration, and one warning counts them.
    type: float
    default: 30
  agent_retry:
    description:
      - Seconds after which a guest that gave no answer is asked again, when O(cache) is on and still holds it.
    type: float
    default: 300
  required:
    description:
      - Whether Ansible stops when this file cannot be read, as with the setting C(INVENTORY_ANY_UNPARSED_IS_FAILED).
      - With V(false) that setting decides, and by default Ansible then goes on with a warning and without these hosts.
    type: bool
    default: true
notes:
  - A guest is a host if the token, or the user, has the privilege C(VM.Audit) on it. Proxmox VE omits all others
    without an error. When there is no guest at all, a warning says so.
  - To ask agents takes C(VM.GuestAgent.Audit), before Proxmox VE 9 C(VM.Monitor).
seealso:
  - module: cloudbridge.proxmox.pve_vm_info
"""

EXAMPLES = r"""
---
# Every guest, with groups as pve_status_running and pve_tag_web.
# Where the API is, and the token, come from the environment variables PROXMOX_*.
plugin: cloudbridge.proxmox.pve
---
# A token from a variable, as of -e @secrets.yml, which may be encrypted with ansible-vault.
plugin: cloudbridge.proxmox.pve
api_host: pve1.example.com,pve2.example.com
api_token_id: ansible@pve!inventory
api_token_secret: "{{ pve_token_secret }}"
ca_path: /etc/ssl/pve-root-ca.pem
---
# Running guests tagged prod, by the address that their agents report, or else by their name.
plugin: cloudbridge.proxmox.pve
filters:
  status: [running]
  tags: [prod]
connect_with: [agent_ipv4, name]
prefer_networks: [10.20.0.0/16]
exclude_networks: [172.17.0.0/16]
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/ansible-inventory
cache_timeout: 600
---
# Names with a domain, custom groups and variables, and what a configuration says.
plugin: cloudbridge.proxmox.pve
hostname: "{{ pve_name }}.example.com"
gather: [config]
filters:
  include:
    - pve_maxmem >= 1024 ** 3
  exclude:
    - pve_pool == 'lab'
    - pve_name is match('test-')
groups:
  linux: (pve_config.ostype | default('')) in ['l24', 'l26']
keyed_groups:
  - key: pve_tags
    prefix: role
compose:
  ansible_user: "'admin' if 'cloud' in pve_tags else 'root'"
---
# The nodes as hosts as well, the exact status of paused guests, snapshots, and interfaces with their MAC addresses.
plugin: cloudbridge.proxmox.pve
cluster: east
nodes: true
node_address: cluster
gather: [config, status, snapshots, agent]
keyed_groups:
  - key: pve_networks | default([], true) | map(attribute='bridge') | unique
    prefix: bridge
compose:
  last_snapshot: (pve_snapshots | default([], true) | last | default({})).name | default('')
---
# Virtual machines by the addresses of their agents, and those that have none over the agent itself.
plugin: cloudbridge.proxmox.pve
filters:
  types: [qemu]
  status: [running]
connect_with: [agent_ipv4, agent]
"""

import time
import typing as t
import weakref
from dataclasses import dataclass, field

from ansible import constants
from ansible.errors import AnsibleParserError
from ansible.module_utils.basic import missing_required_lib
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.utils.vars import combine_vars

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._ansible.argument_spec import (
    connection_from,
    connection_spec,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._ansible.environment import without_empty_variables
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.inventory.hosts import (
    default_name,
    free_name,
    groups_of,
    unique_names,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.inventory.inventory_request import (
    check_names,
    check_prefix,
    inventory_request,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.inventory.memory import (
    Memory,
    memory_from_cache,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.inventory.reading import (
    Host,
    Reading,
    read_memory,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.client import PATIENCE_SECONDS, PveClient
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.connection import (
    ConnectionOptions,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.deadline import Deadline
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import MissingLibrary, PveError
from ansible_collections.cloudbridge.proxmox.plugins.plugin_utils._inventory import (
    HostFilters,
    as_variable,
    template_options,
)

Variables = dict[str, t.Any]


@dataclass
class Others:
    """The hosts that other files of this plugin have made, and the names of their guests."""

    hosts: set[str] = field(default_factory=set)
    guests: set[str] = field(default_factory=set)


# Of each inventory that is being read.
_others: weakref.WeakKeyDictionary[t.Any, Others] = weakref.WeakKeyDictionary()
READ_LAST = ("addresses", "interfaces", "snapshots")
NAMED_HOSTS_IN_WARNING = 5
AGENT_CONNECTION = "cloudbridge.proxmox.pve_agent"
API_OPTIONS = [name for name, row in connection_spec().items() if not row.get("no_log")]


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    NAME = "cloudbridge.proxmox.pve"
    inventory: t.Any

    def __init__(self) -> None:
        super().__init__()
        self._client: PveClient | None = None
        self._groups: dict[str, str] = {}
        # The options that the file has.
        self._given: frozenset[str] = frozenset()

    def verify_file(self, path: str) -> bool:
        """Whether the file is meant for this plugin, by its name."""
        return bool(t.cast(t.Any, super()).verify_file(path)) and path.endswith((".pve.yml", ".pve.yaml"))

    def set_options(self, task_keys: t.Any = None, var_options: t.Any = None, direct: t.Any = None) -> None:
        """Take the options of the file, whose values may be templates of the extra variables."""
        if direct:
            self.templar.available_variables = var_options or {}
            direct = template_options(self.templar, direct)
        with without_empty_variables(connection_spec()):
            t.cast(t.Any, super()).set_options(task_keys=task_keys, var_options=var_options, direct=direct)

    def parse(self, inventory: t.Any, loader: t.Any, path: str, cache: bool = True) -> None:
        """Add the guests to the inventory; raises AnsibleParserError."""
        super().parse(inventory, loader, path, cache)
        self._groups = {}
        failed = True
        try:
            config = t.cast(t.Any, self)._read_config_data(path)
            check_names("the option", config, self._options)
            self._given = frozenset(config)
            self._add_hosts(path, cache)
            failed = False
        # Without the cause: the message has it, and ansible-core 2.19 and newer would add it again.
        except MissingLibrary as error:
            raise AnsibleParserError(missing_required_lib(error.library)) from None
        except PveError as error:
            raise AnsibleParserError(str(error)) from None
        finally:
            if self._client is not None:
                self._client.close()
                self._client = None
            if failed and self._options.get("required", True):
                # Ansible takes a source that no plugin could read for an empty one, unless this is set.
                t.cast(t.Any, constants).INVENTORY_ANY_UNPARSED_IS_FAILED = True

    def _add_hosts(self, path: str, cache: bool) -> None:
        prefix = check_prefix("hostvars_prefix", self._option("hostvars_prefix"))
        request = inventory_request({name: self._option(name) for name in self._options})
        conditions = HostFilters(
            request.filters.include,
            request.filters.exclude,
            frozenset({"ansible_host", *(prefix + name for name in READ_LAST)}),
            self._option("strict"),
            self.templar,
        )
        connection = connection_from({name: self._option(name) for name in connection_spec()})
        source = f"{connection!r} {request.nodes} {request.node_address}"
        memory, fresh = self._remembered(path, cache, source), False
        if memory is None:
            memory, fresh = read_memory(self._connect(connection), source, request), True
        others = _others.setdefault(self.inventory, Others())
        reading = Reading(lambda: self._connect(connection), memory, request, others.hosts | others.guests)
        try:
            guests = reading.guests()
            if conditions.any(waited=False):
                kept = self._kept(reading.hosts(guests), conditions, waited=False)
                guests = [host.guest for host in kept if host.guest is not None]
            reading.complete(guests)
        finally:
            reading.close()
        nodes = self._kept(reading.nodes(), conditions, waited=False)
        hosts = self._kept([*nodes, *reading.hosts(guests)], conditions, waited=True)
        if self._option("cache") and (fresh or reading.asked):
            self._cache[self.get_cache_key(path)] = memory.as_cache()
        if not memory.entries:
            self.display.warning(
                f"{connection.identity} sees no guest on {connection.endpoints[0].url}: there is none, or it lacks the "
                f"privilege VM.Audit on /vms; an API token with privilege separation needs a permission of its own"
            )
        left = [host.guest for host in hosts if host.guest is not None]
        for warning in [*conditions.warnings(), *reading.warnings(left)]:
            self.display.warning(warning)
        self._populate(hosts, others)

    def _option(self, name: str) -> t.Any:
        return t.cast(t.Any, self).get_option(name)

    def _connect(self, connection: ConnectionOptions) -> PveClient:
        if self._client is None:
            self._client = PveClient(connection, Deadline(2 * PATIENCE_SECONDS))
        return self._client

    def _remembered(self, path: str, cache: bool, source: str) -> Memory | None:
        if not cache or not self._option("cache"):
            return None
        seconds = self._option("cache_timeout")
        oldest = time.time() - seconds if seconds else 0
        return memory_from_cache(self._cache.get(self.get_cache_key(path)), source, oldest)

    def _kept(self, hosts: list[Host], conditions: HostFilters, waited: bool) -> list[Host]:
        return [host for host in hosts if conditions.keep(self._visible(self._variables(host)), waited)]

    def _variables(self, host: Host) -> Variables:
        prefix = self._option("hostvars_prefix")
        variables = {prefix + name: value for name, value in host.facts.items()}
        if host.address is not None:
            variables["ansible_host"] = host.address
        if host.by_agent:
            variables.update(self._agent_variables(host))
        return t.cast(Variables, as_variable(variables))

    def _agent_variables(self, host: Host) -> Variables:
        """What the connection over the agent needs; secrets are not for variables, which ansible-inventory prints."""
        given = {f"pve_{name}": self._option(name) for name in API_OPTIONS if name in self._given}
        place = {"pve_vmid": host.facts["vmid"], "pve_node": host.facts["node"]}
        return {"ansible_connection": AGENT_CONNECTION, **place, **given}

    def _visible(self, variables: Variables) -> Variables:
        """What conditions and templates see, as Constructable does it."""
        return combine_vars(variables, self._vars) if self._option("use_extra_vars") else variables

    def _populate(self, hosts: list[Host], others: Others) -> None:
        taken = others.hosts
        wanted = [(host, self._wanted_name(host)) for host in hosts]
        nodes = {name: free_name(name, "node", taken) for host, name in wanted if host.guest is None}
        vmids = [(host.guest.vmid, name) for host, name in wanted if host.guest is not None]
        guests = unique_names(vmids, {*taken, *nodes.values()})
        named = [(host, name, nodes[name] if host.guest is None else guests[host.guest.vmid]) for host, name in wanted]
        renamed = [f"{own} ({name})" for _host, name, own in named if own != name]
        if renamed:
            some = ", ".join(renamed[:NAMED_HOSTS_IN_WARNING]) + ", ..." * (len(renamed) > NAMED_HOSTS_IN_WARNING)
            self.display.warning(f"{len(renamed)} hosts have their number added, as another has the name: {some}")
        for host, _name, own in named:
            taken.add(own)
            others.guests.update(filter(None, [host.facts["name"]]))
            self._add_host(own, host)

    def _wanted_name(self, host: Host) -> str:
        own = host.facts["name"] if host.guest is None else default_name(host.guest, host.facts["name"])
        template = self._option("hostname")
        if not template:
            return own
        variables = self._visible({**self._variables(host), self._option("hostvars_prefix") + "name": own})
        try:
            if "{{" in template or "{%" in template:
                self.templar.available_variables = variables
                name = self.templar.template(template)
            else:
                name = t.cast(t.Any, self)._compose(template, variables)
        except Exception as error:
            raise AnsibleParserError(f"the hostname of {host.label} cannot be made: {error}") from error
        return str(name if name is not None else "").strip() or own

    def _add_host(self, name: str, host: Host) -> None:
        name = as_variable(name)
        variables, strict = self._variables(host), self._option("strict")
        self.inventory.add_host(name)
        for key, value in variables.items():
            self.inventory.set_variable(name, key, value)
        for group in groups_of(host.facts, self._option("group_by"), self._option("group_prefix")):
            self.inventory.add_child(self._group(group), name)
        construct: t.Any = self
        construct._set_composite_vars(self._option("compose"), variables, name, strict=strict)
        construct._add_host_to_composed_groups(self._option("groups"), variables, name, strict=strict)
        construct._add_host_to_keyed_groups(self._option("keyed_groups"), variables, name, strict=strict)

    def _group(self, wanted: str) -> str:
        """Make the group, once, and return its name, which has only characters that Ansible allows."""
        if wanted not in self._groups:
            self._groups[wanted] = self.inventory.add_group(self._sanitize_group_name(wanted))
        return self._groups[wanted]
