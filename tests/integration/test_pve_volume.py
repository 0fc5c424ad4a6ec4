# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files on storages: what is there is compared, what is not is made, and what fails leaves nothing."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading

import pytest

from tests.support.api_client import ApiClient
from tests.support.processes import child_environment
from tests.support.strict_server import make_certificate
from tests.support.web_server import qcow2, running_web_server, sha256

IMAGE = qcow2()
OTHER = qcow2(size=8192)
ISO = b"an image of a disc" * 1000
SECRET = "5d1fdd72-5ab4-4a2d-9a09-e9e57b6b7cc0"


@pytest.fixture
def web():
    with running_web_server() as server:
        server.add("debian.qcow2", IMAGE)
        server.add("debian.iso", ISO)
        yield server


@pytest.fixture
def debian(web):
    return {"storage": "local", "content": "import", "url": web.url("debian.qcow2")}


def limited(pve, *privileges):
    pve.add_token("ops@pve!few", SECRET, privilege_separation=True)
    for identity in ("ops@pve", "ops@pve!few"):
        pve.grant(identity, "/", *privileges)
    return {"api_user": "ops@pve", "api_token_id": "few", "api_token_secret": SECRET}


def check_and_run(run_module, arguments):
    """Check mode, the run and a second run: the first two say the same, the third changes nothing."""
    check = run_module("pve_volume", arguments, check=True, diff=True)
    run = run_module("pve_volume", arguments, diff=True)
    again = run_module("pve_volume", arguments)
    assert not run.failed, run.msg
    assert (check.changed, run.changed, again.changed) == (True, True, False), again.result
    assert (check["diff"], check["steps"], check["volid"]) == (run["diff"], run["steps"], run["volid"])
    assert not again.warnings
    return check, run, again


class TestDownloads:
    @pytest.mark.parametrize("by", ["checksum", "size"])
    def test_an_image_is_downloaded_once(self, pve, run_module, web, debian, by):
        checksum = {"checksum": f"sha256:{sha256(IMAGE)}"} if by == "checksum" else {}
        check, run, again = check_and_run(run_module, {**debian, **checksum})
        assert web.asked.count("GET /debian.qcow2") == 1
        assert pve.file_content("local", "import/debian.qcow2") == IMAGE
        assert run["volid"] == "local:import/debian.qcow2"
        assert [volume["size"] for volume in run["volumes"]] == [len(IMAGE)]
        assert check["volumes"][0]["size"] == len(IMAGE)
        assert run["diff"]["before"] == {}
        assert run["diff"]["after"] == {"local:import/debian.qcow2": f"url {debian['url']}"}
        assert again["compared_by"] == by

    def test_the_second_run_takes_four_requests_at_most(self, pve, run_module, debian):
        arguments = {**debian, "checksum": sha256(IMAGE)}
        run_module("pve_volume", arguments)
        pve.reset_record()
        assert not run_module("pve_volume", arguments).changed
        assert len(pve.exchanges) <= 4, pve.summary()

    def test_a_scheme_in_capital_letters_is_the_same(self, pve, run_module, debian):
        _check, run, _again = check_and_run(run_module, {**debian, "url": debian["url"].replace("http", "HTTP")})
        assert run["diff"]["after"] == {"local:import/debian.qcow2": f"url {debian['url']}"}

    def test_what_is_unpacked_is_known_by_its_name(self, pve, run_module, web):
        url = web.add("debian.iso.gz", gzip.compress(ISO))
        packed = f"sha256:{sha256(web.files['debian.iso.gz'])}"
        arguments = {"storage": "local", "content": "iso", "url": url, "decompress": "gz", "checksum": packed}
        _check, run, again = check_and_run(run_module, arguments)
        assert (run["volid"], again["compared_by"]) == ("local:iso/debian.iso", "name")
        assert pve.file_content("local", "iso/debian.iso") == ISO

    def test_the_names_and_secrets_of_a_url_are_not_shown(self, pve, run_module, web, debian):
        arguments = {**debian, "url": debian["url"].replace("http://", "http://me:hunter2@") + "?key=hunter2"}
        check, run, _again = check_and_run(run_module, arguments)
        for result in (check, run):
            assert "hunter2" not in str([result["diff"], result["steps"]])
        failed = run_module("pve_volume", {**arguments, "url": arguments["url"].replace("debian.q", "none.q")})
        assert "hunter2" not in failed.msg

    def test_a_certificate_is_checked_unless_told(self, pve, run_module, tmp_path):
        with running_web_server(make_certificate(tmp_path)) as server:
            arguments = {"storage": "local", "content": "import", "url": server.add("d.qcow2", IMAGE)}
            refused = run_module("pve_volume", arguments)
            assert refused.msg == (
                f"node pve1 cannot download {arguments['url']}: Can't connect to "
                f"127.0.0.1:{server.server_address[1]} (certificate verify failed)"
            )
            assert run_module("pve_volume", {**arguments, "verify_certificates": False}).changed

    def test_others_who_download_it_are_waited_for(self, pve, api, run_module, web, debian):
        form = {"url": web.url("slow/debian.qcow2"), "content": "import", "filename": "debian.qcow2"}
        upid = api.data("POST", "/nodes/pve1/storage/local/download-url", **form)
        check = run_module("pve_volume", debian, check=True)
        assert (check.changed, check["awaited_tasks"]) == (False, [upid])
        threading.Timer(0.3, web.hurry.set).start()
        run = run_module("pve_volume", debian)
        assert not run.failed, run.msg
        assert not run.changed
        assert len(pve.tasks("download")) == 1

    def test_one_of_others_that_fails_is_made_up_for(self, pve, api, run_module, web, debian):
        form = {"url": web.url("slow/debian.qcow2"), "content": "import", "filename": "debian.qcow2"}
        form.update({"checksum": "0" * 64, "checksum__algorithm": "sha256"})
        api.data("POST", "/nodes/pve1/storage/local/download-url", **form)
        threading.Timer(0.3, web.hurry.set).start()
        assert run_module("pve_volume", debian).changed


