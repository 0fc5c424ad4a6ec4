# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One context for each policy, until the file of authorities changes."""

from __future__ import annotations

import itertools
import ssl
import sys

import pytest

from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.errors import MissingLibrary
from ansible_collections.cloudbridge.proxmox.plugins.module_utils._pve.tls import (
    TlsPolicy,
    context_for,
    preload,
    tls_policy,
)
from tests.support.strict_server import make_certificate

FINGERPRINT = "ab" * 32


@pytest.mark.parametrize(
    ("validate", "ca", "fingerprint"),
    [*itertools.product((True, False), (None, "", "ca.pem"), (None, "", FINGERPRINT))],
)
def test_a_fingerprint_alone_is_enough_and_names_the_certificate_whatever_its_host(validate, ca, fingerprint):
    policy = tls_policy(validate, ca, fingerprint)
    assert policy.checks_authority is (validate and (bool(ca) or not fingerprint))
    assert policy.checks_host_name is (validate and not fingerprint)
    assert (policy.ca_path, policy.fingerprint) == (ca or None, fingerprint or None)


def test_a_context_is_made_once_for_each_policy(tmp_path):
    path = str(make_certificate(tmp_path)[0])
    named, unnamed = TlsPolicy(ca_path=path), TlsPolicy(ca_path=path, fingerprint=FINGERPRINT)
    assert context_for(named) is context_for(TlsPolicy(ca_path=path))
    assert context_for(unnamed) is context_for(unnamed._replace(fingerprint="cd" * 32))
    assert context_for(named).check_hostname
    assert not context_for(unnamed).check_hostname
    for policy in (named, unnamed):
        context = context_for(policy)
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context_for(TlsPolicy(checks_authority=False, ca_path=path)).verify_mode is ssl.CERT_NONE


def test_a_changed_file_is_read_again(tmp_path):
    certificate, _key = make_certificate(tmp_path)
    policy = TlsPolicy(ca_path=str(certificate))
    first = context_for(policy)
    certificate.write_text(certificate.read_text() * 2)
    assert context_for(policy) is not first
    certificate.unlink()
    with pytest.raises(FileNotFoundError):
        context_for(policy)


def test_what_cannot_be_read_ahead_is_left_to_whoever_needs_it(tmp_path):
    (tmp_path / "nonsense.pem").write_text("this is no certificate")
    for path in ("nonsense.pem", "missing.pem"):
        preload(TlsPolicy(ca_path=str(tmp_path / path)))
    preload(TlsPolicy(ca_path="\0"))


def test_without_certifi_the_error_says_what_else_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "certifi", None)
    with pytest.raises(MissingLibrary, match="neither ca_path nor api_fingerprint") as caught:
        context_for(TlsPolicy())
    assert caught.value.library == "certifi"
    preload(TlsPolicy())
