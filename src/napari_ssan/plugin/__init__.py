"""The plugin's contributions to napari, except the docks: reader, writers, sample data."""
