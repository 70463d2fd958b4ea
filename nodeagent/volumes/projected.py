"""projected: files from several sources in one folder, above all what every pod has to reach the API.

A pod that starts again while the API is away, after a power loss, does without a token: its files of before were in
memory alone, and nobody is there who would take one. It comes as soon as the API answers. For what is a pod's own
(ConfigMaps, Secrets) it waits.
"""

from __future__ import annotations

import asyncio
import logging

from apiserver.api.core.pod import Pod
from apiserver.api.core.volumes import ProjectedVolumeSource, VolumeProjection
from apiserver.api.errors import ServiceUnavailable, Timeout
from nodeagent.references import References
from nodeagent.spec.fields import Place

from .config import config_map_files, secret_files
from .downward_api import downward_files
from .failures import CannotMount
from .payload import MODE, File, Payload, merged
from .tokens import Tokens

log = logging.getLogger(__name__)

ROOT_CA = "kube-root-ca.crt"  # by which pods know the API
ANSWER_WITHIN_S = 2.0  # of an API that was silent
_TOKEN_MODE = 0o600


async def projected_files(
    pod: Pod, source: ProjectedVolumeSource, *, references: References, tokens: Tokens, place: Place, alone: bool
) -> Payload:
    """`alone`: the API has said nothing yet, and what is of no use without it may be left out. Raises ApiError,
    CannotMount."""

    async def files(each: VolumeProjection) -> Payload:
        optional = alone and _is_for_the_api(each)
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S if optional else None):
                return await _files(pod, each, source.default_mode, references=references, tokens=tokens, place=place)
        except (TimeoutError, ServiceUnavailable, Timeout) as error:
            if not optional:
                raise
            fields = {"uid": pod.metadata.uid, "reason": str(error)}
            log.info("a pod does without what it would reach the API with", extra=fields)
            return {}

    return merged(await asyncio.gather(*map(files, source.sources)))


def _is_for_the_api(each: VolumeProjection) -> bool:
    return each.service_account_token is not None or (each.config_map is not None and each.config_map.name == ROOT_CA)


async def _files(
    pod: Pod, each: VolumeProjection, mode: int | None, *, references: References, tokens: Tokens, place: Place
) -> Payload:
    namespace = pod.metadata.namespace
    if each.config_map is not None:
        return await config_map_files(references, namespace, each.config_map, mode)
    if each.secret is not None:
        return await secret_files(references, namespace, each.secret, mode)
    if each.downward_api is not None:
        return downward_files(pod, each.downward_api.items, mode, place)
    if each.service_account_token is not None:
        token = await tokens.token(pod, each.service_account_token)
        user = user_of(pod)
        context = pod.spec.security_context
        owned = user is not None or (context is not None and context.fs_group is not None)
        token_mode = _TOKEN_MODE if owned else (MODE if mode is None else mode)
        return {each.service_account_token.path: File(content=token.encode(), mode=token_mode, user=user)}
    if each.cluster_trust_bundle is not None and each.cluster_trust_bundle.optional:
        return {}
    raise CannotMount("only configMap, secret, downwardAPI and serviceAccountToken can be projected here")


def user_of(pod: Pod) -> int | None:
    """The user that all its containers run as; None when they are several, or an image decides."""
    context = pod.spec.security_context
    usual = context.run_as_user if context is not None else None
    users = {
        each.security_context.run_as_user
        if each.security_context is not None and each.security_context.run_as_user is not None
        else usual
        for each in (*pod.spec.init_containers, *pod.spec.containers)
    }
    return users.pop() if len(users) == 1 else None
