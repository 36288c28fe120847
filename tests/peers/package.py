#!/usr/bin/python3
"""The package itself: its types, its points, its page, and that it can do no harm."""
import ast
import glob
import json
import os
import re

import peers  # first: it shows where the others are

import harness
import yaml
from pubsub import Recorder, lines

peers.require()

SOURCES = os.path.join(harness.ROOT, "probes", "python")


def catalogue():
    return yaml.safe_load(open(os.path.join(harness.ROOT, "probes", "catalogue", "lonelypsp.yaml"), encoding="utf-8"))


def module_points(case):
    """{operation: [points]} as the built module has them."""
    text = ("import json; from outspan_lonelypsp import points as p; print(json.dumps({k: [m for m in vars(v) if not m.startswith('_')] "
            "for k, v in vars(p).items() if isinstance(v, type) and k != 'Operation'}))")
    return json.loads(case.run(peers.PYTHON, "-c", text).text())


def test_mypy_strict_accepts_the_package_for_upstreams_own_types(case):
    mypy, cache = os.path.join(peers.VENV, "bin", "mypy"), os.path.join(harness.BUILD, "peers", "mypy")
    for what in (["-p", "outspan_lonelypsp"], [os.path.join(peers.HERE, "conform.py")]):
        checking = case.start(mypy, "--strict", "--cache-dir", cache, *what)
        assert checking.wait(300) == 0, checking.text()


def test_every_point_of_the_module_is_passed_by_the_package(case):
    called = set()
    for path in glob.glob(os.path.join(SOURCES, "src", "outspan_lonelypsp", "*.py")):
        called |= {n.func.attr for n in ast.walk(ast.parse(open(path, encoding="utf-8").read()))
                   if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)}
    missing = {f"{op}.{p}" for op, names in module_points(case).items() for p in names if p not in called}
    assert not missing, missing


def test_the_page_and_the_catalogue_say_the_same_is_lacking(case):
    """README.md's table: | operation | seams | points that upstream offers no way to |; every operation of the module has a row."""
    page = open(os.path.join(SOURCES, "README.md"), encoding="utf-8").read()
    table = {m[1]: set(re.findall(r"`(\w+)`", m[2])) for m in re.finditer(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|$", page, re.M)}
    declared = {lack for i in catalogue()["implementations"].values() for lack in i["lacks"]}
    assert {f"{op}.{p}" for op, points in table.items() for p in points} == declared
    assert set(module_points(case)) == set(table)


def test_the_modules_points_are_those_of_the_c_programs(case):
    """The same point has the same signature in both, or a tracer would refuse one of them."""
    sites = lines(case.run("outspan", "probes", "--json", peers.module()))
    ours = {p["probe"] for p in sites}
    assert {f"{op}__{p}" for op, names in module_points(case).items() for p in names} <= ours
    # outspan holds each signature against its catalogue, by which the C programs are built, too
    assert all(p["known"] and p["own"] and p["refused"] is None for p in sites), sites
    assert len(sites) == len(ours) > 200


def test_points_in_any_order_with_anything_do_no_harm_untraced_and_traced(case):
    program = case.start(peers.PYTHON, os.path.join(peers.HERE, "junk.py"), stdin=True)
    program.wait_for(r"^\d+ operations, \d+ calls$", "out", 120)
    program.pid = program.popen.pid
    recorder = Recorder(case, [program])
    program.line("")
    assert program.wait(180) == 0, program.err
    session = recorder.stop()
    session.check_books()
    steps, = session.sql("SELECT sum(hits) FROM losses")[0]
    assert steps > 10000


harness.main(globals())
