"""What napari calls besides the docks: reader, writers, sample data."""
