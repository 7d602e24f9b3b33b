"""Functions that nobody finds by a name, in a process pool: lambdas, closures, and what a session or a notebook defines."""

import multiprocessing
import pickle
import re
import sys
import textwrap

import process_tasks as tasks
import pytest
from process_tasks import METHODS, PATIENCE

import oneloom
from conftest import finish, program, run_program, run_script
from oneloom._pool import pickling


@pytest.fixture
def pool():
    with oneloom.ProcessPool(1, start_method="fork") as pool:
        yield pool


def test_closures_travel(pool):
    factor = 3
    assert pool.submit(lambda x: factor * x, 2).result() == 6
    assert pool.submit(tasks.identity, lambda: factor).result()() == 3


def test_what_goes_with_a_closure_travels_as_without_one(pool):
    """A connection would pickle plainly as well, with a descriptor's number that means nothing elsewhere."""
    here, there = multiprocessing.Pipe()
    answer = "hello"
    pool.submit(lambda connection: connection.send(answer), there).result()
    assert here.poll(PATIENCE) and here.recv() == "hello"
    numbers = memoryview(bytes(range(256)) * 1000).cast("I")
    same = pool.submit(lambda view: (view.format, view[-1], len(answer), view), numbers).result()
    assert same == ("I", numbers[-1], 5, numbers)


def test_without_cloudpickle_a_closure_is_an_error_that_names_the_extra(pool, monkeypatch):
    monkeypatch.setattr(pickling, "_found", [None])
    with pytest.raises(pickle.PicklingError, match=r"oneloom\[closures\]"):
        pool.submit(lambda: 1).result()


def test_initializer_may_be_a_closure():
    with oneloom.ProcessPool(1, start_method="spawn", initializer=lambda: tasks.remember(b=4)) as pool:
        assert pool.submit(tasks.recall, "b").result(PATIENCE) == 4


def test_what_a_program_without_a_file_defines_travels():
    code = """
        import oneloom

        class Point:
            def __init__(self, x):
                self.x = x

        factor = 3

        def scaled(point):
            return Point(factor * point.x)

        for method in "fork", "spawn", "forkserver":
            with oneloom.ProcessPool(1, start_method=method) as pool:
                result = pool.submit(scaled, Point(2)).result()
                print(method, result.x, type(result) is Point, pool.submit(lambda: scaled(Point(4)).x).result())

        with oneloom.ProcessPool(1, start_method="fork") as pool:
            pool.submit(scaled, Point(2)).result()

            def scaled(point):
                return "the new one"

            print(pool.submit(scaled, Point(2)).result())
        """
    ran = run_program(code).check()
    assert ran.out.splitlines() == [
        "fork 6 True 12",
        "spawn 6 True 12",
        "forkserver 6 True 12",
        "the new one",
    ]


def test_a_program_that_comes_by_standard_input_has_no_file_that_workers_could_import(tmp_path):
    code = """
        import oneloom

        def double(number):
            return 2 * number

        for method in "fork", "spawn", "forkserver":
            with oneloom.ProcessPool(1, start_method=method) as pool:
                print(list(pool.map(double, range(3))))
        """
    (tmp_path / "input").write_text(textwrap.dedent(code))
    with open(tmp_path / "input") as source, program(None, command=[sys.executable], stdin=source) as child:
        ran = finish(child).check()
    assert (ran.out, ran.err) == ("[0, 2, 4]\n" * 3, "")


def test_what_a_session_defines_is_told_to_stand_in_a_module_where_cloudpickle_is_missing():
    code = """
        import sys
        sys.modules["cloudpickle"] = None
        import oneloom

        def double(number):
            return 2 * number

        with oneloom.ProcessPool(1, start_method="forkserver") as pool:
            print(pool.submit(double, 1).exception())
        """
    ran = run_program(code).check()
    assert re.search("(Can't get|has no) attribute 'double'", ran.out)  # In the words of each version.
    assert "Likely fix: define it in a module, because no worker can import a session" in ran.out


def test_functions_of_the_main_module_share_its_globals_with_the_initializer(tmp_path):
    code = """
        import oneloom

        model = None

        def load(name):
            global model
            model = name

        def use():
            return model

        if __name__ == "__main__":
            def guarded(x):
                return x + 1

            for method in "fork", "spawn", "forkserver":
                with oneloom.ProcessPool(1, start_method=method, initializer=load, initargs=("big",)) as pool:
                    print(method, pool.submit(use).result(), pool.submit(guarded, 1).result())
    """
    ran = run_script(tmp_path, code).check()
    assert ran.out.splitlines() == ["fork big 2", "spawn big 2", "forkserver big 2"]


def test_what_stands_under_the_main_guard_travels_and_comes_back_as_what_it_is(tmp_path):
    code = """
        import oneloom

        class Base:
            pass

        def is_base(thing):
            return isinstance(thing, Base), thing

        def keep(thing):
            global kept
            kept = thing

        def give():
            return kept

        if __name__ == "__main__":
            class Other:
                def point(self):
                    return Point(0)

            class Point(Base):
                def __init__(self, x):
                    self.x = x

                def other(self):
                    return Other()

            def double(number):
                return 2 * number

            for method in "fork", "spawn", "forkserver":
                settings = {"start_method": method, "initializer": keep, "initargs": (Point(3),)}
                with oneloom.ProcessPool(1, **settings) as pool:
                    is_one, same = pool.submit(is_base, Point(1)).result()
                    print(method, is_one, type(same) is Point, same.x)
                    print(type(pool.submit(Point(1).other).result().point()) is Point, pool.submit(give).result().x)
                    print(list(pool.submit(map, double, [1, 2]).result()))
    """
    ran = run_script(tmp_path, code).check()
    expected = [[f"{method} True True 1", "True 3", "[2, 4]"] for method in METHODS]
    assert ran.out.splitlines() == sum(expected, [])


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def f(): pass\nif __name__ == '__main__': f()", set()),
        ("if __name__ == '__main__':\n  def f():\n    def inner(): pass", {"f"}),
        ('if "__main__" == __name__ and True:\n  async def f(): pass\n  class C:\n    def method(self): pass', {"f", "C"}),
        ("if __name__ == '__main__':\n  with a:\n    for b in c:\n      class C: pass\nelse:\n  def f(): pass", {"C"}),
        ("try:\n  def f(): pass\nexcept: pass\nif __name__ != 'x': import __main__", set()),
        ("if __name__ == '__main__'", set()),
        ("", set()),
    ],
)
def test_what_stands_under_a_main_guard(source, names):
    assert pickling.names_under_main_guard(source) == names
