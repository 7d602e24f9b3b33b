"""Producer and consumer without a thread: generators that hand the turn to each other by `send` and `yield from`.

`send` gives a value to a generator that waits at its `yield`, and comes back with the next value that it yields.
`yield from` puts another generator in one's place until that one returns, and has its value.

It prints:

    baker: bread 1 is ready
    eater: bread 1 was warm
    baker: bread 2 is ready
    eater: bread 2 was warm
    baker: bread 3 is ready
    eater: bread 3 was warm
    the eater leaves, having had 3
    averages: {'heights': 1.625, 'weights': 60.0}
    in turn: a1 b1 a2 b2 b3
"""

from collections import deque


def eater():
    eaten, answer = 0, None
    try:
        while True:
            bread = yield answer
            print(f"eater: {bread} was warm")
            eaten += 1
            answer = "thanks"
    finally:
        print("the eater leaves, having had", eaten)


def bake(consumer, number):
    next(consumer)  # up to its first yield
    for index in range(1, number + 1):
        bread = f"bread {index}"
        print(f"baker: {bread} is ready")
        assert consumer.send(bread) == "thanks"
    consumer.close()


def average():
    """Takes numbers until None comes, and returns their average."""
    total = count = 0
    while (number := (yield)) is not None:
        total += number
        count += 1
    return total / count


def averages(results):
    for name in ("heights", "weights"):
        results[name] = yield from average()


def take_turns(*generators):
    """The smallest scheduler: everybody goes on by one step, again and again."""
    waiting = deque(generators)
    while waiting:
        generator = waiting.popleft()
        try:
            yield next(generator)
        except StopIteration:
            continue
        waiting.append(generator)


def main():
    bake(eater(), 3)

    results = {}
    collecting = averages(results)
    next(collecting)
    try:
        for number in (1.5, 1.75, None, 50, 70, None):
            collecting.send(number)
    except StopIteration:
        print("averages:", results)

    print("in turn:", *take_turns((f"a{step}" for step in (1, 2)), (f"b{step}" for step in (1, 2, 3))))


if __name__ == "__main__":
    main()
