"""What is typed is put into capitals and written to a file, line by line, until Ctrl-C.

Three stages in a row: the main thread reads, one thread puts into capitals, one writes. The two threads do not wait for
their next line: they look again and again, which keeps a processor busy but must not keep the others from working.
After Ctrl-C they still finish what had been typed.

    python typed_lines.py FILE

For the lines `hello` and `one more`, and then Ctrl-C, it prints:

    next line?
    next line?
    next line?
    KeyboardInterrupt; written: 2 lines
"""

import queue
import sys
import threading

END = None


def look_for_next(items):
    while True:
        try:
            return items.get_nowait()
        except queue.Empty:
            pass


def put_into_capitals(typed, capitals):
    while (line := look_for_next(typed)) is not END:
        capitals.put(line.upper())
    capitals.put(END)


def write(capitals, path, written):
    with open(path, "w") as file:
        while (line := look_for_next(capitals)) is not END:
            print(line, file=file)
            written.append(line)


def main(path):
    typed, capitals, written = queue.Queue(), queue.Queue(), []
    threads = [
        threading.Thread(target=put_into_capitals, args=(typed, capitals)),
        threading.Thread(target=write, args=(capitals, path, written)),
    ]
    for thread in threads:
        thread.start()
    try:
        while True:
            print("next line?", flush=True)
            typed.put(input())
    except (KeyboardInterrupt, EOFError) as error:
        how = type(error).__name__
    typed.put(END)
    for thread in threads:
        thread.join()
    print(f"{how}; written: {len(written)} lines")


if __name__ == "__main__":
    main(sys.argv[1])
