"""A package in the package, which has no program of its own."""
