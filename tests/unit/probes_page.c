/*
 * The reference page of a small catalogue, in both forms, written out by hand; with texts that would
 * be markup if they were not escaped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probes/page.h"

static const char catalogue[] =
	"provider: p\n"
	"abi: 1\n"
	"doc: \"about `p`\"\n"
	"enums: {color: {RED: 1, BLUE: 2}}\n"
	"maps: {number: {RED: 7}}\n"
	"messages:\n"
	"  ask: {name: ASK, id: 3, to: broadcaster, over: http, path: /ask, doc: \"a *question*\"}\n"
	"  tell: {name: TELL, id: 4, to: subscriber, over: websocket, doc: \"an answer | none\"}\n"
	"fragments:\n"
	"  again:\n"
	"    entry: Wait\n"
	"    exits: [then]\n"
	"    points: {retry: {level: detail}}\n"
	"    states: {Wait: {retry: {to: then}}}\n"
	"    slow: {Wait: \"it pauses\"}\n"
	"operations:\n"
	"  ask:\n"
	"    doc: somebody asks\n"
	"    starts: \"he is -curious\"\n"
	"    messages: [ask, tell]\n"
	"    side: client\n"
	"    name: \"ask {what}\"\n"
	"    spans: {try: {kind: CLIENT, context: true, doc: one try}}\n"
	"    points:\n"
	"      start: {level: essential, args: {what: {type: str, max: 8, class: secret, doc: \"a <tag>\"}}, doc: \".begins\"}\n"
	"      sent: {level: essential, args: {size: {type: u64, unit: By}, c: context_out}}\n"
	"      done: {level: essential, args: {color: color}}\n"
	"      bad: {level: essential}\n"
	"    start: First\n"
	"    states:\n"
	"      First: {start: Send}\n"
	"      Send: {sent: {to: Answer, open: try}}\n"
	"      Answer:\n"
	"        done: {end: ok, code: {from: color, map: number}, close: {try: ok}}\n"
	"        bad: {to: Again, close: {try: lost}}\n"
	"      Again: {use: again, then: Send}\n"
	"    slow: {Send: \"the [network]\"}\n"
	"links:\n"
	"  - name: l\n"
	"    doc: both\n"
	"    from: ask/try\n"
	"    to: ask\n"
	"    match: [{evidence: e, grade: strong, from: sent.size, to: sent.size, within: 1s}]\n"
	"implementations: {other: {lacks: [ask.bad, ask.retry]}, none: {doc: nothing, lacks: [ask]}}\n";

static char *print(const struct osp_markup *form)
{
	struct osp_catalogue *c = NULL;
	struct osp_catalogue_error error = {""};
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_int_equal(osp_catalogue_new(&c), 0);
	if (osp_catalogue_add(c, "f", catalogue, sizeof(catalogue) - 1, &error))
		fail_msg("%s", error.text);
	assert_int_equal(osp_page_print(f, c, form), 0);
	assert_int_equal(fclose(f), 0);
	osp_catalogue_free(&c);
	return text;
}

/* What is behind the guide, which is the same for all. */
static void assert_behind(const char *text, const char *mark, const char *expected)
{
	const char *at = strstr(text, mark);

	assert_non_null(at);
	assert_string_equal(at, expected);
}

static const char drawing[] = "First  (begins here)\n"
			      "  start --> Send\n"
			      "Send\n"
			      "  sent ---> Answer  [begins try]\n"
			      "Answer\n"
			      "  done ---> end: ok, code from color: RED 7  [ends try: ok]\n"
			      "  bad ----> again.Wait  [ends try: error lost]\n"
			      "again.Wait\n"
			      "  retry --> Send\n";

