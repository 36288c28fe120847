#!/usr/bin/env python3
"""The real programs against each other and against a hand-written peer, without tracing.

Prints TAP. Expectations come from the programs' own logs and from the protocol's definition,
which is written down here a second time, independently of the C code.
usage: pair.py [BUILD_DIR]
"""
import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import os
import re
import secrets
import select
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.environ.get('O', ROOT + '/build'))
SECRET = base64.urlsafe_b64encode(bytes(range(64))).decode().rstrip('=')
OTHER = base64.urlsafe_b64encode(bytes(range(1, 65))).decode().rstrip('=')
HMAC = ['--auth-to-broadcaster', 'hmac:' + SECRET, '--auth-to-subscriber', 'hmac:' + SECRET]
TOKEN = ['--auth-to-broadcaster', 'token:to b', '--auth-to-subscriber', 'token:to-s']
WAIT = 20

# ---- programs ------------------------------------------------------------------------------------


class Program:
    """A running program with its stdout lines, its ready line and its log."""
    all = []

    def __init__(self, name, *args, ready=True, stdin=subprocess.PIPE):
        self.log_path = os.path.join(scratch, '%s-%d.log' % (name, len(Program.all)))
        self.process = subprocess.Popen([os.path.join(BUILD, name), '--log', self.log_path, *args],
                                        stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        Program.all.append(self)
        self.lines, self.errors = [], []
        self.news = threading.Condition()
        self.readers = [threading.Thread(target=self.read, args=x, daemon=True) for x in
                        ((self.process.stdout, self.lines), (self.process.stderr, self.errors))]
        for thread in self.readers:
            thread.start()
        if ready:
            line = self.wait_line(lambda l: l.startswith('ready: '), self.errors)
            found = re.search(r'port=(\d+)', line)
            self.port = int(found.group(1)) if found else None

    def read(self, stream, into):
        for line in stream:
            with self.news:
                into.append(line.decode('utf-8', 'replace').rstrip('\n'))
                self.news.notify_all()
        with self.news:
            into.append(None)
            self.news.notify_all()

    def wait_line(self, wanted, lines=None, start=0):
        lines = self.lines if lines is None else lines
        with self.news:
            def find():
                for line in lines[start:]:
                    if line is None or wanted(line):
                        return True
                return False
            assert self.news.wait_for(find, WAIT), 'no line came: %r' % (self.lines + self.errors)
            for line in lines[start:]:
                if line is not None and wanted(line):
                    return line
        raise AssertionError('ended without the line: %r %r' % (self.lines, self.errors))

    def command(self, text):
        """Sends a line; the next line on stdout is its answer."""
        with self.news:
            at = len(self.lines)
        self.process.stdin.write(text.encode() + b'\n')
        self.process.stdin.flush()
        return self.wait_line(lambda l: not l.startswith('message'), start=at)

    def log(self, what=None, **fields):
        out = []
        with open(self.log_path) as f:
            for line in f:
                words = line.split()
                entry = dict(w.split('=', 1) for w in words[1:])
                entry['what'] = words[0]
                if what in (None, words[0]) and all(entry.get(k) == v for k, v in fields.items()):
                    out.append(entry)
        return out

    def wait(self):
        """The exit status, when all that was printed is read."""
        code = self.process.wait(2 * WAIT)
        for thread in self.readers:
            thread.join(WAIT)
        return code

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.wait()


def broadcaster(*args, **options):
    return Program('psp-broadcaster', '--listen', '127.0.0.1:0', *args, **options)


def url_of(program):
    return 'http://127.0.0.1:%d' % program.port


def subscriber(b, *args, **options):
    s = Program('psp-subscriber', '--broadcaster', url_of(b), *args, **options)
    if options.get('ready', True):
        keys = args.count('--exact') + args.count('--glob')
        wait_until(lambda: len(s.lines) >= keys)
    return s


def notify(b, *args, data=None, code=0):
    """Runs psp-notify to its end; returns the program."""
    p = Program('psp-notify', '--broadcaster', b if isinstance(b, str) else url_of(b), *args,
                ready=False)
    if data is not None:
        p.process.stdin.write(data)
    p.process.stdin.close()
    assert p.wait() == code, (p.process.returncode, p.lines, p.errors)
    return p


def database():
    return os.path.join(scratch, secrets.token_hex(4) + '.db')


def short_hash(data):
    return hashlib.sha512(data).hexdigest()[:16]


def wait_until(condition):
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end, 'did not happen'
        time.sleep(0.01)


# ---- the protocol, written by hand -----------------------------------------------------------------

def v8(b):
    return bytes([len(b)]) + b


def v16(b):
    return struct.pack('>H', len(b)) + b


def v64(b):
    return struct.pack('>Q', len(b)) + b


def sign(kind, fields, tracing=b'', key=SECRET, at=None):
    seconds, nonce = int(at or time.time()), secrets.token_urlsafe(4)
    signed = bytes([kind]) + struct.pack('>Q', seconds) + v8(nonce.encode()) + v16(tracing) + fields
    mac = hmac.new(base64.urlsafe_b64decode(key + '=='), signed, hashlib.sha512).digest()
    return 'X-HMAC %d:%s:%s' % (seconds, nonce, base64.b64encode(mac).decode())


def verify(header, kind, fields, tracing=b''):
    seconds, nonce, mac = header[len('X-HMAC '):].split(':')
    signed = bytes([kind]) + struct.pack('>Q', int(seconds)) + v8(nonce.encode()) + v16(tracing) + fields
    want = hmac.new(bytes(range(64)), signed, hashlib.sha512).digest()
    assert base64.b64decode(mac) == want, 'wrong signature of kind %d' % kind


def notify_body(topic, message, identifier=b'identifier', tracing=b'', digest=None, length=None):
    return (v16(topic) + (digest or hashlib.sha512(message).digest()) + v16(tracing) +
            v8(identifier) + struct.pack('>Q', len(message) if length is None else length) + message)


def notify_sign(topic, message, identifier=b'identifier', tracing=b'', key=SECRET):
    return sign(3, v16(topic) + v8(identifier) + hashlib.sha512(message).digest(), tracing, key)


def subscribe_body(url, key, recovery=b'', tracing=b'', subscribe=True):
    return v16(url) + v16(key) + (v16(recovery) if subscribe else b'') + v16(tracing)


def subscribe_sign(url, key, recovery=b'', tracing=b'', kind=1):
    return sign(kind, v16(url) + v16(recovery) + v16(key), tracing)


def receive_body(topic, message, identifier=b'12345678', tracing=b'', length=None):
    return (v16(tracing) + v16(topic) + v8(identifier) +
            struct.pack('>Q', len(message) if length is None else length) + message)


def repr_digest(message):
    return 'sha-512=' + base64.b64encode(hashlib.sha512(message).digest()).decode()


def receive_sign(url, topic, message, identifier=b'12345678', tracing=b'', key=SECRET):
    return sign(10, v16(url) + v16(topic) + v8(identifier) + hashlib.sha512(message).digest(),
                tracing, key)


def post(port, path, body, authorization=None, method='POST', **headers):
    """Returns (status, body)."""
    c = http.client.HTTPConnection('127.0.0.1', port, timeout=WAIT)
    headers = {k.replace('_', '-'): v for k, v in headers.items()}
    if authorization is not None:
        headers['Authorization'] = authorization
    c.request(method, path, body, headers)
    r = c.getresponse()
    out = r.status, r.read()
    c.close()
    return out


class Reader:
    def __init__(self, data):
        self.data = data

    def take(self, n):
        assert len(self.data) >= n, 'short'
        out, self.data = self.data[:n], self.data[n:]
        return out

    def number(self, n):
        return int.from_bytes(self.take(n), 'big')

    def string(self, n):
        return self.take(self.number(n))


class Peer:
    """A hand-written subscriber: answers every request with what `reply` makes of it."""

    def __init__(self, reply):
        self.socket = socket.create_server(('127.0.0.1', 0))
        self.port = self.socket.getsockname()[1]
        self.url = b'http://127.0.0.1:%d/v1/receive' % self.port
        self.reply = reply
        self.requests = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.converse, args=(c,), daemon=True).start()

    def converse(self, c):
        with contextlib.suppress(OSError), c, c.makefile('rb') as f:
            while True:
                line = f.readline()
                if not line:
                    return
                headers = http.client.parse_headers(f)
                body = f.read(int(headers['Content-Length']))
                self.requests.append((line, headers, body))
                answer = self.reply(self, headers, body)
                if answer is None:
                    return
                c.sendall(b'HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s' %
                          (answer[0], len(answer[1]), answer[1]))

    def close(self):
        self.socket.close()


