"""Three producers and two consumers over a queue with room for four: who is too fast waits for the others.

The consumers are daemon threads that never end by themselves. `task_done` and `join` say when all that was put has been
dealt with; then the program ends, and they with it.

It prints:

    60 parcels delivered, worth 1770
    each one once: True
    the shelf never held more than 4: True
    one task_done too many: task_done() called too many times
"""

import queue
import threading

PRODUCERS = 3
CONSUMERS = 2
PARCELS_OF_EACH = 20

shelf = queue.Queue(maxsize=4)
delivered = []  # appending to a list needs no lock


def produce(first):
    for parcel in range(first, first + PARCELS_OF_EACH):
        shelf.put(parcel)


def consume():
    while True:
        on_the_shelf = shelf.qsize()
        parcel = shelf.get()
        delivered.append((parcel, on_the_shelf))
        shelf.task_done()


def main():
    for _ in range(CONSUMERS):
        threading.Thread(target=consume, daemon=True).start()
    producers = [threading.Thread(target=produce, args=(index * PARCELS_OF_EACH,)) for index in range(PRODUCERS)]
    for producer in producers:
        producer.start()
    for producer in producers:
        producer.join()
    shelf.join()

    parcels = sorted(parcel for parcel, _ in delivered)
    print(len(parcels), "parcels delivered, worth", sum(parcels))
    print("each one once:", parcels == list(range(PRODUCERS * PARCELS_OF_EACH)))
    print("the shelf never held more than 4:", max(on_the_shelf for _, on_the_shelf in delivered) <= 4)
    try:
        shelf.task_done()
    except ValueError as error:
        print("one task_done too many:", error)


if __name__ == "__main__":
    main()
