"""Run as a script: become a process of a host, then become the command.

    python -I -S enter.py GROUP NAMESPACE BOOT_ID LOG COMMAND [ARGUMENT ...]

A process of its own, because a program with threads must not run code of ours between fork and exec. The group is
entered first: whoever kills the host also gets a process that is not there yet, and one that comes when the host is
gone finds neither group nor namespace and ends. BOOT_ID is a file that the command, and nobody else, sees in place of
the kernel's; `-` for none. LOG is a file for a daemon: it gets a session and that file, and its id and start time are
printed as `PID TICKS`; with `-` the command runs here, with the streams it was given.
"""

from __future__ import annotations

import ctypes
import os
import sys

CLONE_NEWNET = 0x40000000
CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_SLAVE = 0x1000, 0x4000, 0x80000
MNT_DETACH = 2
KERNELS_BOOT_ID = "/proc/sys/kernel/random/boot_id"
FAILED = 125  # as env(1) and others say "the wrapper itself failed"


def enter(group: str, namespace: str) -> None:
    """Raises OSError."""
    with open(os.path.join(group, "cgroup.procs"), "w") as file:
        file.write(str(os.getpid()))
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), namespace)
    os.close(descriptor)


def have_boot_id(path: str) -> None:
    """In the host's mount namespace: that of its other processes, for what an agent mounts its containerd must see; a
    new one when there are none. Disks of other hosts are not in it: as long as somebody has them mounted, they cannot
    be taken away from their hosts. Raises OSError."""
    if join_host(path):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    alone = libc.unshare(CLONE_NEWNS) == 0
    alone = alone and libc.mount(None, b"/", None, ctypes.c_ulong(MS_REC | MS_SLAVE), None) == 0
    source, target = os.fsencode(path), KERNELS_BOOT_ID.encode()
    if not alone or libc.mount(source, target, None, ctypes.c_ulong(MS_BIND), None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    folder, host = os.path.split(path)
    disks = os.path.join(os.path.dirname(folder), "hosts")
    own = os.path.join(disks, host)
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        mounts = [line.split(" ")[4].encode().decode("unicode_escape") for line in file]
    for mount in reversed(mounts):
        if mount.startswith(f"{disks}/") and mount != own and not mount.startswith(f"{own}/"):
            libc.umount2(os.fsencode(mount), MNT_DETACH)


def join_host(path: str) -> bool:
    """Whether somebody sees this file as the boot id already: then we see what they see. Containers do not."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if not os.path.samefile(f"/proc/{pid}/root{KERNELS_BOOT_ID}", path):
                continue
            descriptor = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue  # it ended, or is none of ours
        joined = ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNS) == 0
        os.close(descriptor)
        if joined:
            return True
    return False


def become_daemon(log: str) -> None:
    """Returns in the child alone; the parent says who it is and ends. Raises OSError."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    pid = os.fork()
    if pid:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            ticks = file.read().rpartition(")")[2].split()[19]
        sys.stdout.write(f"{pid} {ticks}\n")
        sys.stdout.flush()
        os._exit(0)
    os.setsid()
    os.chdir("/")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)


def main(group: str, namespace: str, boot_id: str, log: str, *command: str) -> int:
    """The exit code, when it does not become the command."""
    try:
        enter(group, namespace)
        if boot_id != "-":
            have_boot_id(boot_id)
        if log != "-":
            become_daemon(log)
        os.execvp(command[0], command)  # noqa: S606 (the point of this file)
    except OSError as error:
        sys.stderr.write(f"error: {error.filename or command[0]}: {error.strerror}\n")
    return FAILED


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
