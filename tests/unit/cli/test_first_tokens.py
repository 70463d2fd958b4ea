"""The join tokens of a first start, when the leader goes away in the middle."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import virtual_time
from kmini import certificates
from kmini.api_face import ApiFace
from kmini.layout import Layout

from apiserver.api.errors import AlreadyExists, ServiceUnavailable, Timeout


def test_they_are_made_whatever_becomes_of_the_first_tries(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    certificates.make_ready(layout.pki, name="n1", ca_dir=None, alone=True, names=["localhost"])
    answers = [Timeout("may have happened"), AlreadyExists("is there"), ServiceUnavailable("no leader"), None]
    asked: list[str] = []

    class Writer:
        async def create(self, call: Any) -> None:
            asked.append(json.loads(call.body)["metadata"]["name"])
            answer = answers.pop(0)
            if answer is not None:
                raise answer

    face = object.__new__(ApiFace)
    face.server = cast(Any, SimpleNamespace(writer=Writer(), table=SimpleNamespace(of_key=lambda key: object())))
    face._layout = layout
    virtual_time.run(face.make_tokens())
    assert not answers
    assert asked[0] == asked[1] != asked[2] == asked[3]
    for path, name in ((layout.token, asked[0]), (layout.server_token, asked[2])):
        assert path.stat().st_mode & 0o777 == 0o600
        assert f".{name.removeprefix('bootstrap-token-')}." in path.read_text()
