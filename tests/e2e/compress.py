#!/usr/bin/python3
"""Compression between web sockets: dictionaries from files and trained ones, and what is refused."""
import os

import harness
from pubsub import Recorder, Trace, attribute, events, lines, publish, start_broadcaster, start_publisher, start_subscriber

LOW, HIGH = "65536", "65537"
PRESET = "a reading of the temperature in degrees celsius by the sensor in the laboratory of the building"


def reading(i):
    """A message such as many are like; no two are the same. Under 110 bytes."""
    return f'{{"sensor": "laboratory {i * 7919 % 97}", "unit": "degrees celsius", "value": {i * 104729 % 10007}, "state": "measured {i}"}}'


def preset(case, text=PRESET, name="preset"):
    path = case.path(name)
    with open(path, "w") as f:
        f.write(text)
    return path


def start_connected(case, broadcaster, *args):
    subscriber = start_subscriber(case, broadcaster, "--ws", "--exact", "t", *args, stdin=True)
    subscriber.process.wait_for("^connection receiving", "out")
    return subscriber


def spans_of(session, operation, root=""):
    """In traces whose root's name begins so, in the order of their times."""
    found = [Trace(session, line) for line in lines(session.case.run("outspan", "ls", "--json", session.path))
             if line["root"].startswith(root)]
    return sorted((s for t in found for s in t.spans if s["operation"] == operation), key=lambda s: s["start_ns"])


def deliver(publisher, subscriber, texts):
    """Publishes them one by one, each until the subscriber has it as it was; no two are the same."""
    for text in texts:
        sent = publish(publisher, text)
        subscriber.wait_log("receive", 1, sha512=sent["sha512"], bytes=len(text))
    assert all(r["outcome"] == "ok" for r in subscriber.log("receive"))


