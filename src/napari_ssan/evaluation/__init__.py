"""Evaluation of methods: hide real sections, synthesize them, compare, and report."""
