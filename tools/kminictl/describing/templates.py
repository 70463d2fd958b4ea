"""What pods and pod templates share: volumes, tolerations, spread; and the template itself."""

from __future__ import annotations

from typing import Any

from .containers import write_containers
from .writer import NONE, UNSET, Writer

JsonObject = dict[str, Any]


def template_lines(writer: Writer, template: JsonObject) -> None:
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    writer.line(0, "Pod Template:")
    writer.labels("  Labels", metadata.get("labels"))
    if metadata.get("annotations"):
        writer.annotations("  Annotations", metadata["annotations"])
    if spec.get("serviceAccountName"):
        writer.line(0, "  Service Account:", spec["serviceAccountName"])
    if spec.get("initContainers"):
        write_containers(writer, "Init Containers", spec["initContainers"], None, [])
    write_containers(writer, "Containers", spec.get("containers") or [], None, [])
    write_volumes(writer, spec.get("volumes") or [], "  ")
    write_spread(writer, spec.get("topologySpreadConstraints") or [], "  ")
    if spec.get("priorityClassName"):
        writer.line(0, "  Priority Class Name:", spec["priorityClassName"])
    writer.labels("  Node-Selectors", spec.get("nodeSelector"))
    write_tolerations(writer, "  Tolerations", spec.get("tolerations") or [])


def write_tolerations(writer: Writer, title: str, tolerations: list[JsonObject]) -> None:
    writer.several(title, [_toleration(each) for each in sorted(tolerations, key=lambda one: one.get("key", ""))])


def _toleration(toleration: JsonObject) -> str:
    key, value, effect = (str(toleration.get(field, "")) for field in ("key", "value", "effect"))
    text = key + (f"={value}" if value else "") + (f":{effect}" if effect else "")
    if toleration.get("operator") == "Exists" and not value:
        text += " op=Exists" if text else "op=Exists"
    seconds = toleration.get("tolerationSeconds")
    return text + (f" for {seconds}s" if seconds is not None else "")


def write_spread(writer: Writer, constraints: list[JsonObject], space: str) -> None:
    if not constraints:
        return
    shown = []
    for each in sorted(constraints, key=lambda one: one.get("topologyKey", "")):
        text = (
            f"{each.get('topologyKey', '')}:{each.get('whenUnsatisfiable', '')} when max skew "
            f"{each.get('maxSkew', 0)} is exceeded"
        )
        if each.get("labelSelector") is not None:
            text += f" for selector {selector_text(each['labelSelector'])}"
        shown.append(text)
    writer.several(f"{space}Topology Spread Constraints", shown)


def selector_text(selector: JsonObject | None) -> str:
    """A LabelSelector on one line: `app=web,tier in (a,b)`."""
    found = selector or {}
    parts = [f"{key}={value}" for key, value in sorted((found.get("matchLabels") or {}).items())]
    for each in found.get("matchExpressions") or []:
        operator, key = each.get("operator"), each.get("key", "")
        values = ",".join(sorted(each.get("values") or []))
        words = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }
        parts.append(words.get(str(operator), key))
    return ",".join(parts) or NONE


# --- volumes ----------------------------------------------------------------------------------------


def write_volumes(writer: Writer, volumes: list[JsonObject], space: str) -> None:
    writer.line(0, f"{space}Volumes:", *([] if volumes else [NONE]))
    for volume in volumes:
        writer.line(1, f"{' ' if space else ''}{volume['name']}:")
        write_source(writer, volume)


def write_source(writer: Writer, volume: JsonObject) -> None:
    """Where the volume of a pod, or a persistent volume, comes from."""
    for field, write in _SOURCES.items():
        if field in volume:
            write(writer, volume[field] or {})
            return
    writer.line(1, "<unknown>")


def _empty_dir(writer: Writer, source: JsonObject) -> None:
    writer.line(2, "Type:", "EmptyDir (a temporary directory that shares a pod's lifetime)")
    writer.line(2, "Medium:", source.get("medium", ""))
    writer.line(2, "SizeLimit:", source.get("sizeLimit") or UNSET)


def _host_path(writer: Writer, source: JsonObject) -> None:
    writer.line(2, "Type:", "HostPath (bare host directory volume)")
    writer.line(2, "Path:", source.get("path", ""))
    writer.line(2, "HostPathType:", source.get("type", ""))


def _local(writer: Writer, source: JsonObject) -> None:
    writer.line(2, "Type:", "LocalVolume (a persistent volume backed by local storage on a node)")
    writer.line(2, "Path:", source.get("path", ""))


def _config_map(writer: Writer, source: JsonObject) -> None:
    writer.line(2, "Type:", "ConfigMap (a volume populated by a ConfigMap)")
    writer.line(2, "Name:", source.get("name", ""))
    writer.line(2, "Optional:", _bool(source.get("optional")))


def _secret(writer: Writer, source: JsonObject) -> None:
    writer.line(2, "Type:", "Secret (a volume populated by a Secret)")
    writer.line(2, "SecretName:", source.get("secretName", ""))
    writer.line(2, "Optional:", _bool(source.get("optional")))


def _claim(writer: Writer, source: JsonObject) -> None:
    told = "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)"
    writer.line(2, "Type:", told)
    writer.line(2, "ClaimName:", source.get("claimName", ""))
    writer.line(2, "ReadOnly:", _bool(source.get("readOnly")))


def _downward(writer: Writer, source: JsonObject) -> None:
    writer.line(2, "Type:", "DownwardAPI (a volume populated by information about the pod)")
    writer.line(2, "Items:")
    for item in source.get("items") or []:
        reference = item.get("fieldRef") or {}
        where = reference.get("fieldPath") or (item.get("resourceFieldRef") or {}).get("resource", "")
        writer.line(3, f"{where} -> {item.get('path', '')}")


def _projected(writer: Writer, source: JsonObject) -> None:
    writer.line(2, "Type:", "Projected (a volume that contains injected data from multiple sources)")
    for each in source.get("sources") or []:
        if "secret" in each:
            writer.line(2, "SecretName:", each["secret"].get("name", ""))
            writer.line(2, "Optional:", _bool(each["secret"].get("optional")))
        elif "downwardAPI" in each:
            writer.line(2, "DownwardAPI:", "true")
        elif "configMap" in each:
            writer.line(2, "ConfigMapName:", each["configMap"].get("name", ""))
            writer.line(2, "Optional:", _bool(each["configMap"].get("optional")))
        elif "serviceAccountToken" in each:
            writer.line(2, "TokenExpirationSeconds:", each["serviceAccountToken"].get("expirationSeconds", 0))


def _nfs(writer: Writer, source: JsonObject) -> None:
    writer.line(2, "Type:", "NFS (an NFS mount that lasts the lifetime of a pod)")
    writer.line(2, "Server:", source.get("server", ""))
    writer.line(2, "Path:", source.get("path", ""))
    writer.line(2, "ReadOnly:", _bool(source.get("readOnly")))


def _bool(value: object) -> str:
    return "true" if value else "false"


_SOURCES = {
    "hostPath": _host_path,
    "emptyDir": _empty_dir,
    "secret": _secret,
    "configMap": _config_map,
    "persistentVolumeClaim": _claim,
    "downwardAPI": _downward,
    "projected": _projected,
    "local": _local,
    "nfs": _nfs,
}
