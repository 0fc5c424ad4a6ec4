# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Call the extension's executable as CloudStack does, and check what every answer has to be.

The role runs this from standard input, with a call of main() after it, because a payload holds secrets. The answer is
printed when it is as it should be; otherwise one sentence says what is wrong, and the exit code is 1.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator

# More than a pipe holds would block the executable, since CloudStack reads after it has ended.
PIPE_BYTES = 65536
GRACE_SECONDS = 5


def as_user(name: str) -> dict:
    """Return what makes a child run as CloudStack's user."""
    user = pwd.getpwnam(name)
    if user.pw_uid == os.geteuid():
        return {}
    if os.geteuid() != 0:
        sys.exit(f"Only root can run the executable as {name}; use become: true.")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": os.getgrouplist(name, user.pw_gid)}


@contextlib.contextmanager
def payload_file(payload: dict | None, user: str) -> Iterator[str]:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        if payload is not None:
            json.dump(payload, file)
        file.flush()
        os.chown(file.name, pwd.getpwnam(user).pw_uid, -1)
        yield file.name


def call(order: dict) -> tuple[int, bytes]:
    with payload_file(order["payload"], order["user"]) as payload:
        process = subprocess.Popen(
            [order["executable"], order["action"], payload, str(order["wait"])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            **as_user(order["user"]),
        )
        try:
            # Not communicate(), which would close the standard input.
            code = process.wait(order["wait"] + GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            sys.exit(f"{order['executable']} did not end within the {order['wait']} seconds it was given.")
        return code, process.stdout.read()


def fault(code: int, output: bytes, expected: int) -> str | None:
    """Say what is wrong with an answer."""
    text = output.decode("utf-8", "replace").strip()
    try:
        answer = json.loads(text)
    except ValueError:
        return f"did not answer with one JSON document but, with exit code {code}, with: {text[:2000] or 'nothing'}"
    if not isinstance(answer, dict) or len(output) >= PIPE_BYTES:
        return f"did not answer with one JSON object of less than {PIPE_BYTES} bytes"
    if code != expected:
        return f"ended with exit code {code} instead of {expected}: {text[:4000]}"
    return None


def main(text: str) -> None:
    order = json.loads(text)
    try:
        code, output = call(order)
    except OSError as error:
        sys.exit(f"{order['executable']} cannot be run by {order['user']}: {error}")
    found = fault(code, output, order["exit_code"])
    if found:
        sys.exit(f"{order['executable']} {order['action']} {found}")
    print(output.decode().strip())
