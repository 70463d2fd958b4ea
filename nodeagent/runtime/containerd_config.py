"""What a private containerd is told: everything it makes lies in its own folder, so that many can be on one machine.

The form is version 2 of containerd's configuration, read by 1.x and 2.x.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from nodeagent.errors import AgentError

from .snapshotter import OVERLAY

SANDBOX_IMAGE = "kmini.local/pause:1"
SOCKET_PATH_MAX = 107  # the kernel's
SEARCHED = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_CNI_FOLDERS = ("/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni")
_CNI_PLUGINS = ("bridge", "host-local", "loopback", "portmap")
#: Not used here; some of them look for devices or make folders outside of ours.
_DISABLED = (
    "io.containerd.internal.v1.opt",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
)


class Programs(msgspec.Struct, frozen=True, kw_only=True):
    """What a node needs from the system."""

    containerd: str
    runc: str
    cni: str  # the folder of its plug-ins


class Layout(msgspec.Struct, frozen=True):
    """What lies where in a private containerd's folder."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def socket(self) -> Path:
        return self.folder / "state" / "containerd.sock"

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def log(self) -> Path:
        return self.folder / "containerd.log"

    @property
    def record(self) -> Path:
        return self.folder / "process.json"

    @property
    def cni(self) -> Path:
        return self.folder / "cni"

    @property
    def registries(self) -> Path:
        return self.folder / "certs.d"


def find_programs(*, searched: Sequence[str] = SEARCHED, cni_folders: Sequence[str] = _CNI_FOLDERS) -> Programs:
    """Raises AgentError that names every package that is missing."""
    found = _found(searched, cni_folders)
    containerd, runc, cni = found.values()
    if containerd is None or runc is None or cni is None:
        missing = [package for package, where in found.items() if where is None]
        install = f"apt-get install {' '.join(missing)}"
        raise AgentError(f"a node needs {', '.join(missing)}: run '{install}' as root, or use --runtime fake")
    return Programs(containerd=containerd, runc=runc, cni=cni)


def missing_packages(*, searched: Sequence[str] = SEARCHED, cni_folders: Sequence[str] = _CNI_FOLDERS) -> list[str]:
    """Debian's names of what is not there."""
    return [package for package, where in _found(searched, cni_folders).items() if where is None]


def _found(searched: Sequence[str], cni_folders: Sequence[str]) -> dict[str, str | None]:
    """Where what each package brings is."""
    path = os.pathsep.join(searched)
    cni = (each for each in cni_folders if all(Path(each, name).is_file() for name in _CNI_PLUGINS))
    return {
        "containerd": shutil.which("containerd", path=path),
        "runc": shutil.which("runc", path=path),
        "containernetworking-plugins": next(cni, None),
    }


def check_socket(socket: Path) -> None:
    """Raises AgentError when the kernel would not take it."""
    if len(os.fsencode(socket)) > SOCKET_PATH_MAX:
        raise AgentError(
            f"{socket} is too long for a socket ({SOCKET_PATH_MAX} bytes): choose a shorter data directory"
        )


def config_text(layout: Layout, programs: Programs, *, may_lower_oom_score: bool, snapshotter: str = OVERLAY) -> str:
    """`may_lower_oom_score`: without that right runc cannot start a sandbox that wants it."""
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    state = layout.state
    tables: dict[str, dict[str, Any]] = {
        "": {
            "version": 2,
            "root": str(layout.root),
            "state": str(state),
            "disabled_plugins": list(_DISABLED),
        },
        "grpc": {"address": str(layout.socket)},
        "ttrpc": {"address": f"{layout.socket}.ttrpc"},
        "debug": {"level": "info"},
        cri: {
            "sandbox_image": SANDBOX_IMAGE,
            "restrict_oom_score_adj": not may_lower_oom_score,
            "netns_mounts_under_state_dir": True,
            "stream_server_address": "127.0.0.1",
            "stream_server_port": "0",
            "enable_selinux": False,
        },
        f"{cri}.cni": {"bin_dir": programs.cni, "conf_dir": str(layout.cni), "max_conf_num": 1},
        f"{cri}.containerd": {"snapshotter": snapshotter, "default_runtime_name": "runc"},
        f"{cri}.containerd.runtimes.runc": {"runtime_type": "io.containerd.runc.v2"},
        f"{cri}.containerd.runtimes.runc.options": {
            "BinaryName": programs.runc,
            "Root": str(state / "runc"),
            "SystemdCgroup": False,
        },
        f"{cri}.registry": {"config_path": str(layout.registries)},
    }
    return "\n".join(line for name, values in tables.items() for line in _table(name, values))


def _table(name: str, values: dict[str, Any]) -> list[str]:
    """JSON's numbers, strings and lists are TOML's too."""
    head = [f"[{name}]"] if name else []
    return [*head, *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()), ""]
