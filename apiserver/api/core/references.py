"""core/v1: how one object names another."""

from __future__ import annotations

from apiserver.api.base import Object, always


class ObjectReference(Object):
    """Names an object, or a part of one, anywhere in the cluster.

    kind: Kind of the object.
    namespace: Namespace of the object.
    name: Name of the object.
    uid: UID of the object.
    api_version: API version of the object.
    resource_version: Version of the object that is meant.
    field_path: Part of the object that is meant, such as spec.containers{web}.
    """

    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    resource_version: str = ""
    field_path: str = ""


class LocalObjectReference(Object):
    """Names an object of a known kind in the same namespace.

    name: Name of the object.
    """

    name: str = ""


class SecretReference(Object):
    """Names a Secret in any namespace.

    name: Name of the Secret.
    namespace: Namespace of the Secret.
    """

    name: str = ""
    namespace: str = ""


class TypedLocalObjectReference(Object):
    """Names an object of any kind in the same namespace.

    api_group: Group of the kind; absent for the core group.
    kind: Kind of the object.
    name: Name of the object.
    """

    api_group: str | None = None
    kind: str = always("")
    name: str = always("")


class TypedObjectReference(Object):
    """Names an object of any kind, in another namespace when one is given.

    api_group: Group of the kind; absent for the core group.
    kind: Kind of the object.
    name: Name of the object.
    namespace: Namespace of the object; absent for the same one.
    """

    api_group: str | None = None
    kind: str = always("")
    name: str = always("")
    namespace: str | None = None