class TestWhatIsThere:
    @pytest.mark.parametrize("by", ["checksum", "size"])
    def test_another_file_is_an_error(self, pve, run_module, web, debian, by):
        pve.put_file("local", "import/debian.qcow2", OTHER)
        checksum = {"checksum": sha256(IMAGE)} if by == "checksum" else {}
        why = {
            "checksum": f"its sha256 checksum is {sha256(OTHER)}, and not {sha256(IMAGE)}",
            "size": "it has 8192 bytes, and not 4096",
        }
        for check in (True, False):
            result = run_module("pve_volume", {**debian, **checksum}, check=check)
            assert result.msg == (
                "local:import/debian.qcow2 on node pve1 is another file than the one asked for: "
                f"{why[by]}: set replace to have it replaced, or give another file_name"
            )
            assert result["error"]["kind"] == "exists"
        assert pve.file_content("local", "import/debian.qcow2") == OTHER

    def test_it_is_replaced_when_the_new_one_is_there(self, pve, run_module, web, debian):
        pve.put_file("local", "import/debian.qcow2", OTHER)
        arguments = {**debian, "checksum": sha256(IMAGE), "replace": True}
        _check, run, _again = check_and_run(run_module, arguments)
        assert len(run["steps"]) == 4
        assert run["diff"]["before"] == {"local:import/debian.qcow2": "8192 bytes"}
        assert pve.file_content("local", "import/debian.qcow2") == IMAGE
        assert [name for name in pve.volumes("local") if "replaces" in name] == []

    def test_it_stays_when_the_new_one_cannot_be_had(self, pve, run_module, web, debian):
        pve.put_file("local", "import/debian.qcow2", OTHER)
        result = run_module("pve_volume", {**debian, "checksum": "0" * 64, "replace": True})
        assert result.failed
        assert not result.changed
        assert pve.file_content("local", "import/debian.qcow2") == OTHER

    def test_the_new_one_is_kept_when_the_second_download_fails(self, pve, run_module, web, debian):
        pve.put_file("local", "import/debian.qcow2", OTHER)
        pve.before("POST", "/download-url$", web.files.clear, after=2)
        arguments = {**debian, "checksum": sha256(IMAGE), "replace": True}
        result = run_module("pve_volume", arguments)
        kept = "import/cloudbridge-replaces-debian.qcow2"
        assert result.msg.endswith(f"; the new content is there as local:{kept}")
        assert pve.file_content("local", kept) == IMAGE
        web.add("debian.qcow2", IMAGE)
        assert run_module("pve_volume", arguments).changed

    def test_without_the_right_to_download_it_is_compared_by_its_size(self, pve, run_module, tmp_path):
        source = tmp_path / "debian.qcow2"
        source.write_bytes(IMAGE)
        pve.put_file("local", "import/debian.qcow2", IMAGE)
        few = limited(pve, "Datastore.AllocateTemplate", "Datastore.Audit")
        arguments = {"storage": "local", "content": "import", "src": str(source), "checksum": sha256(IMAGE), **few}
        result = run_module("pve_volume", arguments)
        assert (result.changed, result["compared_by"]) == (False, "size")
        assert "ops@pve!few lacks Sys.AccessNetwork on /nodes/pve1" in result.warnings[0]


