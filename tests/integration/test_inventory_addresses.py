# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ways to connect: what is asked of whom, how many at a time, and what becomes of those that do not answer."""

from __future__ import annotations

import threading
import time

import pytest

LIST = "GET /cluster/resources"
AGENT = "network-get-interfaces"
QUICK_ENOUGH_SECONDS = 20  # of a machine that does something else, too


def interface(*addresses, name="eth0"):
    return {"name": name, "ip-addresses": [{"ip-address": text} for text in addresses]}


def add_running(pve, vmid, *addresses, **options):
    config = {"agent": "1", **options.pop("config", {})}
    agent = {"interfaces": [interface("127.0.0.1", "fe80::1"), interface(*addresses)]}
    pve.add_guest(vmid, f"vm-{vmid}", status="running", config=config, agent=agent, **options)


def addresses_in(found):
    return {name: host.get("ansible_host") for name, host in found.hosts.items()}


def agent_calls(pve):
    return [line for line in pve.summary() if AGENT in line or line.endswith("/interfaces")]


def watch_load(pve, *, agents_only=True):
    """Note how many calls to each node run at a time; the delay of a fault keeps them there for a while."""
    most: dict[str, int] = {}
    running: dict[str, int] = {}
    lock = threading.Lock()
    server = pve.server
    original = server._agent_call

    async def counted(match, values, *rest):
        node = values["node"]
        with lock:
            running[node] = running.get(node, 0) + 1
            most[node] = max(most.get(node, 0), running[node])
        try:
            return await original(match, values, *rest)
        finally:
            with lock:
                running[node] -= 1

    server._agent_call = counted
    return most


def test_a_plain_inventory_asks_no_agent_and_sets_no_address(pve, inventory):
    found = inventory()
    assert addresses_in(found) == {"web": None, "db": None, "ct": None}
    assert "pve_addresses" not in found.hosts["db"]
    assert pve.summary() == [LIST]


def test_each_way_to_connect_in_the_order_given(pve, inventory):
    add_running(pve, 110, "192.0.2.110", "2001:db8::110")
    add_running(pve, 111, "2001:db8::111", config={"ipconfig0": "ip=198.51.100.7/24,gw=198.51.100.1"})
    add_running(pve, 112, config={"ipconfig1": "ip=198.51.100.8/24", "ipconfig0": "ip=dhcp,ip6=2001:db8::8/64"})
    pve.add_guest(113, "stopped", config={"searchdomain": "lan.example.com example.com"})
    pve.add_container(210, "ct2", status="running", config={"hostname": "ct2", "net0": "name=eth0,ip=203.0.113.9/24"})
    found = inventory("connect_with: [agent_ipv4, cloud_init_ipv4, fqdn, proxmox]")
    assert addresses_in(found) == {
        "web": "pve1",
        "db": "192.0.2.10",
        "ct": "pve1",
        "vm-110": "192.0.2.110",
        "vm-111": "198.51.100.7",
        "vm-112": "198.51.100.8",
        "stopped": "stopped.lan.example.com",
        "ct2": "203.0.113.9",
    }
    assert found.hosts["vm-110"]["pve_addresses"] == {"ipv4": ["192.0.2.110"], "ipv6": ["2001:db8::110"]}
    assert found.hosts["web"]["pve_addresses"] is None
    # Who runs is asked once; who is stopped, and who told an address, is not asked for the next way.
    assert len(agent_calls(pve)) == 5
    configs = sorted(line.split("/")[-2] for line in pve.summary() if line.endswith("/config"))
    assert configs == ["100", "111", "112", "113", "200"]
    pve.reset_record()
    found = inventory("connect_with: [cloud_init_ipv6, agent_ipv6, name]")
    assert addresses_in(found) == {
        **{name: name for name in ("web", "db", "ct", "stopped", "ct2")},
        "vm-110": "2001:db8::110",
        "vm-111": "2001:db8::111",
        "vm-112": "2001:db8::8",
    }
    assert not any("/112/agent" in line for line in pve.summary())
    pve.reset_record()
    assert set(addresses_in(inventory("connect_with: [proxmox, agent_ipv4]")).values()) == {"pve1"}
    assert pve.summary() == [LIST]


def test_networks_are_preferred_and_excluded(pve, inventory):
    add_running(pve, 110, "172.17.0.1", "10.1.0.5", "10.2.0.5")
    add_running(pve, 111, "172.17.0.1")
    found = inventory(
        """
        connect_with: [agent_ipv4, name]
        prefer_networks: [10.9.0.0/16, 10.2.0.0/16]
        exclude_networks: [172.17.0.0/16, 192.0.2.0/24]
        """
    )
    addresses = addresses_in(found)
    assert (addresses["vm-110"], addresses["vm-111"], addresses["db"]) == ("10.2.0.5", "vm-111", "db")


