"""`kmini.local/sample:latest`: Debian's static busybox, which answers HTTP on 8080 with the name of its pod.

It serves on for 2 s after SIGTERM, so that requests that were sent to it before everybody knew that it ends are
answered. All of busybox' commands are there, which makes it good for looking around inside a pod.
"""

from __future__ import annotations

import os
import platform
import struct
import subprocess
from pathlib import Path

from .archive import Entry, ImageError, Variant, image_archive

SAMPLE = "kmini.local/sample:latest"
BUSYBOX = Path("/bin/busybox")
PORT = 8080
SERVES_ON_S = 2
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_PROGRAM_BYTES_MAX = 32 * 1024 * 1024
_LIST_TIMEOUT_S = 10.0
_INTERPRETER_SEGMENT = 3

_SERVE = f"""#!/bin/sh
httpd -f -p {PORT} -h /www &
server=$!
trap 'sleep {SERVES_ON_S}; kill "$server"; exit 0' TERM INT
wait "$server"
"""
#: What busybox' server runs for a folder without an index page. The name may be given, where the host's is another.
_ANSWER = """#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n%s\\n' "${POD_NAME:-$(hostname)}"
"""


def sample_archive(program: Path = BUSYBOX) -> bytes:
    """For this machine's architecture. Raises ImageError when there is no static busybox."""
    architecture = _ARCHITECTURES.get(platform.machine())
    if architecture is None:
        raise ImageError(f"there is no sample image for {platform.machine()}")
    files = {
        "bin/busybox": (read_static(program), 0o755),
        "etc/group": (b"root:x:0:\nnogroup:x:65534:\n", 0o644),
        "etc/passwd": (b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n", 0o644),
        "sample": (_SERVE.encode(), 0o755),
        "www/cgi-bin/index.cgi": (_ANSWER.encode(), 0o755),
    }
    folders = ("bin", "etc", "root", "var", "var/run", "www", "www/cgi-bin")
    entries = [Entry(path=path) for path in folders]
    entries.append(Entry(path="tmp", mode=0o1777))
    entries += [Entry(path=path, content=content, mode=mode) for path, (content, mode) in files.items()]
    entries += [Entry(path=f"bin/{name}", target="busybox") for name in _commands(program)]
    config = {
        "Entrypoint": ["/sample"],
        "Env": ["PATH=/bin"],
        "ExposedPorts": {f"{PORT}/tcp": {}},
        "WorkingDir": "/",
    }
    return image_archive(SAMPLE, [Variant(architecture=architecture, entries=entries, config=config)])


def read_static(program: Path) -> bytes:
    """The bytes of a program that needs no shared library. Raises ImageError."""
    missing = f"no static busybox at {program}: install Debian's busybox-static"
    try:
        if program.stat().st_size > _PROGRAM_BYTES_MAX:
            raise ImageError(missing)
        content = program.read_bytes()
        if content[:5] != b"\x7fELF\x02":
            raise ImageError(missing)
        offset, size, count = *struct.unpack_from("<Q", content, 32), *struct.unpack_from("<HH", content, 54)
        kinds = [struct.unpack_from("<I", content, offset + number * size)[0] for number in range(count)]
    except (OSError, struct.error, OverflowError) as error:
        raise ImageError(missing) from error
    if _INTERPRETER_SEGMENT in kinds:
        raise ImageError(f"{program} needs shared libraries: install Debian's busybox-static in its place")
    return content


def _commands(program: Path) -> list[str]:
    try:
        done = subprocess.run(
            [os.fspath(program), "--list"], capture_output=True, text=True, timeout=_LIST_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ImageError(f"{program} does not say which commands it has: {error}") from error
    return sorted(set(done.stdout.split()) - {"busybox"})
