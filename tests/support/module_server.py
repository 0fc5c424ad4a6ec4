# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A process that has the libraries of modules imported, and forks for each module that is to be run.

The import of the libraries is most of what a module takes. The collection itself is imported by the fork, as if that
were `python -m PACKAGE.MODULE` with the environment, the directory and the streams of the order.

    python module_server.py DESCRIPTOR
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
from typing import Any, NoReturn

LIBRARIES = ("ansible.module_utils.basic", "http.client", "ssl")
ORDER_BYTES = 1024 * 1024


def serve(channel: socket.socket) -> None:
    """Carry out orders until there are no more; each comes with the three streams and a socket for the exit code."""
    # Nobody waits for the forks but those that they answer.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        text, descriptors, _flags, _address = socket.recv_fds(channel, ORDER_BYTES, 4)
        if not text:
            return
        if os.fork() == 0:
            channel.close()
            watch(json.loads(text), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def watch(order: dict[str, Any], descriptors: list[int]) -> NoReturn:
    """Run the module in a process, tell its id, and when it has ended its exit code as subprocess has it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, answers = descriptors
    pid = os.fork()
    if pid == 0:
        os.close(answers)
        run(order, streams)
    for stream in streams:
        os.close(stream)
    # Who has run out of patience does not listen.
    with socket.socket(fileno=answers) as answer, contextlib.suppress(BrokenPipeError):
        answer.send(str(pid).encode())
        answer.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
    os._exit(0)


def run(order: dict[str, Any], streams: list[int]) -> NoReturn:
    """Be the process that the order asks for."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["directory"])
    # As with -m, in the place of this program's directory.
    sys.path[:1] = [order["directory"], *order["environment"]["PYTHONPATH"].split(os.pathsep)]
    sys.argv = ["-m"]
    # Whatever comes out of it ends this process as it would have ended one that began with it.
    runpy.run_module(order["module"], run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()
    serve(socket.socket(fileno=int(sys.argv[1])))
