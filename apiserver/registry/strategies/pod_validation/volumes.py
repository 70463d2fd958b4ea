"""Volumes of a pod."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from apiserver.api.core.references import LocalObjectReference
from apiserver.api.core.volumes import (
    ClusterTrustBundleProjection,
    ConfigMapProjection,
    ConfigMapVolumeSource,
    CSIVolumeSource,
    DownwardAPIVolumeFile,
    DownwardAPIVolumeSource,
    EmptyDirVolumeSource,
    EphemeralVolumeSource,
    GitRepoVolumeSource,
    ImageVolumeSource,
    KeyToPath,
    PersistentVolumeClaimTemplate,
    ProjectedVolumeSource,
    SecretProjection,
    SecretVolumeSource,
    ServiceAccountTokenProjection,
    Volume,
    VolumeProjection,
)
from apiserver.api.fields import Causes
from apiserver.api.meta import ObjectMeta
from apiserver.api.names import is_dns_label, is_dns_subdomain, is_path_segment_name
from apiserver.api.quantity import ZERO, parse
from apiserver.api.validation import check, validate_annotations, validate_label_selector, validate_labels

from .claims import validate_claim_spec
from .environment import VOLUME_FIELDS, validate_field_ref, validate_resource_ref
from .texts import descending, descending_unreserved, file_mode, named, one_of, required
from .volume_sources import (
    INITIATOR_RULE,
    SHARED,
    SourceRule,
    csi_driver,
    is_too_long_for_initiator,
    needs,
    validate_one_source,
)

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
TOKEN_SECONDS_MIN = 600
TOKEN_SECONDS_MAX = 2**32
_DUPLICATE_PATHS = "conflicting duplicate paths"


def _empty_dir(source: EmptyDirVolumeSource, causes: Causes, path: str) -> None:
    if source.size_limit is not None and parse(source.size_limit) < ZERO:
        causes.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _git_repo(source: GitRepoVolumeSource, causes: Causes, path: str) -> None:
    required(causes, f"{path}.repository", source.repository)
    descending(causes, f"{path}.directory", source.directory)


def _items(items: Sequence[KeyToPath], causes: Causes, path: str) -> None:
    for index, item in enumerate(items):
        here = f"{path}[{index}]"
        required(causes, f"{here}.key", item.key)
        required(causes, f"{here}.path", item.path)
        descending_unreserved(causes, f"{here}.path", item.path)
        file_mode(causes, f"{here}.mode", item.mode)


def _secret(source: SecretVolumeSource, causes: Causes, path: str) -> None:
    required(causes, f"{path}.secretName", source.secret_name)
    file_mode(causes, f"{path}.defaultMode", source.default_mode)
    _items(source.items, causes, f"{path}.items")


def _config_map(source: ConfigMapVolumeSource, causes: Causes, path: str) -> None:
    required(causes, f"{path}.name", source.name)
    file_mode(causes, f"{path}.defaultMode", source.default_mode)
    _items(source.items, causes, f"{path}.items")


def _downward_file(file: DownwardAPIVolumeFile, causes: Causes, path: str) -> None:
    required(causes, f"{path}.path", file.path)
    descending_unreserved(causes, f"{path}.path", file.path)
    if file.field_ref:
        validate_field_ref(file.field_ref, VOLUME_FIELDS, causes, f"{path}.fieldRef")
        if file.resource_field_ref:
            rule = "fieldRef and resourceFieldRef can not be specified simultaneously"
            causes.invalid(path, "resource", rule)
    elif file.resource_field_ref:
        validate_resource_ref(file.resource_field_ref, causes, f"{path}.resourceFieldRef", in_volume=True)
    else:
        causes.required(path, "one of fieldRef and resourceFieldRef is required")
    file_mode(causes, f"{path}.mode", file.mode)


def _downward_api(source: DownwardAPIVolumeSource, causes: Causes, path: str) -> None:
    file_mode(causes, f"{path}.defaultMode", source.default_mode)
    for file in source.items:
        _downward_file(file, causes, path)


def _token(source: ServiceAccountTokenProjection, causes: Causes, path: str, volume_path: str) -> None:
    seconds = source.expiration_seconds or 0
    if seconds < TOKEN_SECONDS_MIN:
        rule = "may not specify a duration less than 10 minutes"
        causes.invalid(f"{path}.expirationSeconds", seconds, rule)
    if seconds > TOKEN_SECONDS_MAX:
        rule = "may not specify a duration larger than 2^32 seconds"
        causes.invalid(f"{path}.expirationSeconds", seconds, rule)
    if required(causes, f"{volume_path}.path", source.path):
        descending_unreserved(causes, f"{volume_path}.path", source.path)


def _trust_bundle(source: ClusterTrustBundleProjection, causes: Causes, path: str) -> None:
    if source.name is not None and source.signer_name is not None:
        causes.invalid(path, source, "only one of name and signerName may be used")
    elif source.name is not None:
        if not source.name:
            causes.required(f"{path}.name", "must be a valid object name")
        for problem in is_path_segment_name(source.name):
            causes.invalid(f"{path}.name", source.name, f"not a valid clustertrustbundlename: {problem}")
        if source.label_selector is not None:
            rule = "labelSelector must be unset if name is specified"
            causes.invalid(f"{path}.labelSelector", source.label_selector, rule)
    elif source.signer_name is not None:
        if not source.signer_name:
            causes.required(f"{path}.signerName", "must be a valid signer name")
        validate_label_selector(source.label_selector, causes, f"{path}.labelSelector")
    else:
        causes.required(path, "either name or signerName must be specified")
    required(causes, f"{path}.path", source.path)
    descending_unreserved(causes, f"{path}.path", source.path)


def _keys(source: SecretProjection | ConfigMapProjection, causes: Causes, path: str) -> Iterator[tuple[str, str]]:
    required(causes, f"{path}.name", source.name)
    _items(source.items, causes, f"{path}.items")
    for item in source.items:
        yield item.path, source.name


def _projection(source: VolumeProjection, causes: Causes, path: str, volume_path: str) -> Iterator[tuple[str, str]]:
    """Checks one part and tells the path of each file with the value to name when it is there twice."""
    if source.secret:
        yield from _keys(source.secret, causes, f"{path}.secret")
    if source.config_map:
        yield from _keys(source.config_map, causes, f"{path}.configMap")
    if source.downward_api:
        for file in source.downward_api.items:
            _downward_file(file, causes, f"{path}.downwardAPI")
            yield file.path, file.path
    if source.service_account_token:
        _token(source.service_account_token, causes, f"{path}.serviceAccountToken", volume_path)
    if source.cluster_trust_bundle:
        _trust_bundle(source.cluster_trust_bundle, causes, f"{path}.clusterTrustBundle")
        yield source.cluster_trust_bundle.path, source.cluster_trust_bundle.path


def _projected(source: ProjectedVolumeSource, causes: Causes, path: str) -> None:
    file_mode(causes, f"{path}.defaultMode", source.default_mode)
    taken: set[str] = set()
    for index, part in enumerate(source.sources):
        here = f"{path}.sources[{index}]"
        for file, shown in _projection(part, causes, here, path):
            if file and file in taken:
                causes.invalid(path, shown, _DUPLICATE_PATHS)
            taken.add(file)
        given = (
            part.secret,
            part.config_map,
            part.downward_api,
            part.service_account_token,
            part.cluster_trust_bundle,
        )
        if sum(each is not None for each in given) > 1:
            causes.forbidden(here, "may not specify more than 1 volume type per source")


def _csi_secret(reference: LocalObjectReference, causes: Causes, path: str) -> None:
    named(is_dns_subdomain, reference.name, causes, f"{path}.nodePublishSecretRef.name")


def _csi(source: CSIVolumeSource, causes: Causes, path: str) -> None:
    csi_driver(source.driver, causes, f"{path}.driver")
    if source.node_publish_secret_ref:
        _csi_secret(source.node_publish_secret_ref, causes, path)


def _claim_template(template: PersistentVolumeClaimTemplate, causes: Causes, path: str) -> None:
    meta = template.metadata
    validate_annotations(meta.annotations, causes, f"{path}.metadata.annotations")
    validate_labels(meta.labels, causes, f"{path}.metadata.labels")
    untouched = ObjectMeta(labels=meta.labels, annotations=meta.annotations)
    for attribute, name in zip(meta.__struct_fields__, meta.__struct_encode_fields__, strict=True):
        if getattr(meta, attribute) != getattr(untouched, attribute):
            causes.forbidden(f"{path}.metadata.{name}", "cannot be set")
    validate_claim_spec(template.spec, causes, f"{path}.spec")


def _ephemeral(source: EphemeralVolumeSource, causes: Causes, path: str) -> None:
    if source.volume_claim_template is None:
        causes.required(f"{path}.volumeClaimTemplate")
    else:
        _claim_template(source.volume_claim_template, causes, f"{path}.volumeClaimTemplate")


def _image(source: ImageVolumeSource, causes: Causes, path: str) -> None:
    one_of(causes, f"{path}.pullPolicy", source.pull_policy, PULL_POLICIES)


_RULES: dict[str, SourceRule] = {
    "empty_dir": _empty_dir,
    **SHARED,
    "git_repo": _git_repo,
    "secret": _secret,
    "persistent_volume_claim": needs("claim_name"),
    "downward_api": _downward_api,
    "config_map": _config_map,
    "projected": _projected,
    "csi": _csi,
    "ephemeral": _ephemeral,
    "image": _image,
}


def _beyond_the_source(volume: Volume, causes: Causes, path: str, *, pod_name: str, is_pod: bool) -> None:
    """What depends on the volume's own name, or on the pod."""
    if volume.iscsi and is_too_long_for_initiator(volume.name, volume.iscsi):
        causes.invalid(f"{path}.name", volume.name, INITIATOR_RULE)
    if volume.ephemeral and pod_name and volume.name:
        claim = f"{pod_name}-{volume.name}"
        for problem in is_dns_subdomain(claim):
            causes.invalid(f"{path}.name", volume.name, f'PVC name "{claim}": {problem}')
    if volume.image and is_pod:
        required(causes, f"{path}.image.reference", volume.image.reference)


