"""Imports what is not there."""
import threading
import there_is_no_such_module
