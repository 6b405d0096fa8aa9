"""Backlight beside its peers: the same work, in turns, in one run.

``python -m benchmarks`` measures, `benchmarks.report` writes the tables.  docs/benchmarks.md says
what is compared and how to read it.
"""
