"""The training losses: pixel-wise, feature, style, structure, membranes, and their sum."""
