# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The embedded PVE answers what a real PVE 9.2 answered: status, reason, errors, how tasks end, configurations."""

from __future__ import annotations

import pytest

from tests.support.embedded_pve import running_embedded_pve
from tests.support.embedded_pve.consoles.display import Picture
from tests.support.golden import Replay
from tests.support.golden_consoles import SessionReplay, recorded_sessions
from tests.support.golden_sequences import SEQUENCES, set_up_consoles

# (sequence, step, field): why the embedded PVE answers differently here.
INTENDED = {
    ("containers-clone-and-locks", 12, "data"): "PVE copies the volumes of a container in no order (Perl's hashes)",
    ("containers-clone-and-locks", 76, "data"): "a new container is unknown to the list at first: see 'clone'",
    ("clone", 26, "data"): "the recorded list was seconds old: names of guests destroyed before, new ones unknown; "
    "the knob resources_lag models that, and is 0 unless a test asks",
}


@pytest.mark.parametrize("sequence", SEQUENCES, ids=lambda sequence: sequence.name)
def test_answers_as_recorded(sequence):
    with running_embedded_pve(nodes=sequence.nodes, lock_wait=0.0) as pve:
        found = list(Replay(pve, sequence).differences())
    unexpected = [item for item in found if (sequence.name, item.step, item.what) not in INTENDED]
    assert not unexpected, "\n".join(
        f"{item.step} {item.name}: {item.what}\n  recorded {item.recorded!r}\n  embedded {item.embedded!r}"
        for item in unexpected
    )
    differing = {(sequence.name, item.step, item.what) for item in found}
    assert {key for key in INTENDED if key[0] == sequence.name} == differing, "an intended difference is gone"


def test_consoles_speak_as_recorded():
    text_mode = Picture(720, 400, bytes(720 * 400 * 3))
    with running_embedded_pve(nodes=("pve1", "pve2")) as pve:
        set_up_consoles(pve)
        pve.add_token("admin@pve!ci", "secret")
        for vmid in (100, 200):
            pve.display(vmid).show(text_mode)
        replay = SessionReplay(pve, "admin@pve!ci", "secret")
        found = [difference for step in recorded_sessions() for difference in replay.differences(step)]
    assert not found, "\n".join(found)
