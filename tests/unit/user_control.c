/* The recorder's end of outspan ctl, with real sockets: nobody can make it wait or grow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/control.h"

static struct osp_control *control;
static struct osp_control_name name;
static int64_t now_ns;
static unsigned int asked;
static char last[256]; /* the latest request: its words, each in brackets */

/* Echoes, except that "no" is refused and "long" gives more than an answer may have. */
static void on_request(void *arg, const struct osp_control_request *r, json_t *answer)
{
	static char text[OSP_CONTROL_LINE];

	assert_ptr_equal(arg, &control);
	assert_int_equal(r->uid, getuid());
	asked++;
	*last = 0;
	for (size_t i = 0; i < r->count; i++)
		snprintf(last + strlen(last), sizeof(last) - strlen(last), "[%s]", r->words[i]);
	if (!strcmp(r->words[0], "no"))
		osp_control_refuse(answer, "not %d times", 7);
	if (!strcmp(r->words[0], "long")) {
		memset(text, 'x', sizeof(text) - 1);
		json_object_set_new(answer, "text", json_string(text));
	}
	json_object_set_new(answer, "count", json_integer((json_int_t)r->count));
}

/* The name of our own listener, as a client finds it. */
static int find_name(void)
{
	FILE *f = fopen("/proc/net/unix", "r");
	char line[512], text[256];
	struct osp_control_name n;
	int found = 0;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%*s %*s %*s 00010000 %*s %*s %*s %255s", text) == 1 &&
		    !osp_control_parse(&n, text) && n.pid == (uint32_t)getpid()) {
			name = n; /* others may have recorders, too */
			found++;
		}
	fclose(f);
	return found;
}

static int set_up(void **state)
{
	(void)state;
	asked = 0;
	*last = 0;
	now_ns = 1000;
	assert_int_equal(osp_control_open(&control, "Makefile", on_request, &control), 0);
	assert_int_equal(find_name(), 1);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	osp_control_close(&control);
	assert_int_equal(find_name(), 0);
	return 0;
}

static int dial(void)
{
	struct sockaddr_un address;
	socklen_t size = osp_control_address(&name, &address);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&address, size), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* As often as a recorder's loop would be woken. */
static void serve(void)
{
	for (int i = 0; i < 40; i++)
		osp_control_handle(control, now_ns);
}

/* What came back: all of it, if the connection has ended; NULL if nothing did and it has not. */
static const char *hear(int fd)
{
	static char text[2 * OSP_CONTROL_LINE];
	size_t size = 0;
	ssize_t n;

	while ((n = recv(fd, text + size, sizeof(text) - 1 - size, 0)) > 0)
		size += (size_t)n;
	text[size] = 0;
	if (n < 0 && errno == EAGAIN)
		return NULL;
	return text;
}

static void ask(const char *line, const char *answer)
{
	int fd = dial();

	say(fd, line);
	serve();
	assert_string_equal(hear(fd), answer);
	close(fd);
}

static void a_line_is_answered_and_the_connection_ends(void **state)
{
	(void)state;
	ask("[\"save\",\"a b\\u00e4\"]\n", "{\"count\":2}\n");
	assert_string_equal(last, "[save][a b\xc3\xa4]");
	ask("[\"no\"]\n", "{\"error\":\"not 7 times\",\"count\":1}\n");
	assert_int_equal(asked, 2);
}

static void the_name_tells_the_session(void **state)
{
	struct stat s;

	(void)state;
	assert_int_equal(stat("Makefile", &s), 0);
	assert_int_equal(name.device, s.st_dev);
	assert_int_equal(name.inode, s.st_ino);
}

static void other_names_are_not_ours(void **state)
{
	static const char *const texts[] = {"",
					    "@outspan",
					    "outspan/1/fe:2/0011223344556677",
					    "@outspan/1/fe:2",
					    "@outspan/1/fe:2/0011223344556677x",
					    "@outspan/x/fe:2/0011223344556677",
					    "@/tmp/.X11-unix/X0"};
	struct osp_control_name n;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(osp_control_parse(&n, texts[i]), -EINVAL);
	assert_int_equal(osp_control_parse(&n, "@outspan/12/fe01:34/0011223344556677"), 0);
	assert_int_equal(n.pid, 12);
	assert_int_equal(n.device, 0xfe01);
	assert_int_equal(n.inode, 34);
}

