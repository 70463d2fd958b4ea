"""How containerd keeps layers of images: put over each other, or, where the file system does not carry that, copied.

An overlay takes no upper folder that lies on another overlay, which is where a node's data lies inside of a container,
nor on some network file systems. Whether it does is tried: nothing tells it. A copy takes more time and room.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
from pathlib import Path

OVERLAY = "overlayfs"
COPIES = "native"
_MNT_DETACH = 2


def snapshotter_for(root: Path) -> str:
    """`root`: a folder that is there. Blocking. Raises OSError when nothing can be written to it."""
    libc = ctypes.CDLL(None, use_errno=True)
    with tempfile.TemporaryDirectory(prefix="overlay-", dir=root) as folder:
        parts = {name: os.path.join(folder, name) for name in ("lowerdir", "upperdir", "workdir", "merged")}
        for part in parts.values():
            os.mkdir(part)
        merged = os.fsencode(parts.pop("merged"))
        options = ",".join(f"{name}={part}" for name, part in parts.items())
        if libc.mount(b"overlay", merged, b"overlay", 0, os.fsencode(options)) != 0:
            return COPIES
        libc.umount2(merged, _MNT_DETACH)
    return OVERLAY