def test_new_guests_whose_state_nobody_knows_are_asked(pve, inventory):
    add_running(pve, 110, "192.0.2.110")
    pve.add_guest(111, "halted", config={"agent": "1"})
    pve.resources_lag = 600
    for vmid in (110, 111):
        pve.call(lambda vmid=vmid: setattr(pve.server.guest(vmid), "born_at", time.monotonic()))
    found = inventory("connect_with: [agent_ipv4]")
    assert found.hosts["vm-110"]["ansible_host"] == "192.0.2.110"
    # That it does not run is an answer, and no reason for a warning.
    assert "ansible_host" not in found.hosts["halted"]
    assert found.stderr == ""


def test_who_has_no_agent_is_no_reason_for_a_warning(pve, inventory):
    pve.add_guest(110, "bare", status="running")
    found = inventory("connect_with: [agent_ipv4, name]")
    assert found.hosts["bare"]["ansible_host"] == "bare"
    assert found.stderr == ""


def test_hundred_guests_on_three_nodes_over_few_connections_two_at_a_time(pve_cluster, inventory):
    def add(server):
        for vmid in range(300, 400):
            config = {"name": f"vm-{vmid}", "agent": "1"}
            vm = server.add_vm(vmid, f"vm-{vmid}", node=f"pve{vmid % 3 + 1}", status="running", config=config)
            vm.agent = {"interfaces": [interface(f"198.51.100.{vmid - 299}")]}

    pve_cluster.call(lambda: add(pve_cluster.server))
    most = watch_load(pve_cluster)
    pve_cluster.fault("GET", AGENT, "delay", times=None, seconds=0.02)
    began = time.monotonic()
    found = inventory("connect_with: [agent_ipv4]")
    assert time.monotonic() - began < QUICK_ENOUGH_SECONDS
    assert len([host for host in found.hosts.values() if "ansible_host" in host]) == 101
    assert found.hosts["vm-399"]["ansible_host"] == "198.51.100.100"
    assert len(pve_cluster.summary()) == 1 + 101
    assert pve_cluster.connection_count == 1 + 6
    assert set(most) == {"pve1", "pve2", "pve3"}
    assert max(most.values()) <= 2
    assert found.stderr == ""


@pytest.mark.parametrize("workers", [1, 3])
def test_silent_agents_are_counted_in_one_warning_and_asked_a_few_at_a_time(pve, inventory, workers):
    for vmid in range(110, 116):
        add_running(pve, vmid, "192.0.2.9")
        pve.silence_agent(vmid)
    pve.knobs.silent_agent_seconds = 0.3
    most = watch_load(pve)
    found = inventory(f"connect_with: [agent_ipv4, name]\nworkers_per_node: {workers}")
    assert most == {"pve1": workers}
    assert addresses_in(found)["vm-110"] == "vm-110"
    assert addresses_in(found)["db"] == "192.0.2.10"
    assert len(found.warnings) == 1
    assert (
        "the addresses of 6 of 9 guests could not be read, as of guest 110 (vm-110) on node pve1: "
        "QEMU guest agent is not running" in found.warnings[0]
    )


def test_the_budget_is_the_end_of_it(pve, inventory):
    for vmid in range(110, 150):
        add_running(pve, vmid, "192.0.2.9")
        pve.silence_agent(vmid)
    pve.knobs.silent_agent_seconds = 3
    began = time.monotonic()
    plain = inventory()
    baseline = time.monotonic() - began
    assert len(plain.hosts) == 43
    pve.reset_record()
    began = time.monotonic()
    found = inventory("connect_with: [agent_ipv4]\nagent_budget: 2\nagent_timeout: 60")
    # 40 silent agents, two at a time, would take 60 s.
    assert time.monotonic() - began < 2 + baseline + 10
    assert len(agent_calls(pve)) <= 4
    assert len(found.hosts) == 43
    assert len(found.warnings) == 1
    assert "agent_budget was over before it answered" in found.warnings[0]


def test_a_call_that_is_given_up_still_counts_against_its_node(pve, inventory):
    for vmid in (110, 111, 112, 113):
        add_running(pve, vmid, "192.0.2.9")
        pve.silence_agent(vmid)
    pve.knobs.silent_agent_seconds = 2.5
    most = watch_load(pve)
    found = inventory("connect_with: [agent_ipv4]\nagent_timeout: 0.3\nfilters: {exclude: [pve_name == 'db']}")
    assert most == {"pve1": 2}
    assert "no answer within 0.3 s" in found.message


def test_nobody_else_is_asked_at_a_node_that_cannot_be_reached(pve_cluster, inventory):
    for vmid in range(110, 120):
        add_running(pve_cluster, vmid, "192.0.2.9", node="pve2")
    pve_cluster.fault("GET", "^/nodes/pve2/", "595", times=None)
    found = inventory("connect_with: [agent_ipv4, name]")
    assert len(agent_calls(pve_cluster)) <= 2
    assert found.hosts["vm-110"]["ansible_host"] == "vm-110"
    assert "the addresses of 11 of 13 guests could not be read" in found.message
    assert "No route to host" in found.message


