"""Pickles what the program defines."""
import pickle
import sys
from dataclasses import dataclass


@dataclass
class Point:
    x: int
    y: int


data = pickle.dumps([Point(1, 2), Point])
print(data)
print(pickle.loads(data), Point.__module__, sys.modules["__main__"].Point is Point)
