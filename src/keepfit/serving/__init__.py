"""Answering predictions: one gateway that owns the connections, one scorer process per resident release."""