def confirm(identifier, key=None, url=None, count=1, tracing=b''):
    a = b''
    if key:
        a = sign(8, v8(identifier) + struct.pack('>I', count) + v16(url), tracing, key).encode()
    return struct.pack('>H', 8) + v16(a) + v16(tracing) + v8(identifier) + struct.pack('>I', count)


def received(body):
    r = Reader(body)
    return {'tracing': r.string(2), 'topic': r.string(2), 'identifier': r.string(1),
            'message': r.string(8)}


def hand_subscribe(b, url, topic, recovery=b'', glob=False):
    status, _ = post(b.port, '/v1/subscribe/' + ('glob' if glob else 'exact'),
                     subscribe_body(url, topic, recovery))
    assert status == 200, status


# ---- tests -----------------------------------------------------------------------------------------

tests = []


def test(f):
    tests.append(f)
    return f


def deliver_everywhere(auth):
    b = broadcaster(*auth)
    subs = [subscriber(b, '--exact', 'a/b', '--exact', 'only/one', *auth),
            subscriber(b, '--exact', 'a/b', *auth),
            subscriber(b, '--glob', 'a/*', *auth)]
    big = os.urandom(1 << 20) * 24
    path = os.path.join(scratch, 'big')
    with open(path, 'wb') as f:
        f.write(big)
    for args, message, topic, want in (
            (['a/b', '-'], b'', 'a/b', 3), (['a/b', 'x' * 1024], b'x' * 1024, 'a/b', 3),
            (['a/b', '--file', path], big, 'a/b', 3), (['only/one', '-'], b'one\x00two', 'only/one', 1),
            (['no/body', 'x'], b'x', 'no/body', 0), (['a/c', 'x'], b'x', 'a/c', 1)):
        n = notify(b, *args, *auth, data=message if '-' in args else None)
        p, = n.log('publish')
        digest = short_hash(message)
        assert (p['topic'], p['sha512'], p['bytes']) == (topic, digest, str(len(message))), p
        assert (p['outcome'], p['attempts'], p['subscribers']) == ('ok', '1', str(want)), p
        h, = b.log('notify', identifier=p['identifier'])
        assert (h['topic'], h['sha512'], h['status'], h['outcome']) == (topic, digest, '200', 'ok'), h
        assert int(p['begin']) < int(h['begin']) < int(h['end']) < int(p['end'])
        sent = b.log('deliver', notify=p['identifier'])
        got = [r for s in subs for r in s.log('receive', topic=topic, sha512=digest)]
        assert len(sent) == len(got) == want, (sent, got)
        assert sorted(d['identifier'] for d in sent) == sorted(r['identifier'] for r in got)
        assert {d['url'] for d in sent} == {r['url'] for r in got}
        assert all(d['outcome'] == 'ok' and d['subscribers'] == '1' for d in sent)
    for s in subs:
        assert s.stop() == 0
    assert b.log('unsubscribe', status='200') and len(b.log('unsubscribe')) == 4
    assert b.stop() == 0


@test
def messages_reach_every_subscriber_without_authorization():
    deliver_everywhere([])


@test
def messages_reach_every_subscriber_under_tokens():
    deliver_everywhere(TOKEN)


@test
def messages_reach_every_subscriber_under_hmac():
    deliver_everywhere(HMAC)


@test
def directions_are_authorized_independently():
    for auth in (HMAC[:2], HMAC[2:], TOKEN[:2] + HMAC[2:]):
        b = broadcaster(*auth)
        s = subscriber(b, '--exact', 't', *auth)
        n = notify(b, 't', 'x', *auth)
        assert n.log('publish')[0]['subscribers'] == '1'
        assert s.stop() == 0 and b.stop() == 0


