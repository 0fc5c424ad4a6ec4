# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What holds for every call, whatever comes in and whatever PVE does."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.cloudstack import payload
from tests.support.embedded_pve import running_embedded_pve, standard_guests

UUID = "6f2c9a0e-2b1d-4c3e-9a54-0d1b7c8e9f10"
NOTES = f"CloudStack instance: i-2-45-VM\nCloudStack UUID: {UUID}\nCloudStack deployment: 0123456789abcdef"
MARK = {"tags": "cloudstack", "description": NOTES, "smbios1": f"uuid={UUID}"}
ACTIONS = ("prepare", "create", "start", "stop", "reboot", "delete", "status", "statuses")
FILES = {"create": "create_template"}
PIPE_BYTES = 65536


def data_for(action, pve, **changes):
    return payload(FILES.get(action, action), pve, **changes)


class TestOneCleanJsonAnswer:
    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'"' + b"x" * 100_000])
    def test_whatever_the_payload_is(self, bridge, content):
        answer = bridge.call("status", content)
        assert (answer.exit_code, answer["status"]) == (1, "error")

    def test_whatever_the_path_is(self, bridge, tmp_path):
        unreadable = bridge.write("{}")
        unreadable.chmod(0)
        for path in (tmp_path, tmp_path / "missing", unreadable):
            answer = bridge.call("status", path)
            assert (answer.exit_code, answer["status"]) == (1, "error")

    def test_without_any_argument(self, bridge):
        completed = subprocess.run([bridge.executable], capture_output=True, check=False, timeout=60)
        assert completed.returncode == 1
        assert json.loads(completed.stdout)["status"] == "error"
        assert completed.stderr == b""

    def test_with_the_streams_closed(self, bridge):
        completed = subprocess.run(
            ["/bin/sh", "-c", f"exec {bridge.executable} status /nonexistent 60 <&- >&- 2>&-"], check=False, timeout=60
        )
        assert completed.returncode == 1

    def test_with_the_error_stream_closed(self, bridge):
        command = f"exec {bridge.executable} nothing /nonexistent 60 2>&-"
        completed = subprocess.run(["/bin/sh", "-c", command], stdout=subprocess.PIPE, check=False, timeout=60)
        assert json.loads(completed.stdout)["status"] == "error"

    def test_warnings_of_libraries_stay_away(self, pve, bridge):
        env = {"PYTHONWARNINGS": "always", "PYTHONDEVMODE": "1", "PYTHONVERBOSE": "1"}
        data = data_for("prepare", pve, host={"ca_file": None, "verify_tls_certificate": "false"})
        assert bridge.call("prepare", data, env=env).ok

    def test_a_broken_installation_says_so(self, bridge):
        # A service that runs would not notice.
        bridge.socket = bridge.root / "nobody.sock"
        bridge.render("extension.py.j2", bridge.executable)
        bridge.executable.write_text(bridge.executable.read_text().replace(".entry", ".nothing"))
        answer = bridge.call("status", {})
        assert (answer.exit_code, answer["kind"]) == (1, "installation")

    def test_a_policy_that_is_wrong_stops_everything(self, pve, bridge):
        bridge.policy_file.write_text('{"ownershp": "ignore"}')
        answer = bridge.call("status", data_for("status", pve))
        assert answer.exit_code == 1
        assert "ownershp" in answer.error
        assert pve.exchanges == []


class TestActionNames:
    @pytest.mark.parametrize("name", ["STATUSES", "Statuses", "stat uses", "stat_uses"])
    def test_they_match_in_any_case(self, pve, bridge, name):
        assert bridge.call(name, data_for("statuses", pve)).ok

    def test_an_unknown_one_is_refused_before_anything_is_read(self, bridge):
        bridge.policy_file.write_text("not even JSON")
        answer = bridge.call("com.cloud.agent.api.CreateStoragePoolCommand@5d3e8a1c", bridge.root)
        assert answer.exit_code == 1
        assert answer.error.startswith("unknown action")
        assert bridge.log() == ""


