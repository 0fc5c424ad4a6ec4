# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: pve_agent
short_description: Run tasks in a virtual machine over its guest agent
version_added: 1.1.0
author:
  - cloudbridge.proxmox contributors (@cloudbridge)
description:
  - Runs commands in a virtual machine, and copies files to it and from it, over the QEMU guest agent and the API of
    Proxmox VE. The guest needs no network, no SSH and no address.
  - A host is the virtual machine of its O(vmid), or the one of its name in the inventory. It is followed when another
    node runs it, also in the middle of a command.
  - Everything runs as the user of the agent, which is C(root) or C(SYSTEM). C(become) makes another user of it.
  - With C(ansible_shell_type=powershell) it is for Windows, where the shell is Windows PowerShell 5.1.
  - Modules need Python in the guest, as over SSH. P(ansible.builtin.raw#module) and
    M(cloudbridge.proxmox.pve_guest_exec) do not.
extends_documentation_fragment:
  - cloudbridge.proxmox.connection.variables
requirements:
  - The privileges C(VM.Audit) and C(VM.GuestAgent.Unrestricted) on the guest; before PVE 9, the latter is C(VM.Monitor)
  - qemu-guest-agent in the guest, and C(agent) enabled in its configuration
options:
  vmid:
    description:
      - The number of the virtual machine.
      - Without it, the virtual machine has the name of O(guest_name), which is confirmed before anything is run.
    type: int
    vars:
      - name: pve_vmid
  guest_name:
    description: The name of the virtual machine.
    type: str
    default: inventory_hostname
    vars:
      - name: inventory_hostname
      - name: pve_name
  expected_name:
    description:
      - The name that the virtual machine of O(vmid) must have. With another name it is another guest, and nothing is
        run in it.
    type: str
    vars:
      - name: pve_name
  node:
    description:
      - The node on which the virtual machine of O(vmid) was last. It saves a request, and need not be right.
    type: str
    vars:
      - name: pve_node
  connection_timeout:
    description:
      - Seconds that it may take to find the guest.
      - An agent that does not answer is not waited for. Use M(ansible.builtin.wait_for_connection) for that.
    type: float
    default: 60
    vars:
      - name: pve_connection_timeout
      - name: ansible_connection_timeout
  command_timeout:
    description:
      - Seconds that a command may take, from the first request about it; V(0) is no limit.
      - A command that takes longer fails, and goes on in the guest. The message names its process, or says that the
        command was not begun.
      - The keyword C(timeout) of a task holds in addition.
    type: float
    default: 0
    vars:
      - name: pve_command_timeout
  workers_per_node:
    description:
      - How many of a node's three API workers the calls for agents may keep busy, over all forks and all runs of a
        controller on Linux. The rest of PVE needs them, too.
      - PVE does not say how many are busy. When its answers come so late that other controllers must be waiting, or on
        another system than Linux, each connection asks less often.
    type: int
    default: 2
    choices: [1, 2, 3]
    vars:
      - name: pve_workers_per_node
  pipelining:
    description:
      - Whether modules are sent as the standard input of Python, which saves most of the requests.
    type: bool
    default: true
    env:
      - name: ANSIBLE_PIPELINING
    vars:
      - name: ansible_pipelining
notes:
  - Each call holds one of the three API workers of the guest's node, and an agent that does not answer holds it for
    three seconds.
seealso:
  - module: cloudbridge.proxmox.pve_guest_exec
  - module: cloudbridge.proxmox.pve_console_script
"""

EXAMPLES = r"""
# In group_vars, for hosts that have no network yet. The token's secret is in the environment: PROXMOX_TOKEN_SECRET.
ansible_connection: cloudbridge.proxmox.pve_agent
pve_api_host: pve.example.com
pve_api_token_id: ansible@pve!agent
"""

import contextlib
import os
import secrets
import tempfile
import typing as t
from pathlib import Path

from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.module_utils.common.text.converters import to_bytes
from ansible.plugins.connection import ConnectionBase
from ansible.utils.display import Display

from ..module_utils._ansible.argument_spec import connection_from, connection_spec
from ..module_utils._operations.agent.access import explained, guest_for_connection
from ..module_utils._operations.agent.calls import AgentCalls
from ..module_utils._operations.agent.pace import Pace
from ..module_utils._operations.agent.posix_shell import PosixShell
from ..module_utils._operations.agent.powershell import PowerShell
from ..module_utils._operations.agent.running import GuestRunner
from ..module_utils._operations.agent.transfers import fetch_file, put_file
from ..module_utils._pve.client import PveClient
from ..module_utils._pve.deadline import Deadline
from ..module_utils._pve.errors import AnswerLost, GuestFileError, PveError
from ..module_utils._pve.guests import QEMU, Selector

NEVER = float("inf")


class Connection(ConnectionBase):
    """A virtual machine, reached over its agent."""

    transport = "cloudbridge.proxmox.pve_agent"
    has_pipelining = True
    has_tty = False
    # Whom the agent runs as; Ansible looks here when there is no option remote_user.
    default_user = "root"

    def __init__(self, *arguments: t.Any, **more: t.Any) -> None:
        super().__init__(*arguments, **more)
        self._runner: GuestRunner | None = None
        if self._is_windows:
            # As the connections winrm, psrp and ssh have it.
            self.module_implementation_preferences = (".ps1", ".exe", "")
            self.allow_executable = False
            self.always_pipeline_modules = True
            self.has_native_async = True
            self.default_user = "SYSTEM"

    @property
    def _is_windows(self) -> bool:
        return bool(getattr(self._shell, "_IS_WINDOWS", False))

    def _connect(self) -> Connection:
        if self._runner is None:
            with self._failures():
                self._runner = self._open()
            self._connected = True
        return self

    def _open(self) -> GuestRunner:
        options = connection_from({name: self._option(name) for name in connection_spec()})
        client = PveClient(options, Deadline(self._option("connection_timeout")))
        handle = guest_for_connection(client, self._selector(), self._option("node"))
        client.deadline = Deadline(NEVER)
        guest = handle.guest
        Display().vvv(f"GUEST AGENT OF {guest.label} ON {guest.node} AS {client.identity}", host=self._host)
        calls = AgentCalls(handle, Pace(self._option("workers_per_node")))
        return GuestRunner(calls, PowerShell() if self._is_windows else PosixShell())

    def _selector(self) -> Selector:
        """By its number the guest has the name that the inventory gives it, and a host may be called otherwise."""
        vmid = self._option("vmid")
        name = self._option("guest_name") if vmid is None else self._option("expected_name")
        return Selector(vmid=vmid, name=name or None, kind=QEMU)

    def _option(self, name: str) -> t.Any:
        return self.get_option(name)  # type: ignore[no-untyped-call]

    @property
    def _host(self) -> str:
        return str(self._option("guest_name"))

    @property
    def runner(self) -> GuestRunner:
        """What runs commands; raises AnsibleConnectionFailure when there is no connection."""
        self._connect()
        return t.cast("GuestRunner", self._runner)

    def exec_command(
        self,
        cmd: str | list[str],
        in_data: bytes | None = None,
        sudoable: bool = True,
    ) -> tuple[int, bytes, bytes]:
        """Run a command to its end."""
        runner = self.runner
        # The guest's agent writes the arguments of what it runs into the guest's log.
        is_secret = bool(self._play_context.no_log)
        Display().vvv(f"EXEC {'(hidden by no_log)' if is_secret else cmd}", host=self._host)
        script = runner.shell.command(cmd) if isinstance(cmd, str) else runner.shell.line(cmd)
        watch = self._watch()
        # Without its mark, the command has been left as it was.
        if not sudoable or not self.become or not self.become.success or self.become.success not in script:
            with self._failures():
                return runner.run(script, in_data, watch, is_secret)
        return self._with_become(script, in_data, watch, is_secret)

    def _watch(self) -> Deadline:
        seconds = self._option("command_timeout")
        if not seconds >= 0:
            raise AnsibleError(
                f"pve_command_timeout of {self._host} must be a number of seconds, or 0 for no limit, not {seconds:g}"
            )
        return Deadline(seconds or NEVER)

    def _with_become(
        self, script: str, in_data: bytes | None, watch: Deadline, is_secret: bool
    ) -> tuple[int, bytes, bytes]:
        """Run what become has made of a command; its password comes first in the input, as there is no terminal."""
        runner, directory = self.runner, ""
        become = t.cast("t.Any", self.become)
        if become.expect_prompt() and isinstance(become.prompt, str):
            password = to_bytes(become.get_option("become_pass", playcontext=self._play_context)) + b"\n"
            directory = runner.shell.directory(secrets.token_hex(16))
            script = runner.shell.answering(script, directory, len(password), become.prompt, become.success)
            in_data = password + (in_data or b"")
        with self._failures():
            status, stdout, stderr = runner.run(script, in_data, watch, is_secret)
        if directory:
            runner.leave(directory)
            stderr = stderr.replace(to_bytes(become.prompt), b"")
        if status and not become.check_success(stdout):
            if become.check_incorrect_password(stdout + stderr):
                raise AnsibleError(f"Incorrect {become.name} password in {self._host}")
            if become.check_missing_password(stdout + stderr):
                raise AnsibleError(f"Missing {become.name} password in {self._host}")
        return status, stdout, stderr

    def put_file(self, in_path: str, out_path: str) -> None:
        """Copy a file into the guest."""
        Display().vvv(f"PUT {in_path} TO {out_path}", host=self._host)
        try:
            with Path(in_path).open("rb") as source, self._failures():
                put_file(self.runner, source, out_path)
        except FileNotFoundError:
            raise AnsibleFileNotFound(file_name=in_path) from None

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Copy a file from the guest."""
        runner = self.runner
        Display().vvv(f"FETCH {in_path} TO {out_path}", host=self._host)
        target = Path(out_path)
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        unfinished = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file, self._failures():
                fetch_file(runner, in_path, file.write)
            unfinished.replace(target)
        except BaseException:
            unfinished.unlink()
            raise

    def transport_test(self, connect_timeout: float) -> None:
        """Raise AnsibleConnectionFailure unless the agent answers; the guest must be found in so many seconds."""
        self.set_option("connection_timeout", connect_timeout)  # type: ignore[no-untyped-call]
        self.reset()
        with self._failures():
            self.runner.calls.ask("ping", "POST")

    def reset(self) -> None:
        """Forget where the guest is."""
        self.close()

    def close(self) -> None:
        """Remove what is left in the guest, and close the connection to PVE."""
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.close()
            runner.calls.client.close()
        self._connected = False

    @contextlib.contextmanager
    def _failures(self) -> t.Iterator[None]:
        """Turn what goes wrong into the errors that Ansible knows."""
        try:
            yield
        except GuestFileError as error:
            if error.is_absent:
                raise AnsibleFileNotFound(str(error)) from None
            raise AnsibleError(str(error)) from None
        except AnswerLost as error:
            raise AnsibleConnectionFailure(str(explained(self.runner, error))) from None
        except PveError as error:
            raise AnsibleConnectionFailure(str(error)) from None
        except BaseException:
            # The task's own timeout, or Ctrl-C.
            if self._runner is not None and self._runner.pid is not None:
                label = self._runner.calls.handle.guest.label
                Display().warning(f"The process {self._runner.pid} of this command goes on in {label}.")
            raise
