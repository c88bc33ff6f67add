"""Models, one a file: whatever stands here and defines `MODEL` is found by the registry."""
