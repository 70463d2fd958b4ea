"""Images as other tools save them, made of those that we make."""

from __future__ import annotations

import io
import json
import tarfile


def as_docker_saves(archive: bytes, *names: str, user: str = "") -> bytes:
    """The same image in docker's form; `user`: as whom it runs."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        files = {each.name: file.read() for each in opened if each.isfile() and (file := opened.extractfile(each))}

    def follow(descriptor: dict[str, str]) -> bytes:
        return files[f"blobs/{descriptor['digest'].replace(':', '/')}"]

    index = json.loads(follow(json.loads(files["index.json"])["manifests"][0]))
    manifest = json.loads(follow(index["manifests"][0]))
    config = json.loads(follow(manifest["config"]))
    config["config"] = config.get("config", {}) | {"User": user}
    image = {"Config": "config.json", "RepoTags": list(names), "Layers": ["layer.tar"]}
    content = {
        "manifest.json": json.dumps([image]).encode(),
        "config.json": json.dumps(config).encode(),
        "layer.tar": follow(manifest["layers"][0]),
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as made:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            made.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
