"""What `import *` brings, and what the modules answer about the running threads."""
from queue import *
from threading import *
import threading

here = current_thread()
print(here.name, main_thread() is here, active_count(), [thread.name for thread in enumerate()])
print(here.ident == get_ident(), here.native_id == get_native_id(), TIMEOUT_MAX, stack_size())
print(Thread(target=print).name, Thread(name="named", daemon=True).daemon, Timer(1, print).name)
print(issubclass(Empty, Exception), BrokenBarrierError.__mro__, ExceptHookArgs.__name__, ThreadError is RuntimeError)
data = local()
data.value = 1
thread = Thread(target=lambda: print(hasattr(data, "value")))
thread.start()
thread.join()
print(isinstance(main_thread(), Thread), type(main_thread()).__mro__[-1], repr(here).partition(",")[0])
print(threading._active[get_ident()] is here, callable(threading._register_atexit), threading._dangling is not None)
