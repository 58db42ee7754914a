"""The written report of a repair: every repaired slice, with pictures, on one HTML page."""