def validate_volumes(
    volumes: Sequence[Volume], causes: Causes, path: str, *, pod_name: str = "", is_pod: bool
) -> dict[str, Volume]:
    """Checks all and returns those that mounts may refer to: a wrong volume is as good as none.

    `pod_name` is empty where it is not known, as in templates.
    """
    made = {f"{pod_name}-{volume.name}" for volume in volumes if volume.ephemeral and pod_name}
    found: dict[str, Volume] = {}
    for index, volume in enumerate(volumes):
        here = f"{path}[{index}]"
        before = len(causes.found)
        validate_one_source(volume, _RULES, causes, here)
        _beyond_the_source(volume, causes, here, pod_name=pod_name, is_pod=is_pod)
        if required(causes, f"{here}.name", volume.name):
            check(is_dns_label, volume.name, causes, f"{here}.name")
        if volume.name in found:
            causes.duplicate(f"{here}.name", volume.name)
        if len(causes.found) == before:
            found[volume.name] = volume
        if volume.persistent_volume_claim and volume.persistent_volume_claim.claim_name in made:
            rule = "must not reference a PVC that gets created for an ephemeral volume"
            claim = volume.persistent_volume_claim.claim_name
            causes.invalid(f"{here}.persistentVolumeClaim.claimName", claim, rule)
    return found
