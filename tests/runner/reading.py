"""Reads standard input."""
import sys

print("name?", input("> "))
print(sys.stdin.readline(), end="")
print(len(sys.stdin.read()))
input("more? ")
