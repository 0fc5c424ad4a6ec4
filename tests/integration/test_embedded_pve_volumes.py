# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files on storages, as recorded from PVE 9.2 (73-volumes.json and the two of uploads and downloads)."""

from __future__ import annotations

import gzip
import hashlib
import socket
import ssl

import pytest

from tests.support.api_client import ApiClient
from tests.support.strict_server import make_certificate
from tests.support.web_server import qcow2, running_web_server, sha256

LOCAL = "/nodes/pve1/storage/local"
ISO = b"an image of a disc" * 1000
ZEROS = "0" * 64


@pytest.fixture
def web():
    with running_web_server() as server:
        server.add("b.iso", ISO)
        server.add("b.iso.gz", gzip.compress(ISO))
        server.add("d.qcow2", qcow2())
        yield server


def fetch(api, **form):
    """How a download ends: the task's status, or the refusal."""
    answer = api("POST", f"{LOCAL}/download-url", **form)
    if answer.status_code != 200:
        return answer.json()["errors"] or answer.json()["message"].strip()
    return api.finish(answer.json()["data"])


def upload(api, name, content=ISO, *, storage="local", **fields):
    """How an upload ends, with its fields in the order in which they are given."""
    parts = {"content": "iso", **{key.replace("__", "-"): value for key, value in fields.items()}}
    disposition = "--rig\r\nContent-Disposition: form-data; name="
    head = "".join(f'{disposition}"{key}"\r\n\r\n{value}\r\n' for key, value in parts.items())
    head += f'{disposition}"filename"; filename="{name}"\r\nContent-Type: application/octet-stream\r\n\r\n'
    answer = api.session.post(
        f"{api.base}/nodes/pve1/storage/{storage}/upload",
        data=head.encode() + content + b"\r\n--rig--\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=rig"},
        timeout=30,
    )
    if answer.status_code != 200:
        return answer.json()["errors"] or answer.json()["message"].strip()
    return api.finish(answer.json()["data"])


def sizes(api, content="iso"):
    return {item["volid"]: item["size"] for item in api.data("GET", f"{LOCAL}/content", content=content)}


