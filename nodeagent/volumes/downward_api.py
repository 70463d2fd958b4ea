"""downwardAPI: what a pod may be told of itself, as files; labels and annotations as they are now."""

from __future__ import annotations

from collections.abc import Sequence

from apiserver.api.core.pod import Pod
from apiserver.api.core.volumes import DownwardAPIVolumeFile
from nodeagent.spec.fields import Place, field_value, resource_value

from .failures import CannotMount
from .payload import MODE, File, Payload


def downward_files(pod: Pod, items: Sequence[DownwardAPIVolumeFile], mode: int | None, place: Place) -> Payload:
    """Raises CannotMount."""
    usual = MODE if mode is None else mode
    return {
        item.path: File(content=_text(pod, item, place).encode(), mode=usual if item.mode is None else item.mode)
        for item in items
    }


def _text(pod: Pod, item: DownwardAPIVolumeFile, place: Place) -> str:
    try:
        if item.field_ref is not None:
            return field_value(pod, item.field_ref.field_path, place)
        if item.resource_field_ref is not None:  # it names its container
            return resource_value(pod, pod.spec.containers[0], item.resource_field_ref, place)
    except ValueError as error:
        raise CannotMount(str(error)) from error
    raise CannotMount(f"{item.path}: neither fieldRef nor resourceFieldRef")