static void a_request_may_come_in_pieces(void **state)
{
	int fd = dial();

	(void)state;
	for (const char *s = "[\"status\"]"; *s; s++) {
		char piece[2] = {*s, 0};

		say(fd, piece);
		serve();
		assert_null(hear(fd));
	}
	assert_int_equal(asked, 0);
	say(fd, "\n");
	serve();
	assert_string_equal(hear(fd), "{\"count\":1}\n");
	close(fd);
}

static void what_is_no_request_is_refused(void **state)
{
	static const char *const lines[] = {"\n",	"status\n", "{}\n",
					    "[]\n",	"[1]\n",    "[\"a\",null]\n",
					    "[\"a\"\n", "\"a\"\n",  "[[\"a\"]]\n"};
	char many[70 * 4 + 8] = "[\"a\"";

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		ask(lines[i], "{\"error\":\"expected a JSON array of at most 64 words\"}\n");
	for (int i = 0; i < 64; i++)
		strcat(many, ",\"a\"");
	ask(strcat(many, "]\n"), "{\"error\":\"expected a JSON array of at most 64 words\"}\n");
	assert_int_equal(asked, 0);
}

static void what_is_too_long_is_refused(void **state)
{
	static char line[OSP_CONTROL_LINE + 1];

	(void)state;
	memset(line, 'x', OSP_CONTROL_LINE);
	ask(line, "{\"error\":\"the request is too long\"}\n");
	ask("[\"long\"]\n", "{\"error\":\"the answer is too long\"}\n");
}

static void one_client_too_many_ends_the_oldest(void **state)
{
	int fds[OSP_CONTROL_CLIENTS + 1];

	(void)state;
	for (int i = 0; i <= OSP_CONTROL_CLIENTS; i++) {
		fds[i] = dial();
		now_ns++;
		serve();
	}
	assert_string_equal(hear(fds[0]), "");
	for (int i = 1; i <= OSP_CONTROL_CLIENTS; i++)
		assert_null(hear(fds[i]));
	for (int i = 1; i <= OSP_CONTROL_CLIENTS; i++)
		say(fds[i], "[\"x\"]\n");
	serve();
	for (int i = 1; i <= OSP_CONTROL_CLIENTS; i++)
		assert_string_equal(hear(fds[i]), "{\"count\":1}\n");
	for (int i = 0; i <= OSP_CONTROL_CLIENTS; i++)
		close(fds[i]);
	assert_int_equal(asked, OSP_CONTROL_CLIENTS);
}

static void a_silent_client_is_ended_in_time(void **state)
{
	int early = dial(), late;

	(void)state;
	serve();
	now_ns += OSP_CONTROL_PATIENCE * 1000000000ll;
	late = dial();
	serve();
	osp_control_tick(control, now_ns);
	assert_null(hear(early));
	osp_control_tick(control, now_ns + 1);
	assert_string_equal(hear(early), "");
	assert_null(hear(late));
	close(early);
	close(late);
}

static void clients_that_leave_are_forgotten(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++) {
		int fd = dial();

		say(fd, i % 2 ? "[\"half" : "[\"whole\"]\n");
		close(fd);
		serve();
	}
	assert_int_equal(asked, 25);
	ask("[\"x\"]\n", "{\"count\":1}\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_line_is_answered_and_the_connection_ends, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(the_name_tells_the_session, set_up, tear_down),
		cmocka_unit_test_setup_teardown(other_names_are_not_ours, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_request_may_come_in_pieces, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_request_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_too_long_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_client_too_many_ends_the_oldest, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_silent_client_is_ended_in_time, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(clients_that_leave_are_forgotten, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
