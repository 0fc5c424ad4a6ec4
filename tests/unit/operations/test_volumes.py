# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files on storages: names, checksums, and what is done where."""

from __future__ import annotations

import hashlib
import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.once import Once
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.volumes.file_names import (
    check_file_name,
    name_in_url,
    normalised,
    parse_checksum,
    shown_url,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.volumes.sources import Verdict
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.volumes.volume_plan import (
    VolumeState,
    plan_volume,
    temporary_name,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._operations.volumes.volume_request import (
    VOLUME_SPEC,
    volume_request,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import (
    AlreadyExists,
    InvalidRequest,
    Locked,
    Refused,
)
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.storages import NodeStorage, Volume


def request_of(**options):
    defaults = {name: row.get("default") for name, row in VOLUME_SPEC.items()}
    return volume_request({**defaults, "storage": "local", "content": "iso", **options})


def storage(node="pve1"):
    return NodeStorage("local", node, "dir", ("iso",), False, True, 100, 0)


def volume(node="pve1"):
    return Volume("local:iso/a.iso", node, "iso", "iso", 10, {})


URL = {"url": "https://example.com/a.iso"}
SAME, OTHER = Verdict(True, "size"), Verdict(False, "size", "it has 10 bytes, and not 20")


class TestNames:
    @given(st.text())
    def test_a_name_that_pve_has_changed_stays_as_it_is(self, text):
        name = normalised(text)
        assert normalised(name) == name
        assert re.fullmatch(r"[a-zA-Z0-9_.-]*", name)

    @pytest.mark.parametrize(
        ("url", "name"),
        [
            ("https://x.org/a/debian.iso?token=1", "debian.iso"),
            ("https://x.org/a%20b.iso", "a_b.iso"),
            ("https://x.org/a.iso.gz", "a.iso"),
        ],
    )
    def test_the_name_in_a_url(self, url, name):
        assert name_in_url(url, "gz") == name

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("a.img", "import"),
            ("a.tgz", "vztmpl"),
            ("a.qcow2", "iso"),
            ("a b.iso", "iso"),
            (".iso", "iso"),
            ("", "iso"),
        ],
    )
    def test_names_that_pve_refuses_or_changes(self, name, content):
        with pytest.raises(InvalidRequest, match="file_name"):
            check_file_name(name, content)

    def test_a_shown_url_has_no_secrets(self):
        assert shown_url("https://me:pw@x.org:8443/a.iso?sig=s#f") == "https://x.org:8443/a.iso"


class TestChecksums:
    @given(st.sampled_from(["md5", "sha1", "sha224", "sha256", "sha384", "sha512"]), st.binary(), st.booleans())
    def test_the_length_tells_the_algorithm(self, algorithm, content, named):
        value = hashlib.new(algorithm, content).hexdigest()
        assert parse_checksum(f"{algorithm}:{value.upper()}" if named else value) == (algorithm, value)

    @pytest.mark.parametrize("text", ["", "sha256:", "sha256:xyz", "0" * 63, "md5:" + "0" * 64, "g" * 64])
    def test_what_is_none(self, text):
        with pytest.raises(InvalidRequest, match="checksum"):
            parse_checksum(text)


class TestPlans:
    def steps(self, request, *states):
        return [step.title for step in plan_volume(request, states).steps]

    def test_what_is_there_stays(self):
        assert self.steps(request_of(**URL), VolumeState(storage(), volume(), SAME)) == []

    def test_only_where_it_is_missing_it_is_made(self):
        states = VolumeState(storage("pve1"), volume(), SAME), VolumeState(storage("pve2"))
        plan = plan_volume(request_of(**URL, nodes=["all"]), states)
        assert [step.title for step in plan.steps] == [
            "download https://example.com/a.iso to local:iso/a.iso on node pve2"
        ]
        assert plan.steps[0].changes[0].key == "local:iso/a.iso on pve2"

    def test_what_others_make_is_left_to_them(self):
        assert self.steps(request_of(**URL), VolumeState(storage(), awaited=True)) == []

    def test_another_file_is_refused_before_anything_is_done(self):
        with pytest.raises(AlreadyExists, match="it has 10 bytes, and not 20: set replace"):
            self.steps(request_of(**URL), VolumeState(storage()), VolumeState(storage(), volume(), OTHER))

    def test_a_download_replaces_when_the_new_one_is_there(self):
        found = self.steps(request_of(**URL, replace=True), VolumeState(storage(), volume(), OTHER, left_over=True))
        assert [title.split()[0] for title in found] == ["delete", "download", "delete", "download", "delete"]
        assert temporary_name("a.iso") in found[1]

    def test_an_upload_is_written_over_it(self):
        state = VolumeState(storage(), volume(), OTHER)
        assert self.steps(request_of(src="/a.iso", replace=True), state) == [
            "upload /a.iso to local:iso/a.iso on node pve1"
        ]

    @pytest.mark.parametrize("options", [{"state": "absent", "file_name": "a.iso"}, {**URL, "replace": True}])
    def test_what_is_in_use_stays_unless_forced(self, options):
        state = VolumeState(storage(), volume(), OTHER, users=("guest 1 (a)", "guest 2 (b)"))
        with pytest.raises(Locked, match=r"because guest 1 \(a\), guest 2 \(b\) use it"):
            self.steps(request_of(**options), state)
        assert self.steps(request_of(**options, force=True), state)

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({}, "by one of url, src, template, oci_reference, copy_from, not by none"),
            ({**URL, "src": "/a.iso"}, "not by url and src"),
            ({**URL, "state": "absent"}, "url only goes with state=present"),
            ({"state": "absent"}, "file_name is required"),
            ({"template": "a.tar.gz"}, "template makes files of the content vztmpl only"),
            ({"template": "a.tar.gz", "content": None, "checksum": "0" * 64}, "checksum only goes with url and src"),
            ({"url": "ftp://x/a.iso"}, "must begin with http:// or https://"),
            ({**URL, "nodes": ["all", "pve1"]}, "nodes must be names of nodes, or all alone"),
            ({"src": "/a.iso.gz", "decompress": "gz"}, "decompress only goes with url"),
        ],
    )
    def test_options_that_do_not_go_together(self, options, says):
        with pytest.raises(InvalidRequest, match=re.escape(says)):
            request_of(**options)


class TestOnce:
    def test_who_comes_meanwhile_waits_for_the_first(self):
        once, began, goes_on = Once(), threading.Event(), threading.Event()
        found, worked = [], []

        def work():
            worked.append(1)
            began.set()
            goes_on.wait(10)
            return "done"

        threads = [threading.Thread(target=lambda: found.append(once.get("key", work))) for _number in range(3)]
        for thread in threads:
            thread.start()
        began.wait(10)
        goes_on.set()
        for thread in threads:
            thread.join(10)
        assert (found, len(worked)) == (["done"] * 3, 1)

    def test_a_failure_is_one_for_all(self):
        once, asked = Once(), []

        def fail():
            asked.append(1)
            raise Refused("no")

        for _turn in range(2):
            with pytest.raises(Refused, match="no"):
                once.get("key", fail)
        assert len(asked) == 1
