"""An attack with damaged files: what ``benchmarks/fuzz.py`` and ``tests/fuzz`` share."""
