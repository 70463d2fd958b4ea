"""Containers, of pods and of pod templates. A template's lie a little further in."""

from __future__ import annotations

from typing import Any

from ..output import gojson
from ..output.ages import rfc1123
from .writer import NONE, Writer, truth

JsonObject = dict[str, Any]
IDENTITY_FIELDS = {"metadata.name", "metadata.namespace", "metadata.uid"}


def write_containers(
    writer: Writer, title: str, containers: list[JsonObject], pod: JsonObject | None, statuses: list[JsonObject]
) -> None:
    """`pod` None: they are a template's."""
    space = "" if pod else "  "
    writer.line(0, f"{space}{title}:" + ("" if containers else f" {NONE}"))
    known = {each["name"]: each for each in statuses}
    for container in containers:
        status = known.get(container["name"])
        _basics(writer, container, status, space)
        _command(writer, container)
        if status is not None:
            _state(writer, status)
        write_resources(writer, 2, container.get("resources"))
        _probes(writer, container)
        _environment(writer, container, pod)
        _mounts(writer, container)


def _basics(writer: Writer, container: JsonObject, status: JsonObject | None, space: str) -> None:
    writer.line(1, f"{' ' if space else ''}{container['name']}:")
    if status is not None:
        writer.line(2, "Container ID:", status.get("containerID", ""))
    writer.line(2, "Image:", container.get("image", ""))
    if status is not None:
        writer.line(2, "Image ID:", status.get("imageID", ""))
    ports = container.get("ports") or []
    for title, field in (("Port", "containerPort"), ("Host Port", "hostPort")):
        shown = ", ".join(_port(each, field) for each in ports)
        writer.line(2, f"{title}s:" if "," in shown else f"{title}:", shown or NONE)
    profile = (container.get("securityContext") or {}).get("seccompProfile") or {}
    if profile:
        writer.line(2, "SeccompProfile:", profile.get("type", ""))
        if profile.get("localhostProfile"):
            writer.line(3, "LocalhostProfile:", profile["localhostProfile"])


def _port(port: JsonObject, field: str) -> str:
    name = f" ({port['name']})" if port.get("name") else ""
    return f"{port.get(field, 0)}/{port.get('protocol', 'TCP')}{name}"


def _command(writer: Writer, container: JsonObject) -> None:
    for title, field in (("Command:", "command"), ("Args:", "args")):
        words = container.get(field) or []
        if words:
            writer.line(2, title)
        for word in words:
            for line in str(word).split("\n"):
                writer.line(3, line)


def _state(writer: Writer, status: JsonObject) -> None:
    _one_state(writer, "State:", status.get("state") or {})
    if (status.get("lastState") or {}).get("terminated"):
        _one_state(writer, "Last State:", status["lastState"])
    writer.line(2, "Ready:", truth(status.get("ready")))
    writer.line(2, "Restart Count:", status.get("restartCount", 0))


def _one_state(writer: Writer, title: str, state: JsonObject) -> None:
    if "running" in state:
        writer.line(2, title, "Running")
        writer.line(3, "Started:", rfc1123(state["running"].get("startedAt")))
    elif "terminated" in state:
        ended = state["terminated"]
        writer.line(2, title, "Terminated")
        for label, field in (("Reason:", "reason"), ("Message:", "message")):
            if ended.get(field):
                writer.line(3, label, ended[field])
        writer.line(3, "Exit Code:", ended.get("exitCode", 0))
        if ended.get("signal"):
            writer.line(3, "Signal:", ended["signal"])
        writer.line(3, "Started:", rfc1123(ended.get("startedAt")))
        writer.line(3, "Finished:", rfc1123(ended.get("finishedAt")))
    else:
        writer.line(2, title, "Waiting")
        reason = (state.get("waiting") or {}).get("reason")
        if reason:
            writer.line(3, "Reason:", reason)


def write_resources(writer: Writer, level: int, resources: JsonObject | None) -> None:
    for title, field in (("Limits:", "limits"), ("Requests:", "requests")):
        amounts = (resources or {}).get(field) or {}
        if amounts:
            writer.line(level, title)
        for name in sorted(amounts):
            writer.line(level + 1, f"{name}:", amounts[name])


# --- probes -----------------------------------------------------------------------------------------


def _probes(writer: Writer, container: JsonObject) -> None:
    for title, field in (("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")):
        if container.get(field):
            writer.line(2, f"{title}:", probe_text(container[field]))


