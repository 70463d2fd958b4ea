"""Online re-encryption: every value of an encrypted kind comes under the active key, while clients read and write.

A value is replaced only while it is the one that was read (compare-and-set on its revision), so no write of a client
is ever lost or undone; one that changed meanwhile was sealed by whoever wrote it. The plaintext stays the same byte
for byte: watchers see a modification that modifies nothing. It goes page by page and one write at a time, so that it
takes little from those who use the cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from raftstore import Compare, Put, Store, prefix_end

from .encryption import Encryption

PAGE = 100


class Progress(NamedTuple):
    """`examined` values, of which `sealed_anew` were written; `changed_meanwhile` ones were left to their writer."""

    examined: int
    sealed_anew: int
    changed_meanwhile: int

    @property
    def complete(self) -> bool:
        """Every value was under the active key already: what must be seen before older keys are dropped."""
        return not self.sealed_anew and not self.changed_meanwhile


async def reencrypt(store: Store, encryption: Encryption, prefixes: Sequence[bytes]) -> Progress:
    """One pass over all values below the prefixes. Raises CannotOpen naming a value that no key opens, StoreError."""
    await store.linearize()
    examined = sealed_anew = changed = 0
    for prefix in prefixes:
        key, end, more = prefix, prefix_end(prefix), True
        while more:
            page = store.page(key, end, limit=PAGE)
            for kv in page.kvs:
                examined += 1
                if not encryption.needs_reseal(kv.value):
                    continue
                value = encryption.seal(kv.key, encryption.open(kv.key, kv.value))
                unchanged = Compare.mod_revision(kv.key) == kv.mod_revision
                done = await store.txn(compare=[unchanged], success=[Put(kv.key, value, kv.lease)])
                sealed_anew += done.succeeded
                changed += not done.succeeded
            more = page.more and bool(page.kvs)
            key = page.kvs[-1].key + b"\0" if page.kvs else key
    return Progress(examined, sealed_anew, changed)
