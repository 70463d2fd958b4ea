"""Build hook: what is generated and not committed is made before an editable install or a wheel is."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGES = ("raftstore/etcd", "nodeagent/runtime")  # each has a folder `proto`, and gets `gen` beside it


class GeneratedCode(BuildHookInterface[Any]):
    """Runs `raftstore/etcd/build.py`, loaded by its path: the package itself cannot be imported yet."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        source = root / "raftstore" / "etcd" / "build.py"
        spec = importlib.util.spec_from_file_location("_etcd_build", source)
        if spec is None or spec.loader is None:
            raise RuntimeError(f"cannot load {source}")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for package in PACKAGES:
            module.build(root, package)
            build_data["artifacts"].append(f"/{package}/gen/")
