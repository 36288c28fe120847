/* Settings and secrets files, urls, and the lines of the message log. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "probes/pubsub/ps_config.h"
#include "probes/pubsub/ps_log.h"
#include "probes/pubsub/ps_url.h"

#define SECRET                                                                                     \
	"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0-Pw"

static char path[64];

static void write_file(const char *text)
{
	int fd;

	strcpy(path, "/tmp/pubsub-config-XXXXXX");
	fd = mkstemp(path);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* The arguments behind the program's name, joined by blanks. */
static const char *expand(int count, char **list, int *result)
{
	static char text[1024];

	*text = 0;
	*result = ps_config_expand(&count, &list);
	for (int i = 1; !*result && i < count; i++)
		strcat(strcat(text, list[i]), " ");
	return text;
}

static void settings_stand_in_front_of_the_other_arguments(void **state)
{
	char *list[] = {"p", "-v", "--config", path, "--log", "x", "topic", NULL};
	int r;

	(void)state;
	write_file("{\"listen\": \"h:1\", \"keep\": true, \"quiet\": false, \"url\": null,"
		   " \"exact\": [\"a b\", \"c\"], \"count\": 3, \"rate\": 0.5}");
	assert_string_equal(expand(7, list, &r),
			    "--listen=h:1 --keep --exact=a b --exact=c --count=3 --rate=0.5 "
			    "-v --log x topic ");
	assert_int_equal(r, 0);
	unlink(path);
}

static void without_a_settings_file_nothing_changes(void **state)
{
	char *list[] = {"p", "-v", "--", "--config", "x", NULL};
	int r;

	(void)state;
	assert_string_equal(expand(5, list, &r), "-v -- --config x ");
	assert_int_equal(r, 0);
}

static void bad_settings_files_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{\"a\": {}}",
		"{\"a\": [true]}",
		"{1}",
		"{\"a\":1,\"a\":2}",
		"{\"a\": [[]]}",
	};
	char *list[] = {"p", "--config", path, NULL};
	int r;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_file(bad[i]);
		expand(3, list, &r);
		assert_int_equal(r, -EINVAL);
		unlink(path);
	}
	expand(3, list, &r);
	assert_int_not_equal(r, 0);
}

static void secrets_of_both_directions_are_read(void **state)
{
	struct ps_auth a = {0};

	(void)state;
	write_file("{\"version\":\"2\",\"to-broadcaster\":{\"type\":\"hmac\",\"secret\":\"" SECRET
		   "\"},\"to-subscriber\":{\"type\":\"token\",\"secret\":\"abc\"}}");
	assert_int_equal(ps_config_read_secrets(&a, path), 0);
	assert_int_equal(a.to_broadcaster.type, PS_AUTH_HMAC);
	assert_int_equal(a.to_broadcaster.key[63], 63);
	assert_int_equal(a.to_subscriber.type, PS_AUTH_TOKEN);
	assert_string_equal(a.to_subscriber.token, "abc");
	unlink(path);
	write_file("{\"version\":\"2\",\"to-broadcaster\":{\"type\":\"token\",\"secret\":\"x\"}}");
	assert_int_equal(ps_config_read_secrets(&a, path), 0);
	assert_int_equal(a.to_broadcaster.type, PS_AUTH_TOKEN);
	assert_int_equal(a.to_subscriber.type, PS_AUTH_NONE);
	unlink(path);
	ps_auth_clear_secret(&a.to_broadcaster);
}

static void bad_secrets_files_are_refused(void **state)
{
	static const char *const bad[] = {
		"{}",
		"{\"version\":2}",
		"{\"version\":\"1\"}",
		"{\"version\":\"2\",\"to-broadcaster\":{}}",
		"{\"version\":\"2\",\"to-broadcaster\":\"hmac\"}",
		"{\"version\":\"2\",\"to-broadcaster\":{\"type\":\"hmac\"}}",
		"{\"version\":\"2\",\"to-broadcaster\":{\"type\":\"hmac\",\"secret\":\"AAEC\"}}",
		"{\"version\":\"2\",\"to-subscriber\":{\"type\":\"basic\",\"secret\":\"x\"}}",
		"{\"version\":\"2\",",
	};
	struct ps_auth a = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_file(bad[i]);
		assert_int_equal(ps_config_read_secrets(&a, path), -EINVAL);
		unlink(path);
	}
	assert_int_equal(ps_config_read_secrets(&a, path), -ENOENT);
}

