"""Handwritten digits, learned by several parties."""