def test_dictionaries_are_trained_used_and_replaced(case):
    broadcaster = start_broadcaster(case, "--train-first", "10K", "--train-second", "30K", "--train-interval", "1h")
    recorder = Recorder(case, [broadcaster], "-e", os.path.join(harness.BUILD, "psp-subscriber"))
    subscriber = start_connected(case, broadcaster, "--zstd-training")
    publisher = start_publisher(case, broadcaster, "t", "--ws")
    numbers = iter(range(10000))

    def deliver_until(compressor):
        for _ in range(50):
            deliver(publisher, subscriber, [reading(next(numbers)) for _ in range(20)])
            if broadcaster.log("stateful_deliver")[-1]["compressor"] == compressor:
                return
        raise AssertionError(f"no message came with compressor {compressor}: {broadcaster.log('training')}")

    deliver_until(LOW)
    deliver_until(HIGH)
    low, high = broadcaster.log("training")
    assert (low["mark"], low["outcome"], high["mark"], high["outcome"]) == ("low", "ok", "high", "ok")
    assert 10 << 10 <= int(low["bytes"]) < (10 << 10) + 110 and 30 << 10 <= int(high["bytes"]) < (30 << 10) + 110
    assert 256 <= int(low["dictionary"]) <= 16384 and 256 <= int(high["dictionary"]) <= 65536
    small = [d for d in broadcaster.log("stateful_deliver", compressor=HIGH)]
    assert small and all(int(d["sent"]) < int(d["bytes"]) // 2 for d in small), small[0]
    used = [d["compressor"] for d in broadcaster.log("stateful_deliver")]
    assert used == sorted(used, key=int) and set(used) == {"0", LOW, HIGH}  # one after the other, and none again

    assert publisher.process.wait() == 0 and subscriber.stop() == 0 and broadcaster.stop() == 0
    session = recorder.stop()
    trainings = [s for s in spans_of(session, "train_compressor", "stay connected") if "trained" in events(s)]
    assert [attribute(s, "lonelypsp.compression_level") for s in trainings] == [3, 10]
    for operation, end in (("compressor", "sending_disable"), ("handle_compressor", "removed")):
        standard, *found = spans_of(session, operation, "stay connected")
        assert [attribute(s, "lonelypsp.compressor") for s in (standard, *found)] == [1, int(LOW), int(HIGH)], operation
        assert [(s["status"], s["code"], events(s)[-1]) for s in found] == [
            ("ok", None, end), ("unset", "connection_lost", "connection_lost")], (operation, found)
    session.check_no_loss()
    harness.check_accepts(session)


def test_a_preset_of_both_sides_serves_small_messages_both_ways(case):
    option = f"5={preset(case)}"
    broadcaster = start_broadcaster(case, "--zstd-preset", option)
    wanted = ("--zstd", "--zstd-preset", option, "--zstd-initial", "5")
    subscriber = start_connected(case, broadcaster, *wanted)
    publisher = start_publisher(case, broadcaster, "t", "--ws", *wanted)
    recorder = Recorder(case, [broadcaster, subscriber, publisher])
    deliver(publisher, subscriber, ["x"])  # by then both have what was offered
    deliver(publisher, subscriber, [PRESET + str(i) for i in range(10)] + ["too short"])
    assert publisher.process.wait() == 0 and subscriber.stop() == 0 and broadcaster.stop() == 0
    session = recorder.stop()
    for what in "handle_stateful_notify", "stateful_deliver":
        assert [e["compressor"] for e in broadcaster.log(what.replace("handle_", ""))] == ["0"] + ["5"] * 10 + ["0"], what
    sent = broadcaster.log("stateful_deliver", compressor=5)
    assert all(int(d["sent"]) < 40 < int(d["bytes"]) for d in sent), sent[0]
    for operation, step in (("stateful_notify", "compressed"), ("stateful_receive", "decompressed")):
        words = [e for s in spans_of(session, operation, "publish") for e in events(s) if e in (step, "compressor_skipped")]
        assert words == ["compressor_skipped"] + [step] * 10 + ["compressor_skipped"], (operation, words)
    session.check_no_loss()
    # both ends of two sessions, and of two compressors in each
    harness.check_accepts(session, attach_began_in_the_middle=4 + 8)


def test_another_dictionary_of_the_same_number_ends_the_connection_or_shows_in_the_message(case):
    broadcaster = start_broadcaster(case, "--zstd-preset", f"5={preset(case)}")
    other = preset(case, PRESET.upper(), "other")
    subscriber = start_connected(case, broadcaster, "--zstd", "--zstd-preset", f"5={other}", "--zstd-initial", "5")
    publisher = start_publisher(case, broadcaster, "t", "--ws")
    sent = publish(publisher, PRESET)
    received = subscriber.wait_log("receive", 1)[0]
    assert received["outcome"] != "ok" or received["sha512"] != sent["sha512"], received
    assert publisher.process.wait() == 0 and subscriber.stop() == 0 and broadcaster.stop() == 0


def test_a_preset_the_broadcaster_does_not_have_is_left_out(case):
    broadcaster = start_broadcaster(case)
    option = f"5={preset(case)}"
    subscriber = start_connected(case, broadcaster, "--zstd", "--zstd-preset", option, "--zstd-initial", "5")
    publisher = start_publisher(case, broadcaster, "t", "--ws")
    deliver(publisher, subscriber, [PRESET, "large " * 10000])
    assert [d["compressor"] for d in broadcaster.log("stateful_deliver")] == ["0", "1"]
    assert publisher.process.wait() == 0 and subscriber.stop() == 0 and broadcaster.stop() == 0


def test_a_broadcaster_may_compress_and_train_nothing(case):
    broadcaster = start_broadcaster(case, "--no-zstd")
    subscriber = start_connected(case, broadcaster, "--zstd", "--zstd-training")
    publisher = start_publisher(case, broadcaster, "t", "--ws", "--zstd")
    deliver(publisher, subscriber, ["large " * 10000] + [reading(i) for i in range(10)])
    assert {d["compressor"] for d in broadcaster.log("stateful_deliver")} == {"0"}
    assert broadcaster.log("compressor") == [] == broadcaster.log("training")
    assert publisher.process.wait() == 0 and subscriber.stop() == 0 and broadcaster.stop() == 0


if __name__ == "__main__":
    harness.main(globals())
