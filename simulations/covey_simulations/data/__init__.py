"""Data sets that need no download hub, and how they are shared out among devices."""