@test
def subscriptions_are_counted():
    b = broadcaster(*HMAC)
    s = subscriber(b, *HMAC)
    assert s.command('subscribe exact x y').startswith('subscribed exact x y outcome=ok status=200 count=1')
    assert s.command('subscribe exact x y').startswith('subscribed exact x y outcome=counted status=0 count=2')
    assert s.command('subscribe glob x*').startswith('subscribed glob x* outcome=ok')
    assert notify(b, 'x y', 'm', *HMAC).log('publish')[0]['subscribers'] == '2'
    assert s.command('unsubscribe exact x y').startswith('unsubscribed exact x y outcome=counted status=0 count=1')
    assert len(b.log('unsubscribe')) == 0
    assert s.command('unsubscribe exact x y').startswith('unsubscribed exact x y outcome=ok status=200 count=0')
    assert s.command('unsubscribe exact x y').startswith('refused unsubscribe exact x y')
    assert s.command('unsubscribe glob x*').startswith('unsubscribed glob x* outcome=ok')
    assert s.command('subscribe glob \x01').startswith('subscribed glob \\x01')
    assert s.command('nonsense').startswith('refused command=nonsense')
    assert notify(b, 'x y', 'm', *HMAC).log('publish')[0]['subscribers'] == '0'
    assert s.stop() == 0 and b.stop() == 0


@test
def changes_sent_at_once_are_answered_in_order():
    b = broadcaster()
    s = subscriber(b)
    s.process.stdin.write(b'subscribe exact a\nsubscribe exact b\nsubscribe exact a\n'
                          b'unsubscribe exact a\nunsubscribe exact a\nsubscribe exact a\nquit\n')
    s.process.stdin.flush()
    assert s.wait() == 0
    s.wait_line(lambda l: l.startswith('unsubscribed exact b'))
    about_a = [re.sub(r' status.*', '', l) for l in s.lines if l and ' exact a ' in l]
    assert about_a == ['subscribed exact a outcome=ok', 'subscribed exact a outcome=counted',
                       'unsubscribed exact a outcome=counted', 'unsubscribed exact a outcome=ok',
                       'subscribed exact a outcome=ok', 'unsubscribed exact a outcome=ok'], about_a
    assert [l['outcome'] for l in b.log()] == ['ok'] * len(b.log())
    assert b.stop() == 0


@test
def conflicts_are_409_and_no_failure_for_the_subscriber():
    db = database()
    b = broadcaster('--db', db)
    for glob in ('exact', 'glob'):
        path = '/v1/%s/' + glob
        body, un = subscribe_body(b'http://h/', b'k'), subscribe_body(b'http://h/', b'k', subscribe=False)
        assert post(b.port, path % 'unsubscribe', un) == (409, b'')
        assert post(b.port, path % 'subscribe', body)[0] == 200
        assert post(b.port, path % 'subscribe', subscribe_body(b'http://h/', b'k', b'http://r/')) == (409, b'')
        assert post(b.port, path % 'unsubscribe', un)[0] == 200
        assert post(b.port, path % 'unsubscribe', un) == (409, b'')
    s = subscriber(b, '--exact', 't', '--keep')
    port = s.port
    assert s.stop() == 0
    s = subscriber(b, '--exact', 't', '--listen', '127.0.0.1:%d' % port)
    assert s.log('subscribe')[0]['outcome'] == 'conflict' and s.log('subscribe')[0]['status'] == '409'
    assert s.command('unsubscribe exact t').startswith('unsubscribed exact t outcome=ok')
    with sqlite3.connect(db) as c:
        assert c.execute('SELECT count(*) FROM subscription_exact').fetchone() == (0,)
    assert s.command('subscribe exact t').startswith('subscribed')
    assert post(b.port, '/v1/unsubscribe/exact',
                subscribe_body(b'http://127.0.0.1:%d/v1/receive' % port, b't', subscribe=False))[0] == 200
    assert s.command('unsubscribe exact t').startswith('unsubscribed exact t outcome=conflict status=409')
    assert s.stop() == 0 and b.stop() == 0


@test
def a_wrong_secret_is_refused():
    b = broadcaster(*HMAC)
    wrong = ['--auth-to-broadcaster', 'hmac:' + OTHER] + HMAC[2:]
    s = subscriber(b, '--exact', 't', '--glob', 'g*', *wrong, ready=False)
    assert s.wait() == 1
    assert s.lines[0].startswith('refused subscribe exact t outcome=refused status=403'), s.lines
    assert {l['outcome'] for l in b.log('subscribe')} == {'forbidden'}
    n = notify(b, 't', 'x', '--retries', '1', *wrong, code=1)
    p, = n.log('publish')
    assert (p['outcome'], p['status'], p['attempts']) == ('retries_exhausted', '403', '1'), p
    n = notify(b, 't', 'x', '--retries', '1', code=1)
    assert n.log('publish')[0]['status'] == '401'
    # an answer signed with a secret that the publisher does not have
    n = notify(b, 't', 'x', '--retries', '1', *HMAC[:2], '--auth-to-subscriber', 'hmac:' + OTHER, code=1)
    assert n.log('attempt')[0]['outcome'] == 'bad_auth'
    # a subscriber that cannot check deliveries asks to be unsubscribed
    s = subscriber(b, *HMAC[:2])
    s.command('subscribe exact t')
    s2 = subscriber(b, '--exact', 't', *HMAC)
    assert s2.stop() == 0 and s.stop() == 0 and b.stop() == 0


@test
def a_delivery_with_a_wrong_secret_unsubscribes():
    b = broadcaster(*HMAC)
    s = subscriber(b, *HMAC)
    s.command('subscribe exact t')
    s.stop(signal.SIGKILL)
    port = s.port
    s = Program('psp-subscriber', '--broadcaster', url_of(b), '--listen', '127.0.0.1:%d' % port,
                *HMAC[:2], '--auth-to-subscriber', 'hmac:' + OTHER)
    n = notify(b, 't', 'x', *HMAC)
    assert n.log('publish')[0]['subscribers'] == '0'
    assert b.log('deliver')[0]['outcome'] == 'unsubscribed'
    assert s.log('receive')[0]['status'] == '403'
    notify(b, 't', 'x', *HMAC)
    assert len(b.log('deliver')) == 1
    s.stop()
    assert b.stop() == 0


@test
def refusing_subscribers_are_removed_at_once():
    db = database()
    b = broadcaster('--db', db)
    s = subscriber(b, '--exact', 't', '--glob', 't*', '--refuse')
    other = subscriber(b, '--exact', 't')
    n = notify(b, 't', 'x')
    assert n.log('publish')[0]['subscribers'] == '1'
    assert sorted(d['outcome'] for d in b.log('deliver')) == ['ok', 'unsubscribed', 'unsubscribed']
    with sqlite3.connect(db) as c:
        assert c.execute('SELECT count(*) FROM subscription_exact').fetchone() == (1,)
        assert c.execute('SELECT count(*) FROM subscription_glob').fetchone() == (0,)
    assert s.stop() == 0 and other.stop() == 0 and b.stop() == 0


