#!/usr/bin/python3
"""What tells of the commands: help, man pages, completion, and whether what they advise works.
Needs root and BPF for the examples."""
import http.server
import os
import re
import signal
import subprocess
import threading

import harness
from pubsub import OTHER_SECRET, Pair, Recorder, hmac_options, publish, start_publisher

PAGES = os.path.join(harness.BUILD, "docs/man")
COMPLETION = os.path.join(harness.BUILD, "docs/completion/outspan")


def commands(case):
    """The names that `outspan --help` lists."""
    return re.findall(r"^  ([a-z]+) {1,}\S", case.run("outspan", "--help").text().split("`outspan COMMAND")[0], re.M)


def options(case, command):
    """{option as it is typed} of --help: -j, --json."""
    found = set()
    for line in case.run("outspan", command, "--help").text().splitlines():
        if re.match(r" {2,6}-", line):
            found.update(re.findall(r"(?<!\S)(--?[A-Za-z?][a-z-]*)", line[:29].split("  ")[1 if line[2] == "-" else 3]))
    return found


def examples(case, command):
    text = case.run("outspan", command, "--help").text().split("\nExamples:\n")[1]
    return [e.strip() for e in text.replace("\\\n", " ").splitlines()]


def rendered(page):
    """As a terminal shows it, without what makes it bold."""
    out = subprocess.run(["groff", "-man", "-ww", "-Tutf8", "-P-cbou", os.path.join(PAGES, page)], capture_output=True, text=True, check=True)
    assert out.stderr == "", (page, out.stderr)
    return out.stdout


def complete(*words):
    """What bash offers for the last of these words."""
    script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _outspan; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    out = subprocess.run(["bash", "-uc", script, "bash", COMPLETION, *words], capture_output=True, text=True, check=True, cwd=PAGES)
    assert out.stderr == "", out.stderr
    return set(out.stdout.split())


def test_every_option_of_help_is_in_the_man_page_and_the_completion(case):
    names = commands(case)
    assert {"record", "ls", "doctor"} <= set(names) and len(names) >= 11, names
    assert complete("outspan", "") == set(names)
    for name in names:
        wanted = options(case, name)
        assert "--help" in wanted, (name, wanted)
        text = rendered(f"outspan-{name}.1")
        listed = text.split("\nOPTIONS\n")[1].split("\nEXAMPLES\n")[0]
        there = set(re.findall(r"(?<!\S)(--?[A-Za-z?][a-z-]*)", "\n".join(re.findall(r"^ {7}-.*$", listed, re.M))))
        assert there == wanted, (name, there ^ wanted)
        assert complete("outspan", name, "-") == wanted - {"-?"}, (name, complete("outspan", name, "-") ^ wanted)
        for example in examples(case, name):
            assert re.sub(r"\s+", " ", example) in re.sub(r"(\s|\\\n)+", " ", text), (name, example)
    assert sorted(os.listdir(PAGES)) == sorted([*(f"outspan-{n}.1" for n in names), "outspan.1"])


def test_the_index_names_every_page(case):
    text = rendered("outspan.1")
    assert set(re.findall(r"outspan-([a-z]+)\(1\)", text)) == set(commands(case)), text
    assert "outspan-trace-points(7)" in text


def test_completion_offers_orders_options_and_files(case):
    assert complete("outspan", "lo") == {"losses"}
    assert complete("outspan", "--v") == {"--version"}
    assert complete("outspan", "ctl", "s") == {"status", "save", "stop"}
    assert complete("outspan", "ls", "--js") == {"--json"}
    assert complete("outspan", "show", "outspan-l") == {"outspan-ls.1", "outspan-losses.1"}


def test_install_puts_everything_in_its_place(case):
    there = case.path("there")
    case.run("/usr/bin/make", "-C", harness.ROOT, "--no-print-directory", f"O={harness.BUILD}", f"DESTDIR={there}", "PREFIX=/usr", "install")
    found = {os.path.relpath(os.path.join(d, f), there) for d, _, files in os.walk(there) for f in files}
    assert {"usr/bin/outspan", "usr/bin/psp-notify", "usr/share/man/man1/outspan.1", "usr/share/man/man1/outspan-ls.1",
            "usr/share/man/man7/outspan-trace-points.7", "usr/share/bash-completion/completions/outspan",
            "usr/include/outspan/lonelypsp.h", "usr/include/outspan/op.h"} <= found, found
    assert os.access(os.path.join(there, "usr/bin/outspan"), os.X_OK)


