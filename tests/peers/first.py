#!/usr/bin/python3
import peers
import harness
from pubsub import Recorder

peers.require()

def test_one(case):
    b = peers.start_broadcaster(case, auth="hmac")
    s = peers.start_client(case, b, "--exact", "a/b", auth="hmac")
    p = peers.start_client(case, b, auth="hmac")
    r = Recorder(case, [b, s, p])
    p.publish("a/b", 5)
    s.check_received("a/b", 5)
    session = r.stop()
    for t in session.traces:
        print("#", t.line, "\n", t, t.table())
        print(case.run("outspan","show",session.path,t.id,"-v").text())
    print(s.process.err.decode(), b.process.err.decode(), p.process.err.decode())
    print(session.hits())
    session.check_no_loss()

harness.main(globals())
