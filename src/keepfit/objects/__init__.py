"""Bytes by digest: whatever is too large or too plain to be a fact."""

from keepfit.objects.board import Board
from keepfit.objects.copy import Target, copy
from keepfit.objects.leases import Leased, freeing
from keepfit.objects.object import Objects, is_whole, read
from keepfit.objects.open import open_board, open_objects

__all__ = ["Board", "Leased", "Objects", "Target", "copy", "freeing", "is_whole", "open_board", "open_objects", "read"]
