"""Drop-in for `concurrent`, which has nothing but `concurrent.futures`."""
