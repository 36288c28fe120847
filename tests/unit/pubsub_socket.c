/*
 * Web sockets: broadcaster's server, library and clients in one loop over loopback. A "raw" peer is
 * a plain socket on which the test writes and reads frames itself.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "probes/pubsub/ps_accept.h"
#include "probes/pubsub/ps_server.h"
#include "probes/pubsub/ps_socket.h"
#include "tests/unit/test.h"

enum { MESSAGE_MAX = 300000, PENDING_MAX = 5, COUNT_MAX = 2100, MANY = 1000 };

struct side {
	struct ps_socket *socket;
	unsigned opened, closed, messages;
	struct osp_buffer last; /* message */
	struct ps_socket_end end;
	char why[124];
	bool echo, pause_at_message, kill_at_message, close_at_open;
	uint64_t bytes;
};

static struct ps_loop *loop;
static struct ps_sockets *sockets;
static struct ps_server *server;
static struct side in, out; /* the newest connection that came in, and the test's own out */
static unsigned accepted, ended;
static unsigned sent_count;
static int sent_error;

/* ---- both sides' events ------------------------------------------------------------------------ */

static void sent(struct ps_outgoing *m, int error)
{
	sent_count++;
	sent_error = error;
	if (m->owner)
		free(m->owner);
}

static int send_copy(struct ps_socket *s, const void *data, size_t size)
{
	struct ps_outgoing *m = malloc(sizeof(*m) + size);
	int r;

	memcpy(m + 1, data, size);
	*m = (struct ps_outgoing){.head = ps_bytes(m + 1, size), .sent = sent, .owner = m};
	r = ps_socket_send(s, m);
	if (r)
		free(m);
	return r;
}

static void note_opened(struct ps_socket *s)
{
	struct side *x = s->owner;

	x->socket = s;
	x->opened++;
	if (x == &in)
		accepted++;
	if (x->close_at_open)
		ps_socket_close(s, PS_SOCKET_NORMAL, "at once");
}

static void note_message(struct ps_socket *s, struct ps_bytes m)
{
	struct side *x = s->owner;

	x->messages++;
	x->bytes += m.size;
	osp_buffer_reset(&x->last);
	osp_buffer_add(&x->last, m.data, m.size);
	if (x->pause_at_message)
		ps_socket_pause(s);
	if (x->echo)
		assert_ok(send_copy(s, m.data, m.size));
	if (x->kill_at_message)
		ps_socket_kill(&s);
}

static void note_closed(struct ps_socket *s, const struct ps_socket_end *end)
{
	struct side *x = s->owner;

	x->closed++;
	ended++;
	x->end = *end;
	snprintf(x->why, sizeof(x->why), "%s", end->why);
	x->socket = NULL;
}

static const struct ps_socket_events events = {note_opened, note_message, note_closed, NULL};

/* ---- the loop until something holds ------------------------------------------------------------ */

struct wait {
	bool (*holds)(void);
	int rounds;
	struct ps_timer timer;
};

static void check(struct ps_timer *t)
{
	struct wait *w = t->owner;

	if (w->holds() || !w->rounds--)
		ps_loop_stop(loop, 0);
	else
		ps_loop_arm(loop, t, 1000000);
}

/* Up to `ms`; says whether it holds. */
static bool wait_ms(bool (*holds)(void), int ms)
{
	struct wait w = {.holds = holds, .rounds = ms};

	w.timer = (struct ps_timer){.expired = check, .owner = &w};
	ps_loop_arm(loop, &w.timer, 0);
	ps_loop_run(loop);
	return holds();
}

static bool wait_for(bool (*holds)(void))
{
	return wait_ms(holds, 20000);
}

static bool never(void)
{
	return false;
}

static bool both_open(void)
{
	return in.opened && out.opened;
}

static bool out_closed(void)
{
	return out.closed;
}

static bool in_closed(void)
{
	return in.closed;
}

static bool both_closed(void)
{
	return in.closed && out.closed;
}

static bool in_has_message(void)
{
	return in.messages;
}

static bool out_has_message(void)
{
	return out.messages;
}

static bool in_open(void)
{
	return in.opened;
}

static bool none_left(void)
{
	return !ps_sockets_count(sockets);
}

/* ---- set up ------------------------------------------------------------------------------------ */

