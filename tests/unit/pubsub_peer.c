/* The stateful protocol at the broadcaster: the connection, subscriptions, messages in. */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/peers.h"

static uint64_t ended(enum ps_peer_end end)
{
	return b.peers.ended[end];
}

/* ---- the connection -------------------------------------------------------------------------- */

static void a_client_is_configured(void **state)
{
	struct client *c = new_client();

	(void)state;
	peers_configure(c);
	assert_int_equal(b.peers.count, 1);
	ps_socket_close(c->socket, PS_SOCKET_NORMAL, "bye");
	peers_wait_until(is_closed, c);
	wait_ms(20);
	assert_int_equal(b.peers.count, 0);
	assert_int_equal(ended(PS_PEER_DISCONNECTED), 1);
	free_client(c);
}

static void the_first_message_must_be_configure(void **state)
{
	struct client *c = new_client();

	(void)state;
	send_frame(c, &(struct ps_frame){.type = PS_FRAME_SUBSCRIBE_EXACT, .key = TEXT("t")});
	assert_ended(c, PS_SOCKET_PROTOCOL, "the first message is not CONFIGURE");
	assert_int_equal(ended(PS_PEER_UNEXPECTED_MESSAGE), 1);
	free_client(c);
}

static void a_malformed_configure_ends_the_connection(void **state)
{
	struct client *c = new_client();

	(void)state;
	send_bytes(c, TEXT("\0\1\0\1\0\4abcd"));
	assert_ended(c, PS_SOCKET_PROTOCOL, "header is longer or shorter than it may be");
	assert_int_equal(ended(PS_PEER_BAD_REQUEST), 1);
	free_client(c);
}

static void a_wrong_authorization_of_configure_ends_the_connection(void **state)
{
	struct client *c = new_client();
	uint8_t nonce[PS_NONCE_SIZE] = {0};

	(void)state;
	peers_auths[1].to_broadcaster.key[0] ^= 1;
	send_frame(c, &(struct ps_frame){.type = PS_FRAME_CONFIGURE,
					 .nonce = ps_bytes(nonce, sizeof(nonce))});
	assert_ended(c, PS_SOCKET_POLICY, "forbidden");
	assert_int_equal(ended(PS_PEER_BAD_AUTH), 1);
	free_client(c);
}

static void a_silent_client_is_not_waited_for(void **state)
{
	struct client *c;

	(void)state;
	options.peers.sockets.accept_ns = 100000000;
	reopen();
	c = new_client();
	assert_ended(c, PS_SOCKET_POLICY, "no CONFIGURE in time");
	assert_int_equal(ended(PS_PEER_TIMEOUT), 1);
	free_client(c);
}

static bool has_timed_out(void *what)
{
	(void)what;
	return ended(PS_PEER_TIMEOUT);
}

static void a_web_socket_that_never_opens_is_counted(void **state)
{
	static const char request[] = "GET /v1/websocket HTTP/1.1\r\nHost: here\r\n";
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	options.peers.sockets.accept_ns = 50000000;
	reopen();
	a.sin_port = htons(ps_server_port(b.server));
	assert_ok(connect(fd, (struct sockaddr *)&a, sizeof(a)));
	assert_int_equal(send(fd, request, sizeof(request) - 1, 0), sizeof(request) - 1);
	peers_wait_until(has_timed_out, NULL);
	assert_int_equal(b.peers.last_number, 0);
	close(fd);
}

static void a_second_configure_ends_the_connection(void **state)
{
	struct client *c = new_session();
	uint8_t nonce[PS_NONCE_SIZE] = {0};

	(void)state;
	send_frame(c, &(struct ps_frame){.type = PS_FRAME_CONFIGURE,
					 .nonce = ps_bytes(nonce, sizeof(nonce))});
	assert_ended(c, PS_SOCKET_PROTOCOL, "a second CONFIGURE");
	assert_int_equal(ended(PS_PEER_PROTOCOL_ERROR), 1);
	free_client(c);
}

