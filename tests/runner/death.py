"""Kills itself by the signal that the first argument names."""
import os
import signal
import sys
import threading

print("before", flush=True)
if "in-thread" in sys.argv:
    threading.Thread(target=os.kill, args=(os.getpid(), signal.Signals[sys.argv[1]])).start()
    signal.pause()
os.kill(os.getpid(), signal.Signals[sys.argv[1]])
print("after", flush=True)