class TestDownloads:
    def test_a_file_is_fetched_once(self, pve, api, web):
        order = {"content": "iso", "filename": "dl.iso", "url": web.url("b.iso")}
        path = "/var/lib/vz/template/iso/dl.iso"
        assert fetch(api, **order) == "OK"
        assert sizes(api)["local:iso/dl.iso"] == len(ISO)
        assert fetch(api, **order) == f"refusing to override existing file '{path}'"
        wrong = {"checksum": ZEROS, "checksum__algorithm": "sha256"}
        assert fetch(api, **order, **wrong) == f"checksum mismatch: got '{sha256(ISO)}' != expect '{ZEROS}', aborting"
        assert fetch(api, **order, checksum=sha256(ISO).upper(), checksum__algorithm="sha256") == "OK"
        assert web.asked == ["GET /b.iso"]

    def test_the_checksum_is_that_of_what_was_downloaded(self, pve, api, web):
        order = {"content": "iso", "filename": "z.iso", "url": web.url("b.iso.gz"), "compression": "gz"}
        unpacked = {"checksum": sha256(ISO), "checksum__algorithm": "sha256"}
        packed = {"checksum": sha256(web.files["b.iso.gz"]), "checksum__algorithm": "sha256"}
        assert fetch(api, **order, **unpacked).startswith("checksum mismatch: got ")
        assert (sizes(api).get("local:iso/z.iso"), pve.leftovers()) == (None, [])
        assert fetch(api, **order, **packed) == "OK"
        assert pve.file_content("local", "iso/z.iso") == ISO

    @pytest.mark.parametrize(
        ("name", "ends"),
        [
            ("none.iso", "download failed: exit code 8"),
            ("cut/b.iso", "download failed: exit code 4"),
            ("redir/b.iso", "OK"),
            ("nolen/b.iso", "OK"),
        ],
    )
    def test_what_a_server_can_do(self, pve, api, web, name, ends):
        assert fetch(api, content="iso", filename="x.iso", url=web.url(name)) == ends
        assert pve.leftovers() == []

    def test_servers_that_cannot_be_had(self, pve, api):
        order = {"content": "iso", "filename": "x.iso"}
        refused = "download failed: Connecting to 127.0.0.1:9... failed: Connection refused."
        assert fetch(api, **order, url="http://127.0.0.1:9/x.iso") == refused
        unknown = "download failed: wget: unable to resolve host address 'no-such-host.invalid'"
        assert fetch(api, **order, url="http://no-such-host.invalid/x.iso") == unknown

    def test_a_certificate_of_an_authority_of_its_own(self, pve, api, tmp_path):
        certificate = make_certificate(tmp_path)
        order = {"content": "iso", "filename": "x.iso"}
        with running_web_server(certificate) as server:
            url = server.add("b.iso", ISO)
            stranger = "download failed: ERROR: The certificate of '127.0.0.1' doesn't have a known issuer."
            assert fetch(api, **order, url=url) == stranger
            assert fetch(api, **order, url=url, verify__certificates=0) == "OK"
            pve.knobs.trusted_authority = str(certificate[0])
            assert fetch(api, **{**order, "filename": "y.iso"}, url=url) == "OK"

    def test_what_is_no_image(self, pve, api, web):
        order = {"content": "import", "url": web.url("b.iso")}
        problem = fetch(api, **order, filename="q.qcow2")
        assert problem.startswith(
            "failed to verify file: qemu-img: Could not open '/var/lib/vz/import/q.qcow2.tmp_dwnl."
        )
        assert problem.endswith("': Image is not in qcow2 format")
        assert fetch(api, **order, filename="q.img") == {"filename": "invalid filename or wrong extension"}
        assert fetch(api, **order, filename="q.raw", compression="gz") == "decompression not supported for import"
        assert fetch(api, content="import", url=web.url("d.qcow2"), filename="q.qcow2") == "OK"
        volume = api.data("GET", f"{LOCAL}/content/local%3Aimport%2Fq.qcow2")
        assert (volume["size"], volume["format"]) == (64 * 1024**2, "qcow2")
        assert sizes(api, "import")["local:import/q.qcow2"] == 4096

    def test_what_does_not_fit(self, pve, api, web):
        pve.fill_storage("local", available=100)
        problem = fetch(api, content="iso", filename="x.iso", url=web.url("b.iso"))
        assert problem.startswith("download failed: Cannot write to '/var/lib/vz/template/iso/x.iso.tmp_dwnl.")
        assert problem.endswith("' (No space left on device).")
        assert pve.leftovers() == []

    def test_two_of_one_name_both_end_well(self, pve, api, web):
        order = {"content": "iso", "filename": "two.iso", "url": web.url("slow/b.iso")}
        first, second = (api.data("POST", f"{LOCAL}/download-url", **order) for _turn in range(2))
        assert "local:iso/two.iso" not in sizes(api)
        web.hurry.set()
        assert [api.finish(upid) for upid in (first, second)] == ["OK", "OK"]

    def test_one_that_is_stopped_leaves_nothing(self, pve, api, web):
        upid = api.data("POST", f"{LOCAL}/download-url", content="iso", filename="s.iso", url=web.url("slow/b.iso"))
        api.data("DELETE", f"/nodes/pve1/tasks/{upid}")
        assert api.finish(upid) == "download failed: received interrupt"
        assert pve.leftovers() == []

    def test_metadata(self, api, web):
        def asked(url):
            answer = api("GET", "/nodes/pve1/query-url-metadata", url=url)
            return answer.json()["data"] or answer.json()["message"].strip()

        assert asked(web.url("b.iso")) == {"filename": "b.iso", "size": len(ISO)}
        assert asked(web.url("none.iso")) == "invalid server response: '404 File not found'"
        refused = "invalid server response: '500 Can't connect to 127.0.0.1:9 (Connection refused)'"
        assert asked("http://127.0.0.1:9/x.iso") == refused