@test
def a_replayed_request_is_forbidden_also_after_a_restart():
    db = database()
    b = broadcaster('--db', db, *HMAC)
    body, header = notify_body(b't', b'x'), notify_sign(b't', b'x')
    assert post(b.port, '/v1/notify', body, header)[0] == 200
    assert post(b.port, '/v1/notify', body, header) == (403, b'')
    body2, header2 = subscribe_body(b'http://h/', b'k'), subscribe_sign(b'http://h/', b'k')
    assert post(b.port, '/v1/subscribe/exact', body2, header2)[0] == 200
    assert post(b.port, '/v1/subscribe/exact', body2, header2) == (403, b'')
    assert b.stop() == 0
    b = broadcaster('--db', db, *HMAC)
    assert post(b.port, '/v1/notify', body, header) == (403, b'')
    assert b.stop() == 0


@test
def answers_are_signed_as_the_protocol_says():
    b = broadcaster(*HMAC)
    status, answer = post(b.port, '/v1/notify', notify_body(b't', b'x', b'id', b'opaque'),
                          notify_sign(b't', b'x', b'id', b'opaque'))
    r = Reader(answer)
    assert (status, r.number(2)) == (200, 4)
    header, tracing, count, identifier = r.string(2).decode(), r.string(2), r.number(4), r.string(1)
    assert (tracing, count, identifier, r.data) == (b'', 0, b'id', b'')
    verify(header, 14, v8(b'id') + struct.pack('>I', 0) + v16(b't') + hashlib.sha512(b'x').digest())
    for kind, confirm_kind, path in ((1, 12, 'exact'), (2, 13, 'glob')):
        status, answer = post(b.port, '/v1/subscribe/' + path, subscribe_body(b'http://h/', b'k', b'http://r/'),
                              subscribe_sign(b'http://h/', b'k', b'http://r/', kind=kind))
        r = Reader(answer)
        assert (status, r.number(2)) == (200, 3)
        verify(r.string(2).decode(), confirm_kind, v16(b'http://h/') + v16(b'http://r/') + v16(b'k'))
        assert (r.string(2), r.data) == (b'', b'')
        status, answer = post(b.port, '/v1/unsubscribe/' + path,
                              subscribe_body(b'http://h/', b'k', subscribe=False),
                              subscribe_sign(b'http://h/', b'k', kind=kind))
        r = Reader(answer)
        assert (status, r.number(2)) == (200, 3)
        verify(r.string(2).decode(), confirm_kind, v16(b'http://h/') + v16(b'') + v16(b'k'))
    assert b.stop() == 0


@test
def malformed_requests_get_their_status():
    b = broadcaster(*HMAC, '--max-message', '1000')
    good = notify_body(b't', b'hello')
    def put(path, body, authorization=None, **headers):
        return post(b.port, path, body, authorization, **headers)
    for n in range(0, len(good) - 5):
        assert put('/v1/notify', good[:n]) == (400, b''), n
    assert put('/v1/notify', good) == (401, b'')
    assert put('/v1/notify', good, '') == (401, b'')
    for header in ('Bearer x', 'X-HMAC ', 'X-HMAC 1:2:3', notify_sign(b't', b'other'),
                   notify_sign(b't', b'hello', key=OTHER),
                   sign(3, v16(b't') + v8(b'identifier') + hashlib.sha512(b'hello').digest(), at=time.time() - 130)):
        assert put('/v1/notify', good, header) == (403, b''), header
    for bad in (good[:-1], good + b'x', good[:-1] + b'x', notify_body(b't', b'hello', length=4)):
        assert put('/v1/notify', bad, notify_sign(b't', b'hello')) == (400, b'')
    assert put('/v1/notify', notify_body(b't', b'', length=2 ** 64 - 1), notify_sign(b't', b'')) == (413, b'')
    assert put('/v1/notify', notify_body(b't', b'x' * 1001), notify_sign(b't', b'x' * 1001)) == (413, b'')
    sub = subscribe_body(b'http://h/', b'k')
    for path in ('/v1/subscribe/exact', '/v1/subscribe/glob'):
        for n in range(len(sub)):
            assert put(path, sub[:n]) == (400, b'')
        for bad in (sub + b'x', subscribe_body(b'http://\xff/', b'k'), subscribe_body(b'h', b'k'),
                    subscribe_body(b'http://h/', b'k', b'file:///x'), subscribe_body(b'', b'k'),
                    subscribe_body(b'http://h/\r\nX: y', b'k'), b'\xff' * 300000):
            assert put(path, bad) == (400, b''), bad[:80]
        assert put(path, sub) == (401, b'')
        assert put(path, sub, 'Bearer x') == (403, b'')
        assert put(path.replace('/sub', '/unsub'), b'') == (400, b'')
        assert put(path.replace('/sub', '/unsub'), subscribe_body(b'http://h/', b'k', subscribe=False)) == (401, b'')
    for bad in (b'\xff', b'a\x00b', b'x' * 50001):
        assert put('/v1/subscribe/glob', subscribe_body(b'http://h/', bad)) == (400, b'')
    assert put('/v1/nothing', b'')[0] == 404
    assert post(b.port, '/v1/notify', b'', method='GET')[0] == 405
    assert b.stop() == 0
    assert not [e for e in b.errors if e and not e.startswith(('ready', 'stopping'))], b.errors


@test
def chunked_and_dripping_requests_are_taken():
    b = broadcaster()
    good = notify_body(b't', b'hello')
    c = http.client.HTTPConnection('127.0.0.1', b.port, timeout=WAIT)
    c.request('POST', '/v1/notify', iter([good[:3], good[3:70], good[70:]]), encode_chunked=True,
              headers={'Transfer-Encoding': 'chunked'})
    assert c.getresponse().status == 200
    s = socket.create_connection(('127.0.0.1', b.port))
    s.sendall(b'POST /v1/notify HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n' % len(good))
    for i, byte in enumerate(good):
        if i == 40:
            assert notify(b, 't', 'x').log('publish')[0]['outcome'] == 'ok'
        s.sendall(bytes([byte]))
    answer = s.recv(65536)
    head, _, body = answer.partition(b'\r\n\r\n')
    length = int(re.search(rb'Content-Length: (\d+)', head).group(1))
    assert b' 200 ' in head and len(body) == length == 2 + 2 + 2 + 4 + 11, answer
    assert body[:6] == b'\0\4\0\0\0\0' and b'application/octet-stream' in head
    s.close()
    assert b.stop() == 0


