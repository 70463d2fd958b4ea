"""OpenAPI v2 and v3 of everything served, generated from the same types and rows the server runs on.

What comes out must be enough for kubectl: explain, client-side validation, strategic merge patches by merge key, and
to learn which query parameters a verb takes. Descriptions are the docstrings of the types.
"""

from __future__ import annotations

from .documents import OpenApi

__all__ = ["OpenApi"]
