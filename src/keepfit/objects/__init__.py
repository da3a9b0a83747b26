"""Bytes by digest: whatever is too large or too plain to be a fact."""

from keepfit.objects.object import Objects, is_whole, read
from keepfit.objects.open import open_objects

__all__ = ["Objects", "is_whole", "open_objects", "read"]
