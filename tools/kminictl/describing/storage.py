"""Persistent volumes, claims and storage classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..output import gojson
from ..output.ages import since
from .events import events_of, write_events
from .templates import write_source
from .writer import NONE, UNSET, Writer, formatted_labels, truth

if TYPE_CHECKING:
    from ..cluster.session import Session

JsonObject = dict[str, Any]
_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
_DEFAULT = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")


def modes_text(modes: list[str] | None) -> str:
    return ",".join(_MODES[each] for each in _MODES if each in (modes or []))


def _phase(writer: Writer, obj: JsonObject) -> None:
    deleted = obj["metadata"].get("deletionTimestamp")
    phase = (obj.get("status") or {}).get("phase", "")
    writer.line(0, "Status:", f"Terminating (lasts {since(deleted)})" if deleted else phase)


async def volume(session: Session, writer: Writer, obj: JsonObject) -> None:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    writer.begin(obj, namespaced=False)
    writer.marks(obj)
    writer.line(0, "Finalizers:", gojson.sprint(obj["metadata"].get("finalizers") or []))
    writer.line(0, "StorageClass:", spec.get("storageClassName", ""))
    _phase(writer, obj)
    claim = spec.get("claimRef")
    writer.line(0, "Claim:", f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "")
    writer.line(0, "Reclaim Policy:", spec.get("persistentVolumeReclaimPolicy", ""))
    writer.line(0, "Access Modes:", modes_text(spec.get("accessModes")))
    if spec.get("volumeMode"):
        writer.line(0, "VolumeMode:", spec["volumeMode"])
    writer.line(0, "Capacity:", (spec.get("capacity") or {}).get("storage", "0"))
    _affinity(writer, (spec.get("nodeAffinity") or {}).get("required"))
    writer.line(0, "Message:", status.get("message", ""))
    writer.line(0, "Source:")
    write_source(writer, spec)
    write_events(writer, await events_of(session, obj))


def _affinity(writer: Writer, required: JsonObject | None) -> None:
    if not required:
        writer.line(0, "Node Affinity:", NONE)
        return
    writer.line(0, "Node Affinity:", "")
    terms = required.get("nodeSelectorTerms") or []
    writer.line(1, "Required Terms:", "" if terms else NONE)
    for index, term in enumerate(terms):
        shown = []
        for each in term.get("matchExpressions") or []:
            values = f" [{', '.join(each['values'])}]" if each.get("values") else ""
            shown.append(f"{each.get('key', '')} {str(each.get('operator', '')).lower()}{values}")
        first, *others = shown or [NONE]
        writer.line(2, f"Term {index}:", first)
        for text in others:
            writer.line(2, "", text)


async def claim(session: Session, writer: Writer, obj: JsonObject) -> None:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    writer.begin(obj)
    writer.line(0, "StorageClass:", spec.get("storageClassName", ""))
    _phase(writer, obj)
    writer.line(0, "Volume:", spec.get("volumeName", ""))
    writer.marks(obj)
    writer.line(0, "Finalizers:", gojson.sprint(obj["metadata"].get("finalizers") or []))
    bound = bool(spec.get("volumeName"))
    writer.line(0, "Capacity:", (status.get("capacity") or {}).get("storage", "0") if bound else "")
    writer.line(0, "Access Modes:", modes_text(status.get("accessModes")) if bound else "")
    if spec.get("volumeMode"):
        writer.line(0, "VolumeMode:", spec["volumeMode"])
    writer.several("Used By", await _users(session, obj))
    write_events(writer, await events_of(session, obj))


async def _users(session: Session, obj: JsonObject) -> list[str]:
    metadata = obj["metadata"]
    pod = (await session.catalogue()).find("pods").kind
    found = []
    for each in await session.api.list_(pod, metadata["namespace"]):
        for source in (each.get("spec") or {}).get("volumes") or []:
            if (source.get("persistentVolumeClaim") or {}).get("claimName") == metadata["name"]:
                found.append(each["metadata"]["name"])
                break
    return found


async def storage_class(session: Session, writer: Writer, obj: JsonObject) -> None:
    annotations = obj["metadata"].get("annotations") or {}
    writer.begin(obj, namespaced=False)
    default = any(annotations.get(key) == "true" for key in _DEFAULT)
    writer.line(0, "IsDefaultClass:", "Yes" if default else "No")
    writer.line(0, "Annotations:", formatted_labels(annotations))
    writer.line(0, "Provisioner:", obj.get("provisioner", ""))
    writer.line(0, "Parameters:", formatted_labels(obj.get("parameters")))
    expansion = obj.get("allowVolumeExpansion")
    writer.line(0, "AllowVolumeExpansion:", UNSET if expansion is None else truth(expansion))
    options = obj.get("mountOptions") or []
    if options:
        writer.line(0, "MountOptions:")
        for option in options:
            writer.line(1, option)
    else:
        writer.line(0, "MountOptions:", NONE)
    if obj.get("reclaimPolicy"):
        writer.line(0, "ReclaimPolicy:", obj["reclaimPolicy"])
    if obj.get("volumeBindingMode"):
        writer.line(0, "VolumeBindingMode:", obj["volumeBindingMode"])
    write_events(writer, await events_of(session, obj))