class TestFailures:
    """One sentence each, and nothing is left."""

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"url": "{web}none.qcow2"}, "node pve1 cannot download {web}none.qcow2: 404 File not found"),
            ({"url": "http://127.0.0.1:9/x.qcow2"}, "Can't connect to 127.0.0.1:9 (Connection refused)"),
            ({"url": "http://no.invalid/x.qcow2"}, "Can't connect to no.invalid:80 (Temporary failure in name "),
            ({"url": "{web}cut/debian.qcow2"}, "the connection to the server of {web}cut/debian.qcow2 broke off"),
            ({"checksum": "0" * 64}, "the file at {web}debian.qcow2 has the checksum {sum}, and not " + "0" * 64),
            ({"url": "{web}iso.qcow2"}, "the file is no image of the kind that its name ends in"),
            ({"storage": "vmstore", "content": "iso"}, "file_name 'debian.qcow2' must end in .iso or .img"),
            ({"file_name": "a b.qcow2"}, "file_name 'a b.qcow2' is not what PVE would call the file, 'a_b.qcow2'"),
            ({"file_name": "debian.img"}, "file_name 'debian.img' must end in .qcow2, .raw, .vmdk or .ova"),
            ({"storage": "local-lvm"}, "storage local-lvm does not take the content import, but images, rootdir"),
            ({"storage": "nowhere"}, "there is no storage nowhere on any node of the cluster"),
            ({"nodes": ["pve7"]}, "node pve7 has no storage local: it is on pve1"),
            ({"checksum": "xyz"}, "checksum 'xyz' is none"),
            ({"checksum": "md5:" + "0" * 64}, "has 64 digits, which makes it sha256, not md5"),
            ({"src": "/etc/hostname"}, "not by url and src"),
            (
                {"url": None, "template": "none_1_amd64.tar.gz", "content": "vztmpl"},
                "there is no template none_1_amd64",
            ),
            ({"decompress": "gz"}, "decompress only goes with url and content=iso"),
        ],
    )
    def test_what_is_wrong_is_said(self, pve, run_module, web, debian, change, says):
        web.add("iso.qcow2", ISO)
        fill = {"web": web.url(""), "sum": sha256(IMAGE)}
        arguments = {key: value.format(**fill) if isinstance(value, str) else value for key, value in change.items()}
        before = pve.volumes("local")
        result = run_module("pve_volume", {**debian, **arguments})
        assert (result.failed, result.changed) == (True, False)
        assert says.format(**fill) in result.msg
        assert "\n" not in result.msg
        assert (pve.volumes("local"), pve.leftovers()) == (before, [])

    def test_a_full_storage(self, pve, run_module, debian):
        pve.fill_storage("local", available=100)
        for check in (True, False):
            result = run_module("pve_volume", debian, check=check)
            assert result.msg == (
                "storage local on node pve1 has 100 bytes left, and debian.qcow2 needs 4.0 KiB: nothing was changed"
            )

    def test_a_storage_that_is_full_meanwhile(self, pve, run_module, web, debian):
        pve.fill_storage("local", available=100)
        result = run_module("pve_volume", {**debian, "url": web.url("nolen/debian.qcow2")})
        assert "was not made from" in result.msg
        assert "the storage is full" in result.msg
        assert pve.leftovers() == []

    @pytest.mark.parametrize(
        ("missing", "says"),
        [
            (
                "Sys.AccessNetwork",
                "ops@pve!few lacks Sys.AccessNetwork on /nodes/pve1, or both Sys.Audit and Sys.Modify",
            ),
            ("Datastore.AllocateTemplate", "lacks the privilege Datastore.AllocateTemplate on /storage/local"),
            ("Datastore.Audit", "has no right to see storage local: grant Datastore.Audit on /storage/local"),
        ],
    )
    def test_a_missing_privilege(self, pve, run_module, debian, missing, says):
        needed = {"Sys.AccessNetwork", "Datastore.AllocateTemplate", "Datastore.Audit"}
        few = limited(pve, *(needed - {missing}))
        result = run_module("pve_volume", {**debian, **few})
        assert says in result.msg
        assert result["error"]["privilege"] == missing


