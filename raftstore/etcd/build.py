"""Builds a package's `gen` from its `proto`. Generated code is never committed.

Run as `python -m raftstore.etcd.build` for this package; `hatch_build.py` calls `build` for all that have such a
folder, at an editable install and for a wheel. Needs only grpcio-tools, and nothing else of ours: it runs before
anything is installed.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ETCD = "raftstore/etcd"


def build(root: Path = ROOT, package: str = ETCD) -> list[Path]:
    """Write `<root>/<package>/gen` and return its files. Raises RuntimeError when protoc refuses."""
    import grpc_tools  # type: ignore[import-untyped]  # it ships no stubs
    from grpc_tools import protoc

    source, path = root / package / "proto", f"{package}/gen"
    target = root / path
    target.mkdir(parents=True, exist_ok=True)
    for stale in target.glob("*_pb2.py*"):
        stale.unlink()
    arguments = [
        "protoc",
        f"-I{path}={source}",  # the sources seen under the package's own path, so that imports are absolute
        f"-I{Path(grpc_tools.__file__).parent / '_proto'}",
        f"--python_out={root}",
        f"--pyi_out={root}",
        *(f"{path}/{proto.name}" for proto in sorted(source.glob("*.proto"))),
    ]
    code = protoc.main(arguments)
    if code != 0:
        raise RuntimeError(f"protoc ended with {code} for {source}")
    (target / "__init__.py").write_text(f'"""Generated from {package}/proto by hatch_build.py; do not edit."""\n')
    return sorted(target.glob("*.py*"))


if __name__ == "__main__":
    build()
