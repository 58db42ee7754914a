"""The sparse self-attention aggregation network (SSAN): its layers, its files, its model library.

Needs torch to run, but model files can be listed without it. Knows nothing of stacks.
"""