static void bytes_that_are_no_message_end_the_connection(void **state)
{
	static const struct {
		struct ps_bytes bytes;
		const char *why;
	} cases[] = {
		{{"", 0}, "message ends before its type"},
		{{"\0\1\0\143", 4}, "type that its sender does not have"},
		{{"\0\1\0\2\0\5ab", 8}, "authorization: message ends within its headers"},
		{{"\0\0\0\2\0\1\0\7x-topic\0\1t", 18}, "authorization: header is missing"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct client *c = new_session();

		send_bytes(c, cases[i].bytes);
		assert_ended(c, PS_SOCKET_PROTOCOL, cases[i].why);
		free_client(c);
	}
}

static void a_broadcaster_that_stops_says_so(void **state)
{
	struct client *c = new_session();

	(void)state;
	peers_change(c, PS_FRAME_SUBSCRIBE_EXACT, "t");
	ps_peers_stop(&b.peers);
	assert_ended(c, PS_SOCKET_GOING_AWAY, "the broadcaster is being stopped");
	assert_int_equal(ps_db_count(b.db), 0);
	free_client(c);
}

/* ---- subscriptions --------------------------------------------------------------------------- */

static void connections_share_the_rows(void **state)
{
	struct client *one = new_session(), *two = new_session();

	(void)state;
	peers_change(one, PS_FRAME_SUBSCRIBE_EXACT, "t");
	peers_change(two, PS_FRAME_SUBSCRIBE_EXACT, "t");
	peers_change(two, PS_FRAME_SUBSCRIBE_GLOB, "t*");
	assert_int_equal(ps_db_count(b.db), 2);
	peers_change(one, PS_FRAME_UNSUBSCRIBE_EXACT, "t");
	assert_int_equal(ps_db_count(b.db), 2);
	peers_change(two, PS_FRAME_UNSUBSCRIBE_EXACT, "t");
	assert_int_equal(ps_db_count(b.db), 1);
	ps_socket_close(two->socket, PS_SOCKET_NORMAL, "");
	peers_wait_until(is_closed, two);
	wait_ms(20);
	assert_int_equal(ps_db_count(b.db), 0);
	free_client(one);
	free_client(two);
}

static void a_row_of_an_earlier_run_is_no_hindrance(void **state)
{
	struct client *c = new_session();

	(void)state;
	assert_ok(ps_db_subscribe(b.db, PS_DB_EXACT, ps_bytes_text(b.receive_url), TEXT("t"),
				  TEXT("")));
	peers_change(c, PS_FRAME_SUBSCRIBE_EXACT, "t");
	assert_int_equal(ps_db_count(b.db), 1);
	free_client(c);
}

static void what_cannot_be_changed_ends_the_connection(void **state)
{
	static const struct {
		bool first;
		enum ps_frame_type type;
		const char *key, *why;
	} cases[] = {
		{true, PS_FRAME_SUBSCRIBE_EXACT, "t", "already_subscribed"},
		{false, PS_FRAME_UNSUBSCRIBE_EXACT, "t", "not_subscribed"},
		{true, PS_FRAME_UNSUBSCRIBE_GLOB, "t", "not_subscribed"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct client *c = new_session();

		if (cases[i].first)
			peers_change(c, PS_FRAME_SUBSCRIBE_EXACT, "t");
		send_frame(c, &(struct ps_frame){.type = cases[i].type,
						 .key = ps_bytes_text(cases[i].key)});
		assert_ended(c, PS_SOCKET_PROTOCOL, cases[i].why);
		free_client(c);
	}
	assert_int_equal(ps_db_count(b.db), 0);
}

static void a_wrong_counter_is_not_authorized(void **state)
{
	struct client *c = new_session();

	(void)state;
	c->wire.connection.last[PS_SUBSCRIBER]--;
	send_frame(c, &(struct ps_frame){.type = PS_FRAME_SUBSCRIBE_EXACT, .key = TEXT("t")});
	assert_ended(c, PS_SOCKET_POLICY, "forbidden");
	assert_int_equal(ended(PS_PEER_BAD_AUTH), 1);
	assert_int_equal(ps_db_count(b.db), 0);
	free_client(c);
}

static void more_subscriptions_than_allowed_end_the_connection(void **state)
{
	struct client *c;

	(void)state;
	options.peers.subscriptions_max = 2;
	reopen();
	c = new_session();
	peers_change(c, PS_FRAME_SUBSCRIBE_EXACT, "a");
	peers_change(c, PS_FRAME_SUBSCRIBE_EXACT, "b");
	send_frame(c, &(struct ps_frame){.type = PS_FRAME_SUBSCRIBE_EXACT, .key = TEXT("c")});
	assert_ended(c, PS_SOCKET_FAILED, "unavailable");
	assert_int_equal(ps_db_count(b.db), 0);
	free_client(c);
}

/* ---- messages in ------------------------------------------------------------------------------- */

static void a_message_reaches_the_connections_that_want_it(void **state)
{
	struct client *publisher = new_session(), *exact = new_session(), *glob = new_session();

	(void)state;
	peers_change(exact, PS_FRAME_SUBSCRIBE_EXACT, "a/b");
	peers_change(glob, PS_FRAME_SUBSCRIBE_GLOB, "x*");
	peers_notify(publisher, "a/b", TEXT("hello"));
	assert_notified(publisher, "a/b", TEXT("hello"), 1);
	take_message(exact, TEXT("hello"));
	peers_notify(publisher, "xyz", TEXT("there"));
	assert_notified(publisher, "xyz", TEXT("there"), 1);
	take_message(glob, TEXT("there"));
	peers_notify(publisher, "nobody", TEXT(""));
	assert_notified(publisher, "nobody", TEXT(""), 0);
	assert_int_equal(exact->next, exact->count);
	assert_int_equal(glob->next, glob->count);
	free_client(publisher);
	free_client(exact);
	free_client(glob);
}

static void one_copy_is_enough_however_many_subscriptions_match(void **state)
{
	struct client *publisher = new_session(), *one = new_session(), *other = new_session();

	(void)state;
	peers_change(one, PS_FRAME_SUBSCRIBE_EXACT, "a/b");
	peers_change(one, PS_FRAME_SUBSCRIBE_GLOB, "a*");
	peers_change(other, PS_FRAME_SUBSCRIBE_GLOB, "*b");
	peers_notify(publisher, "a/b", TEXT("hello"));
	assert_notified(publisher, "a/b", TEXT("hello"), 2);
	take_message(one, TEXT("hello"));
	take_message(other, TEXT("hello"));
	wait_ms(20);
	assert_int_equal(one->next, one->count);
	assert_int_equal(other->next, other->count);
	free_client(publisher);
	free_client(one);
	free_client(other);
}

static void a_message_comes_in_parts(void **state)
{
	struct client *c = new_session();
	struct ps_bytes m = TEXT("hello, world");
	uint8_t digest[PS_DIGEST_SIZE];
	struct ps_frame f;

	(void)state;
	peers_change(c, PS_FRAME_SUBSCRIBE_EXACT, "t");
	for (uint64_t i = 0; i < 3; i++) {
		f = part_of(PS_FRAME_NOTIFY_STREAM, "t", m, i, 4 * i, 4, digest);
		send_frame(c, &f);
		if (i == 2)
			break;
		f = peers_next_frame(c, PS_FRAME_CONTINUE_NOTIFY);
		assert_int_equal(f.part, i);
		assert_true(ps_bytes_equal(f.identifier, TEXT("id01")));
		assert_authorized(c, &f, 0);
	}
	take_message(c, m); /* before the answer, for it is queued before */
	assert_notified(c, "t", m, 1);
	free_client(c);
}

static void parts_that_do_not_fit_end_the_connection(void **state)
{
	static const struct {
		enum ps_frame_type type[2];
		unsigned part[2], from[2], size[2];
		const char *why;
	} cases[] = {
		{{PS_FRAME_NOTIFY_STREAM}, {1}, {0}, {4}, "a later part without a first one"},
		{{PS_FRAME_NOTIFY_STREAM, PS_FRAME_NOTIFY_STREAM},
		 {0, 0},
		 {0, 4},
		 {4, 4},
		 "a message begins before the last one is complete"},
		{{PS_FRAME_NOTIFY_STREAM, PS_FRAME_NOTIFY},
		 {0, 0},
		 {0, 0},
		 {4, 12},
		 "a message begins before the last one is complete"},
		{{PS_FRAME_NOTIFY_STREAM, PS_FRAME_NOTIFY_STREAM},
		 {0, 2},
		 {0, 4},
		 {4, 4},
		 "a part is missing, repeated or out of order"},
		{{PS_FRAME_NOTIFY_STREAM, PS_FRAME_NOTIFY_STREAM},
		 {0, 1},
		 {0, 0},
		 {4, 12},
		 "more bytes than announced"},
		{{PS_FRAME_NOTIFY}, {0}, {0}, {11}, "mismatch"},
		{{PS_FRAME_NOTIFY_STREAM, PS_FRAME_NOTIFY_STREAM},
		 {0, 1},
		 {0, 3},
		 {4, 8},
		 "mismatch"},
	};
	uint8_t digest[PS_DIGEST_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct client *c = new_session();

		for (int k = 0; k < 2 && cases[i].type[k]; k++) {
			struct ps_frame f = part_of(cases[i].type[k], "t", TEXT("hello, world"),
						    cases[i].part[k], cases[i].from[k],
						    cases[i].size[k], digest);

			send_frame(c, &f);
		}
		assert_ended(c, PS_SOCKET_PROTOCOL, cases[i].why);
		free_client(c);
	}
	assert_int_equal(b.budget.memory_used, 0);
}

static void a_message_over_the_maximum_ends_the_connection(void **state)
{
	struct client *c = new_session();
	uint8_t digest[PS_DIGEST_SIZE];
	struct ps_frame f = part_of(PS_FRAME_NOTIFY_STREAM, "t", TEXT("hello"), 0, 0, 5, digest);

	(void)state;
	f.length = f.compressed_length = (1 << 20) + 1;
	send_frame(c, &f);
	assert_ended(c, PS_SOCKET_PROTOCOL, "the message is larger than this side takes");
	free_client(c);
}

static void a_wrong_authorization_of_a_later_part_ends_the_connection(void **state)
{
	struct client *c = new_session();
	uint8_t digest[PS_DIGEST_SIZE];
	struct ps_frame f = part_of(PS_FRAME_NOTIFY_STREAM, "t", TEXT("hello"), 0, 0, 3, digest);

	(void)state;
	send_frame(c, &f);
	peers_next_frame(c, PS_FRAME_CONTINUE_NOTIFY);
	f = part_of(PS_FRAME_NOTIFY_STREAM, "other", TEXT("hello"), 1, 3, 2, digest);
	send_frame(c, &f);
	assert_ended(c, PS_SOCKET_POLICY, "forbidden");
	free_client(c);
}

static void an_unknown_compressor_ends_the_connection(void **state)
{
	struct client *c = new_session();
	uint8_t digest[PS_DIGEST_SIZE];
	struct ps_frame f = part_of(PS_FRAME_NOTIFY, "t", TEXT("hello"), 0, 0, 5, digest);

	(void)state;
	f.compressor = 7;
	send_frame(c, &f);
	assert_ended(c, PS_SOCKET_PROTOCOL, "unknown_compressor");
	free_client(c);
}

static void a_connection_lost_within_a_message_leaves_nothing(void **state)
{
	struct client *c = new_session();
	uint8_t digest[PS_DIGEST_SIZE];
	struct ps_frame f = part_of(PS_FRAME_NOTIFY_STREAM, "t", TEXT("hello"), 0, 0, 3, digest);

	(void)state;
	send_frame(c, &f);
	peers_next_frame(c, PS_FRAME_CONTINUE_NOTIFY);
	assert_int_equal(b.budget.memory_used, 3);
	ps_socket_close(c->socket, PS_SOCKET_NORMAL, "");
	peers_wait_until(is_closed, c);
	wait_ms(20);
	assert_int_equal(b.budget.memory_used, 0);
	assert_int_equal(ended(PS_PEER_DISCONNECTED), 1);
	free_client(c);
}

/* A subscriber over HTTP that takes connections and never answers. */
static int listen_silently(char *url, size_t size)
{
	struct sockaddr_storage a;
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_ok(listen(fd, 10));
	assert_ok(getsockname(fd, (struct sockaddr *)&a, &n));
	snprintf(url, size, "http://127.0.0.1:%u/", ntohs(((struct sockaddr_in *)&a)->sin_port));
	return fd;
}

static void messages_wait_behind_one_that_is_processed(void **state)
{
	struct client *c = new_session();
	char url[64];
	int fd = listen_silently(url, sizeof(url));

	(void)state;
	assert_ok(ps_db_subscribe(b.db, PS_DB_EXACT, ps_bytes_text(url), TEXT("slow"), TEXT("")));
	peers_notify(c, "slow", TEXT("hello"));
	peers_notify(c, "fast", TEXT("hello"));
	send_frame(c, &(struct ps_frame){.type = PS_FRAME_SUBSCRIBE_EXACT, .key = TEXT("t")});
	wait_ms(100);
	assert_int_equal(c->next, c->count);
	assert_true(ps_peers_is_busy(&b.peers));
	close(fd); /* resets the delivery */
	assert_notified(c, "slow", TEXT("hello"), 0);
	assert_notified(c, "fast", TEXT("hello"), 0);
	peers_next_frame(c, PS_FRAME_CONFIRM_SUBSCRIBE_EXACT);
	free_client(c);
}

static void too_many_that_wait_end_the_connection(void **state)
{
	struct client *c;
	char url[64];
	int fd = listen_silently(url, sizeof(url));

	(void)state;
	options.peers.unprocessed_max = 5;
	reopen();
	c = new_session();
	assert_ok(ps_db_subscribe(b.db, PS_DB_EXACT, ps_bytes_text(url), TEXT("slow"), TEXT("")));
	peers_notify(c, "slow", TEXT("hello"));
	for (int i = 0; i < 6; i++)
		peers_notify(c, "fast", TEXT("hello"));
	assert_ended(c, PS_SOCKET_POLICY, "too many messages that are not processed");
	assert_int_equal(ended(PS_PEER_UNPROCESSED_FULL), 1);
	close(fd);
	free_client(c);
}

static void much_that_waits_stops_the_reading(void **state)
{
	static char large[9000];
	struct client *c;
	char url[64];
	int fd = listen_silently(url, sizeof(url));

	(void)state;
	options.peers.unprocessed_bytes = 20000;
	reopen();
	c = new_session();
	assert_ok(ps_db_subscribe(b.db, PS_DB_EXACT, ps_bytes_text(url), TEXT("slow"), TEXT("")));
	peers_notify(c, "slow", TEXT("hello"));
	for (int i = 0; i < 200; i++)
		peers_notify(c, "fast", ps_bytes(large, sizeof(large)));
	wait_ms(200);
	assert_false(c->closed);
	assert_true(osp_list_entry(b.peers.list.next, struct ps_peer, node)->unprocessed_count < 8);
	close(fd);
	assert_notified(c, "slow", TEXT("hello"), 0);
	for (int i = 0; i < 200; i++)
		assert_notified(c, "fast", ps_bytes(large, sizeof(large)), 0);
	free_client(c);
}

RUN_TESTS(CASE(a_client_is_configured), CASE(the_first_message_must_be_configure),
	  CASE(a_malformed_configure_ends_the_connection),
	  CASE(a_wrong_authorization_of_configure_ends_the_connection),
	  CASE(a_silent_client_is_not_waited_for), CASE(a_web_socket_that_never_opens_is_counted),
	  CASE(a_second_configure_ends_the_connection),
	  CASE(bytes_that_are_no_message_end_the_connection),
	  CASE(a_broadcaster_that_stops_says_so), CASE(connections_share_the_rows),
	  CASE(a_row_of_an_earlier_run_is_no_hindrance),
	  CASE(what_cannot_be_changed_ends_the_connection), CASE(a_wrong_counter_is_not_authorized),
	  CASE(more_subscriptions_than_allowed_end_the_connection),
	  CASE(a_message_reaches_the_connections_that_want_it),
	  CASE(one_copy_is_enough_however_many_subscriptions_match), CASE(a_message_comes_in_parts),
	  CASE(parts_that_do_not_fit_end_the_connection),
	  CASE(a_message_over_the_maximum_ends_the_connection),
	  CASE(a_wrong_authorization_of_a_later_part_ends_the_connection),
	  CASE(an_unknown_compressor_ends_the_connection),
	  CASE(a_connection_lost_within_a_message_leaves_nothing),
	  CASE(messages_wait_behind_one_that_is_processed),
	  CASE(too_many_that_wait_end_the_connection), CASE(much_that_waits_stops_the_reading))
