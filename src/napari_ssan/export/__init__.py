"""Exports a model in formats that other programs run."""
