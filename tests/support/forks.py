# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes that module_server.py forks, instead of new ones that import everything first."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .collection_tree import REPOSITORY, link_collection
from .processes import STARTUP, child_environment

SERVER = Path(__file__).with_name("module_server.py")
# Without `site`, an interpreter starts in a tenth of the time that a module of Ansible takes for its imports.
CLIENT = """\
import _socket, array, json, os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
umask = os.umask(0)
os.umask(umask)
order = {"arguments": sys.argv[1:], "environment": dict(os.environ), "directory": os.getcwd(), "umask": umask}
server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
server.connect(SERVER)
server.sendmsg([json.dumps(order).encode()], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
server.recv(100)
code = int(server.recv(100))
if code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


def order_process(order: Mapping[str, Any], streams: Sequence[int]) -> socket.socket:
    """Have it forked; the socket tells the id of the process, and later its exit code."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel.connect(str(_worker_directory() / "server" if "worker" in order else _directory() / "server"))
    socket.send_fds(channel, [json.dumps(order).encode()], list(streams))
    return channel


@functools.cache
def forking_python() -> Path:
    """A Python for Ansible's own modules; a play that is not about the start of their processes takes less with it."""
    directory = _directory()
    program = directory / "client.py"
    program.write_text(f"SERVER = {str(directory / 'server')!r}\n{CLIENT}", encoding="utf-8")
    script = directory / "python"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -IS {program} "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return script


@functools.cache
def _directory() -> Path:
    # There zipimport keeps what it has compiled.
    return _start({"PYTHONPATH": str(STARTUP)})


@functools.cache
def _worker_directory() -> Path:
    paths = os.pathsep.join(str(path) for path in (link_collection(), REPOSITORY))
    settings = {"PYTHONPATH": paths, "ANSIBLE_COLLECTIONS_PATH": str(link_collection()), "ANSIBLE_NOCOLOR": "1"}
    return _start(settings, "worker")


def _start(settings: Mapping[str, str | None], *arguments: str) -> Path:
    """Where the new server listens; it ends with this process."""
    directory = Path(tempfile.mkdtemp(prefix="cloudbridge-forks-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(directory / "server"))
        listener.listen(64)
        subprocess.Popen(
            [sys.executable, str(SERVER), str(listener.fileno()), *arguments],
            env=child_environment(directory, settings),
            pass_fds=[listener.fileno()],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
    return directory
