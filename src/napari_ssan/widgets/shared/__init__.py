"""What both docks are built of."""
