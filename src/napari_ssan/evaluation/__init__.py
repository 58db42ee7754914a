"""How good a synthesized section is, measured on sections that are known."""
