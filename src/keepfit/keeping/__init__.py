"""Keeping what is kept: what facts need, whether it is whole, and what nobody needs any more."""