class TestTheUrl:
    @pytest.mark.parametrize(
        "form", ["{host}:{port}", "https://{host}:{port}", "https://{host}:{port}/", " {host}:{port} "]
    )
    def test_every_spelling(self, pve, bridge, form):
        url = form.format(host=pve.host, port=pve.port)
        assert bridge.call("statuses", data_for("statuses", pve, host={"url": url})).ok

    def test_an_ipv6_literal(self, bridge):
        with running_embedded_pve(guests=standard_guests, host="::1") as pve:
            data = data_for("statuses", pve, host={"url": f"[::1]:{pve.port}"})
            assert bridge.call("statuses", data).ok

    def test_several_of_them(self, pve, bridge):
        data = data_for("statuses", pve, host={"url": f"127.0.0.1:1,{pve.url}"})
        assert bridge.call("statuses", data).ok

    @pytest.mark.parametrize("url", ["127.0.0.1", "https://127.0.0.1"])
    def test_the_port_is_8006_unless_it_is_said(self, pve, bridge, url):
        answer = bridge.call("statuses", data_for("statuses", pve, host={"url": url}))
        assert answer.exit_code == 1
        assert "https://127.0.0.1:8006" in answer.error

    @pytest.mark.parametrize(
        "url", ["http://127.0.0.1:8006", "https://user:pw@127.0.0.1", "ftp://x", "https://a b", "x/../y"]
    )
    def test_what_is_none(self, pve, bridge, url):
        answer = bridge.call("statuses", data_for("statuses", pve, host={"url": url}))
        assert (answer.exit_code, answer["kind"]) == (1, "invalid_request")
        assert "url" in answer.error


class TestTls:
    def test_it_is_verified_unless_told_otherwise(self, pve, bridge):
        answer = bridge.call("statuses", data_for("statuses", pve, host={"ca_file": None}))
        assert (answer.exit_code, answer["kind"]) == (1, "certificate")
        assert "ca_file" in answer.error
        assert "fingerprint" in answer.error
        assert pve.exchanges == []

    @pytest.mark.parametrize("section", ["host", "extension"])
    def test_by_fingerprint_on_the_host_or_the_extension(self, pve, bridge, section):
        data = data_for("statuses", pve, host={"ca_file": None}, **({} if section == "host" else {"extension": {}}))
        data["externaldetails"][section]["fingerprint"] = pve.fingerprint
        assert bridge.call("statuses", data).ok

    def test_a_wrong_fingerprint(self, pve, bridge):
        data = data_for("statuses", pve, host={"fingerprint": "AA:" * 31 + "AA"})
        assert bridge.call("statuses", data)["kind"] == "certificate"

    @pytest.mark.parametrize("word", ["false", "False", "0"])
    def test_not_at_all(self, pve, bridge, word):
        data = data_for("statuses", pve, host={"ca_file": None, "verify_tls_certificate": word})
        assert bridge.call("statuses", data).ok

    def test_a_proxy_of_the_environment_gets_nothing_to_see(self, pve, bridge):
        env = {"REQUESTS_CA_BUNDLE": "/nonexistent", "CURL_CA_BUNDLE": "/nonexistent"}
        assert bridge.call("statuses", data_for("statuses", pve), env=env).ok


class TestTheSecret:
    def test_it_is_in_no_log_no_answer_and_no_argument(self, pve, bridge):
        env = {"CLOUDBRIDGE_DEBUG": "1"}
        data = data_for("create", pve)
        assert bridge.call("create", data, env=env).ok
        pve.fault("GET", "/qemu", "status", status=500, message=f"no {pve.token_secret} here")
        answer = bridge.call("statuses", data_for("statuses", pve), env=env)
        assert "********" in answer.error
        assert pve.token_secret not in bridge.log() + answer.output.decode()
        assert 'request="POST /nodes/pve1/qemu/9000/clone"' in bridge.log()

    def test_it_may_be_in_a_file(self, pve, bridge, tmp_path):
        path = tmp_path / "secret"
        path.write_text(f"{pve.token_secret}\n")
        data = data_for("statuses", pve, host={"secret": None, "secret_file": str(path)})
        assert bridge.call("statuses", data).ok

    def test_a_tenant_cannot_name_a_file(self, pve, bridge):
        data = data_for("status", pve, host={"secret": None}, virtualmachine={"secret_file": "/etc/shadow"})
        answer = bridge.call("status", data)
        assert "missing required details: secret" in answer.error

    def test_what_is_missing_is_named(self, bridge):
        answer = bridge.call("statuses", {"externaldetails": {"host": {"user": "a@b"}}})
        assert "url, token, node, secret" in answer.error or "url, token, secret, node" in answer.error