class TestUploads:
    @pytest.fixture
    def source(self, tmp_path):
        path = tmp_path / "appliance.qcow2"
        path.write_bytes(IMAGE + b"x" * 500_000)
        return path

    @pytest.fixture
    def arguments(self, source):
        return {"storage": "local", "content": "import", "src": str(source)}

    def test_a_file_is_uploaded_once(self, pve, run_module, source, arguments):
        _check, run, again = check_and_run(run_module, arguments)
        assert pve.file_content("local", "import/appliance.qcow2") == source.read_bytes()
        assert (run["volid"], again["compared_by"]) == ("local:import/appliance.qcow2", "size")
        (form,) = pve.forms("POST", "/upload$")
        checksum = {"checksum-algorithm": "sha256", "checksum": sha256(source.read_bytes())}
        assert form == {"content": "import", **checksum, "filename": "appliance.qcow2"}
        assert run["tasks"][0]["type"] == "imgcopy"

    def test_it_takes_the_place_of_another_when_it_is_to(self, pve, run_module, source, arguments):
        pve.put_file("local", "import/appliance.qcow2", b"old")
        refused = run_module("pve_volume", arguments)
        assert "it has 3 bytes, and not 504096: set replace to have it replaced" in refused.msg
        check_and_run(run_module, {**arguments, "replace": True})
        assert pve.file_content("local", "import/appliance.qcow2") == source.read_bytes()

    def test_a_checksum_that_is_not_that_of_the_file(self, pve, run_module, source, arguments):
        result = run_module("pve_volume", {**arguments, "checksum": "0" * 64})
        found = f"sha256:{sha256(source.read_bytes())}"
        assert result.msg == f"src {source} has the checksum {found}, and not sha256:{'0' * 64}"
        assert (result.changed, pve.forms("POST", "/upload$")) == (False, [])

    def test_a_file_that_is_no_image(self, pve, run_module, source, arguments):
        source.write_bytes(ISO)
        result = run_module("pve_volume", arguments)
        assert result.msg.startswith(
            f"local:import/appliance.qcow2 on node pve1 was not made from {source}: "
            "the file is no image of the kind that its name ends in"
        )
        assert pve.leftovers() == []

    def test_a_connection_that_breaks_leaves_nothing(self, pve, run_module, play, source, arguments):
        source.write_bytes(b"x" * 16 * 1024**2)
        pve.knobs.upload_breaks_after = 200_000
        task = {"cloudbridge.proxmox.pve_volume": arguments, "ignore_errors": True}
        messages = [run_module("pve_volume", arguments).msg, play(json.dumps([task])).tasks[0].msg]
        for message in messages:
            assert message.startswith("local:import/appliance.qcow2 was not uploaded, and PVE keeps nothing of it: ")
        assert (pve.leftovers(), pve.tasks("imgcopy")) == ([], [])
        assert pve.file_content("local", "import/appliance.qcow2") is None

    def test_a_file_that_is_not_there(self, run_module, arguments):
        result = run_module("pve_volume", {**arguments, "src": "/nowhere/a.qcow2"})
        assert result.msg == "src /nowhere/a.qcow2 cannot be read: No such file or directory"

    def test_memory_stays_flat_and_the_terminal_hears_of_it(self, pve, tmp_path):
        """By default 64 MiB; CLOUDBRIDGE_TEST_UPLOAD_MIB=2048 makes it 2 GiB, with the same bound."""
        path, size = tmp_path / "large.raw", int(os.environ.get("CLOUDBRIDGE_TEST_UPLOAD_MIB", "64")) * 1024**2
        with path.open("wb") as file:
            file.truncate(size)
        script = (
            "import json, resource, sys\n"
            "from ansible_collections.cloudbridge.proxmox.plugins.action.pve_volume import DESCRIPTION\n"
            "from ansible_collections.cloudbridge.proxmox.plugins.module_utils._ansible.runner import carry_out\n"
            "from ansible.module_utils.common.arg_spec import ArgumentSpecValidator\n"
            "options = ArgumentSpecValidator(DESCRIPTION.argument_spec).validate(json.loads(sys.argv[1]))\n"
            "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "before, said = peak(), []\n"
            "done = carry_out(DESCRIPTION, options.validated_parameters, False, progress=said.append)\n"
            "print(json.dumps([done.failed, done.result.get('msg'), peak() - before, said]))\n"
        )
        arguments = {"storage": "local", "content": "import", "src": str(path)}
        environment = child_environment(tmp_path, pve.environment)
        words = [sys.executable, "-c", script, json.dumps(arguments)]
        out = subprocess.run(words, env=environment, capture_output=True, text=True, check=True, timeout=1500).stdout
        failed, message, kibibytes, said = json.loads(out.splitlines()[-1])
        assert not failed, message
        assert kibibytes < 16 * 1024, f"{kibibytes} KiB"
        assert said[0].startswith("large.raw: 10 % of ")
        assert len(said) == 10
        assert pve.server.file_of("local", "pve1", "import/large.raw").stat().st_size == size


