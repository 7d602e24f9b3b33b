"""Twenty threads and a semaphore with five permits: never more than five are inside, the others wait at the door.

A barrier inside lets nobody leave before five have come, so that there really are five at once.

It prints:

    20 visitors came, at most 5 at once
    one release too many: Semaphore released too many times
"""

import threading

VISITORS = 20
PERMITS = 5


class Museum:
    def __init__(self):
        self.permits = threading.BoundedSemaphore(PERMITS)
        self.full_house = threading.Barrier(PERMITS)
        self.lock = threading.Lock()
        self.came = self.inside = self.most_inside = 0

    def visit(self):
        with self.permits:
            with self.lock:
                self.came += 1
                self.inside += 1
                self.most_inside = max(self.most_inside, self.inside)
            self.full_house.wait()
            with self.lock:
                self.inside -= 1


def main():
    museum = Museum()
    visitors = [threading.Thread(target=museum.visit) for _ in range(VISITORS)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    print(museum.came, "visitors came, at most", museum.most_inside, "at once")
    try:
        museum.permits.release()
    except ValueError as error:
        print("one release too many:", error)


if __name__ == "__main__":
    main()
