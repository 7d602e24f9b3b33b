"""An exception that nobody catches, a few calls deep."""


def divide(number):
    return number / 0


def main():
    for number in [1, 2]:
        divide(number)


main()
