"""The dock "Repair slice"."""
