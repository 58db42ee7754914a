"""Volumes that outgrow a machine: repaired in place, slab by slab, resumable, and back again."""
