"""What a stack of sections is. Knows arrays; no torch, no Qt."""