def test_an_agent_that_talks_nonsense_harms_nobody(pve, inventory):
    for vmid, answer in ((110, ["x"]), (111, [{"ip-addresses": "x"}]), (112, [{"ip-addresses": [{"ip-address": 5}]}])):
        add_running(pve, vmid, "192.0.2.9")
        pve.set_agent_interfaces(vmid, answer)
    found = inventory("connect_with: [agent_ipv4, name]")
    assert {addresses_in(found)[f"vm-{vmid}"] for vmid in (110, 111, 112)} == {"vm-110", "vm-111", "vm-112"}
    assert addresses_in(found)["db"] == "192.0.2.10"
    assert "of 1 of 6 guests could not be read" in found.message


def test_a_token_that_may_not_ask_agents(pve, inventory):
    pve.fault("GET", AGENT, "status", times=None, status=403, message="Permission check failed (/vms/101, VM.Monitor)")
    found = inventory("connect_with: [agent_ipv4, name]")
    assert found.hosts["db"]["ansible_host"] == "db"
    assert "Permission check failed (/vms/101, VM.Monitor)" in found.message


def test_a_login_with_a_password_is_one_login(pve, inventory):
    env = {"PROXMOX_TOKEN_ID": None, "PROXMOX_TOKEN_SECRET": None, "PROXMOX_PASSWORD": "secret"}
    found = inventory("connect_with: [agent_ipv4]\ngather: [config]", env=env)
    assert found.hosts["db"]["ansible_host"] == "192.0.2.10"
    assert pve.summary().count("POST /access/ticket") == 1


def test_an_agent_that_answers_with_an_error_is_told_in_its_words(pve, inventory):
    words = {"error": {"class": "CommandNotFound", "desc": "The command has not been found"}}
    pve.add_guest(110, "odd", status="running", config={"agent": "1"}, agent={"interfaces": words})
    found = inventory("connect_with: [agent_ipv4, name]")
    assert addresses_in(found)["odd"] == "odd"
    assert "guest 110 (odd) on node pve1: the agent answers The command has not been found" in found.message


def test_a_guest_is_not_connected_to_by_a_name_that_another_machine_has(pve, inventory):
    """Two guests `web`, one `localhost`: the hosts that get a number get no address by name."""
    pve.add_guest(3004, "web")
    pve.add_guest(3006, "localhost")
    found = inventory("connect_with: [name]")
    assert addresses_in(found) == {"web": "web", "web-3004": None, "db": "db", "ct": "ct", "localhost-3006": None}
    found = inventory("connect_with: [fqdn, proxmox]\nhostname: \"'vm-' ~ pve_vmid\"")
    assert addresses_in(found)["vm-3004"] == "pve1"
    assert addresses_in(found)["vm-3006"] == "pve1"


def test_only_addresses_on_the_guests_own_devices_when_the_configuration_is_read(pve, inventory):
    docker = {
        "name": "docker0",
        "hardware-address": "02:42:ac:11:00:01",
        "ip-addresses": [{"ip-address": "172.17.0.1"}],
    }
    own = {
        "name": "eth0",
        "hardware-address": "bc:24:11:00:00:6e",
        "ip-addresses": [{"ip-address": "192.0.2.110", "prefix": 24}],
    }
    pve.add_guest(110, "docker", status="running", config={"agent": "1"}, agent={"interfaces": [docker, own]})
    host = inventory("connect_with: [agent_ipv4]\ngather: [config]").hosts["docker"]
    assert host["ansible_host"] == "192.0.2.110"
    assert host["pve_addresses"] == {"ipv4": ["192.0.2.110"], "ipv6": []}
    assert host["pve_interfaces"] == [
        {"name": "docker0", "mac": "02:42:AC:11:00:01", "addresses": ["172.17.0.1"]},
        {"name": "eth0", "mac": "BC:24:11:00:00:6E", "addresses": ["192.0.2.110/24"]},
    ]
    assert host["pve_networks"] == [{"slot": "net0", "model": "virtio", "mac": "BC:24:11:00:00:6E", "bridge": "vmbr0"}]


def test_a_guest_without_an_address_is_reached_over_its_agent(pve, inventory):
    add_running(pve, 110, "198.51.100.1")
    pve.add_guest(111, "halted")
    found = inventory(f"""
        api_host: {pve.host}:{pve.port}
        api_token_id: "{pve.token_id}"
        api_token_secret: "{{{{ lookup('env', 'PROXMOX_TOKEN_SECRET') }}}}"
        ca_path: {pve.cafile}
        connect_with: [agent_ipv4, agent]
        hostvars_prefix: vm_
        """)
    assert found.hosts["vm-110"]["ansible_host"] == "198.51.100.1"
    assert "ansible_connection" not in found.hosts["vm-110"]
    halted = {name: value for name, value in found.hosts["halted"].items() if not name.startswith("vm_")}
    assert pve.token_id in str(halted.pop("pve_api_token_id"))
    assert halted == {
        "ansible_connection": "cloudbridge.proxmox.pve_agent",
        "pve_vmid": 111,
        "pve_node": "pve1",
        "pve_api_host": f"{pve.host}:{pve.port}",
        "pve_ca_path": pve.cafile,
    }
    # A container has no agent, and a template does not run.
    assert "ansible_connection" not in found.hosts.get("ct", {})
    assert "ansible_connection" not in found.hosts.get("debian-template", {})
