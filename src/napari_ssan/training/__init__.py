"""Triplets in, a model out."""
