# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests as hosts: their names, variables and groups, and which of them there are."""

from __future__ import annotations

import time

import pytest

from tests.support.embedded_pve import running_embedded_pve, standard_guests
from tests.support.inventories import list_inventory

GIB = 1024**3
LIST = "GET /cluster/resources"


def make_new(pve, vmid):
    """The statistics, and so /cluster/resources, do not know the guest yet."""
    pve.resources_lag = 600
    pve.call(lambda: setattr(pve.server.guest(vmid), "born_at", time.monotonic()))


def test_one_request_makes_hosts_and_groups(pve_cluster, inventory):
    pve_cluster.add_guest(
        110,
        "app",
        node="pve2",
        status="running",
        pool=None,
        lock="backup",
        ha_state="started",
        config={"tags": "Prod;web-1"},
    )
    pve_cluster.add_pool("lab", 110, 200)
    found = inventory()
    assert pve_cluster.summary() == [LIST]
    assert pve_cluster.forms("GET", "/cluster/resources") == [{"type": "vm"}]
    assert found.stderr == ""
    assert set(found.hosts) == {"web", "db", "app", "ct"}
    app = found.hosts["app"]
    assert app.pop("pve_uptime") >= 0
    assert app == {
        "pve_vmid": 110,
        "pve_name": "app",
        "pve_node": "pve2",
        "pve_type": "qemu",
        "pve_status": "running",
        "pve_tags": ["Prod", "web-1"],
        "pve_pool": "lab",
        "pve_template": False,
        "pve_lock": "backup",
        "pve_ha_managed": True,
        "pve_ha_state": "started",
        "pve_cpu": 0.02,
        "pve_maxcpu": 2,
        "pve_mem": 64 * 1024**2,
        "pve_maxmem": 2 * GIB,
        "pve_disk": 0,
        "pve_maxdisk": 8 * GIB,
    }
    assert found.groups == {
        "pve_status_running": {"db", "app"},
        "pve_status_stopped": {"web", "ct"},
        "pve_type_qemu": {"web", "db", "app"},
        "pve_type_lxc": {"ct"},
        "pve_node_pve1": {"web"},
        "pve_node_pve2": {"db", "app"},
        "pve_node_pve3": {"ct"},
        "pve_pool_lab": {"app", "ct"},
        "pve_tag_Prod": {"app"},
        "pve_tag_web_1": {"app"},
    }


def test_graph_of_one_node(pve, inventory):
    assert inventory("", "--graph").stdout.splitlines() == [
        "@all:",
        "  |--@ungrouped:",
        "  |--@pve_status_stopped:",
        "  |  |--web",
        "  |  |--ct",
        "  |--@pve_type_qemu:",
        "  |  |--web",
        "  |  |--db",
        "  |--@pve_node_pve1:",
        "  |  |--web",
        "  |  |--db",
        "  |  |--ct",
        "  |--@pve_status_running:",
        "  |  |--db",
        "  |--@pve_type_lxc:",
        "  |  |--ct",
    ]
    assert pve.summary() == [LIST]


def test_guests_that_share_a_name_all_stay(pve, inventory):
    pve.add_guest(105, "web")
    pve.add_container(210, "web")
    pve.add_guest(300, "web-105")
    pve.add_guest(400, "localhost")
    found = inventory()
    assert {name: host["pve_vmid"] for name, host in found.hosts.items()} == {
        "web": 100,
        "db": 101,
        "web-105": 105,
        "ct": 200,
        "web-210": 210,
        "web-105-300": 300,
        "localhost-400": 400,
    }
    assert found.hosts["web-105"]["pve_name"] == "web"
    assert len(found.warnings) == 1
    assert "4 hosts have their number added, as another has the name: web-105 (web), web-210 (web)" in found.warnings[0]


def test_names_and_templates_that_the_list_does_not_know_come_from_the_configuration(pve, inventory):
    pve.add_guest(120, "VM 120", config={"name": None})
    pve.add_guest(121, "fresh", config={"tags": "new"})
    pve.add_template(9010, "fresh-template")
    for vmid in (121, 9010):
        make_new(pve, vmid)
    found = inventory()
    assert sorted(pve.summary()) == [
        LIST,
        "GET /nodes/pve1/qemu/121/config",
        "GET /nodes/pve1/qemu/9010/config",
    ]
    assert set(found.hosts) == {"web", "db", "ct", "qemu-120", "fresh"}
    assert found.hosts["qemu-120"]["pve_name"] is None
    assert found.hosts["fresh"]["pve_name"] == "fresh"
    assert found.hosts["fresh"]["pve_status"] == "unknown"
    assert found.hosts["fresh"]["pve_maxmem"] is None
    assert found.groups["pve_tag_new"] == {"fresh"}
    assert found.groups["pve_status_unknown"] == {"fresh"}