@test
def a_request_that_never_ends_is_cut_off():
    b = broadcaster('--request-timeout', '300ms')
    s = socket.create_connection(('127.0.0.1', b.port))
    s.settimeout(WAIT)
    s.sendall(b'POST /v1/notify HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nab')
    assert s.recv(100) == b''
    assert post(b.port, '/v1/notify', notify_body(b't', b'x'))[0] == 200
    assert b.stop() == 0


@test
def a_hanging_subscriber_delays_only_its_publish():
    db = database()
    b = broadcaster('--db', db, '--read-timeout', '1s')
    hang = Peer(lambda peer, h, body: time.sleep(WAIT))
    hand_subscribe(b, hang.url, b'slow', recovery=b'http://r/')
    s = subscriber(b, '--exact', 'slow', '--exact', 'fast')
    slow = Program('psp-notify', '--broadcaster', url_of(b), 'slow', 'x', ready=False)
    wait_until(lambda: hang.requests)
    n = notify(b, 'fast', 'y', '--count', '20')
    assert slow.process.poll() is None
    assert all(p['outcome'] == 'ok' and p['subscribers'] == '1' for p in n.log('publish'))
    assert slow.wait() == 0
    p, = slow.log('publish')
    took = (int(p['end']) - int(p['begin'])) / 1e9
    assert p['subscribers'] == '1' and 0.9 < took < 5, p
    first, second = b.log('deliver', notify=p['identifier'])
    assert (first['outcome'], second['outcome']) == ('timeout', 'ok')
    assert max(int(q['end']) for q in n.log('publish')) < int(p['end'])
    with sqlite3.connect(db) as c:
        topic, attempts, at = c.execute('SELECT missed_topic, missed_attempts, missed_next_retry_at'
                                        ' FROM subscription_exact WHERE recovery IS NOT NULL'
                                        ' AND missed_attempts IS NOT NULL').fetchone()
    assert (topic, attempts) == (b'slow', 0)
    assert 1900 < at - int(first['end']) / 1e6 < 4100, 'a time, two to four seconds later'
    hang.close()
    assert s.stop() == 0 and b.stop() == 0


@test
def a_slow_message_is_no_silent_one():
    b = broadcaster('--read-timeout', '500ms')
    s = subscriber(b, '--exact', 't', '--handler-delay', '200ms')
    n = notify(b, 't', 'x', '--count', '3')
    assert [p['subscribers'] for p in n.log('publish')] == ['1'] * 3
    assert all(int(p['end']) - int(p['begin']) > 200e6 for p in n.log('publish'))
    assert s.stop() == 0 and b.stop() == 0


@test
def answers_of_a_subscriber_are_judged():
    b = broadcaster(*HMAC)
    def answered(make):
        peer = Peer(lambda p, h, body: make(p, received(body)['identifier']))
        status, _ = post(b.port, '/v1/subscribe/exact', subscribe_body(peer.url, b't'), subscribe_sign(peer.url, b't'))
        assert status == 200
        n = notify(b, 't', 'x', *HMAC)
        count = int(n.log('publish')[0]['subscribers'])
        status, _ = post(b.port, '/v1/unsubscribe/exact', subscribe_body(peer.url, b't', subscribe=False),
                         subscribe_sign(peer.url, b't'))
        peer.close()
        return b.log('deliver')[-1]['outcome'], count, status
    good = lambda p, i: (200, confirm(i, SECRET, p.url, 5))
    assert answered(good) == ('ok', 5, 200)
    assert answered(lambda p, i: (500, good(p, i)[1])) == ('ok', 5, 200)  # only the body counts
    assert answered(lambda p, i: (200, confirm(i, OTHER, p.url))) == ('bad_auth', 0, 200)
    assert answered(lambda p, i: (200, confirm(i))) == ('bad_auth', 0, 200)
    assert answered(lambda p, i: (200, confirm(i, SECRET, b'http://other/'))) == ('bad_auth', 0, 200)
    assert answered(lambda p, i: (200, confirm(b'other', SECRET, p.url))) == ('bad_response', 0, 200)
    assert answered(lambda p, i: (200, good(p, i)[1][:-1])) == ('bad_response', 0, 200)
    assert answered(lambda p, i: (200, good(p, i)[1] + b'x')) == ('bad_response', 0, 200)
    assert answered(lambda p, i: (200, b'')) == ('bad_response', 0, 200)
    assert answered(lambda p, i: (200, b'x' * 1000000)) == ('bad_response', 0, 200)
    assert answered(lambda p, i: (302, b'')) == ('bad_response', 0, 200)
    assert answered(lambda p, i: (404, b'\0\x0a')) == ('unsubscribed', 0, 409)
    assert answered(lambda p, i: None) == ('network_error', 0, 200)
    assert b.stop() == 0


@test
def deliveries_are_what_the_protocol_says():
    b = broadcaster(*HMAC)
    peer = Peer(lambda p, h, body: (200, confirm(received(body)['identifier'], SECRET, p.url)))
    url = peer.url + b'?q=1#fragment'
    assert post(b.port, '/v1/subscribe/exact', subscribe_body(url, b't'), subscribe_sign(url, b't'))[0] == 200
    peer.url = peer.url + b'?q=1'
    assert notify(b, 't', 'hello', *HMAC).log('publish')[0]['subscribers'] == '1'
    line, headers, body = peer.requests[0]
    m = received(body)
    assert line == b'POST /v1/receive?q=1 HTTP/1.1\r\n'
    assert headers['Host'] == '127.0.0.1:%d' % peer.port
    assert headers['Content-Type'] == 'application/octet-stream'
    assert headers['Repr-Digest'] == repr_digest(b'hello')
    assert headers['Transfer-Encoding'] is None and headers['Expect'] is None
    assert (m['topic'], m['message'], m['tracing'], len(m['identifier'])) == (b't', b'hello', b'', 16)
    verify(headers['Authorization'], 10,
           v16(peer.url) + v16(b't') + v8(m['identifier']) + hashlib.sha512(b'hello').digest())
    peer.close()
    assert b.stop() == 0


