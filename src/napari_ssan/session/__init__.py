"""A repair in the making: marks, their states, and what survives a crash. Knows no screen."""
