# Copyright: (c) 2026, cloudbridge.proxmox contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The local terminal: raw while a session runs, and restored afterwards in every case."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import termios
import typing as t

from .escape import EscapeKey
from .exit_codes import SessionInterrupted
from .terminal_modes import TerminalModes

STDIN, STDOUT, STDERR = 0, 1, 2
FALLBACK_SIZE = (80, 24)
# What is written at once where the system cannot be asked not to wait (PIPE_BUF of POSIX).
_CAREFUL_BYTES = 512
_CTRL_C = 0x03

Attributes = list[t.Any]


def end_by_signals() -> None:
    """Let SIGTERM and SIGHUP raise SessionInterrupted, so that everything is put back in order."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


def _interrupt(number: int, _frame: t.Any) -> t.NoReturn:
    for other in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    raise SessionInterrupted(number)


def raw(saved: Attributes) -> Attributes:
    """Raw mode: the terminal passes on every key and leaves the output as it is."""
    iflag, oflag, cflag, lflag, ispeed, ospeed, characters = saved
    iflag &= ~(termios.BRKINT | termios.ICRNL | termios.IGNCR | termios.INLCR | termios.INPCK)
    iflag &= ~(termios.ISTRIP | termios.IXON | termios.PARMRK)
    lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.IEXTEN | termios.ISIG)
    characters = list(characters)
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    cflag = (cflag & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
    return [iflag, oflag & ~termios.OPOST, cflag, lflag, ispeed, ospeed, characters]


def waiting(saved: Attributes, escape: EscapeKey | None) -> Attributes:
    """No echo; Ctrl-C and the escape key interrupt the command at any time."""
    attributes = raw(saved)
    attributes[1] = saved[1]
    attributes[3] |= termios.ISIG
    characters = attributes[6]
    characters[termios.VINTR] = bytes([_CTRL_C])
    characters[termios.VQUIT] = bytes([escape.byte if escape else _CTRL_C])
    return attributes


class Screen:
    """Terminal and signals of one session. In the `with` block, the terminal is raw.

    resized says that the size has to be sent; wake becomes readable with every signal.
    """

    def __init__(self, escape: EscapeKey | None) -> None:
        self.keys = STDIN
        self.resized = True
        self.modes = TerminalModes()
        # What may have been written, and is not in the modes yet: a signal can come in between.
        self._unfollowed = b""
        self._escape = escape
        self._saved = termios.tcgetattr(STDIN)
        self._attributes = self._saved
        self._handlers: dict[int, t.Any] = {}
        self.wake, self._waker = os.pipe()
        self.output, self._own_output = STDOUT, False

    def __enter__(self) -> Screen:
        for end in (self.wake, self._waker):
            os.set_blocking(end, False)
        self._open_output()
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        self._handlers = {
            number: signal.signal(number, handler)
            for number, handler in (
                (signal.SIGWINCH, self._note_size),
                (signal.SIGCONT, self._go_on),
                (signal.SIGTSTP, self._stop),
                (signal.SIGQUIT, signal.default_int_handler),
            )
        }
        self._set(raw(self._saved))
        return self

    def __exit__(self, *_exception: t.Any) -> None:
        # Unread input was meant for the guest: the shell would run it as a command.
        self._set(self._saved, termios.TCSAFLUSH)
        if self._unfollowed:
            self.modes.follow(self._unfollowed)
        self._write_at_last(self.modes.undo() + b"\n")
        signal.set_wakeup_fd(-1)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        for descriptor in (self.wake, self._waker, *([self.output] if self._own_output else [])):
            os.close(descriptor)

    def _open_output(self) -> None:
        # O_NONBLOCK on the inherited descriptor would stay set for the shell, so open another one.
        with contextlib.suppress(OSError):
            self.output = os.open(os.ttyname(STDOUT), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
            self._own_output = True

    @contextlib.contextmanager
    def waiting(self) -> t.Iterator[None]:
        """Show messages in the block; drop what is typed, except the keys that interrupt."""
        self._write_at_last(self.modes.undo())
        self.modes = TerminalModes()
        self._set(waiting(self._saved, self._escape))
        try:
            yield
        finally:
            self._set(raw(self._saved), termios.TCSAFLUSH)
            self.resized = True

    @contextlib.contextmanager
    def asking(self) -> t.Iterator[None]:
        """Let the user answer prompts in the block."""
        before = self._attributes
        self._set(self._saved)
        try:
            yield
        finally:
            self._set(before)

    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        for descriptor in (STDIN, STDOUT):
            with contextlib.suppress(OSError):
                size = os.get_terminal_size(descriptor)
                if size.columns and size.lines:
                    return size.columns, size.lines
        return FALLBACK_SIZE

    def show(self, data: bytes | bytearray) -> int:
        """Write what the terminal takes now; returns the number of bytes, raises SessionInterrupted when it is gone."""
        self._unfollowed = bytes(data if self._own_output else data[:_CAREFUL_BYTES])
        try:
            written = os.write(self.output, self._unfollowed)
        except BlockingIOError:
            self._unfollowed = b""
            return 0
        except BrokenPipeError as error:
            raise SessionInterrupted(signal.SIGPIPE) from error
        except OSError as error:
            raise SessionInterrupted(signal.SIGHUP) from error
        self.modes.follow(bytes(data[:written]))
        self._unfollowed = b""
        return written

    def say(self, *sentences: str) -> None:
        """Show a message, on lines of its own."""
        # The guest's output may have stopped anywhere in a line.
        start = "\r\n" if self.modes.used else ""
        with contextlib.suppress(OSError):
            os.write(STDERR, (start + "".join(f"{sentence}\r\n" for sentence in sentences)).encode())

    def drain_signals(self) -> None:
        """Empty the wake pipe after the signals were handled."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self.wake, 512):
                pass

    def _set(self, attributes: Attributes, when: int = termios.TCSANOW) -> None:
        self._attributes = attributes
        # The terminal may have gone.
        with contextlib.suppress(termios.error):
            termios.tcsetattr(STDIN, when, attributes)

    def _write_at_last(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            if data and os.isatty(self.output) and select.select([], [self.output], [], 0)[1]:
                os.write(self.output, data)

    def _note_size(self, _number: int, _frame: t.Any) -> None:
        self.resized = True

    def _go_on(self, _number: int, _frame: t.Any) -> None:
        """Restore the modes after the shell had the terminal."""
        self.resized = True
        self._set(self._attributes)

    def _stop(self, _number: int, _frame: t.Any) -> None:
        """Stop the process group, with the terminal as the shell expects it, until SIGCONT."""
        attributes = self._attributes
        self._set(self._saved)
        self._attributes = attributes
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(0, signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._stop)
        self._go_on(0, None)