@test
def a_subscriber_judges_deliveries():
    b = broadcaster(*HMAC)
    s = subscriber(b, '--exact', 't', '--max-message', '1000', *HMAC)
    url, unsubscribe = b'http://127.0.0.1:%d/v1/receive' % s.port, b'\0\x0a'
    def put(body, digest=repr_digest(b'hello'), authorization=None):
        headers = {'Repr_Digest': digest} if digest else {}
        return post(s.port, '/v1/receive', body, authorization, **headers)
    good = receive_body(b't', b'hello')
    def signed(message=b'hello', **more):
        return receive_sign(url, b't', message, **more)
    for digest in (None, '', 'sha-512=AAAA', 'sha512=' + repr_digest(b'hello')[8:]):
        assert put(good, digest, signed()) == (400, unsubscribe), digest
    for n in range(len(good) - 5):
        assert put(good[:n]) == (400, b'')
    assert put(good) == (403, unsubscribe)
    assert put(good, authorization=signed(key=OTHER)) == (403, unsubscribe)
    assert put(good, authorization=receive_sign(b'http://other/', b't', b'hello')) == (403, unsubscribe)
    for bad in (good[:-1], good + b'x'):
        assert put(bad, authorization=signed()) == (400, unsubscribe)
    assert put(good[:-1] + b'x', authorization=signed()) == (403, unsubscribe)
    assert put(receive_body(b't', b'', length=1001), repr_digest(b''), signed(b'')) == (413, b'')
    assert not [l for l in s.lines if l and l.startswith('message')]
    header = signed()
    status, answer = put(good, authorization=header)
    r = Reader(answer)
    assert (status, r.number(2)) == (200, 8)
    verify(r.string(2).decode(), 8, v8(b'12345678') + struct.pack('>I', 1) + v16(url))
    assert (r.string(2), r.string(1), r.number(4), r.data) == (b'', b'12345678', 1, b'')
    s.wait_line(lambda l: l.startswith('message topic=t bytes=5 identifier=3132333435363738'))
    assert put(good, authorization=header) == (403, unsubscribe)
    # a topic nobody here wants is confirmed and dropped
    other = receive_body(b'other', b'hello')
    assert put(other, authorization=receive_sign(url, b'other', b'hello'))[0] == 200
    assert len([l for l in s.lines if l and l.startswith('message')]) == 1
    assert s.stop() == 0 and b.stop() == 0


@test
def a_subscriber_confirms_what_it_missed():
    b = broadcaster(*HMAC)
    s = subscriber(b, *HMAC)
    url = b'http://127.0.0.1:%d/v1/recover' % s.port
    body = v16(b'tr') + v16(b'to pic')
    header = sign(11, v16(url) + v16(b'to pic'), b'tr')
    assert post(s.port, '/v1/recover', body) == (403, b'')
    assert post(s.port, '/v1/recover', body, sign(11, v16(url) + v16(b'x'), b'tr')) == (403, b'')
    assert post(s.port, '/v1/recover', body[:-1], header) == (400, b'')
    assert post(s.port, '/v1/recover', body + b'x', header) == (400, b'')
    status, answer = post(s.port, '/v1/recover', body, header)
    r = Reader(answer)
    assert (status, r.number(2)) == (200, 9)
    verify(r.string(2).decode(), 9, v16(b'to pic') + v16(url))
    assert (r.string(2), r.data) == (b'', b'')
    s.wait_line(lambda l: l == 'missed topic=to\\x20pic')
    assert post(s.port, '/v1/recover', body, header) == (403, b'')
    assert s.stop() == 0 and b.stop() == 0


@test
def a_locked_database_is_unavailable_and_tried_again():
    db = database()
    b = broadcaster('--db', db)
    s = subscriber(b)
    with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as c:
        c.execute('BEGIN IMMEDIATE')
        assert post(b.port, '/v1/subscribe/exact', subscribe_body(b'http://h/', b'k')) == (503, b'')
        assert notify(b, 't', 'x').log('publish')[0]['outcome'] == 'ok'
        s.process.stdin.write(b'subscribe exact t\n')
        s.process.stdin.flush()
        wait_until(lambda: len(b.log('subscribe', status='503')) == 2)
    line = s.wait_line(lambda l: 'exact t' in l)
    assert line.startswith('subscribed exact t outcome=ok'), (line, s.errors, b.process.poll(), b.errors)
    assert s.log('subscribe')[0]['attempts'] == '2'
    assert s.stop() == 0 and b.stop() == 0


@test
def tables_have_a_maximum():
    b = broadcaster('--max-subscriptions', '2', *HMAC, '--max-replay', '4')
    def put(key):
        return post(b.port, '/v1/subscribe/exact', subscribe_body(b'http://h/', key), subscribe_sign(b'http://h/', key))[0]
    assert [put(b'1'), put(b'2'), put(b'3')] == [200, 200, 503]
    assert notify(b, 't', 'x', *HMAC).log('publish')[0]['outcome'] == 'ok'
    n = notify(b, 't', 'x', '--retries', '1', *HMAC, code=1)
    assert n.log('publish')[0]['status'] == '503'
    assert b.stop() == 0


@test
def every_attempt_is_signed_anew_and_another_broadcaster_is_tried():
    b = broadcaster(*HMAC)
    s = subscriber(b, '--exact', 't', *HMAC)
    with socket.create_server(('127.0.0.1', 0)) as closed:
        dead = 'http://127.0.0.1:%d' % closed.getsockname()[1]
    n = notify(dead + ',' + url_of(b) + '/', 't', 'x', '--count', '8', *HMAC)
    assert [p['outcome'] for p in n.log('publish')] == ['ok'] * 8
    attempts = n.log('attempt')
    assert len({a['identifier'] for a in attempts}) == len(attempts) >= 8
    assert {a['outcome'] for a in attempts if a['broadcaster'] == dead} <= {'network_error'}
    n = notify(dead, 't', 'x', '--retries', '2', code=1)
    p, = n.log('publish')
    assert (p['outcome'], p['attempts'], p['status']) == ('retries_exhausted', '2', '0')
    first, second = n.log('attempt')
    assert 1e9 < int(second['begin']) - int(first['end']) < 2.1e9
    assert s.stop() == 0 and b.stop() == 0


@test
def an_ambiguous_failure_is_not_repeated_if_so_told():
    drop = Peer(lambda p, h, body: None)
    n = notify('http://127.0.0.1:%d' % drop.port, 't', 'x', '--no-retry-ambiguous', code=1)
    p, = n.log('publish')
    assert (p['outcome'], p['attempts']) == ('retry_prevented', '1')
    drop.close()


@test
def a_fixed_identifier_is_used_for_every_message():
    b = broadcaster()
    n = notify(b, 't', 'x', '--count', '2', '--identifier', 'deadbeef')
    assert [p['identifier'] for p in n.log('publish')] == ['deadbeef'] * 2
    assert [p['identifier'] for p in b.log('notify')] == ['deadbeef'] * 2
    assert b.stop() == 0