# ---- the examples ------------------------------------------------------------------------------------

PRELUDE = """sudo() { "$@"; }
command -v less > /dev/null || less() { cat; }
command -v jq > /dev/null || jq() { python3 -m json.tool; }
"""
RULES = """rules:
  - {name: a publish is taken, after: notify, expect: handle_notify, within: 10s, same: trace}
"""


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes what is posted to /v1/traces."""

    def do_POST(self):
        self.server.got.append((self.path, len(self.rfile.read(int(self.headers["Content-Length"])))))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


class Desk:
    """A folder in which there is what the examples speak of."""

    def __init__(self, case):
        self.case = case
        self.pair = Pair(case, [["--exact", "orders/1"]], topic="orders/1")
        stranger = start_publisher(case, self.pair.broadcaster, "news", "--retries", "1", auth=hmac_options(to_broadcaster=OTHER_SECRET))
        recorder = Recorder(case, [*self.pair.programs, stranger], "--raw", case.path("run.raw"))
        self.pair.publish(4)
        publish(stranger, "not mine", outcome="failed")
        self.session = recorder.stop()
        os.symlink(harness.BUILD, case.path("build"))
        os.symlink(os.path.join(harness.BUILD, "psp-notify"), case.path("psp-notify"))
        with open(case.path("mine.yaml"), "w", encoding="utf-8") as f:
            f.write(RULES)
        self.server = http.server.HTTPServer(("127.0.0.1", 0), Collector)
        self.server.got = []
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.words = {"$(pidof psp-broadcaster)": str(self.pair.broadcaster.pid), "1234": str(self.pair.broadcaster.pid),
                      "1250": str(self.pair.publisher.pid), "8c1f1e2a4b6e": self.session.traces[0].id[:12], "30s": "1s",
                      "http://127.0.0.1:3003": self.pair.broadcaster.url, "localhost:4318": f"127.0.0.1:{self.server.server_port}"}

    def command(self, example):
        for word, now in self.words.items():
            example = example.replace(word, now)
        return example

    def start(self, line):
        env = dict(os.environ, PATH=f"{harness.BUILD}:{os.environ['PATH']}")
        return self.case.start("/bin/bash", "-c", f"set -o pipefail\n{PRELUDE}{self.command(line)}", env=env)

    def run(self, line, statuses=(0,)):
        p = self.start(line)
        status = p.wait()
        said = p.err.decode()
        assert status in statuses, (line, status, said)
        assert not re.search("^(error|usage|Usage|Try )", said, re.M) or status in (3,), (line, said)
        return p

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.pair.stop()


def test_the_examples_of_readers_run(case):
    desk = Desk(case)
    for name in ("ls", "show", "deliveries", "losses", "check", "replay", "export"):
        for example in examples(case, name):
            p = desk.run(example)
            assert p.out or re.search(r" -o |curl", example), (example, p.err)
    assert [path for path, size in desk.server.got if size > 1000] == ["/v1/traces"], desk.server.got
    assert all(os.path.getsize(case.path(f)) for f in ("complete.json", "traces.json", "run.db", "again.db", "one.db"))
    desk.close()


def test_the_examples_of_what_looks_at_the_machine_run(case):
    desk = Desk(case)
    for example in examples(case, "probes"):
        assert desk.run(example).out, example
    for example in examples(case, "doctor"):
        assert b"btf" in desk.run(example, (0, 3)).out.lower(), example
    desk.close()


def test_the_examples_of_recording_and_ordering_run(case):
    desk = Desk(case)
    for example in examples(case, "record"):
        if " --for " in example or " -- " in example:
            desk.run(example)
            continue
        recorder = desk.start(example.replace("sudo ", "exec "))
        recorder.wait_for(r"^ready: ")
        desk.words["1234"] = str(recorder.pid)
        for order in examples(case, "ctl"):
            assert desk.run(order).out, order
        assert recorder.wait() == 0, recorder.err
    assert os.path.exists(case.path("first.db")) and os.path.exists(case.path("run.db"))
    desk.close()


harness.main(globals())
