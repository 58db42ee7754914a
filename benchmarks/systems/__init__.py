"""The systems that the paper compares, one interface: two sections in, a ``Synthesis`` out."""
