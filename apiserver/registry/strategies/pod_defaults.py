"""What a pod gets when its manifest leaves things out: Kubernetes' defaults, and amounts in canonical form.

`default_pod_spec` is for specs anywhere (templates too), `default_pod` adds what only a pod itself gets. Both may run
on their own result and change nothing.
"""

from __future__ import annotations

from apiserver.api.core.containers import Container, ResourceRequirements
from apiserver.api.core.persistent_volumes import PersistentVolumeClaimSpec, PersistentVolumeSpec
from apiserver.api.core.pod import Pod, PodSpec
from apiserver.api.core.probes import HTTPGetAction, Probe
from apiserver.api.core.security import PodSecurityContext
from apiserver.api.core.volume_sources import AzureDiskVolumeSource
from apiserver.api.core.volumes import DownwardAPIVolumeFile, EmptyDirVolumeSource, Volume, VolumeProjection

from .quantities import canonical_amounts, canonical_quantity

GRACE_PERIOD_S = 30
FILE_MODE = 0o644
TOKEN_SECONDS = 3600
DEFAULT_SCHEDULER = "default-scheduler"


def pull_policy(image: str) -> str:
    """Always for an image that may change under its name: tag latest, or none and no digest."""
    if not image:
        return "IfNotPresent"
    name, _, digest = image.partition("@")
    _, _, tag = name.rpartition("/")[2].partition(":")
    return "Always" if tag == "latest" or (not tag and not digest) else "IfNotPresent"


def _http_get(action: HTTPGetAction | None) -> None:
    if action is not None:
        action.path = action.path or "/"
        action.scheme = action.scheme or "HTTP"


def _probe(probe: Probe | None) -> None:
    if probe is None:
        return
    probe.timeout_seconds = probe.timeout_seconds or 1
    probe.period_seconds = probe.period_seconds or 10
    probe.success_threshold = probe.success_threshold or 1
    probe.failure_threshold = probe.failure_threshold or 3
    _http_get(probe.http_get)
    if probe.grpc is not None and probe.grpc.service is None:
        probe.grpc.service = ""


def canonical_resources(resources: ResourceRequirements, path: str) -> None:
    """Raises BadRequest for an amount that cannot be read."""
    if resources.limits:
        resources.limits = canonical_amounts(resources.limits, f"{path}.limits")
    if resources.requests:
        resources.requests = canonical_amounts(resources.requests, f"{path}.requests")


def _container(container: Container, path: str) -> None:
    container.image_pull_policy = container.image_pull_policy or pull_policy(container.image)
    container.termination_message_path = container.termination_message_path or "/dev/termination-log"
    container.termination_message_policy = container.termination_message_policy or "File"
    for port in container.ports:
        port.protocol = port.protocol or "TCP"
    for index, variable in enumerate(container.env):
        source = variable.value_from
        if source is None:
            continue
        if source.field_ref is not None:
            source.field_ref.api_version = source.field_ref.api_version or "v1"
        if source.resource_field_ref is not None:
            here = f"{path}.env[{index}].valueFrom.resourceFieldRef.divisor"
            source.resource_field_ref.divisor = canonical_quantity(source.resource_field_ref.divisor, here)
    _probe(container.liveness_probe)
    _probe(container.readiness_probe)
    _probe(container.startup_probe)
    if container.lifecycle is not None:
        for hook in (container.lifecycle.post_start, container.lifecycle.pre_stop):
            if hook is not None:
                _http_get(hook.http_get)
    canonical_resources(container.resources, f"{path}.resources")


def default_claim_spec(spec: PersistentVolumeClaimSpec, path: str) -> None:
    """Of a PersistentVolumeClaim, and of the templates in volumes. Raises BadRequest as `canonical_amounts`."""
    if spec.volume_mode is None:
        spec.volume_mode = "Filesystem"
    if spec.resources.requests:
        spec.resources.requests = canonical_amounts(spec.resources.requests, f"{path}.resources.requests")
    if spec.resources.limits:
        spec.resources.limits = canonical_amounts(spec.resources.limits, f"{path}.resources.limits")


def _azure_disk(source: AzureDiskVolumeSource) -> None:
    source.caching_mode = "ReadWrite" if source.caching_mode is None else source.caching_mode
    source.kind = "Shared" if source.kind is None else source.kind
    source.fs_type = "ext4" if source.fs_type is None else source.fs_type
    source.read_only = False if source.read_only is None else source.read_only


def default_plugins(holder: Volume | PersistentVolumeSpec) -> None:
    """Of storage that pods and PersistentVolumes can both name."""
    if holder.host_path is not None and holder.host_path.type is None:
        holder.host_path.type = ""
    if holder.azure_disk is not None:
        _azure_disk(holder.azure_disk)
    if holder.iscsi is not None:
        holder.iscsi.iscsi_interface = holder.iscsi.iscsi_interface or "default"
    if (rbd := holder.rbd) is not None:
        rbd.pool, rbd.user = rbd.pool or "rbd", rbd.user or "admin"
        rbd.keyring = rbd.keyring or "/etc/ceph/keyring"
    if (scale_io := holder.scale_io) is not None:
        scale_io.storage_mode = scale_io.storage_mode or "ThinProvisioned"
        scale_io.fs_type = scale_io.fs_type or "xfs"


