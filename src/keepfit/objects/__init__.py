"""Bytes by digest: whatever is too large or too plain to be a fact."""

from keepfit.objects.object import Objects, read
from keepfit.objects.open import open_objects

__all__ = ["Objects", "open_objects", "read"]
