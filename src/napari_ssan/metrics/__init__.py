"""Metrics of a synthesized section against the real one. Plain functions of two arrays."""
