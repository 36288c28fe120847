/*
 * The queries of store/README.md, run by the stock sqlite3 shell on the sample session: on an
 * ended one and on one whose recorder died. What they must print is written here by hand, from
 * tests/sample.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/sample.h"

enum { QUERIES = 10 };

static const char *const expected[QUERIES] = {
	"8c1f1e2a4b6f00005eed5eed5eed5eed|send south/1|40.0|error\n"
	"8c1f1e2a4b6e00005eed5eed5eed5eed|send north/7|12.0|ok\n"
	"8c1f2e2a4b7200005eed5eed5eed5eed|sort west/3|6.0|unset\n",

	"send|2|12.0|40.0\n"
	"attempt|3|19.9|19.9\n"
	"sort|6|4.0|18.0\n"
	"hand|9|3.0|5.667\n"
	"carry|7|2.0|2.8\n",

	"north/7|3|0\n"
	"south/1|2|0\n"
	"\x1b[2Jx\ny\xe2\x80\xaez|1|0\n"
	"east/2|1|0\n",

	"8c1f1e2a4b6f0000|sender|2|refused, 200\n",

	"8c1f3e2a4b700000|carry east/2|8c1f2e2a4b700001|hand north|message_id\n"
	"8c1f3e2a4b700000|carry east/2|8c1f2e2a4b710001|hand north|message_id\n",

	"depot|4002|8|5|3\n",

	"send north/7|courier|4003|1.9\n"
	"send north/7|courier|4004|4.9\n"
	"send north/7|courier|4005|7.9\n"
	"send south/1|courier|4003|22.5\n"
	"send south/1|courier|4004|28.167\n"
	"sort \x1b[2Jx\ny\xe2\x80\xaez|courier|4005|0.2\n",

	"2025-03-01T12:00:00.000000Z|sender|began\n"
	"2025-03-01T12:00:00.000100Z|sender|posting\n"
	"2025-03-01T12:00:00.001000Z|depot|received\n"
	"2025-03-01T12:00:00.001400Z|depot|accepted\n"
	"2025-03-01T12:00:00.001500Z|depot|found\n"
	"2025-03-01T12:00:00.001600Z|depot|handing\n"
	"2025-03-01T12:00:00.001900Z|courier|arrived\n"
	"2025-03-01T12:00:00.002200Z|courier|accepted\n",

	"attempt|refused|1\n"
	"hand|503|1\n",

	"8c1f2e2a4b7200005eed5eed5eed5eed|sort west/3|"
	"incomplete, began before attach, may be cut, unexpected step\n",
};

/* Cuts the blocks out of the README. */
static int read_queries(char queries[QUERIES + 1][2000])
{
	FILE *f = fopen("store/README.md", "r");
	char line[1000];
	bool inside = false;
	int n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) && n <= QUERIES) {
		if (!strcmp(line, "```sql\n")) {
			inside = true;
			queries[n][0] = 0;
		} else if (inside && !strcmp(line, "```\n")) {
			inside = false;
			n++;
		} else if (inside) {
			strcat(queries[n], line);
		}
	}
	fclose(f);
	return n;
}

static void run_query(const char *session, const char *query, char *out, size_t room)
{
	char path[80], command[200];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "%s.sql", session);
	f = fopen(path, "w");
	fputs(query, f);
	fclose(f);
	snprintf(command, sizeof(command), "sqlite3 -batch -readonly %s < %s 2>&1", session, path);
	f = popen(command, "r");
	n = fread(out, 1, room - 1, f);
	out[n] = 0;
	pclose(f);
	unlink(path);
}

static void run_all(bool clean)
{
	static char queries[QUERIES + 1][2000], out[10000];
	char directory[] = "/tmp/outspan-queries-XXXXXX", path[60], uri[80], error[512];
	struct sample *s = sample_new();
	struct osp_store *store = NULL;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/session.db", directory);
	snprintf(uri, sizeof(uri), "sqlite:%s", path);
	assert_int_equal(osp_store_open(&store, uri, OSP_STORE_CREATE, error), 0);
	assert_int_equal(osp_store_write(store, s->parts, s->count), 0);
	assert_int_equal(osp_store_close(&store, clean), 0);
	free(s);

	assert_int_equal(read_queries(queries), QUERIES);
	for (int i = 0; i < QUERIES; i++) {
		run_query(path, queries[i], out, sizeof(out));
		assert_string_equal(out, expected[i]);
	}
	snprintf(uri, sizeof(uri), "rm -rf %s", directory);
	assert_int_equal(system(uri), 0);
}

static void queries_of_the_readme_work_on_an_ended_session(void **state)
{
	(void)state;
	run_all(true);
}

static void queries_of_the_readme_work_after_a_crash(void **state)
{
	(void)state;
	run_all(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queries_of_the_readme_work_on_an_ended_session),
		cmocka_unit_test(queries_of_the_readme_work_after_a_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
