"""Disks of hosts: a folder, a tmpfs, or a filesystem in a file of its own, which can lose power.

Losing power is what ext4 itself offers to tests: from one moment on nothing reaches the disk, not even its journal
(EXT4_IOC_SHUTDOWN with NOLOGFLUSH). Mounted again, it holds what was synced, as after a plug was pulled; how much of
the rest is lost is the filesystem's choice, as it is then.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from pathlib import Path

from ..errors import CommandError
from . import namespaces
from .daemons import Files

BYTES_MAX = 4 * 1024**3  # of a host's disk; space is taken as it is written
PROGRAM_WITHIN_S = 60.0
_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, u32) of linux/ext4.h
_NO_LOG_FLUSH = 2


def check_programs() -> None:
    """Raises CommandError."""
    for program in ("mkfs.ext4", "mount"):
        if _found(program) is None:
            raise CommandError(f"{program} is missing, which disks that can lose power need (e2fsprogs, mount)")


def prepare(files: Files, *, tmpfs: bool, images: bool) -> None:
    """Where images lie, before the first of them is made. Raises OSError."""
    if images:
        files.images.mkdir(exist_ok=True, mode=0o700)
        if tmpfs:
            namespaces.mount_tmpfs(files.images, size_bytes=0)


def make(files: Files, host: str, *, tmpfs: bool, images: bool) -> None:
    """With what was on it before, if it is still there. Raises OSError, CommandError."""
    disk = files.disk(host)
    disk.mkdir(parents=True, exist_ok=True, mode=0o700)
    if images:
        _make_image(files.image(host))
        mount(files, host)
    elif tmpfs:
        namespaces.mount_tmpfs(disk, size_bytes=BYTES_MAX)


def lose_power(files: Files, host: str) -> None:
    """From now on nothing reaches the disk, and whoever writes to it gets an error. One that is not mounted has lost
    its power already: what the folder is on then is the machine's own disk. Raises OSError."""
    descriptor = os.open(files.disk(host), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_dev != os.stat(files.hosts).st_dev:
            fcntl.ioctl(descriptor, _IOC_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
    finally:
        os.close(descriptor)


def is_mounted(files: Files, host: str) -> bool:
    return os.path.ismount(files.disk(host))


def mount(files: Files, host: str) -> None:
    """The host's image. Raises CommandError."""
    _run("mount", "-t", "ext4", "-o", "loop,noatime", str(files.image(host)), str(files.disk(host)))


def unmount(files: Files, host: str) -> None:
    """With everything that was mounted on it. Raises OSError."""
    for path in namespaces.mounts_under(files.disk(host)):
        namespaces.unmount(path)


def _make_image(path: Path) -> None:
    if path.exists():
        return
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as file:
        file.truncate(BYTES_MAX)
    lazily = "lazy_itable_init=1,lazy_journal_init=1"
    _run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", lazily, "-O", "^resize_inode", str(beside))
    beside.replace(path)


def _found(program: str) -> str | None:
    return shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))


def _run(program: str, *arguments: str) -> None:
    """Raises CommandError with its last word."""
    done = subprocess.run(
        [_found(program) or program, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PROGRAM_WITHIN_S,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise CommandError(f"{program}: {said[-1]}")