class TestOtherSources:
    def test_a_template_of_pve_s_list(self, pve, run_module, web):
        name = "alpine-3.22-default_20250617_amd64.tar.xz"
        pve.add_appliance(name, web.add(name, b"alpine"), b"alpine")
        _check, run, again = check_and_run(run_module, {"storage": "local", "template": name})
        assert (run["volid"], again["compared_by"]) == (f"local:vztmpl/{name}", "name")

    def test_a_template_that_is_called_otherwise(self, pve, run_module, web):
        pve.add_appliance("alpine-3.22_1_amd64.tar.xz", web.url("a"), b"alpine")
        result = run_module("pve_volume", {"storage": "local", "template": "alpine-3.21_1_amd64.tar.xz"})
        assert result.msg.endswith("of node pve1: it has alpine-3.22_1_amd64.tar.xz")

    def test_a_template_without_the_end_of_its_name(self, pve, run_module, web):
        name = "debian-13-standard_13.1-2_amd64"
        pve.add_appliance(f"{name}.tar.zst", web.url("debian.iso"), ISO)
        for check in (True, False):
            result = run_module("pve_volume", {"storage": "local", "template": name}, check=check)
            says = f"template {name} lacks the end of its name: the list of node pve1 has {name}.tar.zst"
            assert (result.msg, result["error"]["kind"]) == (says, "not_found")

    def test_an_image_of_a_registry(self, pve, run_module):
        pve.server.oci_images["docker.io/library/alpine:3.22"] = b"an archive"
        arguments = {"storage": "local", "oci_reference": "docker.io/library/alpine:3.22"}
        _check, run, _again = check_and_run(run_module, arguments)
        assert run["volid"] == "local:vztmpl/alpine_3.22.tar"
        missing = run_module("pve_volume", {"storage": "local", "oci_reference": "docker.io/library/nope:1"})
        assert "local:vztmpl/nope_1.tar on node pve1 was not made from docker.io/library/nope:1" in missing.msg

    def test_a_copy(self, pve_cluster, run_module):
        pve_cluster.put_file("local", "iso/a.iso", ISO, node="pve2")
        arguments = {
            "storage": "local",
            "content": "iso",
            "copy_from": {"volume": "local:iso/a.iso", "node": "pve2"},
            "nodes": ["pve1"],
        }
        refused = run_module("pve_volume", arguments)
        assert refused.msg.endswith("PVE lets only root@pam, and no token, copy a volume")
        login = {"api_token_id": None, "api_token_secret": None, "api_user": "root@pam", "api_password": "secret"}
        environment = {"PROXMOX_TOKEN_ID": None, "PROXMOX_TOKEN_SECRET": None}
        run = run_module("pve_volume", {**arguments, **login}, env=environment)
        assert run.changed, run.msg
        assert pve_cluster.file_content("local", "iso/a.iso", "pve1") == ISO
        assert not run_module("pve_volume", {**arguments, **login}, env=environment).changed
        elsewhere = run_module("pve_volume", {**arguments, "storage": "shared"})
        assert "PVE copies within one storage only" in elsewhere.msg


class TestNodes:
    def test_all_nodes_get_it(self, pve_cluster, run_module, web, debian):
        pve_cluster.put_file("local", "import/debian.qcow2", IMAGE, node="pve2")
        ambiguous = run_module("pve_volume", debian)
        assert "pve1, pve2, pve3 have one each: say by nodes which of them is meant, or all" in ambiguous.msg
        _check, run, _again = check_and_run(run_module, {**debian, "nodes": "all", "checksum": sha256(IMAGE)})
        assert [volume["node"] for volume in run["volumes"]] == ["pve1", "pve2", "pve3"]
        assert len(run["steps"]) == 2
        assert list(run["diff"]["after"]) == [f"local:import/debian.qcow2 on {node}" for node in ("pve1", "pve3")]

    def test_a_shared_storage_gets_it_once(self, pve_cluster, run_module, web):
        arguments = {"storage": "shared", "content": "iso", "url": web.url("debian.iso")}
        _check, run, _again = check_and_run(run_module, {**arguments, "nodes": "all"})
        assert len(run["steps"]) == len(run["volumes"]) == 1
        assert pve_cluster.file_content("shared", "iso/debian.iso", "pve3") == ISO


class TestAbsent:
    GONE = {"state": "absent", "storage": "local", "content": "iso", "file_name": "debian.iso"}

    @pytest.mark.parametrize(("content", "name"), [("iso", "debian.iso"), ("import", "debian.qcow2")])
    def test_it_is_deleted_once(self, pve, run_module, content, name):
        pve.put_file("local", f"{content}/{name}", ISO)
        _check, run, _again = check_and_run(run_module, {**self.GONE, "content": content, "file_name": name})
        assert run["diff"] == {"before": {f"local:{content}/{name}": f"{len(ISO)} bytes"}, "after": {}}
        assert pve.file_content("local", f"{content}/{name}") is None

    @pytest.mark.parametrize("change", [{"state": "absent"}, {"replace": True}])
    def test_an_image_in_a_drive_stays(self, pve, run_module, web, change):
        pve.put_file("local", "iso/debian.iso", b"old")
        pve.guest(101).config["ide2"] = "local:iso/debian.iso,media=cdrom"
        source = {} if "state" in change else {"url": web.url("debian.iso")}
        arguments = {**self.GONE, "state": "present", **source, **change}
        result = run_module("pve_volume", arguments)
        assert "because guest 101 (db) uses it: take it out there first, or set force" in result.msg
        assert result["error"]["kind"] == "locked"
        assert pve.file_content("local", "iso/debian.iso") == b"old"
        assert run_module("pve_volume", {**arguments, "force": True}).changed

    @pytest.mark.parametrize("check", [True, False])
    def test_a_right_that_is_missing(self, pve, run_module, web, check):
        """PVE asks for it at the end of a replacement, when there are two files."""
        pve.put_file("local", "iso/debian.iso", b"old")
        few = limited(pve, "Datastore.AllocateTemplate", "Datastore.Audit", "Sys.AccessNetwork")
        new = {"storage": "local", "content": "iso", "url": web.url("debian.iso"), "replace": True}
        for arguments, verb in ((self.GONE, "delete"), (new, "replace")):
            result = run_module("pve_volume", {**arguments, **few}, check=check)
            assert result.msg == (
                f"ops@pve!few lacks the privilege Datastore.Allocate on /storage/local, which it takes to {verb} "
                f"local:iso/debian.iso: grant it with a role on that path; nothing was changed"
            )
            assert (result["error"]["kind"], result["steps"]) == ("permission", [])

    def test_a_download_is_waited_for_and_then_deleted(self, pve, api, run_module, web):
        form = {"url": web.url("slow/debian.iso"), "content": "iso", "filename": "debian.iso"}
        upid = api.data("POST", "/nodes/pve1/storage/local/download-url", **form)
        check = run_module("pve_volume", self.GONE, check=True, diff=True)
        assert (check.changed, check["awaited_tasks"]) == (True, [upid])
        assert check["diff"]["before"] == {"local:iso/debian.iso": "a file that another task makes"}
        threading.Timer(0.3, web.hurry.set).start()
        run = run_module("pve_volume", self.GONE, diff=True)
        assert (run.changed, run["steps"]) == (True, check["steps"])
        assert run["diff"] == {"before": {"local:iso/debian.iso": f"{len(ISO)} bytes"}, "after": {}}
        assert pve.file_content("local", "iso/debian.iso") is None
        assert not run_module("pve_volume", self.GONE).changed

    def test_a_download_that_does_not_end_in_time(self, api, run_module, web):
        form = {"url": web.url("slow/debian.iso"), "content": "iso", "filename": "debian.iso"}
        api.data("POST", "/nodes/pve1/storage/local/download-url", **form)
        late = run_module("pve_volume", {**self.GONE, "timeout": 1})
        assert (late["error"]["kind"], late.changed) == ("timed_out", False)
        web.hurry.set()

    def test_what_a_replacement_has_left_over_goes_as_well(self, pve, run_module):
        pve.put_file("local", "iso/debian.iso", ISO)
        pve.put_file("local", "iso/cloudbridge-replaces-debian.iso", ISO)
        _check, run, _again = check_and_run(run_module, self.GONE)
        assert len(run["steps"]) == 2
        assert pve.file_content("local", "iso/cloudbridge-replaces-debian.iso") is None


