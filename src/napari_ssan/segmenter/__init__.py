"""The membrane segmenter: its network, its training, its files.

A tool: what follows from the membranes it finds is decided in ``losses/`` and ``evaluation/``.
"""