def test_guests_of_an_offline_node_are_hosts_without_a_name(pve_cluster, inventory):
    for vmid in (130, 131, 132, 133):
        pve_cluster.add_guest(vmid, f"far-{vmid}", node="pve2")
        make_new(pve_cluster, vmid)
    pve_cluster.set_node_offline("pve2")
    found = inventory()
    assert {"qemu-130", "qemu-131", "qemu-132", "qemu-133"} < set(found.hosts)
    assert found.hosts["qemu-130"]["pve_node"] == "pve2"
    assert "the configuration of 4 of 7 guests could not be read" in found.message
    assert len(found.warnings) == 1
    # The first answers say that nobody gets there.
    assert 1 <= sum("/pve2/" in line for line in pve_cluster.summary()) <= 2


def test_templates_when_asked(pve, inventory):
    found = inventory("templates: true")
    assert found.hosts["debian-template"]["pve_template"] is True
    assert pve.summary() == [LIST]


def test_every_cheap_filter_spares_further_calls(pve_cluster, inventory):
    pve_cluster.add_guest(111, "a", node="pve2", status="running", config={"tags": "prod;web"}, agent={})
    pve_cluster.add_guest(112, "b", node="pve3", status="running", config={"tags": "prod"})
    pve_cluster.add_guest(113, "c", node="pve2", status="stopped", config={"tags": "prod;web"})
    pve_cluster.add_container(114, "d", node="pve2", status="running", config={"tags": "prod;web"})
    pve_cluster.add_guest(115, "e", node="pve2", status="running", config={"tags": "prod;web"})
    pve_cluster.add_guest(116, "f", node="pve2", status="running", config={"tags": "prod;web"})
    pve_cluster.add_pool("lab", 111, 112, 113, 114)
    pve_cluster.add_pool("other", 115)
    found = inventory(
        """
        gather: [config]
        filters:
          status: [running]
          tags: [PROD, web]
          pools: [lab]
          nodes: [pve1, pve2]
          types: qemu
        """
    )
    assert set(found.hosts) == {"a"}
    assert pve_cluster.summary() == [LIST, "GET /nodes/pve2/qemu/111/config"]


def test_conditions_in_jinja_come_before_the_agents_unless_they_need_them(pve, inventory):
    pve.add_guest(110, "lonely", status="running", config={"agent": "1"}, agent={"interfaces": []})
    found = inventory(
        """
        gather: [agent]
        filters:
          include:
            - pve_vmid > 100
            - pve_addresses.ipv4 | length > 0
          exclude: pve_type == 'lxc'
        """
    )
    assert set(found.hosts) == {"db"}
    assert found.stderr == ""
    agents = [line for line in pve.summary() if "agent" in line or "interfaces" in line]
    assert sorted(agents) == [f"GET /nodes/pve1/qemu/{vmid}/agent/network-get-interfaces" for vmid in (101, 110)]


@pytest.mark.smoke
def test_a_condition_that_cannot_be_evaluated_is_told(pve, inventory):
    text = "filters: {include: [pve_nmae == 'db'], exclude: [pve_pool.name == 'x']}"
    found = inventory(text)
    assert found.data["_meta"]["hostvars"] == {}
    assert "the filter \"pve_nmae == 'db'\" could not be evaluated for 3 guests" in found.message
    strict = inventory(text + "\nstrict: true")
    assert strict.returncode != 0
    assert "the filter \"pve_nmae == 'db'\" cannot be evaluated" in strict.message


@pytest.mark.smoke
def test_names_groups_and_variables_of_ones_own(pve, inventory):
    pve.add_guest(105, "web", config={"tags": "front;cloud"})
    found = inventory(
        """
        hostvars_prefix: vm_
        group_prefix: px-
        group_by: [type, tag]
        hostname: "{{ vm_name }}.example.com"
        compose:
          ansible_user: "'admin' if 'cloud' in vm_tags else 'root'"
          broken: nothing_there
        groups:
          even: vm_vmid % 2 == 0
        keyed_groups:
          - key: vm_tags
            prefix: role
          - key: vm_status
            separator: ""
            parent_group: states
        """
    )
    assert set(found.hosts) == {"web.example.com", "web.example.com-105", "db.example.com", "ct.example.com"}
    duplicate = found.hosts["web.example.com-105"]
    assert (duplicate["vm_name"], duplicate["vm_vmid"]) == ("web", 105)
    assert duplicate["ansible_user"] == {"__ansible_unsafe": "admin"} or duplicate["ansible_user"] == "admin"
    assert "broken" not in duplicate
    assert not [key for key in duplicate if key.startswith("pve_")]
    assert found.groups["even"] == {"web.example.com", "ct.example.com"}
    assert found.groups["role_cloud"] == found.groups["px_tag_cloud"] == {"web.example.com-105"}
    assert found.groups["px_type_lxc"] == {"ct.example.com"}
    assert set(found.data["states"]["children"]) == {"running", "stopped"}
    assert not [name for name in found.groups if name.startswith(("pve_", "px_status"))]