class TestLists:
    def test_volumes(self, pve_cluster, run_module):
        pve_cluster.put_file("local", "import/debian.qcow2", IMAGE, node="pve2")
        pve_cluster.put_file("shared", "iso/a.iso", ISO)
        found = run_module("pve_volume_info", {"pattern": "debian.q*"})["volumes"]
        assert [(row["volid"], row["node"], row["size"]) for row in found] == [
            ("local:import/debian.qcow2", "pve2", len(IMAGE))
        ]
        shared = run_module("pve_volume_info", {"storage": "shared", "content": "iso"})["volumes"]
        assert [(row["volid"], row["shared"]) for row in shared] == [("shared:iso/a.iso", True)]
        disks = run_module("pve_volume_info", {"vmid": 100})["volumes"]
        assert {row["vmid"] for row in disks} == {100}
        nowhere = run_module("pve_volume_info", {"node": "pve9"})
        assert nowhere.msg == "there is no node pve9: the cluster has pve1, pve2, pve3"
        elsewhere = run_module("pve_volume_info", {"node": "pve3", "storage": "nope"})
        assert elsewhere.msg == "there is no storage nope, or no right to see it (Datastore.Audit)"

    def test_storages(self, pve_cluster, run_module):
        pve_cluster.set_storage_usage("pve1", "local", 1000, 400)
        found = {row["storage"]: row for row in run_module("pve_storage_info", {})["storages"]}
        assert set(found) == {"local", "local-lvm", "shared", "vmstore"}
        assert found["local"]["content"] == ["backup", "import", "iso", "snippets", "vztmpl"]
        assert (found["shared"]["shared"], found["shared"]["type"]) == (True, "dir")
        assert found["local"]["nodes"][0] == {
            "node": "pve1",
            "active": True,
            "total": 1000,
            "used": 400,
            "available": 600,
        }
        named = run_module("pve_storage_info", {"content": "import", "node": "pve2"})["storages"]
        assert [row["storage"] for row in named] == ["local", "vmstore"]
        nowhere = run_module("pve_storage_info", {"node": "pve9"})
        assert (nowhere.msg, nowhere["error"]["kind"]) == (
            "there is no node pve9: the cluster has pve1, pve2, pve3",
            "not_found",
        )


def test_a_list_takes_one_request_for_each_storage(pve, run_module):
    ApiClient(pve)
    run_module("pve_volume_info", {"content": "iso"})
    assert pve.summary() == ["GET /cluster/resources", "GET /nodes/pve1/storage/local/content"]


