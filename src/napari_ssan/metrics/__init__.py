"""How near a section is to the real one: fidelity, texture. Plain functions of two arrays."""
