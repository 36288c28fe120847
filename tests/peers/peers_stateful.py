"""Programs on web sockets, C and Python alike: a broadcaster, publishers, subscribers, and messages for them."""
import base64
import hashlib
import os
import random

import peers  # first: it shows where the others are
from peers import c_auth

import harness
from pubsub import publish, start_broadcaster, start_publisher, start_subscriber

MIB = 1 << 20
PART = "3M"  # of a web socket message, as the Python programs have it


def text(size, seed):
    """Always the same; no line ends in it, and it packs to three quarters."""
    return base64.b64encode(random.Random(seed).randbytes(size))[:size]


def brief(message):
    return len(message), hashlib.sha512(message).hexdigest()[:16]


def everybody():
    """Options of a recorder: whoever runs one of these programs, from the first step on."""
    files = [os.path.join(harness.BUILD, "psp-" + name) for name in ("broadcaster", "subscriber", "notify")]
    return [word for path in [*files, peers.module()] for word in ("-e", path)]


class CPublisher:
    def __init__(self, case, broadcaster, topic, auth, options):
        self.program = start_publisher(case, broadcaster, topic, "--ws", "--ws-message", PART, *options, auth=c_auth(auth))
        self.pid = self.program.pid

    def publish(self, message, wanted):
        assert publish(self.program, message)["subscribers"] == str(wanted)

    def quit(self):
        assert self.program.process.wait() == 0


class PythonPublisher:
    def __init__(self, case, broadcaster, topic, auth, options):
        self.path, self.topic = case.path("message"), topic
        self.program = peers.start_client(case, broadcaster, "--websocket", *options, auth=auth)
        self.pid = self.program.pid

    def publish(self, message, wanted):
        with open(self.path, "wb") as f:
            f.write(message)
        found = self.program.ask(f"publish {self.topic} @{self.path}", r"^(published|failed) (\w+)$")
        assert found.groups() == (b"published", b"%d" % wanted), found.group()

    def quit(self):
        self.program.quit()


class CSubscriber:
    def __init__(self, case, broadcaster, kind, pattern, auth, options):
        self.program = start_subscriber(case, broadcaster, "--ws", "--" + kind, pattern, *options, auth=c_auth(auth))
        self.pid = self.program.pid

    def received(self, count):
        """(size, hash) of all messages that came, once there are so many."""
        return [(int(r["bytes"]), r["sha512"]) for r in self.program.wait_log("receive", count) if r["outcome"] == "ok"]

    def quit(self):
        assert self.program.stop() == 0


class PythonSubscriber:
    def __init__(self, case, broadcaster, kind, pattern, auth, options):
        self.program = peers.start_client(case, broadcaster, "--websocket", "--" + kind, pattern, *options, auth=auth)
        self.pid = self.program.pid

    def received(self, count):
        self.program.process.wait_for(r"(?:^received .*\n(?:.*\n)*?){%d}" % count, "out")
        said = [line.split() for line in self.program.process.text().splitlines() if line.startswith("received ")]
        return [(int(size), digest[:16]) for _, _, size, digest in said]

    def quit(self):
        self.program.quit()
