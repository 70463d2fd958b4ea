"""Starts a program that belongs to nobody: run as a script, `launch.py LOG GROUP... -- PROGRAM ARGUMENT...`.

The program gets a session of its own and is put into the control groups given as folders, so that nothing that is done
to the agent (a signal to its group, a limit, an end of its session) is done to it. Its parent is process 1. It starts
with nothing open but the log. Prints its id; an error in one line, with exit code 1, when it cannot be started.
Imports nothing of ours: it runs without our packages.
"""

from __future__ import annotations

import os
import signal
import sys

_DESCRIPTORS_MAX = 1 << 16


def main(arguments: list[str]) -> int:
    end = arguments.index("--")
    log, groups, program = arguments[0], arguments[1:end], arguments[end + 1 :]
    reading, writing = os.pipe()  # closed by a successful exec
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            os.setsid()
            _become(log, groups, keep=writing)
            os.execv(program[0], program)  # noqa: S606  # the program is the agent's choice
        except OSError as error:
            os.write(writing, f"{error.strerror}: {error.filename or program[0]}".encode())
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        failure = answer.read().decode(errors="replace")
    if failure:
        os.waitpid(pid, 0)
        sys.stderr.write(failure + "\n")
        return 1
    sys.stdout.write(f"{pid}\n")
    return 0


def _become(log: str, groups: list[str], *, keep: int) -> None:
    for group in groups:
        try:
            os.makedirs(group, exist_ok=True)
            with open(os.path.join(group, "cgroup.procs"), "w", encoding="ascii") as file:
                file.write("0")
        except OSError as error:
            raise OSError(error.errno, error.strerror, group) from error
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.closerange(3, keep)
    os.closerange(keep + 1, _DESCRIPTORS_MAX)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and exec keeps that
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
