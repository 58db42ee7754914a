"""The paper's Table 2, measured: the same command as ``attention.py``, where it is described."""

from attention import main

if __name__ == "__main__":
    main()
