"""Archives of images: what an OCI image layout must have, the same bytes each time, and the sample's insides."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from kmini.images import PAUSE, SAMPLE, ImageError, pause_archive, sample_archive
from kmini.images.sample import read_static

BUSYBOX = shutil.which("busybox")


def opened(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as found:
        files = {each.name: found.extractfile(each) for each in found if each.isfile()}
        return {name: file.read() for name, file in files.items() if file is not None}


def follow(files: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    """What a descriptor points to, checked against it."""
    content = files[f"blobs/{descriptor['digest'].replace(':', '/')}"]
    assert len(content) == descriptor["size"]
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == descriptor["digest"]
    return content


def layers(archive: bytes, reference: str) -> dict[str, tuple[dict[str, Any], tarfile.TarFile]]:
    """By architecture: the image's config and its one layer."""
    files = opened(archive)
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (top,) = json.loads(files["index.json"])["manifests"]
    assert top["annotations"]["io.containerd.image.name"] == reference
    found = {}
    for each in json.loads(follow(files, top))["manifests"]:
        manifest = json.loads(follow(files, each))
        config = json.loads(follow(files, manifest["config"]))
        (layer,) = manifest["layers"]
        assert config["rootfs"] == {"type": "layers", "diff_ids": [layer["digest"]]}
        assert each["platform"] == {"architecture": config["architecture"], "os": "linux"}
        content = io.BytesIO(follow(files, layer))
        found[config["architecture"]] = config["config"], tarfile.open(fileobj=content)  # noqa: SIM115
    return found


def test_pause_is_there_for_both_architectures() -> None:
    found = layers(pause_archive(), PAUSE)
    assert sorted(found) == ["amd64", "arm64"]
    for config, layer in found.values():
        assert config["Entrypoint"] == ["/pause"]
        (member,) = layer.getmembers()
        assert (member.name, member.mode, member.mtime, member.uid) == ("pause", 0o755, 0, 0)


def test_the_same_bytes_each_time() -> None:
    assert pause_archive() == pause_archive()


needs_busybox = pytest.mark.skipif(BUSYBOX is None, reason="busybox-static is not installed")


@needs_busybox
def test_the_sample_holds_busybox_and_its_commands() -> None:
    assert BUSYBOX is not None
    archive = sample_archive(Path(BUSYBOX))
    assert archive == sample_archive(Path(BUSYBOX))
    ((config, layer),) = layers(archive, SAMPLE).values()
    assert config["Entrypoint"] == ["/sample"]
    assert layer.getmember("bin/sh").linkname == "busybox"
    assert layer.getmember("bin/busybox").isfile()
    assert layer.getmember("tmp").mode == 0o1777
    assert all(each.mtime == 0 and each.uid == 0 for each in layer)
    assert layer.getmember("bin/httpd").linkname == "busybox"


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"#!/bin/sh\n", b"\x7fELF\x02" + b"\xff" * 80])
def test_what_is_no_static_program_is_refused(tmp_path: Path, content: bytes) -> None:
    program = tmp_path / "busybox"
    program.write_bytes(content)
    with pytest.raises(ImageError, match="busybox-static"):
        read_static(program)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="install Debian's busybox-static"):
        sample_archive(tmp_path / "none")


def test_a_program_that_needs_libraries_is_refused() -> None:
    with pytest.raises(ImageError, match="shared libraries"):
        read_static(Path("/bin/ls"))