def test_extra_variables_when_asked(pve, inventory):
    found = inventory("filters: {include: [pve_vmid == wanted]}\nuse_extra_vars: true", "-e", '{"wanted": 101}')
    assert set(found.hosts) == {"db"}


def test_strict_makes_a_bad_expression_an_error(pve, inventory):
    found = inventory("strict: true\ncompose: {broken: nothing_there}")
    assert found.returncode != 0
    assert "Could not set broken for host web" in found.message


def test_a_hostname_may_be_an_expression_and_names_the_nameless(pve, inventory):
    pve.add_guest(120, "VM 120", config={"name": None})
    found = inventory("hostname: pve_name ~ '.lan' if pve_type == 'qemu' else ''")
    assert set(found.hosts) == {"web.lan", "db.lan", "qemu-120.lan", "ct"}
    bad = inventory("hostname: pve_nmae")
    assert bad.returncode != 0
    assert "the hostname of guest 100 (web) cannot be made" in bad.message


@pytest.mark.smoke
def test_what_others_have_written_is_never_a_template(pve, inventory, play, tmp_path):
    evil = "{{ lookup('ansible.builtin.pipe', 'echo taken') }}"
    pve.add_guest(110, "evil", config={"description": evil})
    found = inventory("gather: [config]")
    assert found.hosts["evil"]["pve_config"]["description"] == {"__ansible_unsafe": evil}
    played = play(
        """
        - name: Show what was written
          hosts: evil
          connection: local
          gather_facts: false
          tasks:
            - name: Say it
              ansible.builtin.debug:
                msg: "{{ pve_config.description }}"
        """,
        "-i",
        str(tmp_path / "test.pve.yml"),
    )
    assert played.task("Say it").msg == evil


def test_the_configuration_when_asked(pve, inventory):
    found = inventory("gather: [config]", "--host", "web")
    assert found.data["pve_config"]["scsi0"] == "local-lvm:vm-100-disk-0,size=8G"
    assert len(pve.summary()) == 4


def test_ten_thousand_guests(pve, inventory):
    def add(server):
        for vmid in range(1000, 11_000):
            server.add_vm(vmid, f"guest-{vmid}", node="pve1", config={"tags": f"t{vmid % 7}"})

    pve.call(lambda: add(pve.server))
    found = inventory()
    assert len(found.hosts) == 10_003
    assert len(found.groups["pve_tag_t3"]) == len([vmid for vmid in range(1000, 11_000) if vmid % 7 == 3])
    assert pve.summary() == [LIST]


def test_nodes_are_hosts_when_they_are_asked_for(pve_cluster, inventory):
    pve_cluster.add_guest(110, "pve2")
    pve_cluster.set_node_offline("pve3")
    found = inventory(
        "nodes: true\ncluster: east\nhostname: pve_name\nfilters: {nodes: [pve1, pve2, pve3], types: [qemu]}"
    )
    assert pve_cluster.summary() == [LIST]
    assert set(found.hosts) == {"web", "db", "pve2-110", "pve1", "pve2", "pve3"}
    node = found.hosts["pve2"]
    assert (node["pve_type"], node["pve_status"], node["pve_node"], node["pve_vmid"]) == (
        "node",
        "online",
        "pve2",
        None,
    )
    assert (node["pve_maxcpu"], node["pve_tags"], node["pve_cluster"]) == (4, [], "east")
    assert node.keys() == found.hosts["db"].keys()
    assert found.groups["pve_type_node"] == {"pve1", "pve2", "pve3"}
    assert found.groups["pve_status_offline"] == {"pve3"}
    assert found.groups["pve_node_pve2"] == {"db"}
    assert found.groups["pve_cluster_east"] == set(found.hosts)
    assert "ansible_host" not in node


