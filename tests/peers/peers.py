"""The real Python packages as peers: started, told and asked by tests, which record around them.

The programs (peer_*.py) run in BUILD/peers/venv, made by scripts/peers; without it every test is skipped.
"""
import glob
import hashlib
import json
import os
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import harness  # noqa: E402
from pubsub import SECRET  # noqa: E402

VENV = os.path.join(harness.BUILD, "peers", "venv")
PYTHON = os.path.join(VENV, "bin", "python")
HTTP, WEBSOCKET = [], ["--websocket"]
AUTH = {"none": "none", "token": "token:a-secret", "hmac": "hmac:" + SECRET}


def module():
    """The module that has the points: a recorder that is given it with -e sees programs from their start."""
    found, = glob.glob(os.path.join(VENV, "lib", "*", "site-packages", "outspan_lonelypsp", "points*.so"))
    return found


def require():
    """Ends the test program as skipped if the peers cannot be had."""
    reason = os.path.join(harness.BUILD, "peers", "reason")
    if os.path.exists(reason):
        print(open(reason).read().strip())
        sys.exit(77)
    if not os.path.exists(PYTHON):
        print("the Python peers are not there - run `make peers-environment`")
        sys.exit(77)


class Peer:
    """A Python program; like pubsub.Program, but what it tells stands on its standard output."""

    def __init__(self, case, name, *args, auth="none"):
        self.name = name
        self.process = case.start(PYTHON, os.path.join(HERE, name), "--auth", AUTH[auth], *args, stdin=True)
        self.pid = self.process.pid
        self.port = int(self.process.wait_for(r"^ready: port=(\d+)").group(1))
        self.url = f"http://127.0.0.1:{self.port}"

    def ask(self, text, answer):
        """A line on standard input; the match of its answer among what comes."""
        said = len(self.process.out)
        self.process.line(text)
        return self.process.wait_for(answer, "out", after=said)

    def publish(self, topic, size, wanted=1):
        """A message of so many zeros; wanted: how many subscribers the broadcaster is to count."""
        found = self.ask(f"publish {topic} {size}", r"^(published|failed) (\w+)$")
        assert found.groups() == (b"published", b"%d" % wanted), found.group()

    def check_received(self, topic, size, count=1):
        """So many messages of this size have come in all, whole."""
        line = f"received {topic} {size} {hashlib.sha512(bytes(size)).hexdigest()}\n"
        self.process.wait_for(f"({line}(.*\n)*){{{count}}}" if count > 1 else line, "out")
        assert self.process.text().count(line) == count, self.process.text()

    def quit(self):
        """Ends it as an application would."""
        self.process.line("quit")
        assert self.process.wait() == 0, self.process.err

    def stop(self, number=signal.SIGTERM):
        return self.process.stop(number)


def start_broadcaster(case, *args, auth="none"):
    return Peer(case, "peer_broadcaster.py", "--db", case.path("subscriptions.db"), *args, auth=auth)


def start_client(case, broadcaster, *args, auth="none"):
    return Peer(case, "peer_client.py", "--broadcaster", broadcaster.url, *args, auth=auth)


def c_auth(auth):
    """The C pair's options for the same."""
    return [] if auth == "none" else ["--auth-to-broadcaster", AUTH[auth], "--auth-to-subscriber", AUTH[auth]]


def check_whole(session):
    """
    No operation is marked. Clients are often not recorded: what came soon after the begin may have had its cause before it,
    and as each process has the points of both sides, outspan expects the other one.
    """
    assert not [t for t in session.traces if set(t.marks()) - {"may_be_cut"}], session.traces
    session.check_no_loss()


def check_conforms(session, *lacking):
    """Every operation as the catalogue has it, but for these points, which upstream offers no way to."""
    found = json.loads(session.case.run("outspan", "check", "--json", session.path).text())
    assert found["genuine"] == 0 and found["findings"] == [], found
    assert {f"{u['operation']}.{u['point']}" for u in found["unseen"] if u["why"] == "not provided"} == set(lacking), found
    check_whole(session)
