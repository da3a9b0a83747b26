"""Predictions without an endpoint: in this process, and of whole files."""
