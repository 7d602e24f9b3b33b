"""Fails while a module of its own package is imported."""
import package.inner.failing
