"""Every pod is somebody: the account it runs as exists, and the pod gets a token of it unless it does not want one.

Kubernetes' ServiceAccount plug-in. The token is a projected volume: the node asks for it with TokenRequest, bound to
this pod, and renews it; nothing secret is stored in the pod.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from apiserver.api.core.containers import ObjectFieldSelector, VolumeMount
from apiserver.api.core.references import LocalObjectReference
from apiserver.api.core.volumes import (
    ConfigMapProjection,
    DownwardAPIProjection,
    DownwardAPIVolumeFile,
    KeyToPath,
    ProjectedVolumeSource,
    ServiceAccountTokenProjection,
    Volume,
    VolumeProjection,
)
from apiserver.api.pod_references import SECRETS, SERVICE_ACCOUNTS, pod_references

from .plugin import Admission, Base, Lookup, find, forbidden
from .pods import is_mirror, is_new_pod

DEFAULT_ACCOUNT = "default"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
ROOT_CA_CONFIG_MAP = "kube-root-ca.crt"
#: An hour and seven seconds: Kubernetes' own, by which its tokens are told from tokens somebody asked for.
TOKEN_LIFETIME_S = 3607
FILE_MODE = 0o644
SUFFIX_CHARACTERS = 5
_SUFFIXES_REMEMBERED = 1_024
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def suffix_of(account: Any) -> str:
    """The same for all pods of an account: pods of one template stay alike, and what is known of one holds for all."""
    return _suffix_of(account.metadata.uid)


@lru_cache(_SUFFIXES_REMEMBERED)
def _suffix_of(uid: str) -> str:
    number = int.from_bytes(hashlib.blake2b(uid.encode(), digest_size=8).digest(), "big")
    characters = []
    for _ in range(SUFFIX_CHARACTERS):
        number, place = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[place])
    return "".join(characters)


class ServiceAccounts(Base):
    """`suffix`, of the account, ends the name of a token volume."""

    name = "ServiceAccount"

    def __init__(self, suffix: Callable[[Any], str] = suffix_of) -> None:
        self._suffix = suffix

    async def admit(self, request: Admission, lookup: Lookup) -> None:
        if not is_new_pod(request) or request.obj is None or is_mirror(request.obj):
            return
        spec = request.obj.spec
        spec.service_account_name = spec.service_account_name or DEFAULT_ACCOUNT
        spec.service_account = spec.service_account_name
        account = await self._account(request, lookup)
        if _wants_token(spec, account):
            self._mount_token(spec, account)
        if not spec.image_pull_secrets:
            spec.image_pull_secrets = [LocalObjectReference(name=each.name) for each in account.image_pull_secrets]

    async def check(self, request: Admission, lookup: Lookup) -> None:
        if not is_new_pod(request) or request.obj is None:
            return
        if is_mirror(request.obj):
            _check_mirror(request)
        else:
            await self._account(request, lookup)  # another plug-in may have changed it

    @staticmethod
    async def _account(request: Admission, lookup: Lookup) -> Any:
        """Raises Forbidden when the account does not exist."""
        name = request.obj.spec.service_account_name if request.obj is not None else ""
        if not name:
            raise forbidden(request, f"no service account specified for pod {request.namespace}/{request.name}")
        account = await find(lookup, SERVICE_ACCOUNTS, request.namespace, name)
        if account is None:
            raise forbidden(
                request,
                f'error looking up service account {request.namespace}/{name}: serviceaccount "{name}" not found',
            )
        return account

    def _mount_token(self, spec: Any, account: Any) -> None:
        """Into every container that has nothing at the place yet."""
        there = next((each.name for each in spec.volumes if each.name.startswith(VOLUME_PREFIX)), "")
        name = there or VOLUME_PREFIX + self._suffix(account)
        mounted = False
        for container in (*spec.init_containers, *spec.containers):
            if all(mount.mount_path != MOUNT_PATH for mount in container.volume_mounts):
                mount = VolumeMount(name=name, read_only=True, mount_path=MOUNT_PATH)
                container.volume_mounts = [*container.volume_mounts, mount]
                mounted = True
        if mounted and not there:
            spec.volumes = [*spec.volumes, _token_volume(name)]


def _wants_token(spec: Any, account: Any) -> bool:
    """The pod's word counts before the account's."""
    for wish in (spec.automount_service_account_token, account.automount_service_account_token):
        if wish is not None:
            return bool(wish)
    return True


def _token_volume(name: str) -> Volume:
    namespace = ObjectFieldSelector(api_version="v1", field_path="metadata.namespace")
    sources = [
        VolumeProjection(
            service_account_token=ServiceAccountTokenProjection(expiration_seconds=TOKEN_LIFETIME_S, path="token")
        ),
        VolumeProjection(
            config_map=ConfigMapProjection(name=ROOT_CA_CONFIG_MAP, items=[KeyToPath(key="ca.crt", path="ca.crt")])
        ),
        VolumeProjection(
            downward_api=DownwardAPIProjection(items=[DownwardAPIVolumeFile(path="namespace", field_ref=namespace)])
        ),
    ]
    return Volume(name=name, projected=ProjectedVolumeSource(sources=sources, default_mode=FILE_MODE))


def _check_mirror(request: Admission) -> None:
    """A pod that a node makes to show what it runs anyway must not lead to anybody's secrets."""
    pod: Any = request.obj
    if pod.spec.service_account_name:
        raise forbidden(request, "a mirror pod may not reference service accounts")
    if any(each.startswith(f"{SECRETS}/") for each in pod_references(pod)):
        raise forbidden(request, "a mirror pod may not reference secrets")
    for volume in pod.spec.volumes:
        if volume.projected and any(source.service_account_token for source in volume.projected.sources):
            raise forbidden(request, "a mirror pod may not use service account token volume projections")