class TestTheLog:
    def test_a_line_for_each_call(self, pve, bridge):
        pve.add_guest(105, "i-2-45-VM", config=MARK)
        bridge.call("status", data_for("status", pve))
        bridge.call("start", data_for("start", pve, details={"proxmox_vmid": "101"}))
        first, second = bridge.log().splitlines()
        assert re.search(r"action=status vm=i-2-45-VM vmid=105 seconds=[\d.]+ requests=2 result=success$", first)
        assert "action=start" in second
        assert "result=error" in second
        assert stat.S_IMODE(bridge.log_file.stat().st_mode) & 0o007 == 0

    def test_it_cannot_fail_the_action(self, pve, bridge):
        bridge.log_file.mkdir()
        assert bridge.call("statuses", data_for("statuses", pve)).ok


class TestTrouble:
    @pytest.mark.parametrize("kind", ["drop", "lose_answer", "596", "truncate"])
    @pytest.mark.parametrize("number", range(6))
    def test_a_deploy_gets_over_any_lost_answer_or_leaves_nothing(self, pve, calls, kind, number):
        pve.fault("*", "", kind, times=1, after=number)
        answer = calls("create", data_for("create", pve), wait=30)
        made = 105 in pve.vmids()
        assert made == answer.ok
        assert (answer.exit_code == 0) == answer.ok
        if made:
            assert pve.status(105) == "running"

    @pytest.mark.parametrize("number", range(6))
    def test_pve_goes_away_for_good(self, pve, calls, number):
        pve.fault("*", "", "drop", times=None, after=number)
        answer = calls("create", data_for("create", pve), wait=4)
        assert (answer.exit_code, answer["status"]) == (1, "error")
        # CloudStack kills it after 4 s; what a loaded machine adds is not ours.
        assert answer.seconds < 5

    @pytest.mark.parametrize("action", ["start", "stop", "reboot", "delete"])
    @pytest.mark.parametrize("kind", ["drop", "596"])
    def test_every_request_of_every_action_may_fail_once(self, pve, calls, action, kind):
        for number in range(8):
            vmid = 105 + number
            pve.add_guest(vmid, "i-2-45-VM", config=MARK, status="stopped" if action == "start" else "running")
            pve.fault("*", "", kind, times=1, after=number)
            answer = calls(action, data_for(action, pve, details={"proxmox_vmid": str(vmid)}), wait=30)
            pve.server.faults.clear()
            if action == "reboot" and not answer.ok:
                continue  # A reboot whose answer is lost is not repeated: it may have been done.
            assert answer.ok, (number, answer.output)
            if action == "delete":
                assert vmid not in pve.vmids()
            else:
                assert pve.status(vmid) == ("stopped" if action == "stop" else "running")

    def test_a_lock_that_is_held_for_a_moment(self, pve, calls):
        pve.add_guest(105, "i-2-45-VM", config=MARK)
        pve.lock_timeouts(105, times=2)
        assert calls("start", data_for("start", pve)).ok

    def test_errors_of_fields_are_passed_on(self, pve, calls):
        errors = {"storage": "storage 'nope' does not exist"}
        pve.fault("POST", "/clone$", "status", status=400, message="Parameter verification failed.", errors=errors)
        assert "storage 'nope' does not exist" in calls("create", data_for("create", pve)).error

    @pytest.mark.parametrize("wait", [None, "", "abc", "-1", "0"])
    def test_without_a_wait_there_is_time_enough(self, pve, bridge, wait):
        pve.task_seconds["qmstart"] = 1.5
        pve.add_guest(105, "i-2-45-VM", config=MARK)
        assert bridge.call("start", data_for("start", pve), wait=wait).ok


class TestManyAtOnce:
    def test_twenty_deploys(self, pve, bridge):
        def deploy(number):
            data = data_for("create", pve, details={"proxmox_vmid": str(300 + number)})
            name, uuid = f"i-2-{number}-VM", f"{number:08d}{UUID[8:]}"
            data["cloudstack.vm.details"].update(name=name, uuid=uuid, id=number)
            return bridge.start("create", {**data, "virtualmachinename": name, "virtualmachineid": uuid}, wait=110)

        running = [deploy(number) for number in range(20)]
        answers = [process.communicate(timeout=110)[0] for process in running]
        assert [json.loads(answer)["status"] for answer in answers] == ["success"] * 20
        assert [pve.status(300 + number) for number in range(20)] == ["running"] * 20

    def test_one_number_for_two(self, pve, bridge):
        pve.task_seconds["qmclone"] = 0.5
        running = [bridge.start("create", data_for("create", pve)) for _number in range(2)]
        answers = [json.loads(process.communicate(timeout=60)[0])["status"] for process in running]
        assert sorted(answers) == ["error", "success"]
        assert pve.status(105) == "running"