@test
def lines_of_standard_input_are_published_one_by_one():
    b = broadcaster()
    s = subscriber(b, '--exact', 't', '--show', '10')
    n = Program('psp-notify', '--broadcaster', url_of(b), '--stdin-lines', 't')
    for i in range(23):
        assert n.command('line %d' % i).startswith('published identifier=')
    n.process.stdin.write(b'\nlast without end')
    n.process.stdin.close()
    assert n.wait() == 0
    sizes = [int(r['bytes']) for r in s.log('receive')]
    assert sizes == [len('line %d' % i) for i in range(23)] + [0, 16]
    s.wait_line(lambda l: l.endswith('text=last\\x20witho'))
    assert s.stop() == 0 and b.stop() == 0


@test
def numbered_messages_keep_the_rate():
    b = broadcaster()
    n = notify(b, 't', 'x', '--count', '6', '--rate', '20', '--numbered')
    begins = [int(p['begin']) for p in n.log('publish')]
    assert [p['sha512'] for p in n.log('publish')] == [short_hash(b'x %d' % i) for i in range(1, 7)]
    assert begins[5] - begins[0] > 0.24e9
    assert b.stop() == 0


@test
def many_publishers_and_subscribers_at_once():
    b = broadcaster(*HMAC)
    subs = [subscriber(b, '--glob', 'm/*', '--quiet', *HMAC) for _ in range(3)]
    senders = [Program('psp-notify', '--broadcaster', url_of(b), 'm/%d' % i, 'x' * 2000, '--count', '20',
                       *HMAC, ready=False) for i in range(8)]
    for n in senders:
        assert n.wait() == 0, n.errors
        assert [p['subscribers'] for p in n.log('publish')] == ['3'] * 20
    assert all(len(s.log('receive', outcome='ok')) == 160 for s in subs)
    assert len(b.log('deliver', outcome='ok')) == 480
    assert all(s.stop() == 0 for s in subs) and b.stop() == 0


@test
def any_bytes_make_a_topic():
    b = broadcaster()
    peer = Peer(lambda p, h, body: (200, confirm(received(body)['identifier'])))
    topic = b'\xff\x00\n\x1b[31m ='
    hand_subscribe(b, peer.url, topic)
    hand_subscribe(b, peer.url, b'*', glob=True)
    status, answer = post(b.port, '/v1/notify', notify_body(topic, b'x'))
    assert status == 200 and Reader(answer[6:]).number(4) == 1
    assert received(peer.requests[0][2])['topic'] == topic
    assert b.log('notify')[0]['topic'] == '\\xff\\x00\\x0a\\x1b[31m\\x20='
    biggest = b'\xc3\xa4' * 32767
    status, answer = post(b.port, '/v1/notify', notify_body(biggest, b'x', b'i' * 255, b'\x07' * 65535))
    assert status == 200 and received(peer.requests[1][2])['topic'] == biggest
    assert answer == struct.pack('>H', 4) + v16(b'') + v16(b'') + struct.pack('>I', 1) + v8(b'i' * 255)
    peer.close()
    assert b.stop() == 0


@test
def a_restarted_broadcaster_keeps_subscriptions():
    db = database()
    b = broadcaster('--db', db, *HMAC)
    port = b.port
    s = subscriber(b, '--exact', 't', '--glob', 't*', *HMAC)
    b.stop(signal.SIGKILL)
    b = Program('psp-broadcaster', '--listen', '127.0.0.1:%d' % port, '--db', db, *HMAC)
    assert 'subscriptions=2' in b.errors[0]
    assert notify(b, 't', 'x', *HMAC).log('publish')[0]['subscribers'] == '2'
    assert s.stop() == 0 and b.stop() == 0
    with sqlite3.connect(db) as c:
        assert c.execute('PRAGMA integrity_check').fetchone() == ('ok',)
        assert c.execute('SELECT count(*) FROM subscription_exact').fetchone() == (0,)


@test
def settings_and_secrets_come_from_files():
    secret = os.path.join(scratch, 'secrets.json')
    with open(secret, 'w') as f:
        json.dump({'version': '2', 'to-broadcaster': {'type': 'hmac', 'secret': SECRET},
                   'to-subscriber': {'type': 'token', 'secret': 'abc'}}, f)
    settings = os.path.join(scratch, 'settings.json')
    with open(settings, 'w') as f:
        json.dump({'listen': '127.0.0.1:0', 'secrets': secret, 'prefix': '/some/where', 'max-connections': 50}, f)
    b = Program('psp-broadcaster', '--config', settings)
    at = url_of(b) + '/some/where'
    s = Program('psp-subscriber', '--broadcaster', at, '--secrets', secret, '--exact', 't')
    n = notify(at, 't', 'x', '--secrets', secret)
    assert n.log('publish')[0]['subscribers'] == '1'
    assert s.stop() == 0 and b.stop() == 0
    for args in (['--nonsense'], ['--config', '/nonexistent'], ['--listen'], ['--max-message', 'x'],
                 ['--auth-to-broadcaster', 'hmac:abc'], ['argument']):
        p = Program('psp-broadcaster', *args, ready=False)
        assert p.wait() == 2, args
    p = Program('psp-broadcaster', '--listen', '127.0.0.1:%d' % at_port(), ready=False)
    assert p.wait() == 1


def at_port():
    taken = socket.create_server(('127.0.0.1', 0))
    at_port.kept = taken
    return taken.getsockname()[1]


@test
def a_url_with_a_path_is_known_under_it():
    b = broadcaster(*HMAC)
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    s = subscriber(b, '--listen', '127.0.0.1:%d' % port, '--url', 'http://localhost:%d/deep/path/' % port,
                   '--exact', 't', *HMAC)
    assert notify(b, 't', 'x', *HMAC).log('publish')[0]['subscribers'] == '1'
    assert b.log('deliver')[0]['url'] == 'http://localhost:%d/deep/path/v1/receive' % port
    assert s.stop() == 0 and b.stop() == 0