static void only_plain_http_urls_are_accepted(void **state)
{
	static const char *const good[] = {"http://h", "https://h:1/p?q=1", "http://[::1]:8/",
					   "http://127.0.0.1:3002/v1/receive#x"};
	static const char *const bad[] = {"",
					  "h",
					  "/p",
					  "ftp://h/",
					  "file:///etc/x",
					  "http://",
					  "http:///p",
					  "http://u@h/",
					  "http://u:p@h/",
					  "http://h /",
					  "http://h/\r\nX: y",
					  "http://h:99999/",
					  "HTTP//h",
					  "http://h\x7f/"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(ps_url_check(ps_bytes_text(good[i])), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(ps_url_check(ps_bytes_text(bad[i])), -EINVAL);
	assert_int_equal(ps_url_check(ps_bytes("http://h/\0x", 11)), -EINVAL);
}

static void assert_view(struct ps_bytes view, const char *text)
{
	assert_int_equal(view.size, strlen(text));
	assert_memory_equal(view.data, text, view.size);
}

static void urls_are_cut_as_they_are_written(void **state)
{
	struct ps_bytes url = ps_bytes_text("http://Host:080/a/b?q#f");

	(void)state;
	assert_view(ps_url_authority(url), "Host:080");
	assert_view(ps_url_path(url), "/a/b");
	assert_view(ps_url_without_fragment(url), "http://Host:080/a/b?q");
	url = ps_bytes_text("http://h");
	assert_view(ps_url_authority(url), "h");
	assert_view(ps_url_path(url), "");
	assert_view(ps_url_without_fragment(url), "http://h");
	assert_view(ps_url_authority(ps_bytes_text("http://h?q")), "h");
}

static void a_log_line_holds_no_blanks_or_controls_in_values(void **state)
{
	struct ps_log *l = NULL;
	struct ps_line line;
	char text[512] = "";
	FILE *f;

	(void)state;
	write_file("");
	assert_int_equal(ps_log_open(&l, path), 0);
	ps_log_begin(&line, l, "notify");
	ps_log_hex(&line, "identifier", ps_bytes("\x01\xff", 2));
	ps_log_text(&line, "topic", ps_bytes_text("a b=c\n\x1b[1m\\\xff"));
	ps_log_number(&line, "begin", -5);
	ps_log_word(&line, "outcome", "ok");
	assert_int_equal(ps_log_end(&line), 0);
	ps_log_close(&l);

	f = fopen(path, "r");
	assert_non_null(fgets(text, sizeof(text), f));
	assert_string_equal(text, "notify identifier=01ff "
				  "topic=a\\x20b=c\\x0a\\x1b[1m\\\\\\xff begin=-5 outcome=ok\n");
	fclose(f);
	unlink(path);
}

static void a_log_line_has_a_maximum(void **state)
{
	static char big[70000];
	struct ps_log *l = NULL;
	struct ps_line line;

	(void)state;
	memset(big, 1, sizeof(big));
	write_file("");
	assert_int_equal(ps_log_open(&l, path), 0);
	ps_log_begin(&line, l, "notify");
	for (int i = 0; i < 10; i++)
		ps_log_text(&line, "topic", ps_bytes(big, sizeof(big)));
	assert_int_equal(ps_log_end(&line), 0);
	assert_true(line.size <= sizeof(line.text));
	ps_log_close(&l);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_stand_in_front_of_the_other_arguments),
		cmocka_unit_test(without_a_settings_file_nothing_changes),
		cmocka_unit_test(bad_settings_files_are_refused),
		cmocka_unit_test(secrets_of_both_directions_are_read),
		cmocka_unit_test(bad_secrets_files_are_refused),
		cmocka_unit_test(only_plain_http_urls_are_accepted),
		cmocka_unit_test(urls_are_cut_as_they_are_written),
		cmocka_unit_test(a_log_line_holds_no_blanks_or_controls_in_values),
		cmocka_unit_test(a_log_line_has_a_maximum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
