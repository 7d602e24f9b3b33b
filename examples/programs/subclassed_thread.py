"""Classes made from Thread: with a result, with a `join` that returns it, made for one task, and told to stop.

It prints:

    'a, b, c' has 3 words
    join returned 55, and the error was None
    join returned None, and the error was KeyError('missing')
    Squares-4, a daemon: [0, 1, 4, 9]
    the poller was stopped: True
    started twice: threads can only be started once
    without super().__init__(): thread.__init__() not called
"""

import threading


class WordCount(threading.Thread):
    """Overrides `run`, and keeps what it found."""

    def __init__(self, text):
        super().__init__(name="word count")
        self.text = text
        self.result = None

    def run(self):
        self.result = len(self.text.split(", "))


class Calling(threading.Thread):
    """Keeps what its target returned or raised, and gives the value to whoever joins."""

    def __init__(self, target, *args, **more):
        super().__init__(**more)
        self.target, self.args = target, args
        self.value = self.error = None

    def run(self):
        try:
            self.value = self.target(*self.args)
        except Exception as error:
            self.error = error

    def join(self, timeout=None):
        super().join(timeout)
        return self.value


class Squares(Calling):
    """A class of a class: its target is a method of its own."""

    def __init__(self, number):
        super().__init__(self.squares, number, name=f"{type(self).__name__}-{number}", daemon=True)

    def squares(self, number):
        return [index**2 for index in range(number)]


class Poller(threading.Thread):
    """Works until it is told to stop."""

    def __init__(self):
        super().__init__()
        self.rounds = 0
        self.worked = threading.Event()
        self.told_to_stop = threading.Event()

    def run(self):
        while not self.told_to_stop.wait(timeout=0.001):
            self.rounds += 1
            self.worked.set()

    def stop(self):
        self.told_to_stop.set()
        self.join()


class Forgetful(threading.Thread):
    def __init__(self):
        self.forgotten = "super().__init__()"


def main():
    count = WordCount("a, b, c")
    count.start()
    count.join()
    print(f"{count.text!r} has {count.result} words")

    for calling in (Calling(sum, range(11)), Calling({}.__getitem__, "missing")):
        calling.start()
        print(f"join returned {calling.join()}, and the error was {calling.error!r}")
    squares = Squares(4)
    squares.start()
    print(f"{squares.name}, a {'daemon' if squares.daemon else 'foreground thread'}: {squares.join()}")

    poller = Poller()
    poller.start()
    poller.worked.wait()
    poller.stop()
    print("the poller was stopped:", poller.rounds > 0 and not poller.is_alive())

    for mistake, thread in [("started twice", count), ("without super().__init__()", Forgetful())]:
        try:
            thread.start()
        except RuntimeError as error:
            print(f"{mistake}: {error}")


if __name__ == "__main__":
    main()