class TestUploads:
    def test_one_replaces_what_is_there_and_its_checksum_is_verified_before(self, pve, api):
        assert upload(api, "up.iso") == "OK"
        wrong = upload(api, "up.iso", b"other", checksum__algorithm="sha256", checksum="xyz")
        assert wrong == f"checksum mismatch: got '{sha256(b'other')}' != expect 'xyz'"
        assert pve.file_content("local", "iso/up.iso") == ISO
        right = {"checksum__algorithm": "md5", "checksum": hashlib.md5(b"other").hexdigest()}
        assert upload(api, "up.iso", b"other", **right) == "OK"
        assert pve.file_content("local", "iso/up.iso") == b"other"
        assert pve.leftovers() == []

    @pytest.mark.parametrize(
        ("asked", "made"),
        [
            ("a b.iso", "a_b.iso"),
            ("a+b.iso", "a_b.iso"),
            ("a%41.iso", "a_41.iso"),
            ("..iso", "..iso"),
            ("x/y.ISO", "y.ISO"),
        ],
    )
    def test_names_are_changed(self, pve, api, asked, made):
        assert upload(api, asked) == "OK"
        assert f"local:iso/{made}" in sizes(api)

    def test_a_refusal_leaves_its_temporary_file(self, pve, api):
        assert upload(api, "a.txt") == {"filename": "wrong file extension"}
        assert [name[:10] for name in pve.leftovers()] == ["pveupload-"]

    def test_the_checksum_comes_after_its_algorithm(self, pve, api):
        """What stands in front of the field that pveproxy looks for is lost."""
        lost = upload(api, "a.iso", checksum=ZEROS, checksum__algorithm="sha256")
        assert lost == {"checksum": "missing property required by 'checksum-algorithm'"}

    def test_one_that_breaks_off_leaves_nothing(self, pve):
        context = ssl.create_default_context(cafile=pve.cafile)
        with (
            socket.create_connection((pve.host, pve.port)) as plain,
            context.wrap_socket(plain, server_hostname=pve.host) as secured,
        ):
            head = (
                f"POST /api2/json{LOCAL}/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n"
                f"Authorization: PVEAPIToken={pve.token_id}={pve.token_secret}\r\n"
                "Content-Type: multipart/form-data; boundary=rig\r\n\r\n--rig\r\n"
                'Content-Disposition: form-data; name="filename"; filename="half.iso"\r\n\r\n'
            )
            secured.sendall(head.encode() + b"x" * 200_000)
        pve.run(_settled())
        assert (pve.leftovers(), pve.tasks("imgcopy")) == ([], [])

    def test_what_does_not_fit_takes_the_old_file_along(self, pve, api):
        assert upload(api, "up.iso") == "OK"
        pve.fill_storage("local", available=10)
        problem = upload(api, "up.iso", ISO * 2)
        path = "/var/lib/vz/template/iso/up.iso"
        assert problem == f"import failed: cp: error writing '{path}': No space left on device"
        assert "local:iso/up.iso" not in sizes(api)


async def _settled():
    import asyncio

    await asyncio.sleep(0.1)


class TestTheRest:
    def test_each_node_has_its_own(self, pve_cluster):
        api = ApiClient(pve_cluster)
        pve_cluster.put_file("local", "iso/a.iso", ISO, node="pve2")
        pve_cluster.put_file("local", "iso/a.iso", b"another", node="pve3")
        found = {}
        for node in ("pve1", "pve2", "pve3"):
            items = api.data("GET", f"/nodes/{node}/storage/local/content", content="iso")
            found[node] = {item["volid"]: item["size"] for item in items}.get("local:iso/a.iso")
        assert found == {"pve1": None, "pve2": len(ISO), "pve3": 7}
        assert api.task("DELETE", "/nodes/pve2/storage/local/content/local:iso/a.iso") == "OK"
        assert pve_cluster.file_content("local", "iso/a.iso", "pve2") is None
        assert pve_cluster.file_content("local", "iso/a.iso", "pve3") == b"another"

    def test_an_appliance(self, pve, api, web):
        pve.add_appliance("alpine_1_amd64.tar.xz", web.add("alpine_1_amd64.tar.xz", b"alpine"), b"alpine")
        assert [entry["template"] for entry in api.data("GET", "/nodes/pve1/aplinfo")] == ["alpine_1_amd64.tar.xz"]
        order = {"storage": "local", "template": "alpine_1_amd64.tar.xz"}
        assert [api.task("POST", "/nodes/pve1/aplinfo", **order) for _turn in range(2)] == ["OK", "OK"]
        assert pve.file_content("local", "vztmpl/alpine_1_amd64.tar.xz") == b"alpine"
        answer = api("POST", "/nodes/pve1/aplinfo", storage="local", template="nope.tar.xz")
        assert answer.json()["errors"] == {"template": "no such template"}

    def test_a_copy_is_for_root_alone(self, pve, api):
        pve.put_file("local", "iso/a.iso", ISO)
        answer = api("POST", f"{LOCAL}/content/local:iso/a.iso", target="local:iso/b.iso")
        assert (answer.status_code, answer.reason) == (403, "Permission check failed (user != root@pam)")
