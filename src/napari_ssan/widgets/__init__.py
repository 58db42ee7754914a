"""What napari shows."""
