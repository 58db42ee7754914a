"""A model that is fine-tuned to a stack: what it is to do, its run on disk, its verdict."""