static void markdown_has_tables_and_diagrams(void **state)
{
	char expected[8192], *text = print(&osp_markdown);

	(void)state;
	assert_non_null(
		strstr(text, "# outspan-trace-points\n\nwhat the trace points of a program tell\n\n"
			     "about \\`p\\`\n\n## How to read this page\n\n"));
	snprintf(
		expected, sizeof(expected),
		"## Operations at a glance\n\n"
		"| Operation | What it is | Runs in |\n|---|---|---|\n"
		"| `ask` | somebody asks | client |\n\n"
		"## Messages\n\n"
		"| Message | Meaning | On the wire | Operations |\n|---|---|---|---|\n"
		"| `ASK` | a \\*question\\* | type 3 to the broadcaster, POST /ask | ask |\n"
		"| `TELL` | an answer \\| none | type 4 to the subscriber, web socket | ask |\n\n"
		"## How spans of two processes are joined\n\n"
		"The first evidence that both sides have decides; what comes behind it corroborates or "
		"contradicts. If several spans fit, the link is shown as ambiguous, never as a fact.\n\n"
		"| Link | Meaning | Between | Evidence |\n|---|---|---|---|\n"
		"| `l` | both | ask/try -> ask | e (strong) |\n\n"
		"## Operations\n\n"
		"### ask: somebody asks\n\n"
		"**Runs in:** client  \n"
		"**Begins when:** he is -curious  \n"
		"**Messages:** ASK (type 3, to the broadcaster, POST /ask), TELL (type 4, to the "
		"subscriber)  \n"
		"**Shown as:** ask {what}, kind INTERNAL  \n"
		"**Span within:** try: one try; the other side's span hangs below it  \n"
		"\n**Where the time goes**\n\n"
		"| After | What is going on | State |\n|---|---|---|\n"
		"| `start, retry` | the \\[network\\] | Send |\n"
		"| `bad` | it pauses | again.Wait |\n\n"
		"\n**Steps**\n\n"
		"| Step | Meaning | Level | Arguments |\n|---|---|---|---|\n"
		"| `start` | .begins | essential | what |\n"
		"| `sent` |  | essential | size, c |\n"
		"| `done` |  | essential | color |\n"
		"| `bad` |  | essential |  |\n"
		"| `retry` |  | detail |  |\n\n"
		"\n**Arguments**\n\n"
		"| Argument | Meaning | Type | Attribute | Class |\n|---|---|---|---|---|\n"
		"| `what` | a \\<tag> | text, 8 bytes kept | p.what | secret |\n"
		"| `size` |  | unsigned, in bytes | p.size | public |\n"
		"| `c` | the trace context that is sent along | sent context | p.c | public |\n"
		"| `color` |  | one of RED, BLUE | p.color | public |\n\n"
		"\n```text\n%s```\n\n"
		"```mermaid\nstateDiagram-v2\n"
		"  [*] --> First\n"
		"  First --> Send : start\n"
		"  Send --> Answer : sent\n"
		"  Answer --> [*] : done, ok\n"
		"  Answer --> again_Wait : bad\n"
		"  again_Wait --> Send : retry\n"
		"```\n\n"
		"## What other programs lack\n\n"
		"| Program | What it has | Lacks |\n|---|---|---|\n"
		"| `other` |  | ask.bad, ask.retry |\n"
		"| `none` | nothing | ask |\n\n",
		drawing);
	assert_behind(text, "## Operations at a glance", expected);
	free(text);
}

static void man_page_has_lists_and_escapes(void **state)
{
	char expected[4096], *text = print(&osp_roff);
	char minus[2048], *out = minus;

	(void)state;
	for (const char *d = drawing; *d; d++) {
		*out = '\\';
		out += *d == '-';
		*out++ = *d;
	}
	*out = 0;
	assert_non_null(strstr(text,
			       ".TH OUTSPAN-TRACE-POINTS 7 \"\" outspan \"outspan reference\"\n"
			       ".SH NAME\noutspan\\-trace\\-points \\- what the trace points of "
			       "a program tell\n.SH DESCRIPTION\n.PP\nabout `p`\n"));
	snprintf(
		expected, sizeof(expected),
		".SS \"ask: somebody asks\"\n"
		".br\n\\fIRuns in\\fR: client\n"
		".br\n\\fIBegins when\\fR: he is \\-curious\n"
		".br\n\\fIMessages\\fR: ASK (type 3, to the broadcaster, POST /ask), TELL (type 4, to the "
		"subscriber)\n"
		".br\n\\fIShown as\\fR: ask {what}, kind INTERNAL\n"
		".br\n\\fISpan within\\fR: try: one try; the other side's span hangs below it\n"
		".PP\n.B Where the time goes\n"
		".TP\n.B start, retry\nthe [network]\n.br\nState: Send\n"
		".TP\n.B bad\nit pauses\n.br\nState: again.Wait\n"
		".PP\n.B Steps\n"
		".TP\n.B start\n\\&.begins\n.br\nLevel: essential; Arguments: what\n"
		".TP\n.B sent\nLevel: essential; Arguments: size, c\n"
		".TP\n.B done\nLevel: essential; Arguments: color\n"
		".TP\n.B bad\nLevel: essential\n"
		".TP\n.B retry\nLevel: detail\n"
		".PP\n.B Arguments\n"
		".TP\n.B what\na <tag>\n.br\nType: text, 8 bytes kept; Attribute: p.what; Class: secret\n"
		".TP\n.B size\nType: unsigned, in bytes; Attribute: p.size; Class: public\n"
		".TP\n.B c\nthe trace context that is sent along\n.br\nType: sent context; Attribute: p.c; "
		"Class: public\n"
		".TP\n.B color\nType: one of RED, BLUE; Attribute: p.color; Class: public\n"
		".PP\n.nf\n%s.fi\n"
		".SH \"What other programs lack\"\n"
		".TP\n.B other\nLacks: ask.bad, ask.retry\n"
		".TP\n.B none\nnothing\n.br\nLacks: ask\n",
		minus);
	assert_behind(text, ".SS \"ask", expected);
	free(text);
}

static void full_disk_is_an_error(void **state)
{
	struct osp_catalogue *c = NULL;
	struct osp_catalogue_error error = {""};
	FILE *f = fopen("/dev/full", "w");

	(void)state;
	assert_non_null(f);
	setvbuf(f, NULL, _IONBF, 0);
	assert_int_equal(osp_catalogue_new(&c), 0);
	assert_int_equal(osp_catalogue_add(c, "f", catalogue, sizeof(catalogue) - 1, &error), 0);
	assert_int_equal(osp_page_print(f, c, &osp_markdown), -5);
	fclose(f);
	osp_catalogue_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(markdown_has_tables_and_diagrams),
		cmocka_unit_test(man_page_has_lists_and_escapes),
		cmocka_unit_test(full_disk_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
