"""Logging from several threads, a module that was loaded before or after is all the same."""
import logging
import threading

logging.basicConfig(format="%(levelname)s %(threadName)s %(message)s", level=logging.INFO)
for number in range(3):
    thread = threading.Thread(target=logging.info, args=("number %d", number), name=f"logger-{number}")
    thread.start()
    thread.join()
try:
    1 / 0
except ZeroDivisionError:
    logging.exception("caught")