def test_nodes_without_the_right_to_see_what_they_have(pve_cluster, inventory):
    pve_cluster.add_token("look@pve!list", "5d1fdd72-5ab4-4a2d-9a09-e9e57b6b7cc0")
    pve_cluster.grant("look@pve", "/vms", "VM.Audit")
    token = {"PROXMOX_USER": "look@pve", "PROXMOX_TOKEN_ID": "list"}
    token["PROXMOX_TOKEN_SECRET"] = "5d1fdd72-5ab4-4a2d-9a09-e9e57b6b7cc0"
    found = inventory("nodes: true", env=token)
    assert found.stderr == ""
    node = found.hosts["pve1"]
    assert (node["pve_status"], node["pve_maxmem"], node["pve_uptime"]) == ("online", None, None)


def test_nodes_by_the_address_that_the_cluster_knows(pve_cluster, inventory):
    pve_cluster.knobs.node_addresses["pve2"] = "192.0.2.2"
    text = (
        "nodes: true\nnode_address: cluster\nfilters:\n  nodes: [pve2]\n  exclude: [pve_type != 'node']\ncache: true\n"
    )
    text += "cache_plugin: ansible.builtin.jsonfile\ncache_connection: cache"
    found = inventory(text)
    assert {name: host["ansible_host"] for name, host in found.hosts.items()} == {"pve2": "192.0.2.2"}
    assert pve_cluster.summary() == [LIST, "GET /cluster/status"]
    assert inventory(text).hosts == found.hosts
    assert len(pve_cluster.summary()) == 2


def test_paused_guests_snapshots_and_groups_of_node_and_type(pve_cluster, inventory):
    for vmid, state in ((110, "paused"), (111, "prelaunch"), (112, "running")):
        pve_cluster.add_guest(vmid, f"vm-{vmid}", status="running", qmpstatus=state)
    pve_cluster.server.guest(110).snapshots["clean"] = {"snaptime": 1, "description": "before\n"}
    pve_cluster.reset_record()
    found = inventory(
        "gather: [status, snapshots]\ngroup_by: [status, node_type]\nfilters: {nodes: [pve1], types: [qemu]}"
    )
    # The list, the state of each of the three that run, and the snapshots of these and of `web`.
    assert len(pve_cluster.summary()) == 1 + 3 + 4
    states = {name: (host["pve_status"], host["pve_qmpstatus"]) for name, host in found.hosts.items()}
    assert states == {
        "web": ("stopped", None),
        "vm-110": ("paused", "paused"),
        "vm-111": ("prelaunch", "prelaunch"),
        "vm-112": ("running", "running"),
    }
    assert found.groups["pve_status_paused"] == {"vm-110"}
    assert found.groups["pve_node_type_pve1_qemu"] == {"web", "vm-110", "vm-111", "vm-112"}
    assert [item["name"] for item in found.hosts["vm-110"]["pve_snapshots"]] == ["clean"]
    assert found.hosts["vm-112"]["pve_snapshots"] == []
    only = inventory("filters: {status: [paused, stopped], nodes: [pve1], types: [qemu]}")
    assert set(only.hosts) == {"web", "vm-110"}


def test_several_clusters_in_one_inventory(pve, tmp_path):
    """Each cluster has its file, and no guest takes the variables of another one with the same name and number."""
    directory = tmp_path / "inventory"
    directory.mkdir()
    with running_embedded_pve(guests=standard_guests) as other:
        for name, handle in (("east", pve), ("west", other)):
            environment = handle.environment
            lines = [
                "plugin: cloudbridge.proxmox.pve",
                f"cluster: {name}",
                f"api_host: {handle.host}:{handle.port}",
                f"ca_path: {handle.cafile}",
                f"api_user: {environment['PROXMOX_USER']}",
                f"api_token_id: {environment['PROXMOX_TOKEN_ID']}",
                "api_token_secret: \"{{ lookup('env', 'SECRET_" + name.upper() + "') }}\"",
                "connect_with: [name]",
            ]
            (directory / f"{name}.pve.yml").write_text("\n".join(lines) + "\n", encoding="utf-8")
        secrets = {"SECRET_EAST": pve.token_secret, "SECRET_WEST": other.token_secret}
        (directory / "static.yml").write_text("all: {hosts: {web: {rack: 7}}}\n", encoding="utf-8")
        found = list_inventory(directory, home=tmp_path, env=secrets)
    assert {name: host.get("pve_cluster") for name, host in found.hosts.items()} == {
        "web": "east", "db": "east", "ct": "east", "web-100": "west", "db-101": "west", "ct-200": "west",
    }  # fmt: skip
    assert "3 hosts have their number added, as another has the name: web-100 (web)" in found.message
    assert found.hosts["web"]["rack"] == 7
    assert found.hosts["web"]["ansible_host"] == "web"
    assert "ansible_host" not in found.hosts["web-100"]
    assert found.groups["pve_cluster_west"] == {"web-100", "db-101", "ct-200"}