static int count_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static int count_threads(void)
{
	DIR *d = opendir("/proc/self/task");
	int n = -2;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static int accept_post(struct ps_request *r, void *owner)
{
	(void)r;
	(void)owner;
	return 0;
}

static void ignore_body(struct ps_request *r, struct ps_bytes part)
{
	(void)r;
	(void)part;
}

static void answer_post(struct ps_request *r)
{
	ps_server_answer(r, 200, ps_bytes("posted", 6));
}

static const struct ps_route routes[] = {
	{"/v1/post", accept_post, ignore_body, answer_post, NULL},
};

static struct ps_sockets_options options;
static struct ps_server_options server_options;
static int descriptors;

static void open_all(void)
{
	assert_ok(ps_loop_new(&loop));
	assert_ok(ps_sockets_open(&sockets, loop, &options));
	server_options.sockets = sockets;
	assert_ok(ps_server_open(&server, loop, &server_options));
}

static int set_up(void **state)
{
	(void)state;
	in = out = (struct side){0};
	in.last.max = out.last.max = 1 << 25;
	accepted = ended = sent_count = 0;
	sent_error = 0;
	options = (struct ps_sockets_options){.count_max = COUNT_MAX,
					      .message_max = MESSAGE_MAX,
					      .memory_max = 4 * MESSAGE_MAX,
					      .pending_max = PENDING_MAX,
					      .connect_ns = 5000000000,
					      .accept_ns = 5000000000,
					      .close_ns = 1000000000,
					      .path = "/at/v1/websocket",
					      .accepted = &events,
					      .owner = &in};
	server_options = (struct ps_server_options){.listen = "127.0.0.1:0",
						    .prefix = "/at",
						    .routes = routes,
						    .route_count = 1,
						    .connections_max = 1000,
						    .discard_max = 1 << 20,
						    .idle_s = 60,
						    .request_ns = 60000000000,
						    .header_max = 16384};
	descriptors = count_descriptors();
	return 0;
}

static void close_all(void)
{
	ps_server_close(&server);
	ps_sockets_close(&sockets);
	ps_loop_free(&loop);
}

static int tear_down(void **state)
{
	(void)state;
	close_all();
	osp_buffer_clear(&in.last);
	osp_buffer_clear(&out.last);
	assert_int_equal(count_descriptors(), descriptors);
	return 0;
}

static int connect_path(struct ps_socket **s, const char *path, struct side *owner)
{
	char url[128];
	int n = snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", ps_server_port(server), path);

	return ps_socket_connect(s, sockets, ps_bytes(url, (size_t)n), &events, owner);
}

static void connect_pair(void)
{
	open_all();
	assert_ok(connect_path(&out.socket, "/at/v1/websocket", &out));
	assert_true(wait_for(both_open));
}

/* ---- raw peers --------------------------------------------------------------------------------- */

static int raw_connect(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons(ps_server_port(server)),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_ok(connect(fd, (struct sockaddr *)&a, sizeof(a)));
	return fd;
}

static void raw_write(int fd, const void *data, size_t size)
{
	assert_int_equal(send(fd, data, size, MSG_NOSIGNAL), size);
}

static void raw_text(int fd, const char *text)
{
	raw_write(fd, text, strlen(text));
}

static int raw;
static char raw_got[65536];
static size_t raw_size;
static bool raw_end;

static bool raw_ended(void)
{
	ssize_t n = recv(raw, raw_got + raw_size, sizeof(raw_got) - raw_size - 1, MSG_DONTWAIT);

	if (n > 0)
		raw_size += (size_t)n;
	else if (!n || errno != EAGAIN)
		raw_end = true;
	raw_got[raw_size] = 0;
	return raw_end;
}

static bool raw_answered(void)
{
	raw_ended();
	return raw_size || raw_end;
}

static void raw_start(void)
{
	raw = raw_connect();
	raw_size = 0;
	raw_end = false;
	raw_got[0] = 0;
}

#define UPGRADE                                                                                    \
	"Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                                 \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

static void raw_open(void)
{
	open_all();
	raw_start();
	raw_text(raw, "GET /at/v1/websocket HTTP/1.1\r\n" UPGRADE);
	assert_true(wait_for(in_open));
	assert_true(wait_for(raw_answered));
	assert_int_equal(strncmp(raw_got, "HTTP/1.1 101 ", 13), 0);
	/* the answer of RFC 6455, 1.3 to its sample key */
	assert_non_null(strstr(raw_got, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
	assert_null(strcasestr(raw_got, "extensions"));
	raw_size = 0;
}

/* A masked frame with a zero mask; `first` is FIN and opcode. */
static void raw_frame(unsigned char first, const char *payload, size_t size)
{
	unsigned char head[6] = {first, (unsigned char)(0x80 | size)};

	assert_true(size < 126);
	raw_write(raw, head, 6);
	raw_write(raw, payload, size);
}

static bool raw_has_close(void)
{
	raw_ended();
	return raw_size >= 4;
}

static unsigned raw_close_code(void)
{
	assert_true(wait_for(raw_has_close));
	assert_int_equal((unsigned char)raw_got[0], 0x88);
	return (unsigned)(unsigned char)raw_got[2] << 8 | (unsigned char)raw_got[3];
}

/* ---- messages ---------------------------------------------------------------------------------- */

static void messages_go_both_ways(void **state)
{
	(void)state;
	connect_pair();
	in.echo = true;
	assert_ok(send_copy(out.socket, "hello", 5));
	assert_true(wait_for(out_has_message));
	assert_int_equal(in.messages, 1);
	assert_int_equal(out.last.size, 5);
	assert_memory_equal(out.last.data, "hello", 5);
	assert_int_equal(sent_count, 2);
	assert_int_equal(sent_error, 0);
	assert_int_equal(count_threads(), 1);
}

static void an_empty_message_is_a_message(void **state)
{
	(void)state;
	connect_pair();
	in.echo = true;
	assert_ok(send_copy(out.socket, "", 0));
	assert_true(wait_for(out_has_message));
	assert_int_equal(out.last.size, 0);
}

static char *big;

static bool in_has_two(void)
{
	return in.messages == 2;
}

static void a_message_of_many_frames_arrives_whole(void **state)
{
	char path[] = "/tmp/pubsub-socket-XXXXXX";
	struct ps_outgoing m = {.sent = sent};
	struct ps_spool body = {.fd = -1};
	int fd = mkstemp(path);

	(void)state;
	connect_pair();
	big = malloc(MESSAGE_MAX);
	for (int i = 0; i < MESSAGE_MAX; i++)
		big[i] = (char)(i * 7 + i / 251);
	assert_int_equal(write(fd, big, MESSAGE_MAX), MESSAGE_MAX);
	lseek(fd, 0, SEEK_SET);
	assert_ok(ps_spool_open(&body, fd));
	/* the head's 1000 bytes, then the file's but for its first 2000 and last 500 */
	m.head = ps_bytes(big, 1000);
	m.body = &body;
	m.offset = 2000;
	m.size = MESSAGE_MAX - 2500;
	assert_ok(ps_socket_send(out.socket, &m));
	assert_true(wait_for(in_has_message));
	assert_int_equal(in.last.size, MESSAGE_MAX - 1500);
	assert_memory_equal(in.last.data, big, 1000);
	assert_memory_equal(in.last.data + 1000, big + 2000, MESSAGE_MAX - 2500);
	assert_ok(send_copy(out.socket, "after", 5));
	assert_true(wait_for(in_has_two));
	assert_memory_equal(in.last.data, "after", 5);
	ps_spool_clear(&body);
	unlink(path);
	free(big);
}

static void fragments_with_a_ping_between_are_one_message(void **state)
{
	(void)state;
	raw_open();
	raw_frame(0x02, "ab", 2);
	raw_frame(0x00, "", 0);
	raw_frame(0x89, "p", 1);
	raw_frame(0x00, "cd", 2);
	raw_frame(0x80, "e", 1);
	assert_true(wait_for(in_has_message));
	assert_int_equal(in.last.size, 5);
	assert_memory_equal(in.last.data, "abcde", 5);
	assert_true(wait_for(raw_answered));
	assert_memory_equal(raw_got, "\x8a\x01p", 3);
	close(raw);
	assert_true(wait_for(in_closed));
	assert_int_equal(in.end.error, -ECONNRESET);
}

static void a_frame_byte_by_byte_arrives(void **state)
{
	static const unsigned char frame[] = {0x82, 0x83, 1, 2, 3, 4, 'a' ^ 1, 'b' ^ 2, 'c' ^ 3};

	(void)state;
	raw_open();
	for (size_t i = 0; i < sizeof(frame); i++) {
		raw_write(raw, frame + i, 1);
		wait_ms(never, 1);
	}
	assert_true(wait_for(in_has_message));
	assert_memory_equal(in.last.data, "abc", 3);
	close(raw);
}

/* ---- limits ------------------------------------------------------------------------------------ */

static void a_message_over_the_maximum_closes_with_1009(void **state)
{
	(void)state;
	connect_pair();
	big = calloc(1, MESSAGE_MAX + 1);
	assert_ok(send_copy(out.socket, big, MESSAGE_MAX));
	assert_true(wait_for(in_has_message));
	assert_ok(send_copy(out.socket, big, MESSAGE_MAX + 1));
	assert_true(wait_for(both_closed));
	assert_int_equal(in.messages, 1);
	assert_int_equal(in.end.error, -EMSGSIZE);
	assert_int_equal(in.end.code, 1009);
	assert_int_equal(out.end.error, 0);
	assert_int_equal(out.end.code, 1009);
	assert_string_equal(out.why, "message too big");
	free(big);
}

static void an_announced_size_over_the_maximum_is_enough(void **state)
{
	static const unsigned char head[] = {0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff,
					     0xff, 0xff, 0,    0,    0,	   0,	 'x'};

	(void)state;
	raw_open();
	raw_write(raw, head, sizeof(head));
	assert_int_equal(raw_close_code(), 1009);
	assert_int_equal(in.messages, 0);
	close(raw);
}

static void arriving_messages_share_a_maximum_of_memory(void **state)
{
	static const unsigned char head[] = {0x02, 0xfe, 0x75, 0x30,
					     0,	   0,	 0,    0}; /* 30000, no FIN */
	char *part = calloc(1, 30000);

	(void)state;
	options.memory_max = 20000;
	raw_open();
	raw_write(raw, head, sizeof(head));
	raw_write(raw, part, 30000);
	assert_int_equal(raw_close_code(), 1011);
	close(raw);
	assert_true(wait_for(in_closed));
	assert_int_equal(in.end.error, -ENOBUFS);
	free(part);
}

static void a_full_queue_says_so(void **state)
{
	static struct ps_outgoing m[PENDING_MAX + 1];

	(void)state;
	connect_pair();
	for (int i = 0; i <= PENDING_MAX; i++)
		m[i] = (struct ps_outgoing){.head = ps_bytes("x", 1), .sent = sent};
	for (int i = 0; i < PENDING_MAX; i++)
		assert_ok(ps_socket_send(out.socket, &m[i]));
	assert_err(-ENOBUFS, ps_socket_send(out.socket, &m[PENDING_MAX]));
	assert_true(wait_for(in_has_message));
	assert_ok(ps_socket_send(out.socket, &m[PENDING_MAX]));
	wait_ms(never, 20);
	assert_int_equal(sent_count, PENDING_MAX + 1);
	assert_int_equal(in.messages, PENDING_MAX + 1);
}

static void more_than_the_maximum_of_connections_are_told_503(void **state)
{
	struct ps_socket *s;

	(void)state;
	options.count_max = 2;
	connect_pair();
	assert_err(-ENFILE, connect_path(&s, "/at/v1/websocket", &out));
	raw_start();
	raw_text(raw, "GET /at/v1/websocket HTTP/1.1\r\n" UPGRADE);
	assert_true(wait_for(raw_ended));
	assert_int_equal(strncmp(raw_got, "HTTP/1.1 503 ", 13), 0);
	close(raw);
}

static void a_slow_reader_holds_up_the_sender_and_loses_nothing(void **state)
{
	enum { ROUNDS = 40 };

	(void)state;
	options.pending_max = ROUNDS;
	in.pause_at_message = true;
	connect_pair();
	big = calloc(1, MESSAGE_MAX);
	for (int i = 0; i < ROUNDS; i++) {
		memset(big, i, MESSAGE_MAX);
		assert_ok(send_copy(out.socket, big, MESSAGE_MAX));
	}
	assert_true(wait_for(in_has_message));
	wait_ms(never, 200);
	assert_int_equal(in.messages, 1);
	assert_true(sent_count < ROUNDS);
	for (unsigned i = 2; i <= ROUNDS; i++) {
		ps_socket_resume(in.socket);
		for (int k = 0; k < 20000 && in.messages < i; k++)
			wait_ms(never, 1);
		assert_int_equal(in.messages, i);
		assert_int_equal(in.last.data[MESSAGE_MAX - 1], i - 1);
	}
	wait_ms(never, 20);
	assert_int_equal(sent_count, ROUNDS);
	free(big);
}

static void pausing_in_a_burst_stops_after_that_message(void **state)
{
	(void)state;
	in.pause_at_message = true;
	raw_open();
	raw_write(raw, "\x82\x81\0\0\0\0a\x82\x81\0\0\0\0b\x82\x81\0\0\0\0c", 21);
	assert_true(wait_for(in_has_message));
	wait_ms(never, 50);
	assert_int_equal(in.messages, 1);
	for (unsigned i = 2; i <= 3; i++) {
		ps_socket_resume(in.socket);
		for (int k = 0; k < 1000 && in.messages < i; k++)
			wait_ms(never, 1);
		assert_int_equal(in.messages, i);
	}
	assert_int_equal(in.last.data[0], 'c');
	close(raw);
}

/* ---- closing ----------------------------------------------------------------------------------- */

static void both_sides_learn_the_code_and_the_reason(void **state)
{
	(void)state;
	connect_pair();
	ps_socket_close(in.socket, PS_SOCKET_GOING_AWAY, "tired");
	assert_err(-ENOTCONN, send_copy(in.socket, "x", 1));
	assert_true(wait_for(both_closed));
	assert_int_equal(out.end.error, 0);
	assert_int_equal(out.end.code, 1001);
	assert_string_equal(out.why, "tired");
	assert_int_equal(in.end.error, 0);
	assert_int_equal(in.end.code, 1001);
	assert_true(wait_for(none_left));
}

static void the_client_closes_too(void **state)
{
	(void)state;
	connect_pair();
	ps_socket_close(out.socket, 4001, "mine");
	assert_true(wait_for(both_closed));
	assert_int_equal(in.end.code, 4001);
	assert_string_equal(in.why, "mine");
}

static void closing_as_it_opens(void **state)
{
	(void)state;
	in.close_at_open = true;
	open_all();
	assert_ok(connect_path(&out.socket, "/at/v1/websocket", &out));
	assert_true(wait_for(both_closed));
	assert_int_equal(out.end.code, 1000);
	assert_string_equal(out.why, "at once");
}

static void a_close_frame_without_a_code(void **state)
{
	(void)state;
	raw_open();
	raw_frame(0x88, "", 0);
	assert_true(wait_for(in_closed));
	assert_int_equal(in.end.error, 0);
	assert_int_equal(in.end.code, 1005);
	close(raw);
}

static void a_peer_that_does_not_answer_the_close_frame(void **state)
{
	(void)state;
	options.close_ns = 50000000;
	raw_open();
	ps_socket_close(in.socket, PS_SOCKET_NORMAL, "");
	assert_true(wait_ms(in_closed, 2000));
	assert_int_equal(in.end.code, 1000);
	assert_true(wait_for(raw_ended));
	close(raw);
}

static void closing_cancels_what_is_pending(void **state)
{
	static struct ps_outgoing m = {.head = {"x", 1}, .sent = sent};

	(void)state;
	connect_pair();
	assert_ok(ps_socket_send(out.socket, &m));
	ps_socket_close(out.socket, PS_SOCKET_NORMAL, "");
	assert_true(wait_for(both_closed));
	assert_int_equal(sent_count, 1);
	assert_int_equal(sent_error, -ECANCELED);
	assert_int_equal(in.messages, 0);
}

static void killing_calls_nobody_back_and_the_peer_sees_the_end(void **state)
{
	static struct ps_outgoing m = {.head = {"x", 1}, .sent = sent};

	(void)state;
	connect_pair();
	assert_ok(ps_socket_send(out.socket, &m));
	ps_socket_kill(&out.socket);
	assert_null(out.socket);
	assert_true(wait_for(in_closed));
	assert_int_equal(in.end.error, -ECONNRESET);
	assert_int_equal(out.closed + sent_count, 0);
	assert_true(wait_for(none_left));
}

static void killing_from_within_a_message(void **state)
{
	(void)state;
	in.kill_at_message = true;
	raw_open();
	raw_write(raw, "\x82\x81\0\0\0\0a\x82\x81\0\0\0\0b", 14);
	assert_true(wait_for(raw_ended));
	assert_int_equal(in.messages, 1);
	assert_int_equal(in.closed, 0);
	assert_true(wait_for(none_left));
	close(raw);
}

static void killing_a_peer_that_reads_nothing(void **state)
{
	(void)state;
	options.pending_max = 100;
	raw_open();
	big = calloc(1, MESSAGE_MAX);
	for (int i = 0; i < 60; i++)
		assert_ok(send_copy(in.socket, big, MESSAGE_MAX));
	wait_ms(never, 100);
	assert_true(sent_count < 60);
	ps_socket_close(in.socket, PS_SOCKET_NORMAL, "");
	assert_true(wait_ms(in_closed, 3000));
	assert_int_equal(sent_count, 60);
	assert_int_equal(sent_error, -ECANCELED);
	assert_true(wait_for(none_left));
	close(raw);
	free(big);
}

/* ---- against the protocol ---------------------------------------------------------------------- */

static void a_text_message_closes_with_1003(void **state)
{
	(void)state;
	raw_open();
	raw_frame(0x81, "hi", 2);
	assert_int_equal(raw_close_code(), 1003);
	raw_frame(0x88, "\x03\xeb", 2);
	assert_true(wait_for(in_closed));
	assert_int_equal(in.end.error, -EPROTO);
	assert_int_equal(in.end.code, 1003);
	assert_int_equal(in.messages, 0);
	close(raw);
}

static void bad_frames_end_the_connection(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
	} bad[] = {
		{"\x83\x80\0\0\0\0", 6},	 /* a reserved opcode */
		{"\xc2\x81\0\0\0\0a", 7},	 /* a reserved bit: no extension was agreed */
		{"\x80\x81\0\0\0\0a", 7},	 /* a continuation of nothing */
		{"\x09\x80\0\0\0\0", 6},	 /* a ping in fragments */
		{"\x89\xfe\x01\x00\0\0\0\0", 8}, /* a ping of 256 bytes */
		{"\x82\xff\xff\0\0\0\0\0\0\0\0\0", 12}, /* a length with its top bit */
	};

	(void)state;
	raw_open();
	for (size_t i = 0;;) {
		raw_write(raw, bad[i].bytes, bad[i].size);
		shutdown(raw, SHUT_WR);
		assert_true(wait_for(in_closed));
		assert_int_not_equal(in.end.error, 0);
		assert_int_equal(in.messages, 0);
		close(raw);
		if (++i == sizeof(bad) / sizeof(bad[0]))
			break;
		in.closed = in.opened = 0;
		raw_start();
		raw_text(raw, "GET /at/v1/websocket HTTP/1.1\r\n" UPGRADE);
		assert_true(wait_for(in_open));
	}
	assert_true(wait_for(none_left));
}

static void random_frames_do_no_harm(void **state)
{
	unsigned char junk[2000];

	(void)state;
	options.close_ns = 20000000;
	options.message_max = 1000;
	open_all();
	srand(5);
	for (int round = 0; round < 300; round++) {
		size_t n = 0;

		raw_start();
		raw_text(raw, "GET /at/v1/websocket HTTP/1.1\r\n" UPGRADE);
		while (n < sizeof(junk)) { /* mostly valid heads with any body */
			unsigned size = (unsigned)rand() % 130;

			junk[n++] = (unsigned char)(rand() % 4 ? (rand() % 2) << 7 | rand() % 3
							       : rand());
			if (n < sizeof(junk))
				junk[n++] = (unsigned char)(rand() % 8 ? 0x80 | size : size);
			for (unsigned i = 0; i < size + 4 && n < sizeof(junk); i++)
				junk[n++] = (unsigned char)rand();
		}
		raw_write(raw, junk, sizeof(junk));
		wait_ms(raw_ended, 20);
		close(raw);
	}
	assert_true(wait_for(none_left));
}

/* ---- silence ----------------------------------------------------------------------------------- */

static void a_peer_that_answers_pings_stays(void **state)
{
	(void)state;
	options.ping_ns = 300000000;
	connect_pair();
	wait_ms(never, 1000);
	assert_int_equal(in.closed + out.closed, 0);
}

static void a_silent_peer_is_given_up(void **state)
{
	(void)state;
	options.ping_ns = 40000000;
	raw_open();
	assert_true(wait_ms(in_closed, 5000));
	assert_int_equal(in.end.error, -ETIMEDOUT);
	assert_string_equal(in.why, "no answer to a ping");
	assert_true(wait_for(raw_ended));
	assert_memory_equal(raw_got, "\x89\x04ping", 6);
	close(raw);
}

static void nobody_who_is_paused_is_given_up(void **state)
{
	(void)state;
	options.ping_ns = 20000000;
	in.pause_at_message = true;
	raw_open();
	raw_frame(0x82, "x", 1);
	assert_true(wait_for(in_has_message));
	wait_ms(never, 200);
	assert_int_equal(in.closed, 0);
	ps_socket_resume(in.socket);
	assert_true(wait_ms(in_closed, 5000));
	close(raw);
}

/* ---- handshakes -------------------------------------------------------------------------------- */

static void expect_answer(const char *request, const char *status)
{
	raw_start();
	raw_text(raw, request);
	shutdown(raw, SHUT_WR);
	if (!wait_for(raw_answered) || strncmp(raw_got + 9, status, 3))
		fail_msg("%s: not %s but: %s", request, status, raw_got);
	close(raw);
}

static void requests_go_to_their_place(void **state)
{
	(void)state;
	open_all();
	expect_answer("POST /at/v1/post HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "200");
	expect_answer("GET /at/v1/post HTTP/1.1\r\nHost: x\r\n\r\n", "405");
	expect_answer("GET /at/v1/websock HTTP/1.1\r\n" UPGRADE, "404");
	expect_answer("GET /at/v1/websockets HTTP/1.1\r\n" UPGRADE, "404");
	expect_answer("GET /v1/websocket HTTP/1.1\r\n" UPGRADE, "404");
	expect_answer("GET /at/v1/websocket HTTP/1.1\r\nHost: x\r\n\r\n", "426");
	expect_answer("GET /at/v1/websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
		      "Upgrade: h2c\r\n\r\n",
		      "426");
	expect_answer("GET /at/v1/websocket?x=1 HTTP/1.1\r\n" UPGRADE, "101");
	assert_int_equal(accepted, 1);
	assert_true(wait_for(none_left));
}

static void a_web_socket_after_another_request_may_come_again(void **state)
{
	(void)state;
	open_all();
	raw_start();
	raw_text(raw, "POST /at/v1/post HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
	assert_true(wait_for(raw_answered));
	raw_size = 0;
	raw_text(raw, "GET /at/v1/websocket HTTP/1.1\r\n" UPGRADE);
	assert_true(wait_for(raw_ended));
	assert_int_equal(strncmp(raw_got, "HTTP/1.1 503 ", 13), 0);
	close(raw);
}

static void a_request_line_in_parts_is_told_apart(void **state)
{
	static const char line[] = "GET /at/v1/websocket HTTP/1.1\r\n";

	(void)state;
	open_all();
	raw_start();
	for (size_t i = 0; i < sizeof(line) - 1; i++) {
		raw_write(raw, line + i, 1);
		wait_ms(never, 1);
	}
	raw_text(raw, UPGRADE);
	assert_true(wait_for(in_open));
	close(raw);
}

static void a_handshake_that_never_ends_is_cut(void **state)
{
	(void)state;
	options.accept_ns = 50000000;
	open_all();
	raw_start();
	raw_text(raw, "GET /at/v1/websocket HTTP/1.1\r\nHost: x\r\n");
	assert_true(wait_ms(raw_ended, 5000));
	assert_int_equal(in.opened + in.closed, 0);
	assert_true(wait_for(none_left));
	close(raw);
}

static void garbage_instead_of_a_handshake_is_cut(void **state)
{
	char *junk = malloc(100000);

	(void)state;
	options.accept_ns = 2000000000;
	open_all();
	memset(junk, 'A', 100000);
	raw_start();
	raw_text(raw, "GET /at/v1/websocket ");
	raw_write(raw, junk, 100000);
	assert_true(wait_for(raw_ended));
	close(raw);
	raw_start();
	raw_text(raw, "GET /at/v1/websocket HTTP/1.1\r\nX: ");
	raw_write(raw, junk, 100000);
	assert_true(wait_for(raw_ended));
	close(raw);
	assert_int_equal(in.opened, 0);
	assert_true(wait_for(none_left));
	free(junk);
}

static void connecting_tells_why_not(void **state)
{
	int refusing = socket(AF_INET, SOCK_STREAM, 0), silent = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(a);
	struct ps_socket *s;
	char url[64];
	int n;

	(void)state;
	options.connect_ns = 200000000;
	open_all();
	assert_ok(bind(refusing, (struct sockaddr *)&a, sizeof(a)));
	getsockname(refusing, (struct sockaddr *)&a, &size);
	n = snprintf(url, sizeof(url), "http://127.0.0.1:%u/x", ntohs(a.sin_port));
	assert_ok(ps_socket_connect(&s, sockets, ps_bytes(url, (size_t)n), &events, &out));
	assert_true(wait_for(out_closed));
	assert_int_equal(out.end.error, -ECONNREFUSED);

	out.closed = 0;
	a.sin_port = 0;
	assert_ok(bind(silent, (struct sockaddr *)&a, sizeof(a)));
	assert_ok(listen(silent, 1));
	getsockname(silent, (struct sockaddr *)&a, &size);
	n = snprintf(url, sizeof(url), "http://localhost:%u/x", ntohs(a.sin_port));
	assert_ok(ps_socket_connect(&s, sockets, ps_bytes(url, (size_t)n), &events, &out));
	assert_true(wait_for(out_closed));
	assert_int_equal(out.end.error, -ETIMEDOUT);

	out.closed = 0;
	assert_ok(connect_path(&s, "/at/v1/post", &out));
	assert_true(wait_for(out_closed));
	assert_int_equal(out.end.error, -EPROTO);
	assert_non_null(strstr(out.why, "405"));

	/* connect(2) itself fails, or is refused by the name */
	for (int i = 0; i < 3; i++) {
		static const char *const never_url[] = {"http://255.255.255.255:1/x",
							"http://[::ffff:255.255.255.255]:1/x",
							"http://no-such-host.invalid:1/x"};

		out.closed = 0;
		assert_ok(
			ps_socket_connect(&s, sockets, ps_bytes_text(never_url[i]), &events, &out));
		assert_true(wait_for(out_closed));
		assert_int_equal(out.end.error, -EHOSTUNREACH);
	}

	assert_err(-EPROTONOSUPPORT,
		   ps_socket_connect(&s, sockets, ps_bytes("https://h/x", 11), &events, &out));
	assert_int_equal(out.opened, 0);
	close(refusing);
	close(silent);
}

/* ---- the silent -------------------------------------------------------------------------------- */

static struct ps_accept *door;
static struct ps_arrival arrivals[4];
static unsigned arrived;

static bool always_room(void *owner)
{
	(void)owner;
	return true;
}

static void note_arrival(void *owner, const struct ps_arrival *a)
{
	(void)owner;
	arrivals[arrived++] = *a;
	close(a->fd);
}

static bool one_arrived(void)
{
	return arrived == 1;
}

static bool two_arrived(void)
{
	return arrived == 2;
}

static int connect_silently(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons(ps_accept_port(door)),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_ok(connect(fd, (struct sockaddr *)&a, sizeof(a)));
	return fd;
}

/* Who says nothing is HTTP's after a time, and at once when too many say nothing. */
static void the_silent_are_handed_on_as_http(void **state)
{
	struct ps_accept_options o = {.listen = "127.0.0.1:0",
				      .path = "/p",
				      .waiting_max = 1,
				      .waiting_ns = 300000000,
				      .room = always_room,
				      .arrived = note_arrival};
	int first, second;

	(void)state;
	arrived = 0;
	open_all();
	assert_ok(ps_accept_open(&door, loop, &o));
	first = connect_silently();
	wait_ms(never, 20);
	assert_int_equal(arrived, 0);
	assert_int_equal(ps_accept_waiting(door), 1);
	second = connect_silently();
	assert_true(wait_ms(one_arrived, 150));
	assert_int_equal(ps_accept_waiting(door), 1);
	assert_true(wait_ms(two_arrived, 5000));
	assert_false(arrivals[0].web_socket || arrivals[1].web_socket);
	close(first);
	close(second);
	first = connect_silently(); /* waits until the door closes */
	wait_ms(never, 20);
	ps_accept_close(&door);
	close(first);
}

/* As many as may be are served; one more is accepted when one of them has gone. */
static void connections_over_the_maximum_wait_their_turn(void **state)
{
	int first, second;

	(void)state;
	server_options.connections_max = 2;
	open_all();
	first = raw_connect();
	second = raw_connect();
	wait_ms(never, 20);
	raw_start();
	raw_text(raw, "POST /at/v1/post HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
	assert_false(wait_ms(raw_answered, 50));
	close(first);
	assert_true(wait_for(raw_answered));
	assert_int_equal(strncmp(raw_got, "HTTP/1.1 200 ", 13), 0);
	close(second);
	close(raw);
}

/* ---- many -------------------------------------------------------------------------------------- */

static bool all_open(void)
{
	return accepted == MANY && out.opened == MANY;
}

static bool all_have_messages(void)
{
	return in.messages == MANY && out.messages == MANY;
}

static void a_thousand_connections(void **state)
{
	static struct ps_socket *many[MANY];
	struct rlimit l;

	(void)state;
	getrlimit(RLIMIT_NOFILE, &l);
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
	if (l.rlim_cur < 2 * MANY + 200)
		skip();
	in.echo = true;
	open_all();
	for (int i = 0; i < MANY; i++)
		assert_ok(connect_path(&many[i], "/at/v1/websocket", &out));
	assert_true(wait_for(all_open));
	for (int i = 0; i < MANY; i++)
		assert_ok(send_copy(many[i], &i, sizeof(i)));
	assert_true(wait_for(all_have_messages));
	assert_int_equal(in.bytes, MANY * sizeof(int));
	assert_int_equal(count_threads(), 1);
	/* half of them politely, the others with everything in tear_down */
	for (int i = 0; i < MANY / 2; i++)
		ps_socket_close(many[i], PS_SOCKET_NORMAL, "");
	for (int k = 0; k < 20000 && ended < MANY; k++)
		wait_ms(never, 1);
	assert_int_equal(ended, MANY);
}

#undef TEST
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* libuv keeps two descriptors from its first loop on. */
static int open_once(void **state)
{
	set_up(state);
	open_all();
	close_all();
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(messages_go_both_ways),
		TEST(an_empty_message_is_a_message),
		TEST(a_message_of_many_frames_arrives_whole),
		TEST(fragments_with_a_ping_between_are_one_message),
		TEST(a_frame_byte_by_byte_arrives),
		TEST(a_message_over_the_maximum_closes_with_1009),
		TEST(an_announced_size_over_the_maximum_is_enough),
		TEST(arriving_messages_share_a_maximum_of_memory),
		TEST(a_full_queue_says_so),
		TEST(more_than_the_maximum_of_connections_are_told_503),
		TEST(a_slow_reader_holds_up_the_sender_and_loses_nothing),
		TEST(pausing_in_a_burst_stops_after_that_message),
		TEST(both_sides_learn_the_code_and_the_reason),
		TEST(the_client_closes_too),
		TEST(closing_as_it_opens),
		TEST(a_close_frame_without_a_code),
		TEST(a_peer_that_does_not_answer_the_close_frame),
		TEST(closing_cancels_what_is_pending),
		TEST(killing_calls_nobody_back_and_the_peer_sees_the_end),
		TEST(killing_from_within_a_message),
		TEST(killing_a_peer_that_reads_nothing),
		TEST(a_text_message_closes_with_1003),
		TEST(bad_frames_end_the_connection),
		TEST(random_frames_do_no_harm),
		TEST(a_peer_that_answers_pings_stays),
		TEST(a_silent_peer_is_given_up),
		TEST(nobody_who_is_paused_is_given_up),
		TEST(requests_go_to_their_place),
		TEST(a_web_socket_after_another_request_may_come_again),
		TEST(a_request_line_in_parts_is_told_apart),
		TEST(a_handshake_that_never_ends_is_cut),
		TEST(garbage_instead_of_a_handshake_is_cut),
		TEST(connecting_tells_why_not),
		TEST(connections_over_the_maximum_wait_their_turn),
		TEST(the_silent_are_handed_on_as_http),
		TEST(a_thousand_connections),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, open_once, NULL);
}
