"""What only compatibility with the standard library needs: standing in for its modules, and its way of exiting."""