hostile = st.sampled_from(
    ["", "\n", "'", '"', "''' + str(1) + '''", "$(reboot)", "`id`", "../../x", "a,b", "9000,x=1", "%2e%2e", "\x00",
     "x" * 100_000, "9000\nhost_url=evil", "local:iso/../a.iso", "q[$(id)]", "-1", "0", "9" * 20, "true", "\ud800", "ü"]
)  # fmt: skip
values = (
    hostile
    | st.none()
    | st.booleans()
    | st.integers()
    | st.lists(st.text(max_size=3), max_size=2)
    | st.text(max_size=30)
)
TENANT_NAMES = (
    "vm_name template_type template_id iso_path storage is_full_clone iso_os_type disk_size_gb machine os_type tpm "
    "agent nic_model ci_user ci_ssh_keys ci_network ci_search_domain url node secret network_bridge cloudstack.vlan "
    "pool ca_file ownership allowed_templates x\ny"
).split(" ")
VM_NAMES = ("id", "cpus", "maxRam", "minRam", "limitCpuUse", "bootType", "bootMode", "nics", "details", "name", "disks")
ALLOWED = re.compile(
    r"GET /(cluster/(resources|nextid|options)|access/permissions|nodes/pve1/network"
    r"|nodes/pve1/qemu(/\d+/(config|pending|status/current))?|nodes/pve1/tasks(/UPID[^/]*/(status|log))?)"
    r"|POST /nodes/pve1/qemu(/9000/clone|/105/(config|status/(start|stop|shutdown|reboot|reset|resume)))?"
    r"|PUT /nodes/pve1/qemu/105/(config|resize)|DELETE /nodes/pve1/(qemu/105|tasks/UPID.*)"
)


class TestHostileInput:
    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(
        st.sampled_from(ACTIONS),
        st.dictionaries(st.sampled_from(TENANT_NAMES), values, max_size=4),
        st.dictionaries(st.sampled_from(VM_NAMES), values, max_size=2),
        st.sets(st.sampled_from(("externaldetails", "cloudstack.vm.details", "virtualmachineid")), max_size=1),
    )
    def test_a_tenant_gets_nowhere(self, pve, calls, action, tenant, vm, missing):
        pve.reset_record()
        others = {vmid: pve.config(vmid) for vmid in (100, 101, 9000)}
        data = payload(FILES.get(action, action), pve)
        data["externaldetails"].setdefault("virtualmachine", {}).update(tenant)
        data.setdefault("cloudstack.vm.details", {}).update(vm)
        for section in missing:
            data.pop(section, None)
        answer = calls(action, data)
        assert answer["status"] == ("success" if answer.exit_code == 0 else "error")
        assert len(answer.output) < PIPE_BYTES
        assert pve.token_secret.encode() not in answer.output
        assert [line for line in pve.summary() if not ALLOWED.fullmatch(line)] == []
        assert {vmid: pve.config(vmid) for vmid in others} == others
        for form in pve.forms("PUT", "/config$") + pve.forms("POST", "/qemu$"):
            for key, text in form.items():
                if re.fullmatch(r"net\d+", key):
                    assert "bridge=vmbr0" in text
        if 105 in pve.vmids():
            pve.remove_guest(105)

    @settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(
        st.sampled_from(ACTIONS),
        st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")),
    )
    def test_any_file(self, calls, action, content):
        answer = calls(action, content)
        assert (answer.exit_code, answer["status"]) == (1, "error")


class TestTheTimeOnTopOfPves:
    def test_a_task_is_seen_to_end_soon(self, pve, calls):
        pve.task_seconds.update(qmclone=1.2, qmstart=0.4)
        calls("statuses", data_for("statuses", pve))
        began = time.monotonic()
        assert calls("create", data_for("create", pve)).ok
        # Two tasks of 1.6 s in all; what a loaded machine adds is not ours.
        assert time.monotonic() - began < 1.6 + 2 * 0.3 + 1.0
        assert len(pve.exchanges) < 30