def _downward_files(files: list[DownwardAPIVolumeFile], path: str) -> None:
    for index, file in enumerate(files):
        if file.field_ref is not None:
            file.field_ref.api_version = file.field_ref.api_version or "v1"
        if file.resource_field_ref is not None:
            here = f"{path}.items[{index}].resourceFieldRef.divisor"
            file.resource_field_ref.divisor = canonical_quantity(file.resource_field_ref.divisor, here)


def _projection(source: VolumeProjection, path: str) -> None:
    token = source.service_account_token
    if token is not None and token.expiration_seconds is None:
        token.expiration_seconds = TOKEN_SECONDS
    if source.downward_api is not None:
        _downward_files(source.downward_api.items, f"{path}.downwardAPI")


def _volume_of_files(volume: Volume, path: str) -> None:
    """Volumes whose files the node writes."""
    for source in (volume.secret, volume.config_map, volume.downward_api, volume.projected):
        if source is not None and source.default_mode is None:
            source.default_mode = FILE_MODE
    if volume.downward_api is not None:
        _downward_files(volume.downward_api.items, f"{path}.downwardAPI")
    if volume.projected is not None:
        for index, part in enumerate(volume.projected.sources):
            _projection(part, f"{path}.projected.sources[{index}]")


def _volume(volume: Volume, path: str) -> None:
    if all(getattr(volume, name) is None for name in volume.__struct_fields__ if name != "name"):
        volume.empty_dir = EmptyDirVolumeSource()
    if volume.empty_dir is not None and volume.empty_dir.size_limit is not None:
        volume.empty_dir.size_limit = canonical_quantity(volume.empty_dir.size_limit, f"{path}.emptyDir.sizeLimit")
    if volume.image is not None:
        volume.image.pull_policy = volume.image.pull_policy or pull_policy(volume.image.reference)
    if volume.ephemeral is not None and volume.ephemeral.volume_claim_template is not None:
        here = f"{path}.ephemeral.volumeClaimTemplate.spec"
        default_claim_spec(volume.ephemeral.volume_claim_template.spec, here)
    _volume_of_files(volume, path)
    default_plugins(volume)


def default_pod_spec(spec: PodSpec, path: str = "spec") -> None:
    """Defaults of any pod spec. Raises BadRequest naming the field for an amount that cannot be read."""
    spec.dns_policy = spec.dns_policy or "ClusterFirst"
    spec.restart_policy = spec.restart_policy or "Always"
    spec.scheduler_name = spec.scheduler_name or DEFAULT_SCHEDULER
    if spec.security_context is None:
        spec.security_context = PodSecurityContext()
    if spec.termination_grace_period_seconds is None:
        spec.termination_grace_period_seconds = GRACE_PERIOD_S
    spec.service_account_name = spec.service_account_name or spec.service_account
    spec.service_account = spec.service_account_name
    for index, each in enumerate(spec.init_containers):
        _container(each, f"{path}.initContainers[{index}]")
    for index, each in enumerate(spec.containers):
        _container(each, f"{path}.containers[{index}]")
    for index, ephemeral in enumerate(spec.ephemeral_containers):
        _container(ephemeral, f"{path}.ephemeralContainers[{index}]")
    for index, volume in enumerate(spec.volumes):
        _volume(volume, f"{path}.volumes[{index}]")
    if spec.overhead:
        spec.overhead = canonical_amounts(spec.overhead, f"{path}.overhead")
    if spec.resources is not None:
        canonical_resources(spec.resources, f"{path}.resources")


def _requests_from_limits(resources: ResourceRequirements) -> None:
    for name, limit in resources.limits.items():
        resources.requests.setdefault(name, limit)


def default_pod(pod: Pod) -> None:
    """Defaults of a pod itself, and no template. Raises BadRequest as `default_pod_spec`."""
    spec = pod.spec
    default_pod_spec(spec)
    for container in (*spec.containers, *spec.init_containers):
        _requests_from_limits(container.resources)
        if spec.host_network:
            for port in container.ports:
                port.host_port = port.host_port or port.container_port
    if spec.resources is not None:
        _requests_from_limits(spec.resources)
    if spec.enable_service_links is None:
        spec.enable_service_links = True
    default_status(pod)


def default_status(pod: Pod) -> None:
    """Amounts that a node reports, in canonical form. Raises BadRequest as `default_pod_spec`."""
    status = pod.status
    for name, statuses in (
        ("initContainerStatuses", status.init_container_statuses),
        ("containerStatuses", status.container_statuses),
        ("ephemeralContainerStatuses", status.ephemeral_container_statuses),
    ):
        for index, each in enumerate(statuses):
            here = f"status.{name}[{index}]"
            if each.allocated_resources:
                each.allocated_resources = canonical_amounts(each.allocated_resources, f"{here}.allocatedResources")
            if each.resources is not None:
                canonical_resources(each.resources, f"{here}.resources")
