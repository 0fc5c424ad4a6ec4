# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A process that has the libraries of modules imported, and forks for each module that is to be run.

The import of the libraries is most of what a module takes. The collection itself is imported by the fork, as if that
were `python -m PACKAGE.MODULE` with the environment, the directory and the streams of the order. Modules that Ansible
has packed come as the program that an interpreter would be given. With `worker` it has all of Ansible imported, too,
and its forks are workers.

    python module_server.py DESCRIPTOR [worker]
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import sys
import types
from pathlib import Path
from typing import Any, NoReturn

LIBRARIES = ("ansible.module_utils.basic", "http.client", "ssl")
ORDER_BYTES = 1024 * 1024


def serve(listener: socket.socket) -> None:
    """Carry out orders until the process that started this one has ended and left an end of file."""
    # Nobody waits for the forks but those that they answer.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        ready, _writable, _failed = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            return
        answers, _address = listener.accept()
        if os.fork() == 0:
            listener.close()
            watch(answers)
        answers.close()


def watch(answers: socket.socket) -> NoReturn:
    """Run the module in a process, tell its id, and when it has ended its exit code as subprocess has it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    text, streams, _flags, _address = socket.recv_fds(answers, ORDER_BYTES, 3)
    if not text:
        os._exit(0)
    pid = os.fork()
    if pid == 0:
        answers.close()
        run(json.loads(text), streams)
    for stream in streams:
        os.close(stream)
    # Who has run out of patience does not listen.
    with answers, contextlib.suppress(BrokenPipeError):
        answers.send(str(pid).encode())
        answers.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
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
    sys.path[:1] = [order["directory"], *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    # Whatever comes out of it ends this process as it would have ended one that began with it.
    if "worker" in order:
        run_as_worker(order)
    elif "module" in order:
        sys.argv = ["-m"]
        runpy.run_module(order["module"], run_name="__main__", alter_sys=True)
    else:
        os.umask(order["umask"])
        run_program(order["arguments"])
    sys.exit()


def run_as_worker(order: dict[str, Any]) -> None:
    """Be the worker of a task, and where the action plugin says so the module."""
    from tests.support.worker_runs import LeftToTheModule, run_in_worker

    given = sys.stdin.buffer.read()
    try:
        sys.exit(run_in_worker(order["worker"], json.loads(given)["ANSIBLE_MODULE_ARGS"]))
    except LeftToTheModule:
        sys.stdin = io.TextIOWrapper(io.BytesIO(given))
        sys.argv = ["-m"]
        runpy.run_module(order["module"], run_name="__main__", alter_sys=True)


def run_program(arguments: list[str]) -> None:
    """Be the interpreter that is given a file and arguments, or the program on its standard input."""
    sys.argv = arguments or [""]
    source = Path(arguments[0]).read_bytes() if arguments else sys.stdin.buffer.read()
    sys.modules["__main__"] = main = types.ModuleType("__main__")
    exec(compile(source, sys.argv[0] or "<stdin>", "exec"), main.__dict__)


if __name__ == "__main__":
    for library in LIBRARIES:
        importlib.import_module(library)
    if "worker" in sys.argv:
        importlib.import_module("tests.support.worker_runs").load_everything()
    gc.freeze()
    serve(socket.socket(fileno=int(sys.argv[1])))