def probe_text(probe: JsonObject) -> str:
    """What is asked, and how often."""
    times = (
        f"delay={probe.get('initialDelaySeconds', 0)}s timeout={probe.get('timeoutSeconds', 0)}s "
        f"period={probe.get('periodSeconds', 0)}s successThreshold={probe.get('successThreshold', 0)} "
        f"failureThreshold={probe.get('failureThreshold', 0)}"
    )
    if "exec" in probe:
        return f"exec {gojson.sprint(probe['exec'].get('command') or [])} {times}"
    if "httpGet" in probe:
        asked = probe["httpGet"]
        path = asked.get("path", "")
        slash = "" if path.startswith("/") or not path else "/"
        where = f"{asked.get('host', '')}:{asked.get('port', '')}"
        return f"http-get {asked.get('scheme', 'HTTP').lower()}://{where}{slash}{path} {times}"
    if "tcpSocket" in probe:
        asked = probe["tcpSocket"]
        return f"tcp-socket {asked.get('host', '')}:{asked.get('port', '')} {times}"
    if "grpc" in probe:
        asked = probe["grpc"]
        return f"grpc <pod>:{asked.get('port', '')} {asked.get('service') or ''} {times}"
    return f"unknown {times}"


# --- environment and mounts -------------------------------------------------------------------------


def _environment(writer: Writer, container: JsonObject, pod: JsonObject | None) -> None:
    sources = container.get("envFrom") or []
    if sources:
        writer.line(2, "Environment Variables from:")
    for source in sources:
        kind, reference = (
            ("ConfigMap", source["configMapRef"])
            if source.get("configMapRef")
            else ("Secret", source.get("secretRef") or {})
        )
        prefix = f" with prefix '{source['prefix']}'" if source.get("prefix") else ""
        writer.line(3, reference.get("name", ""), f"{kind}{prefix}", f"Optional: {_optional(reference)}")
    variables = container.get("env") or []
    writer.line(2, "Environment:", *([] if variables else [NONE]))
    for each in variables:
        _variable(writer, each, container, pod)


def _variable(writer: Writer, variable: JsonObject, container: JsonObject, pod: JsonObject | None) -> None:
    name, source = f"{variable['name']}:", variable.get("valueFrom")
    if not source:
        first, *others = str(variable.get("value", "")).split("\n")
        writer.line(3, name, first)
        for line in others:
            writer.line(3, "", line)
    elif "fieldRef" in source:
        reference = source["fieldRef"]
        value = field_value(pod, reference.get("fieldPath", "")) if pod else ""
        writer.line(3, name, f"{value} ({reference.get('apiVersion', 'v1')}:{reference.get('fieldPath', '')})")
    elif "resourceFieldRef" in source:
        wanted = source["resourceFieldRef"].get("resource", "")
        writer.line(3, name, f"{_resource_value(container, wanted)} ({wanted})")
    elif "secretKeyRef" in source:
        key = source["secretKeyRef"]
        told = f"<set to the key '{key.get('key', '')}' in secret '{key.get('name', '')}'>"
        writer.line(3, name, told, f"Optional: {_optional(key)}")
    elif "configMapKeyRef" in source:
        key = source["configMapKeyRef"]
        told = f"<set to the key '{key.get('key', '')}' of config map '{key.get('name', '')}'>"
        writer.line(3, name, told, f"Optional: {_optional(key)}")


def field_value(pod: JsonObject, path: str) -> str:
    """What the field of a pod holds, as far as a description says it: who it is, not where."""
    section, _, rest = path.partition(".")
    if section == "metadata" and "['" in rest:
        field, _, key = rest.partition("['")
        return str((pod["metadata"].get(field) or {}).get(key.removesuffix("']"), ""))
    return str(pod["metadata"].get(rest, "")) if path in IDENTITY_FIELDS else ""


def _resource_value(container: JsonObject, wanted: str) -> str:
    section, _, name = wanted.partition(".")
    found = ((container.get("resources") or {}).get(section) or {}).get(name)
    if found is None:
        return "node allocatable" if wanted in ("limits.cpu", "limits.memory") else "0"
    from apiserver.api.quantity import value

    return str(value(str(found)))


def _optional(reference: JsonObject) -> str:
    return "true" if reference.get("optional") else "false"


def _mounts(writer: Writer, container: JsonObject) -> None:
    mounts = sorted(container.get("volumeMounts") or [], key=lambda each: str(each["mountPath"]))
    writer.line(2, "Mounts:", *([] if mounts else [NONE]))
    for mount in mounts:
        flags = ["ro" if mount.get("readOnly") else "rw"]
        if mount.get("subPath"):
            flags.append(f"path={gojson.quote(mount['subPath'])}")
        writer.line(3, f"{mount['mountPath']} from {mount['name']} ({','.join(flags)})")
    devices = sorted(container.get("volumeDevices") or [], key=lambda each: str(each["devicePath"]))
    if devices:
        writer.line(2, "Devices:")
    for device in devices:
        writer.line(3, f"{device['devicePath']} from {device['name']}")
