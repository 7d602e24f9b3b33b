"""An ordinary program with threads and a queue: four producers, four consumers, one total.

It knows nothing of oneloom. Run the same file twice and compare the times:

    python examples/producer_consumer.py
    python -m oneloom examples/producer_consumer.py
"""

import queue
import sys
import threading

PRODUCERS = 4
CONSUMERS = 4


def main(orders_of_each: int = 100_000) -> None:
    orders = queue.Queue(maxsize=100)
    ledger = threading.Lock()
    total = 0

    def produce(first):
        for number in range(first, first + orders_of_each):
            orders.put(number)

    def consume():
        nonlocal total
        while (number := orders.get()) is not None:
            with ledger:
                total += number
            orders.task_done()

    producers = [
        threading.Thread(target=produce, args=(index * orders_of_each,)) for index in range(PRODUCERS)
    ]
    consumers = [threading.Thread(target=consume) for _ in range(CONSUMERS)]
    for thread in producers + consumers:
        thread.start()
    for thread in producers:
        thread.join()
    orders.join()
    for _ in consumers:
        orders.put(None)
    for thread in consumers:
        thread.join()
    print(f"{PRODUCERS * orders_of_each} orders, worth {total}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
