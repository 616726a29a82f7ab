"""Folders held open: what is done in them is led nowhere else, and writes are whole or not there.

A folder of results may be one that other people can write to. So below its root no link is ever
followed, only regular files are opened (a pipe or a device in place of one would block for ever),
and every step is made relative to the folder that was opened, so that swapping a part of the path
for a link in between changes nothing. Where the system has no such calls (Windows), links are
looked for before each step.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

from neuron_widget.errors import StoreError, WrongType

__all__ = [
    "Damaged",
    "OpenFolder",
    "abandoned",
    "open_regular",
    "this_host",
    "writable_file",
    "writable_folder",
    "write_atomically",
    "write_inside",
]

_RELATIVE = os.open in os.supports_dir_fd
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
# Never wait for the other end of a pipe; never take a terminal as one's own.
_READ = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK | getattr(os, "O_BINARY", 0)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Damaged(Exception):
    """A file that is torn, changed, not one of ours or not what was asked for; says why.

    ``path`` is set where the fault lies elsewhere: in a folder on the way to the file.
    """

    path: Path | None = None


class OpenFolder:
    """A folder that is held open.

    Names given to its methods are names in this folder, without separators; a link in their place
    is never followed. Use it as a context manager.

    Parameters
    ----------
    path
        The folder; links in *this* path are followed, it is the user's own.
    create
        Whether to make it, with its parents, if it is not there.
    """

    def __init__(self, path: Path, *, create: bool = False):
        if create:
            path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._number = os.open(path, _FOLDER) if _RELATIVE else None
        if not _RELATIVE and not path.is_dir():
            raise FileNotFoundError(errno.ENOENT, "no such folder", str(path))

    def __enter__(self) -> OpenFolder:
        return self

    def __exit__(self, *_: object) -> None:
        if self._number is not None:
            os.close(self._number)
            self._number = None

    def _at(self, name: str) -> tuple[Any, dict[str, Any]]:
        """How the calls of ``os`` name an entry of this folder."""
        if self._number is not None:
            return name, {"dir_fd": self._number}
        return self.path / name, {}

    def enter(self, *names: str, create: bool = False) -> OpenFolder:
        """Open a folder below this one, which stays open.

        Raises Damaged for a link or a file in place of a folder, OSError if there is none.
        """
        here = self
        for name in names:
            try:
                below = here._enter(name, create)
            finally:
                if here is not self:
                    here.__exit__()
            here = below
        return here

    def _enter(self, name: str, create: bool) -> OpenFolder:
        where, at = self._at(name)
        if create:
            with contextlib.suppress(FileExistsError):
                os.mkdir(where, **at)
        found = self.look(name)
        below = OpenFolder.__new__(OpenFolder)
        below.path, below._number = self.path / name, None
        if _is_link(found) or not stat.S_ISDIR(found.st_mode):
            error = Damaged(
                f"{below.path} is {_kind(found)}: not a folder, and no link is followed"
            )
            error.path = below.path
            raise error
        if _RELATIVE:
            below._number = os.open(where, _FOLDER | _NO_LINK, **at)
        return below

    def look(self, name: str) -> os.stat_result:
        """What is there under this name, a link as itself."""
        where, at = self._at(name)
        return os.stat(where, **at, follow_symlinks=False)

    def open(self, name: str) -> BufferedReader:
        """Open a file for reading; Damaged for what is no regular file, OSError if that fails."""
        where, at = self._at(name)
        # Looked at before, as the mere opening of a device may do something.
        _check_regular(self.look(name))
        return _opened(os.open(where, _READ | _NO_LINK, **at))

    def open_shared(self, name: str) -> int:
        """Open or make an empty file that processes lock; the descriptor is the caller's."""
        where, at = self._at(name)
        flags = _READ | _NO_LINK
        try:
            number = os.open(where, flags & ~os.O_RDONLY | os.O_RDWR | os.O_CREAT, 0o666, **at)
        except PermissionError:  # another user's: it can be locked all the same
            number = os.open(where, flags, **at)
        try:
            _check_regular(os.fstat(number))
        except BaseException:
            os.close(number)
            raise
        return number

    def touch(self, name: str) -> None:
        """Note that a file is used now."""
        where, at = self._at(name)
        if os.utime in os.supports_follow_symlinks:
            at["follow_symlinks"] = False
        os.utime(where, **at)

    def remove(self, name: str) -> None:
        """Remove a file, or a link itself."""
        where, at = self._at(name)
        os.unlink(where, **at)

    def rename(self, old: str, new: str) -> None:
        """Give a file another name in this folder."""
        if self._number is None:
            os.replace(self.path / old, self.path / new)
        else:
            os.replace(old, new, src_dir_fd=self._number, dst_dir_fd=self._number)

    def names(self) -> list[str]:
        """The names of everything in it."""
        return os.listdir(self.path if self._number is None else self._number)

    def write(self, name: str, data: bytes) -> None:
        """Write a file so that others see all of it or nothing, also after a power cut.

        A temporary file beside it, fsync, rename, fsync of the folder. Several processes may do
        it at once: the last one wins, with a whole file.
        """
        temporary = _temporary_name()
        where, at = self._at(temporary)
        try:
            # Not tempfile's 0600: a store may be shared, so the umask decides who can read it.
            with open(os.open(where, _NEW, 0o666, **at), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self.rename(temporary, name)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                self.remove(temporary)
            raise
        if self._number is not None:  # on Windows folders cannot be synchronised
            try:
                os.fsync(self._number)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems
                    raise

    def walk(self, depth: int = 3) -> Iterator[tuple[OpenFolder, str, os.stat_result]]:
        """Yield what is no folder, ``depth`` folders deep: where it is, its name, what it is."""
        for name in sorted(self.names()):
            try:
                found = self.look(name)
                folder = stat.S_ISDIR(found.st_mode) and not _is_link(found)
                below = self._enter(name, create=False) if folder and depth else None
            except (OSError, Damaged):
                continue  # gone in between, or not ours to read
            if below is not None:
                with below:
                    yield from below.walk(depth - 1)
            elif not folder:
                yield self, name, found


def open_regular(path: Path) -> BufferedReader:
    """Open a file that a user named, links followed; Damaged for a pipe, device or folder."""
    _check_regular(os.stat(path))
    return _opened(os.open(path, _READ))


def _opened(descriptor: int) -> BufferedReader:
    file = open(descriptor, "rb")  # noqa: SIM115  # the caller closes it
    try:
        _check_regular(os.fstat(descriptor))
    except BaseException:
        file.close()
        raise
    return file


def _check_regular(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode) or _is_link(found):
        raise Damaged(f"it is {_kind(found)}, not a file")


def _is_link(found: os.stat_result) -> bool:
    # A junction (mount point) of Windows leads elsewhere too.
    return stat.S_ISLNK(found.st_mode) or getattr(found, "st_reparse_tag", 0) == 0xA0000003


def _kind(found: os.stat_result) -> str:
    if stat.S_ISREG(found.st_mode):
        return "a link" if _is_link(found) else "a file"
    return _KINDS.get(stat.S_IFMT(found.st_mode), "something else")


# ------------------------------------------------------------------ writing

_ANOTHER = "name another folder with NEURON_WIDGET_STORE or store="


def write_atomically(path: Path, data: bytes, way_out: str = _ANOTHER) -> None:
    """Write a file where the user wants it, whole or not at all; its folder is made.

    ``way_out`` ends the error's message.

    Raises
    ------
    StoreError
        Full disk, folder that cannot be written to; says which and the way out.
    """
    _write(path, lambda: OpenFolder(path.parent, create=True), data, way_out)


def write_inside(root: Path, names: tuple[str, ...], data: bytes) -> None:
    """Write the file ``names`` below ``root``, whole or not at all, following no link there.

    Raises StoreError.
    """

    def folder() -> OpenFolder:
        with OpenFolder(root, create=True) as opened:
            return opened.enter(*names[:-1], create=True)

    _write(root.joinpath(*names), folder, data, _ANOTHER)


def _write(path: Path, folder: Callable[[], OpenFolder], data: bytes, way_out: str) -> None:
    for last in (False, True):
        try:
            with folder() as opened:
                opened.write(path.name, data)
            return
        except FileNotFoundError as error:
            # Somebody tidied the folder or our temporary file away in between: once more.
            if last:
                raise StoreError(_why_not(path, error, way_out)) from error
        except (OSError, Damaged) as error:
            raise StoreError(_why_not(path, error, way_out)) from error


def _why_not(path: Path, error: OSError | Damaged, way_out: str) -> str:
    if isinstance(error, OSError) and error.errno in _FULL:
        return (
            f"the disk is full (or a quota is reached): could not write {path}. The result is "
            f"still in memory. Free some space (neuron-widget store prune), or {way_out}"
        )
    reason = getattr(error, "strerror", None) or error
    return (
        f"could not write {path}: {reason}. The result is still in memory. "
        f"Check the folder, or {way_out}"
    )


def writable_folder(folder: object, option: str) -> Path:
    """Return the folder, made if need be; ``option`` is what names it, such as ``save_dir=``.

    Raises
    ------
    StoreError
        Before hours of work, if nothing can be written there.
    WrongType
        For what is no path.
    """
    if not isinstance(folder, str | os.PathLike) or not os.fspath(folder):
        name = option.strip("=")
        raise WrongType(
            f"{name} must be the path of a folder such as 'results', got {folder!r:.80}"
        )
    try:
        path = Path(folder).expanduser()
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except (OSError, ValueError, RuntimeError) as error:  # a null byte, an unknown home
        why = getattr(error, "strerror", None) or error
        raise StoreError(
            f"cannot write to the folder {str(folder)!r}: {why}. Name another one with {option}"
        ) from error
    return path


def writable_file(file: Path, option: str) -> Path:
    """Return the file's path, its folder made if need be; as :func:`writable_folder`."""
    path = writable_folder(file.parent, option) / file.name
    if path.is_dir():
        raise StoreError(f"{option} '{file}' is a folder; expected the name of a file")
    return path


def this_host() -> str:
    """A short name of this machine, from its own."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _temporary_name() -> str:
    return f".tmp-{this_host()}-{os.getpid()}-{secrets.token_hex(6)}"


def abandoned(name: str, modified: float, now: float) -> bool:
    """Whether a temporary file was left by a process that is no more.

    Of this machine's processes that is known; another machine's file must be a day old.
    """
    try:
        _, host, process, _ = name.split("-")
        number = int(process)
    except ValueError:
        return False  # not one of ours
    return not _alive(number) if host == this_host() else modified < now - 86_400


def _alive(process: int) -> bool:
    if os.name == "nt":
        return True  # os.kill would end it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
