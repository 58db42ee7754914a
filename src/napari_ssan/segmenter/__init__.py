"""The membrane segmenter: its network, its training, what it finds. A tool, no judge."""
