"""Built-in images, made on the spot: no registry, no compiler, nothing but the standard library.

`kmini.local/pause:1` holds a pod's namespaces; `kmini.local/sample:latest` is what `kmini up` shows (docs/contract.md).
What must hold: the same inputs give the same bytes, so that an image that is there already is seen to be.
"""

from __future__ import annotations

from .archive import ImageError
from .pause import PAUSE, pause_archive
from .sample import SAMPLE, sample_archive

__all__ = ["PAUSE", "SAMPLE", "ImageError", "pause_archive", "sample_archive"]
