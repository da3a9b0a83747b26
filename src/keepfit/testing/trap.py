"""Holds each call of a command that changes a disk until it is told what becomes of it.

Linux's seccomp does the holding (`SECCOMP_RET_USER_NOTIF`; see seccomp_unotify(2)): of a command, all of
its threads and all of its children, in one order, which a debugger that counts per thread cannot give.
`python -m keepfit.testing.trap FD COMMAND...` runs the command with its calls reported to a socket.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import platform
import select
import socket
import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple


class _Kind(NamedTuple):
    """A call: its number, and which of its arguments say what it changes."""

    number: int
    fd: int | None = None
    """The open file, or the folder that `path` is relative to."""
    path: int | None = None
    only: tuple[int, int] | None = None
    """Held only if this argument has this bit."""


_CREATE = os.O_CREAT
_KINDS = {
    "write": _Kind(1, 0),
    "pwrite64": _Kind(18, 0),
    "writev": _Kind(20, 0),
    "sendfile": _Kind(40, 0),
    "copy_file_range": _Kind(326, 2),
    "fallocate": _Kind(285, 0),
    "ftruncate": _Kind(77, 0),
    "fsync": _Kind(74, 0),
    "fdatasync": _Kind(75, 0),
    "syncfs": _Kind(306, 0),
    "open": _Kind(2, None, 0, (1, _CREATE)),
    "openat": _Kind(257, 0, 1, (2, _CREATE)),
    "mkdir": _Kind(83, None, 0),
    "mkdirat": _Kind(258, 0, 1),
    "rename": _Kind(82, None, 1),
    "renameat": _Kind(264, 2, 3),
    "renameat2": _Kind(316, 2, 3),
    "link": _Kind(86, None, 1),
    "linkat": _Kind(265, 2, 3),
    "unlink": _Kind(87, None, 0),
    "unlinkat": _Kind(263, 0, 1),
    "rmdir": _Kind(84, None, 0),
}
"""As x86-64 numbers them."""
_NAMES = {kind.number: (name, kind) for name, kind in _KINDS.items()}

GROWS = {"write", "pwrite64", "writev", "sendfile", "copy_file_range", "fallocate", "open", "openat", "mkdir"}
GROWS |= {"mkdirat", "link", "linkat"}
"""Calls that a full disk refuses."""
WRITES = ("write", "pwrite64")
"""Calls that can be cut short."""

_SYS_SECCOMP, _SYS_PIDFD_GETFD = 317, 438
_LISTEN = 1 << 3 | 1 << 5  # SECCOMP_FILTER_FLAG_NEW_LISTENER, _WAIT_KILLABLE_RECV
_HOLD, _LET = 0x7FC00000, 0x7FFF0000
_RECEIVE, _ANSWER, _CONTINUE = 0xC0502100, 0xC0182101, 1
_NOTICE = struct.Struct("QIIiIQ6Q")
_NO_NEW_PRIVILEGES = 38


def can_trap() -> str | None:
    """None where calls can be held, else why not."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "calls are held on Linux on x86-64 only"
    release = tuple(int(n) for n in platform.release().split("-")[0].split(".")[:2])
    return None if release >= (5, 19) else "holding calls takes Linux 5.19"


