"""A model in forms that other programs run."""
