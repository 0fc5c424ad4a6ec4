# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files on a storage: downloads, uploads, and disks that are made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from .world import NAME_PREFIX

NAME = f"{NAME_PREFIX}image.qcow2"
RAW = f"{NAME_PREFIX}image.raw"


@pytest.fixture
def place(world, run) -> Iterator[dict[str, Any]]:
    """The storage of the image for imports, on one node, without what the suite makes there."""
    world.need("import_image")
    storage = world.settings.import_image.partition(":")[0]
    place = {"storage": storage, "content": "import", "nodes": [world.settings.node]}
    yield place
    for name in (NAME, RAW):
        run.once("pve_volume", {**place, "state": "absent", "file_name": name})


@pytest.fixture
def download(world, place) -> dict[str, Any]:
    world.need("image_url")
    return {**place, "file_name": NAME, "url": world.settings.image_url}


def test_a_file_is_downloaded_once_and_deleted(world, run, place, download):
    run.changes("pve_volume", download)
    volid = f"{place['storage']}:import/{NAME}"
    assert volid in world.files("import")
    (found,) = run.once("pve_volume_info", {"storage": place["storage"], "pattern": NAME})["volumes"]
    assert (found["volid"], found["format"]) == (volid, "qcow2")
    run.changes("pve_volume", {**place, "state": "absent", "file_name": NAME})
    assert volid not in world.files("import")


def test_a_download_that_goes_wrong_leaves_nothing(world, run, download):
    before = world.files("import")
    run.refused("pve_volume", {**download, "checksum": "0" * 64}, "was not made from", "has the checksum")
    run.refused("pve_volume", {**download, "url": f"{download['url']}.none"}, "cannot download", "404")
    run.refused("pve_volume", {**download, "url": "http://no-such-host.invalid/a.qcow2"}, "Can't connect")
    assert world.files("import") == before


def test_another_file_is_replaced_when_it_is_to_be(run, place, download, tmp_path):
    source = tmp_path / RAW
    source.write_bytes(b"raw" * 1000)
    upload = {**place, "file_name": RAW, "src": str(source)}
    run.changes("pve_volume", upload)
    source.write_bytes(b"another" * 1000)
    run.refused("pve_volume", upload, "is another file than the one asked for")
    run.changes("pve_volume", {**upload, "replace": True})
    run.refused("pve_volume", {**download, "file_name": RAW}, "is another file than the one asked for")
    run.changes("pve_volume", {**download, "file_name": RAW, "replace": True})


def test_an_upload_is_verified_and_compared_by_its_checksum(run, place, tmp_path):
    source = tmp_path / RAW
    source.write_bytes(bytes(range(256)) * 4096)
    checksum = hashlib.sha256(source.read_bytes()).hexdigest()
    upload = {**place, "src": str(source), "checksum": f"sha256:{checksum}"}
    run.changes("pve_volume", upload)
    assert run.changes_nothing("pve_volume", upload)["compared_by"] == "checksum"
    source.write_bytes(b"x" * source.stat().st_size)
    other = hashlib.sha256(source.read_bytes()).hexdigest()
    run.refused("pve_volume", {**upload, "checksum": other}, f"its sha256 checksum is {checksum}")


def test_a_disk_is_made_from_an_image_that_is_fetched_for_it(world, run, place, download, new_vm):
    image = {"storage": place["storage"], "file_name": NAME, "url": download["url"]}
    disk = {"slot": "scsi0", "storage": world.settings.storage, "image": image}
    if world.settings.image_format:
        disk["format"] = world.settings.image_format
    run.changes("pve_vm", {**new_vm, "disks": [disk]})
    assert f"{place['storage']}:import/{NAME}" in world.files("import")
    assert "scsi0" in world.config(new_vm["vmid"])


def test_storages_are_told(world, run, place):
    found = run.once("pve_storage_info", {"storage": place["storage"], "node": world.settings.node})
    (storage,) = found["storages"]
    assert "import" in storage["content"]
    assert storage["nodes"][0]["total"] > 0
