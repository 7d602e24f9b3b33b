"""Pools of threads and processes behind `oneloom`'s lazy names."""