class TestImagesOfDisks:
    """`image` of a disk in pve_vm: fetched when it is needed, and reused."""

    @pytest.fixture
    def image(self, debian, web):
        return {"storage": "local", "url": debian["url"], "checksum": sha256(IMAGE)}

    @pytest.fixture
    def new_vm(self, image):
        disk = {"slot": "scsi0", "storage": "local-lvm", "size": "1G", "image": image}
        return {"name": "app", "disks": [disk]}

    def test_it_is_fetched_once_and_the_second_run_asks_for_none(self, pve, run_module, web, new_vm):
        check = run_module("pve_vm", new_vm, check=True)
        assert not check.failed, check.msg
        assert check.changed
        assert web.asked == ["HEAD /debian.qcow2"]
        run = run_module("pve_vm", new_vm)
        assert not run.failed, run.msg
        assert check["steps"][0] == run["steps"][0]
        assert check["diff"]["after"]["local:import/debian.qcow2"] == f"url {web.url('debian.qcow2')}"
        assert pve.config(run["vmid"])["scsi0"].endswith("size=1G")
        pve.reset_record()
        web.files.clear()
        again = run_module("pve_vm", new_vm)
        assert not again.changed, again.result
        assert len(pve.exchanges) <= 4, pve.summary()

    def test_many_guests_have_it_fetched_once(self, pve, run_module, web, new_vm):
        guests = [{"name": f"app{number}"} for number in range(4)]
        arguments = {"guests": guests, "defaults": {"disks": new_vm["disks"]}}
        check = run_module("pve_vms", arguments, check=True)
        run = run_module("pve_vms", arguments)
        assert not run.failed, run.msg
        assert web.asked.count("GET /debian.qcow2") == 1
        for result in (check, run):
            steps = [step for guest in result["results"] for step in guest["steps"]]
            assert sum(step.startswith("download") for step in steps) == 1
        assert not run_module("pve_vms", arguments).changed

    def test_it_goes_to_the_node_that_is_chosen(self, pve_cluster, run_module, new_vm):
        pve_cluster.set_node_facts("pve3", mem=0, maxmem=1 << 40)
        run = run_module("pve_vm", new_vm)
        assert run["node"] == "pve3", run.msg
        assert pve_cluster.file_content("local", "import/debian.qcow2", "pve3") == IMAGE

    def test_a_url_that_is_none(self, pve, run_module, new_vm):
        disk = new_vm["disks"][0]
        for url in ("http://[::1/a.qcow2", "http://127.0.0.1:abc/a.qcow2"):
            image = {**disk["image"], "url": url, "checksum": None, "file_name": "a.qcow2"}
            result = run_module("pve_vm", {**new_vm, "disks": [{**disk, "image": image}]})
            assert result["error"]["kind"] == "invalid_request"
            assert "url is not a valid URL" in result.msg

    def test_a_node_that_has_it_is_preferred(self, pve_cluster, run_module, web, new_vm):
        pve_cluster.set_node_facts("pve3", mem=0, maxmem=1 << 40)
        pve_cluster.put_file("local", "import/debian.qcow2", IMAGE, node="pve2")
        run = run_module("pve_vm", new_vm)
        assert run["node"] == "pve2", run.msg
        assert "GET /debian.qcow2" not in web.asked

    def test_what_is_wrong_is_said_before_there_is_a_guest(self, pve, run_module, web, new_vm):
        before = pve.vmids()
        disk = new_vm["disks"][0]
        for change, says in (
            ({"url": web.url("none.qcow2")}, "404 File not found"),
            ({"checksum": "0" * 64}, "has the checksum"),
            ({"url": web.url("a.ova")}, "disks: scsi0: image: a.ova holds disks of its own"),
            ({"url": None}, "disks: scsi0: image: give url or src"),
            ({"src": "/a.qcow2"}, "disks: scsi0: image: give one of url and src, not both"),
        ):
            wrong = {**disk, "image": {**disk["image"], **change}}
            result = run_module("pve_vm", {**new_vm, "disks": [wrong]})
            assert says in result.msg
            assert not result.changed
        both = run_module("pve_vm", {**new_vm, "disks": [{**disk, "import_from": "local:import/x.qcow2"}]})
        assert both.msg == "disks: scsi0: import_from and image exclude each other"
        assert pve.vmids() == before

    def test_a_disk_that_is_smaller_than_its_image(self, pve, run_module, new_vm):
        """What is in a qcow2 image is only known when it is there: then it stays, and the second run knows it."""
        new_vm["disks"][0]["size"] = "32M"
        says = "disks: scsi0: size 32M is less than the 64M of local:import/debian.qcow2: PVE cannot shrink a disk"
        before = pve.vmids()
        result = run_module("pve_vm", new_vm)
        assert result.msg == f"{says}; the image is on the storage now, and no guest was changed"
        assert result.changed
        for check in (True, False):
            again = run_module("pve_vm", new_vm, check=check)
            assert (again.msg, again.changed) == (says, False)
        assert pve.vmids() == before

    @pytest.mark.parametrize("by", ["url", "src"])
    @pytest.mark.parametrize("name", ["small.raw", "small.qcow2"])
    def test_it_is_known_beforehand_where_file_or_header_tell(self, pve, run_module, web, tmp_path, name, by):
        content = IMAGE if name.endswith("qcow2") else b"raw" * 100_000
        (tmp_path / name).write_bytes(content)
        source = {"url": web.add(name, content)} if by == "url" else {"src": str(tmp_path / name)}
        disk = {"slot": "scsi0", "storage": "local-lvm", "size": "128K", "image": {"storage": "local", **source}}
        arguments = {"name": "app", "disks": [disk]}
        if (by, name) == ("url", "small.qcow2"):
            assert run_module("pve_vm", arguments, check=True).changed
            return
        size = "64M" if name.endswith("qcow2") else "293K"
        for check in (True, False):
            result = run_module("pve_vm", arguments, check=check)
            assert result.msg.startswith(f"disks: scsi0: size 128K is less than the {size}"), result.msg
            assert (result.changed, pve.file_content("local", f"import/{name}")) == (False, None)
        disk["size"] = "1G"
        check = run_module("pve_vm", arguments, check=True, diff=True)
        run = run_module("pve_vm", arguments, diff=True)
        assert check["diff"] == run["diff"]
        assert len(check["steps"]) == len(run["steps"]) == 3

    @pytest.mark.parametrize("option", ["image", "import_from"])
    def test_a_clone_has_its_disk_already(self, pve, run_module, image, option):
        value = image if option == "image" else "local:import/debian.qcow2"
        disks = [{"slot": "scsi0", "storage": "local-lvm", option: value}]
        arguments = {"name": "app", "clone": {"source": "debian-template"}, "disks": disks}
        for check in (True, False):
            result = run_module("pve_vm", arguments, check=check)
            assert result.msg == (
                f"disks: scsi0: the clone has a disk there from its source, which {option} cannot fill: "
                f"leave {option} out, or give a slot that is free"
            )
            assert not result.changed
        free = {**arguments, "disks": [{**disks[0], "slot": "scsi5"}]}
        if option == "image":
            assert run_module("pve_vm", free).changed
            assert not run_module("pve_vm", free).changed


