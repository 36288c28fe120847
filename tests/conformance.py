#!/usr/bin/python3
"""Every operation of the catalogue has a recorded exchange that `outspan check` accepted, and one that failed.

Comes after the tests that record (scripts/check): harness.check_accepts notes what was accepted there. If some of them
did not run as a whole, what is lacking is not known, and skipped.
"""
import glob
import os
import sys

import yaml

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "e2e"))
import harness  # noqa: E402

CATALOGUE = os.path.join(harness.ROOT, "probes", "catalogue", "lonelypsp.yaml")


def recording_programs():
    """The test programs that ask check."""
    for path in sorted(glob.glob(os.path.join(harness.ROOT, "tests", "e2e", "*.py")) + glob.glob(os.path.join(harness.ROOT, "tests", "peers", "*.py"))):
        if os.access(path, os.X_OK) and "check_accepts(" in open(path, encoding="utf-8").read():
            yield path


def notes():
    """({(operation, status)} that were accepted, the programs that did not run as a whole)"""
    accepted, partial = set(), []
    for program in recording_programs():
        path = harness.notes_of(program)
        lines = open(path, encoding="utf-8").read().splitlines() if os.path.exists(path) else []
        accepted |= {tuple(line.split(" ")) for line in lines if line != harness.ALL_RAN}
        if harness.ALL_RAN not in lines:
            partial.append(os.path.relpath(program, os.path.join(harness.ROOT, "tests")))
    return accepted, partial


def check_operations(status):
    accepted, partial = notes()
    operations = yaml.safe_load(open(CATALOGUE, encoding="utf-8"))["operations"]
    lacking = sorted(set(operations) - {operation for operation, s in accepted if s == status})
    print(f"# {len(operations)} operations")
    if lacking and partial:
        raise harness.Skip(f"not known of {', '.join(lacking)}: did not all run: {', '.join(partial)}")
    assert operations and not lacking, f"no accepted exchange with status {status}: {', '.join(lacking)}"


def test_every_operation_that_went_well_was_accepted(_):
    check_operations("ok")


def test_every_operation_that_failed_was_accepted(_):
    check_operations("error")


harness.main(globals())