class Call:
    """A call that waits; it must be given one answer."""

    def __init__(self, listener: int, notice: bytes) -> None:
        self._listener = listener
        self._id, self.pid, _, number, _, _, *arguments = _NOTICE.unpack(notice)
        self._arguments: list[int] = arguments
        self.name, self._kind = _NAMES[number]
        self.path = self._path()
        """Of the file that it changes; as the kernel names it, if it has none."""

    def let(self) -> None:
        """Let it be done."""
        self._answer(0, 0, _CONTINUE)

    def refuse(self, error: int) -> None:
        """Let it fail with this error."""
        self._answer(0, -error, 0)

    def cut_short(self) -> int | None:
        """Write half of what is to be written; gives how much that was, None when it is nothing."""
        count = self._arguments[2] // 2
        with contextlib.suppress(OSError), self._file() as fd:
            content = self._read(self._arguments[1], count)
            done = os.write(fd, content) if self.name == "write" else os.pwrite(fd, content, self._arguments[3])
            return done or None
        return None

    def say(self, done: int) -> None:
        """Tell the caller that so much has been done."""
        self._answer(done, 0, 0)

    def fits(self) -> bool:
        """Whether it takes no room that is not taken already."""
        with contextlib.suppress(OSError):
            if self.name == "pwrite64":
                size = os.stat(f"/proc/{self.pid}/fd/{self._arguments[0]}").st_size
                return self._arguments[3] + self._arguments[2] <= size
            return self.name in ("open", "openat") and os.path.exists(self.path)
        return False

    def _answer(self, value: int, error: int, flags: int) -> None:
        with contextlib.suppress(FileNotFoundError):  # the caller is gone
            fcntl.ioctl(self._listener, _ANSWER, struct.pack("QqiI", self._id, value, error, flags))

    def _path(self) -> str:
        kind, path = self._kind, ""
        try:
            if kind.path is not None:
                path = self._text(self._arguments[kind.path])
                if path.startswith("/"):
                    return os.path.normpath(path)
            fd = None if kind.fd is None else ctypes.c_int32(self._arguments[kind.fd]).value
            base = "cwd" if fd is None or fd < 0 else f"fd/{fd}"
            return os.path.normpath(os.path.join(os.readlink(f"/proc/{self.pid}/{base}"), path))
        except OSError:
            return "?"

    def _text(self, address: int) -> str:
        return self._read(address, 4096 - address % 4096).split(b"\0")[0].decode(errors="surrogateescape")

    def _read(self, address: int, count: int) -> bytes:
        with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            return memory.read(count)

    @contextlib.contextmanager
    def _file(self) -> Iterator[int]:
        """The caller's open file, shared: its position moves too."""
        with open(f"/proc/{self.pid}/status") as status:
            group = next(int(line.split()[1]) for line in status if line.startswith("Tgid:"))
        process = os.pidfd_open(group)
        try:
            fd = _system(_SYS_PIDFD_GETFD, process, ctypes.c_int32(self._arguments[0]).value, 0)
        finally:
            os.close(process)
        try:
            yield fd
        finally:
            os.close(fd)


def calls(listener: int, *, patience: float) -> Iterator[Call]:
    """The calls as they are made, until nobody is left to make one; TimeoutError when none comes for so long."""
    ready = select.poll()
    ready.register(listener, select.POLLIN)
    while True:
        found = ready.poll(patience * 1000)
        if not found:
            raise TimeoutError(f"no call for {patience:.0f} s")
        if not found[0][1] & select.POLLIN:
            return
        notice = bytearray(_NOTICE.size)
        try:
            fcntl.ioctl(listener, _RECEIVE, notice)
        except OSError as problem:
            if problem.errno not in (errno.ENOENT, errno.EINTR):
                raise
        else:
            yield Call(listener, bytes(notice))


def _hold() -> int:
    """Have the calls of this process, and of all it starts, held from now on; gives where they are told."""
    ctypes.CDLL(None).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    program = _program()
    code = ctypes.create_string_buffer(program)
    head = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
    return _system(_SYS_SECCOMP, 1, _LISTEN, ctypes.create_string_buffer(head))


def _program() -> bytes:
    """The filter: a test for each kind of call, in BPF."""
    load, equal, some, give = 0x20, 0x15, 0x45, 0x06
    code = [struct.pack("HBBI", load, 0, 0, 0)]
    for kind in _KINDS.values():
        body = [struct.pack("HBBI", give, 0, 0, _HOLD)]
        if kind.only:
            argument, bit = kind.only
            body.insert(0, struct.pack("HBBI", load, 0, 0, 16 + 8 * argument))
            body.insert(1, struct.pack("HBBI", some, 0, 1, bit))
            body.append(struct.pack("HBBI", give, 0, 0, _LET))
        code += [struct.pack("HBBI", equal, 0, len(body), kind.number), *body]
    return b"".join([*code, struct.pack("HBBI", give, 0, 0, _LET)])


def _system(number: int, *arguments: object) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    done: int = library.syscall(number, *arguments)
    if done < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return done


def main(fd: str, *command: str) -> None:
    """Become the command, its calls held and told over the socket."""
    with socket.socket(fileno=int(fd)) as teller:
        socket.send_fds(teller, [b"."], [_hold()])
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