class TestMissingSources:
    """What a disk is to be made from and is not there: check mode says it in the words of the run."""

    SOURCES = [
        {"slot": "ide2", "iso": "local:iso/none.iso"},
        {"slot": "scsi5", "storage": "local-lvm", "import_from": "local:import/none.qcow2"},
        {"slot": "scsi5", "volume": "local:101/vm-101-disk-9.qcow2"},
    ]

    @pytest.mark.parametrize("guest", [{"vmid": 300}, {"vmid": 101}], ids=["new", "there"])
    @pytest.mark.parametrize("disk", SOURCES, ids=["iso", "import_from", "volume"])
    def test_it_is_said_before_anything_is_done(self, pve, run_module, disk, guest):
        before = dict(pve.config(101))
        source = disk.get("iso") or disk.get("import_from") or disk["volume"]
        for check in (True, False):
            result = run_module("pve_vm", {**guest, "disks": [disk]}, check=check)
            assert result.msg == f"disks: {disk['slot']}: there is no {source} on node pve1"
            assert (result["error"]["kind"], result.changed) == ("not_found", False)
        assert pve.config(101) == before
        assert 300 not in pve.vmids()

    def test_who_may_not_look_leaves_it_to_pve(self, pve, run_module):
        few = limited(pve, "VM.Audit", "VM.Config.CDROM")
        result = run_module("pve_vm", {"vmid": 101, "disks": [self.SOURCES[0]], **few})
        assert result["error"]["kind"] == "permission"

    def test_what_is_there_is_not_looked_at_again(self, pve, run_module):
        pve.put_file("local", "iso/debian.iso", ISO)
        arguments = {"vmid": 101, "disks": [{"slot": "ide2", "iso": "local:iso/debian.iso"}]}
        assert run_module("pve_vm", arguments).changed
        pve.reset_record()
        assert not run_module("pve_vm", arguments).changed
        assert not any("/content" in line for line in pve.summary())

    def test_many_guests_look_once(self, pve, run_module):
        pve.put_file("local", "iso/debian.iso", ISO)
        disks = [{"slot": "ide2", "iso": "local:iso/debian.iso"}]
        guests = [{"vmid": 300 + number} for number in range(4)]
        assert run_module("pve_vms", {"defaults": {"disks": disks}, "guests": guests}).changed
        assert sum("/content/" in line for line in pve.summary()) == 1


@pytest.mark.parametrize("special", ["fifo", "null"])
def test_what_is_no_file_is_not_uploaded(pve, run_module, tmp_path, special):
    path = tmp_path / "a.iso"
    if special == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/null")
    result = run_module("pve_volume", {"storage": "local", "content": "iso", "src": str(path)})
    assert result.msg == f"src {path} is not a regular file"


def test_a_missing_src_is_an_error_although_its_name_is_there(pve, run_module, tmp_path):
    pve.put_file("local", "iso/a.iso", ISO)
    result = run_module("pve_volume", {"storage": "local", "content": "iso", "src": str(tmp_path / "a.iso")})
    assert "a.iso cannot be read: No such file" in result.msg