@test
def stopping_waits_for_publishes_under_way_but_not_for_ever():
    b = broadcaster('--grace', '10s')
    slow = Peer(lambda p, h, body: (time.sleep(0.5), (200, confirm(received(body)['identifier'])))[1])
    hand_subscribe(b, slow.url, b't')
    n = Program('psp-notify', '--broadcaster', url_of(b), 't', 'x', ready=False)
    wait_until(lambda: slow.requests)
    assert b.stop() == 0
    assert n.wait() == 0 and n.log('publish')[0]['subscribers'] == '1'
    slow.close()
    b = broadcaster('--grace', '200ms')
    hang = Peer(lambda peer, h, body: time.sleep(WAIT))
    hand_subscribe(b, hang.url, b't')
    n = Program('psp-notify', '--broadcaster', url_of(b), '--retries', '1', 't', 'x', ready=False)
    wait_until(lambda: hang.requests)
    begin = time.monotonic()
    assert b.stop() == 0
    assert time.monotonic() - begin < 3
    assert n.wait() == 1
    assert b.log('notify')[0]['outcome'] == 'canceled'
    hang.close()


@test
def a_subscriber_stopped_while_it_handles_a_message_cancels_it():
    b = broadcaster()
    s = subscriber(b, '--exact', 't', '--handler-delay', '20s', '--keep')
    c = socket.create_connection(('127.0.0.1', s.port))
    body = receive_body(b't', b'x')
    c.sendall(b'POST /v1/receive HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nRepr-Digest: %s\r\n\r\n%s' %
              (len(body), repr_digest(b'x').encode(), body))
    for _ in range(2):  # one thread: when the second is answered, the first request is in its handler
        assert post(s.port, '/v1/nothing', b'')[0] == 404
    assert s.stop() == 0
    c.settimeout(WAIT)
    with contextlib.suppress(ConnectionResetError):
        assert b' 200 ' not in c.recv(1000)
    c.close()
    assert s.log('receive')[0]['outcome'] == 'canceled'
    assert not [l for l in s.lines if l and l.startswith('message')]
    assert b.stop() == 0


@test
def a_reader_that_goes_away_ends_the_subscriber():
    b = broadcaster()
    s = subprocess.Popen([BUILD + '/psp-subscriber', '--broadcaster', url_of(b), '--exact', 't'],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert s.stdout.readline().startswith(b'subscribed exact t')
    s.stdout.close()
    notify(b, 't', 'x')
    assert s.wait(WAIT) == 1
    assert not [l for l in s.stderr.read().decode().splitlines() if not l.startswith('ready')]
    s.stderr.close()
    assert b.stop() == 0


@test
def every_help_ends_with_examples():
    for name in ('psp-broadcaster', 'psp-subscriber', 'psp-notify'):
        out = subprocess.run([os.path.join(BUILD, name), '--help'], capture_output=True, text=True)
        examples = out.stdout[out.stdout.index('Examples:'):]
        assert out.returncode == 0 and examples.count(name) == 3 and max(map(len, out.stdout.splitlines())) <= 80
        lines = examples.strip().splitlines()[1:]
        assert len(lines) == 3 and all(l.startswith('  ') for l in lines), lines


@test
def a_context_is_relayed_and_answered_only_when_it_was_sent():
    with open(os.path.join(BUILD, 'psp-broadcaster'), 'rb') as f:
        has_probes = b'lonelypsp\0handle_notify__received\0' in f.read()  # the site's note
    b = broadcaster(*HMAC)
    peer = Peer(lambda p, h, body: (200, confirm(received(body)['identifier'], SECRET, p.url)))
    post(b.port, '/v1/subscribe/exact', subscribe_body(peer.url, b't'), subscribe_sign(peer.url, b't'))
    s = subscriber(b, '--exact', 't', *HMAC)
    context = b'osp\x01\x01' + bytes(range(1, 25))
    for tracing, relayed in ((context, has_probes), (b'', False), (b'foreign', False), (context[:-1], False),
                             (b'osp\x01\x01' + bytes(24), False), (b'osp\x02' + context[4:], False)):
        want = context if relayed else b''
        status, answer = post(b.port, '/v1/notify', notify_body(b't', b'x', b'i', tracing),
                              notify_sign(b't', b'x', b'i', tracing))
        r = Reader(answer)
        assert (status, r.number(2)) == (200, 4)
        header = r.string(2).decode()
        assert r.string(2) == want, tracing
        verify(header, 14, v8(b'i') + struct.pack('>I', 2) + v16(b't') + hashlib.sha512(b'x').digest(), want)
        assert received(peer.requests[-1][2])['tracing'] == want, tracing
        url = b'http://127.0.0.1:%d/v1/receive' % s.port
        status, answer = post(s.port, '/v1/receive', receive_body(b't', b'x', tracing=tracing),
                              receive_sign(url, b't', b'x', tracing=tracing), Repr_Digest=repr_digest(b'x'))
        r = Reader(answer)
        assert (status, r.number(2)) == (200, 8)
        r.string(2)
        assert r.string(2) == want, tracing
        sub = subscribe_body(b'http://h/', b'k' + tracing, tracing=tracing)
        status, answer = post(b.port, '/v1/subscribe/exact', sub,
                              subscribe_sign(b'http://h/', b'k' + tracing, tracing=tracing))
        r = Reader(answer)
        assert (status, r.number(2)) == (200, 3)
        r.string(2)
        assert r.string(2) == want, tracing
    peer.close()
    assert s.stop() == 0 and b.stop() == 0


@test
def nothing_is_left_behind():
    for p in Program.all:
        assert p.process.poll() is not None, p.process.args
    assert not [f for f in os.listdir(scratch) if f.startswith('psp-message')]


# ---- running ---------------------------------------------------------------------------------------

def main():
    global scratch
    scratch = tempfile.mkdtemp(prefix='psp-pair-')
    os.environ['TMPDIR'] = scratch
    only = os.environ.get('ONLY', '')
    chosen = [t for t in tests if only in t.__name__]
    print('1..%d' % len(chosen), flush=True)
    failed = 0
    for number, t in enumerate(chosen, 1):
        begin, error = time.monotonic(), None
        try:
            t()
        except Exception as e:  # a failing test must not end the others
            import traceback
            error = traceback.format_exc()
        finally:
            for p in Program.all:
                if p.process.poll() is None and t is not nothing_is_left_behind and error:
                    p.process.kill()
                    p.process.wait()
        print('%sok %d - %s # %.2f s' % ('not ' if error else '', number, t.__name__, time.monotonic() - begin),
              flush=True)
        if error:
            failed += 1
            print(''.join('# %s\n' % l for l in error.splitlines()), end='', flush=True)
    shutil.rmtree(scratch, ignore_errors=True)
    sys.exit(failed != 0)


main()
