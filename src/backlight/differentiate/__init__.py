"""Differentiation: reverse and forward mode on the same records, the transforms, the checker."""
