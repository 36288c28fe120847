/*
 * What the catalogue loader refuses: one row per rule, a text that breaks it and the message that
 * must come. The texts are as small as the rule allows.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probes/catalogue.h"

/* An operation `a` at line 3 with points go and end, both essential, in the states given. */
#define FILE_HEAD  "provider: p\nabi: 1\n"
#define HEAD	   FILE_HEAD "operations:\n  a:\n"
#define POINTS	   "    points: {go: {level: essential}, end: {level: essential}}\n"
#define START	   "    start: S\n"
#define STATES	   "    states: {S: {go: T}, T: {end: {end: ok}}}\n"
#define ONE	   "    start: S\n    states: {S: {go: {end: ok}}}\n"
#define ARGS(args) HEAD "    points: {go: {level: essential, args: " args "}}\n" ONE
#define SPANS(spans, states)                                                                                                    \
	HEAD "    spans: " spans "\n"                                                                                           \
	     "    points: {go: {level: essential}, end: {level: essential}, x: {level: essential}, y: {level: detail}}\n" START \
	     "    states: " states "\n"

struct row {
	const char *what;
	const char *text;
	const char *message;
};

static const struct row yaml_rows[] = {
	{"empty file", "", "f:1: expected YAML, got an empty file"},
	{"no YAML", "a: [1\n", "f:2: expected YAML: did not find expected ',' or ']'"},
	{"invalid UTF-8", "a: \xff\n", "f:1: expected YAML in UTF-8"},
	{"second document", HEAD POINTS START STATES "---\na: 1\n",
	 "f:8: expected one document in a file"},
	{"alias", "provider: &x p\nabi: *x\n", "f:1: expected no anchors and aliases"},
	{"key twice", "abi: 1\nabi: 1\n", "f:2: abi: expected no key twice (line 1)"},
	{"key that is a list", "? [a]\n: 1\n", "f:1: expected a name as key"},
	{"nesting without end", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]",
	 "f:1: expected at most 24 levels of nesting"},
	{"NUL in a text", "a: \"x\\0y\"\n", "f:1: expected text without NUL bytes"},
};

static const struct row file_rows[] = {
	{"a list instead of a map", "[1]\n", "f:1: expected a map"},
	{"unknown key", "provider: p\nabi: 1\nopertions: {}\n",
	 "f:3: opertions: expected one of: provider abi doc enums maps arguments messages fragments operations links reports implementations deliveries"},
	{"no provider", "abi: 1\n", "f:1: provider: expected"},
	{"no abi", "provider: p\n", "f:1: abi: expected 1"},
	{"unknown abi", "provider: p\nabi: 2\noperations: {}\n",
	 "f:2: abi: expected a number from 1 to 1"},
	{"bad provider", "provider: P-1\nabi: 1\n",
	 "f:1: provider: expected a name of lower-case letters, digits and single underscores, at "
	 "most 48 bytes"},
	{"no operations", FILE_HEAD, "f:1: operations: expected a map of operations"},
	{"empty operations", FILE_HEAD "operations: {}\n",
	 "f:3: operations: expected a map of operations"},
	{"enum without values", FILE_HEAD "enums: {e: {}}\n",
	 "f:3: enums.e: expected 1 to 256 values"},
	{"enum with a text", FILE_HEAD "enums: {e: {A: x}}\n",
	 "f:3: enums.e: A: expected a number from 0 to 9223372036854775807"},
	{"enum with nothing", FILE_HEAD "enums: {e: {A: }}\n",
	 "f:3: enums.e: A: expected a number"},
	{"enum in small letters", FILE_HEAD "enums: {e: {a: 1}}\n",
	 "f:3: enums.e: a: expected a name in capitals"},
	{"maps as a list", FILE_HEAD "maps: [1]\n", "f:3: expected a map"},
};

static const struct row operation_rows[] = {
	{"unknown key", HEAD "    kinds: SERVER\n",
	 "f:5: operations.a: kinds: expected one of: doc starts messages side layer feature by nest kind name messaging timeout watch spans points start states slow"},
	{"operation that is a text", FILE_HEAD "operations: {a: b}\n",
	 "f:3: operations.a: expected a map"},
	{"name in capitals", FILE_HEAD "operations: {Aa: {}}\n",
	 "f:3: operations.Aa: expected a name of lower-case letters, digits and single "
	 "underscores, at most 48 bytes"},
	{"word of C", FILE_HEAD "operations: {register: {}}\n",
	 "f:3: operations.register: expected a name that is no word of C, C++ or outspan"},
	{"unknown kind", HEAD "    kind: server\n",
	 "f:5: operations.a: kind: expected one of: INTERNAL SERVER CLIENT PRODUCER CONSUMER"},
	{"bad time-out", HEAD "    timeout: soon\n",
	 "f:5: operations.a: timeout: expected a duration such as 250ms, 30s or 5m"},
	{"bad watch", HEAD "    watch: 1\n", "f:5: operations.a: watch: expected true or false"},
	{"unknown by", HEAD "    by: process\n",
	 "f:5: operations.a: by: expected one of: op thread"},
	{"by without a name", HEAD "    by: {}\n", "f:5: operations.a: by.arg: expected a name"},
	{"nest without thread", HEAD "    nest: true\n",
	 "f:5: operations.a: nest: expected with by: thread only"},
	{"foreign points by op",
	 HEAD "    points: {\"x:go\": {level: essential}}\n" START
	      "    states: {S: {\"x:go\": {end: ok}}}\n",
	 "f:5: operations.a: by: expected thread or {arg: NAME}, for go is a foreign point"},
	{"own points by thread", HEAD "    by: thread\n    points: {go: {level: essential}}\n" ONE,
	 "f:5: operations.a: by: expected op, for go is our own point"},
	{"a point without the key",
	 HEAD "    by: {arg: id}\n    points: {\"x:go\": {level: essential}}\n" START
	      "    states: {S: {\"x:go\": {end: ok}}}\n",
	 "f:6: operations.a: by: expected an argument id in every point, go has none"},
	{"title of many lines", HEAD "    name: \"a\\nb\"\n",
	 "f:5: operations.a: name: expected one line of text"},
	{"title with no such argument", HEAD "    name: \"go {where}\"\n" POINTS START STATES,
	 "f:5: operations.a: name: expected an argument of a point in {}, got go {where}"},
	{"title with an open brace", HEAD "    name: \"go {\"\n" POINTS START STATES,
	 "f:5: operations.a: name: expected an argument of a point in {}, got go {"},
	{"no start", HEAD POINTS STATES, "f:5: operations.a: start: expected the name of a state"},
	{"unknown start", HEAD POINTS "    start: X\n" STATES,
	 "f:6: operations.a: X: expected the name of a state"},
	{"no states", HEAD POINTS START, "f:5: operations.a: states: expected a map of states"},
};

static const struct row point_rows[] = {
	{"no level", HEAD "    points: {go: {}}\n" ONE,
	 "f:5: operations.a.points.go: level: expected essential, detail or debug"},
	{"unknown level", HEAD "    points: {go: {level: full}}\n" ONE,
	 "f:5: operations.a.points.go: level: expected one of: essential detail debug"},
	{"unknown key", HEAD "    points: {go: {levels: debug}}\n" ONE,
	 "f:5: operations.a.points.go: levels: expected one of: level doc args authenticates"},
	{"bad name", HEAD "    points: {g__o: {level: debug}}\n" ONE,
	 "f:5: operations.a.points.g__o: expected a name of lower-case letters, digits and single "
	 "underscores, at most 48 bytes"},
	{"bad foreign name", HEAD "    points: {\"x:\": {level: debug}}\n" ONE,
	 "f:5: operations.a.points.x:: expected provider:name, as `outspan probes` shows it"},
	{"the same point in a fragment",
	 FILE_HEAD
	 "fragments: {f: {entry: F, points: {go: {level: debug}}, states: {F: {go: {end: ok}}}}}\n"
	 "operations:\n  a:\n" POINTS START "    states: {S: {use: f}}\n",
	 "f:3: operations.a.states.S: go: expected no point twice (line 6)"},
	{"foreign points that differ",
	 FILE_HEAD
	 "operations:\n  a:\n    by: thread\n    points: {\"x:go\": {level: essential}}\n" START
	 "    states: {S: {\"x:go\": {end: ok}}}\n"
	 "  b:\n    by: thread\n    points: {\"x:go\": {level: essential, args: {n: {type: u8, arg: 1}}}}\n" START
	 "    states: {S: {\"x:go\": {end: ok}}}\n",
	 "f:11: operations.b.points.x:go: expected the level and arguments that another operation "
	 "gives this point"},
	{"unknown type", ARGS("{n: u128}"),
	 "f:5: operations.a.points.go.args.n: type: expected u8 ... u64, i8 ... i64, bool, f64, "
	 "str, bytes, op, context_in, context_out or an enum of this file"},
	{"no type", ARGS("{n: {max: 5}}"), "f:5: operations.a.points.go.args.n: type: expected"},
	{"no definition", ARGS("{n}"),
	 "f:5: operations.a.points.go.args.n: expected a definition, here or in `arguments`"},
	{"unknown key of an argument", ARGS("{n: {type: u8, unit: By, size: 3}}"),
	 "f:5: operations.a.points.go.args.n: size: expected one of: type max class unit otel doc "
	 "arg length"},
	{"max of an integer", ARGS("{n: {type: u8, max: 5}}"),
	 "f:5: operations.a.points.go.args.n: max: expected with str and bytes only"},
	{"max too large", ARGS("{n: {type: str, max: 2049}}"),
	 "f:5: operations.a.points.go.args.n: max: expected a number from 1 to 2048"},
	{"max too large at a foreign point",
	 HEAD
	 "    by: thread\n    points: {'x:go': {level: essential, args: {n: {type: str, max: 1025, arg: 1}}}}\n"
	 "    start: S\n    states: {S: {'x:go': {end: ok}}}\n",
	 "f:6: operations.a.points.x:go.args.n: max: expected a number from 1 to 1024"},
	{"unknown class", ARGS("{n: {type: str, class: private}}"),
	 "f:5: operations.a.points.go.args.n: class: expected one of: public internal secret "
	 "payload"},
	{"arg at an own point", ARGS("{n: {type: u8, arg: 1}}"),
	 "f:5: operations.a.points.go.args.n: arg: expected with foreign points (provider:name) "
	 "only"},
	{"13 arguments",
	 ARGS("{a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8, j: u8, k: u8, l: u8, m: u8}"),
	 "f:5: operations.a.points.go: args: expected at most 12 arguments"},
	{"too many bytes",
	 ARGS("{a: {type: str, max: 1024}, b: {type: str, max: 1024}, c: {type: str, max: 1024}, d: {type: str, max: 1024}}"),
	 "f:5: operations.a.points.go: args: expected at most 3560 bytes in all, got 4128"},
	{"the name of a size", ARGS("{n: {type: str}, n_size: u8}"),
	 "f:5: operations.a.points.go: args.n_size: expected another name: it is the size of a "
	 "text beside it"},
	{"two contexts", ARGS("{n: context_in, m: context_out}"),
	 "f:5: operations.a.points.go: args: expected at most one context"},
#define FOREIGN(args)                                                                              \
	HEAD "    by: thread\n    points: {\"x:go\": {level: essential, args: {n: " args           \
	     "}}}\n" START "    states: {S: {\"x:go\": {end: ok}}}\n"
	{"foreign argument without a place", FOREIGN("{type: u8}"),
	 "f:6: operations.a.points.x:go.args.n: arg: expected the number of the site's argument"},
	{"foreign argument 13", FOREIGN("{type: u8, arg: 13}"),
	 "f:6: operations.a.points.x:go.args.n: arg: expected a number from 1 to 12"},
	{"length of a string", FOREIGN("{type: str, arg: 1, length: 2}"),
	 "f:6: operations.a.points.x:go.args.n: length: expected with bytes only"},
	{"foreign context", FOREIGN("{type: context_in, arg: 1}"),
	 "f:6: operations.a.points.x:go.args.n: type: expected an integer, bool, str or bytes at a "
	 "foreign point"},
};

static const struct row state_rows[] = {
	{"state in small letters", HEAD POINTS START "    states: {s: {go: {end: ok}}}\n",
	 "f:7: operations.a.states.s: expected the name of a state, such as AwaitingResponse"},
	{"unknown target", HEAD POINTS START "    states: {S: {go: U}}\n",
	 "f:7: operations.a.states.S.go: U: expected the name of a state"},
	{"unknown point", HEAD POINTS START "    states: {S: {stop: S}}\n",
	 "f:7: operations.a.states.S.stop: expected one of the operation's points"},
	{"to and end", HEAD POINTS START "    states: {S: {go: {to: S, end: ok}}}\n",
	 "f:7: operations.a.states.S.go: expected either to: STATE or end: ok, error or unset"},
	{"neither to nor end", HEAD POINTS START "    states: {S: {go: {code: 5}}}\n",
	 "f:7: operations.a.states.S.go: expected either to: STATE or end: ok, error or unset"},
	{"unknown end", HEAD POINTS START "    states: {S: {go: {end: fine}}}\n",
	 "f:7: operations.a.states.S.go: end: expected one of: unset ok error"},
	{"unknown key", HEAD POINTS START "    states: {S: {go: {next: S}}}\n",
	 "f:7: operations.a.states.S.go: next: expected one of: to end code open close status"},
	{"code without end", HEAD POINTS START "    states: {S: {go: {to: S, code: 5}}}\n",
	 "f:7: operations.a.states.S.go: code: expected with end only"},
	{"code from no argument",
	 HEAD POINTS START "    states: {S: {go: {end: ok, code: {from: n}}}}\n",
	 "f:7: operations.a.states.S.go: code.from: expected an argument of go"},
	{"code by an unknown map",
	 HEAD "    points: {go: {level: essential, args: {n: u8}}}\n" START
	      "    states: {S: {go: {end: ok, code: {from: n, map: m}}}}\n",
	 "f:7: operations.a.states.S.go: code.map: expected the name of one of `maps`"},
	{"code by a map from a number",
	 "provider: p\nabi: 1\nmaps: {m: {A: 1}}\noperations:\n  a:\n"
	 "    points: {go: {level: essential, args: {n: u8}}}\n" START
	 "    states: {S: {go: {end: ok, code: {from: n, map: m}}}}\n",
	 "f:8: operations.a.states.S.go: code.map: expected with an argument of an enum's type"},
	{"* that does not end",
	 HEAD POINTS START "    states: {S: {go: {end: ok}}, \"*\": {end: S}}\n",
	 "f:7: operations.a.states.*.end: expected end, without open, close and status"},
	{"a point of * and of a state",
	 HEAD POINTS START "    states: {S: {go: {end: ok}}, \"*\": {go: {end: error}}}\n",
	 "f:7: operations.a: states.*.go: expected a point that no other state has"},
	{"unreachable state",
	 HEAD POINTS START "    states: {S: {go: {end: ok}}, T: {end: {end: ok}}}\n",
	 "f:7: operations.a: states.T: expected a way to this state from the start"},
	{"state without a way to an end",
	 HEAD POINTS START "    states: {S: {go: T}, T: {end: T}}\n",
	 "f:7: operations.a: states.S: expected a way from this state to an end"},
	{"* is no way to an end",
	 HEAD "    points: {go: {level: essential}, exit: {level: essential}}\n" START
	      "    states: {S: {go: S}, \"*\": {exit: {end: error}}}\n",
	 "f:7: operations.a: states.S: expected a way from this state to an end"},
	{"point without a transition", HEAD POINTS ONE,
	 "f:5: operations.a: points.end: expected a transition that uses it"},
	{"states of one name in C",
	 HEAD POINTS START "    states: {S: {go: Ab}, Ab: {end: AB}, AB: {go: {end: ok}}}\n",
	 "f:7: operations.a: states.AB: expected a name that differs more from Ab"},
	{"start below essential",
	 HEAD "    points: {go: {level: detail}, end: {level: essential}}\n" START STATES,
	 "f:7: operations.a: states.S.go: expected a point of level essential, for it begins, ends "
	 "or marks a span"},
	{"end below essential",
	 HEAD "    points: {go: {level: essential}, end: {level: debug}}\n" START STATES,
	 "f:7: operations.a: states.T.end: expected a point of level essential, for it begins, "
	 "ends or marks a span"},
};

static const struct row span_rows[] = {
	{"unknown key", SPANS("{s: {kinds: CLIENT}}", "{S: {go: {end: ok}}}"),
	 "f:5: operations.a.spans.s: kinds: expected one of: kind name context doc"},
	{"unknown span opened", SPANS("{}", "{S: {go: {to: S, open: s}}}"),
	 "f:8: operations.a.states.S.go: expected the name of a span of this operation"},
	{"unknown span closed", SPANS("{}", "{S: {go: {to: S, close: s}}}"),
	 "f:8: operations.a.states.S.go: expected the name of a span of this operation"},
	{"bad label", SPANS("{s: {}}", "{S: {go: {to: S, close: {s: [1]}}}}"),
	 "f:8: operations.a.states.S.go.close: expected ok, a code, or a map of status and code"},
	{"closed and given a status",
	 SPANS("{s: {}}", "{S: {go: {to: S, close: s, status: {s: ok}}}}"),
	 "f:8: operations.a.states.S.go.status: s: expected no span twice"},
	{"closed but not open", SPANS("{s: {}}", "{S: {go: {end: ok, close: s}}}"),
	 "f:8: operations.a: states.S.go: expected the span s to be open here"},
	{"status but not open", SPANS("{s: {}}", "{S: {go: {end: ok, status: {s: ok}}}}"),
	 "f:8: operations.a: states.S.go: expected the span s to be open here"},
	{"opened twice",
	 SPANS("{s: {}}",
	       "{S: {go: {to: T, open: s}}, T: {x: {to: U, open: s}}, U: {end: {end: ok}}}"),
	 "f:8: operations.a: states.T.x: expected the span s not to be open already"},
	{"opened in a loop", SPANS("{s: {}}", "{S: {go: {to: S, open: s}, end: {end: ok}}}"),
	 "f:8: operations.a: states.S.go: expected the span s to be open on every way to the next "
	 "state, or on none"},
	{"opened and never closed: by the step that ends",
	 SPANS("{s: {}}", "{S: {go: {end: ok, open: s}}}"),
	 "f:8: operations.a: states.S.go: expected the span s to be closed, not opened by the step "
	 "that ends"},
	{"open on one way only",
	 SPANS("{s: {}}", "{S: {go: {to: T, open: s}, x: T}, T: {end: {end: ok}}}"),
	 "f:8: operations.a: states.S.x: expected the span s to be open on every way to the next "
	 "state, or on none"},
	{"title of a span with no such argument",
	 SPANS("{s: {name: \"s {x}\"}}",
	       "{S: {go: {to: T, open: s}}, T: {x: U, y: T}, U: {end: {end: ok}}}"),
	 "f:5: operations.a: name: expected an argument of a point in {}, got s {x}"},
	{"never opened", HEAD "    spans: {s: {}}\n" POINTS START STATES,
	 "f:5: operations.a: spans.s: expected a transition that opens it"},
	{"opened below essential",
	 SPANS("{s: {}}",
	       "{S: {go: T}, T: {y: {to: U, open: s}}, U: {x: {end: ok}, end: {end: ok}}}"),
	 "f:8: operations.a: states.T.y: expected a point of level essential, for it begins, ends or "
	 "marks a span"},
	{"context of an outer span",
	 HEAD
	 "    spans: {s: {context: true}, t: {}}\n"
	 "    points: {go: {level: essential}, x: {level: essential}, end: {level: essential, args: {c: context_out}}}\n" START
	 "    states: {S: {go: {to: T, open: s}}, T: {x: {to: U, open: t}}, U: {end: {end: ok}}}\n",
	 "f:8: operations.a: states.U.end: expected the innermost open span to be the one with "
	 "context: true"},
};

#define FRAGMENT(fragment, states)                                                                 \
	FILE_HEAD "fragments: {f: " fragment "}\noperations:\n  a:\n" POINTS START                 \
		  "    states: " states "\n"

static const struct row fragment_rows[] = {
	{"unknown fragment", HEAD POINTS START "    states: {S: {use: g}}\n",
	 "f:7: operations.a.states.S: use: expected the name of a fragment"},
	{"fragment that nobody uses",
	 FRAGMENT("{entry: F, states: {F: {go: {end: ok}}}}", "{S: {go: T}, T: {end: {end: ok}}}"),
	 "f:3: fragments.f: expected an operation that uses it"},
	{"unknown key", FRAGMENT("{entri: F}", "{S: {use: f}}"),
	 "f:3: operations.a.states.S: entri: expected one of: doc entry exits params spans points states slow"},
	{"no states", FRAGMENT("{entry: F}", "{S: {use: f}}"),
	 "f:3: operations.a.states.S: states: expected a map of states"},
	{"no entry", FRAGMENT("{states: {F: {go: {end: ok}, end: F}}}", "{S: {use: f}}"),
	 "f:3: operations.a: entry: expected a state"},
	{"entry that is no state",
	 FRAGMENT("{entry: G, states: {F: {go: {end: ok}, end: F}}}", "{S: {use: f}}"),
	 "f:7: operations.a: G: expected the name of a state"},
	{"* in a fragment",
	 FRAGMENT("{entry: F, states: {\"*\": {go: {end: ok}}}}", "{S: {use: f}}"),
	 "f:3: operations.a.states.S: states: expected \"*\" in operations only"},
	{"exit that leads nowhere",
	 FRAGMENT("{entry: F, exits: [then], states: {F: {go: {to: then}}}}", "{S: {use: f}}"),
	 "f:8: operations.a.states.S: expected the state that the exit then leads to"},
	{"exit that is none",
	 FRAGMENT("{entry: F, states: {F: {go: {end: ok}}}}", "{S: {use: f, then: S}}"),
	 "f:8: operations.a.states.S: expected use, with and the fragment's exits only"},
	{"parameter not given",
	 FRAGMENT("{entry: F, params: [k], states: {F: {go: {end: ok}}}}", "{S: {use: f}}"),
	 "f:8: operations.a.states.S: with: expected the parameter k"},
	{"parameter that is none",
	 FRAGMENT("{entry: F, states: {F: {go: {end: ok}}}}", "{S: {use: f, with: {k: x}}}"),
	 "f:8: operations.a.states.S: with: expected only the fragment's parameters"},
	{"parameter that nobody declared",
	 FRAGMENT("{entry: F, states: {F: {$k: {end: ok}}}}", "{S: {use: f}}"),
	 "f:3: operations.a.states.S: $k: expected a parameter that `with` gives"},
	{"keys that become one",
	 FRAGMENT("{entry: F, params: [k], states: {F: {go: {end: ok}, $k: {end: ok}}}}",
		  "{S: {use: f, with: {k: go}}}"),
	 "f:3: operations.a.states.S: go: expected no key twice"},
	{"fragment twice",
	 FRAGMENT("{entry: F, exits: [then], states: {F: {go: {to: then}}}}",
		  "{S: {use: f, then: T}, T: {use: f, then: U}, U: {end: {end: ok}}}"),
	 "f:8: operations.a.states.T: use: expected no fragment twice in an operation"},
	{"fragment that uses itself",
	 FRAGMENT("{entry: F, states: {F: {use: f}}}", "{S: {use: f}}"),
	 "f:3: operations.a.states.S.F.F.F.F.F.F.F.F: use: expected at most 8 fragments inside each "
	 "other"},
};

#define MESSAGES(messages, uses)                                                                   \
	FILE_HEAD "messages: " messages "\noperations:\n  a:\n    messages: " uses                 \
		  "\n" POINTS START STATES
#define MESSAGE(rest) MESSAGES("{m: {" rest "}}", "[m]")

static const struct row message_rows[] = {
	{"messages as a list", MESSAGES("[]", "[]"), "f:3: expected a map"},
	{"unknown key", MESSAGE("number: 1"),
	 "f:3: messages.m: number: expected one of: name id to over path doc"},
	{"nobody to", MESSAGE("over: http"), "f:3: messages.m: to: expected"},
	{"unknown side", MESSAGE("to: server"),
	 "f:3: messages.m: to: expected one of: subscriber broadcaster"},
	{"no way", MESSAGE("to: broadcaster"), "f:3: messages.m: over: expected"},
	{"no id", MESSAGE("to: broadcaster, over: http"), "f:3: messages.m: id: expected"},
	{"id too large", MESSAGE("to: broadcaster, over: http, id: 65536"),
	 "f:3: messages.m: id: expected a number from 1 to 65535"},
	{"no name", MESSAGE("to: broadcaster, over: http, id: 1"),
	 "f:3: messages.m: name: expected"},
	{"no doc", MESSAGE("to: broadcaster, over: http, id: 1, name: M"),
	 "f:3: messages.m: doc: expected"},
	{"path over a web socket",
	 MESSAGE("to: broadcaster, over: websocket, id: 1, name: M, doc: d, path: /m"),
	 "f:3: messages.m: path: expected with over: http only"},
	{"id twice",
	 MESSAGES("{m: {to: broadcaster, over: http, id: 1, name: M, doc: d}, n: {to: broadcaster, "
		  "over: http, id: 1, name: N, doc: d, path: /n}}",
		  "[m]"),
	 "f:3: messages.n: id: expected one that m does not have on the same way"},
	{"message that nobody sends",
	 MESSAGES("{m: {to: broadcaster, over: http, id: 1, name: M, doc: d}}", "[]"),
	 "f:3: messages.m: expected an operation that sends or takes it"},
	{"unknown message",
	 MESSAGES("{m: {to: broadcaster, over: http, id: 1, name: M, doc: d}}", "[m, n]"),
	 "f:6: operations.a: messages: expected one of the file's `messages`"},
	{"messages of an operation as a map", MESSAGES("{}", "{}"),
	 "f:6: operations.a: messages: expected a list"},
	{"slow of a state that is none", HEAD POINTS START STATES "    slow: {U: text}\n",
	 "f:8: operations.a.slow: U: expected the name of a state"},
	{"slow as a list", HEAD POINTS START STATES "    slow: [S]\n",
	 "f:8: operations.a.slow: expected a map"},
	{"slow of a state that a fragment fills",
	 FRAGMENT("{entry: F, states: {F: {end: {end: ok}}}}",
		  "{S: {go: T}, T: {use: f}}") "    slow: {T: text}\n",
	 "f:9: operations.a.slow: T: expected the name of a state"},
	{"slow of a fragment that is none",
	 FRAGMENT("{entry: F, states: {F: {end: {end: ok}}}, slow: {S: text}}",
		  "{S: {go: T}, T: {use: f}}"),
	 "f:3: operations.a.slow: S: expected the name of a state"},
	{"slow in two lines", HEAD POINTS START STATES "    slow: {S: \"a\\nb\"}\n",
	 "f:8: operations.a.slow: S: expected one line of text"},
};

/* Two operations that send and take; a link between them ends the file (its line is 19). */
#define ENDS                                                                                                                  \
	FILE_HEAD                                                                                                             \
	"operations:\n"                                                                                                       \
	"  from:\n"                                                                                                           \
	"    spans: {try: {context: true}}\n"                                                                                 \
	"    points:\n"                                                                                                       \
	"      go: {level: essential, args: {topic: {type: str}, n: u32}}\n"                                                  \
	"      send: {level: essential, args: {id: {type: bytes}, c: context_out}}\n"                                         \
	"      end: {level: essential}\n"                                                                                     \
	"    start: S\n"                                                                                                      \
	"    states: {S: {go: T}, T: {send: {to: U, open: try}}, U: {end: {end: ok}}}\n"                                      \
	"  to:\n"                                                                                                             \
	"    points:\n"                                                                                                       \
	"      got: {level: essential, args: {id: {type: bytes}, c: context_in}}\n"                                           \
	"      sure: {level: essential, authenticates: true, args: {id: {type: bytes}, topic: {type: str}, c: context_in}}\n" \
	"    start: S\n"                                                                                                      \
	"    states: {S: {got: T}, T: {sure: {end: ok}}}\n"                                                                   \
	"links:\n"
#define LINK(rest)  ENDS "  - {name: l, from: from/try, to: to, " rest "}\n"
#define MATCH(rule) LINK("match: [{" rule "}]")

static const struct row link_rows[] = {
	{"links as a map", ENDS "  a: b\n", "f:19: links: expected a list"},
	{"unknown key", ENDS "  - {names: l}\n",
	 "f:19: links: names: expected one of: name doc from to makes match"},
	{"no name", ENDS "  - {from: from}\n", "f:19: links: name: expected"},
	{"no from", ENDS "  - {name: l}\n",
	 "f:19: links.l: from: expected OPERATION or OPERATION/SPAN"},
	{"unknown operation", ENDS "  - {name: l, from: form}\n",
	 "f:19: links.l: from: expected an operation of this file"},
	{"unknown span", ENDS "  - {name: l, from: from/tri}\n",
	 "f:19: links.l: from: expected a span of from behind the slash"},
	{"unknown makes", LINK("makes: child"),
	 "f:19: links.l: makes: expected one of: parent link fan_in"},
	{"no match", LINK("makes: parent"),
	 "f:19: links.l: match: expected a list of 1 to 4 rules"},
	{"five rules", LINK("match: [1, 2, 3, 4, 5]"),
	 "f:19: links.l: match: expected a list of 1 to 4 rules"},
	{"unknown key of a rule", MATCH("evidences: x"),
	 "f:19: links.l.match: evidences: expected one of: evidence grade from to also within"},
	{"no evidence", MATCH("grade: exact"),
	 "f:19: links.l.match: evidence: expected a name, such as message_id"},
	{"no grade", MATCH("evidence: x"),
	 "f:19: links.l.match: grade: expected exact, strong or weak"},
	{"grade that is a result", MATCH("evidence: x, grade: ambiguous"),
	 "f:19: links.l.match: grade: expected one of: exact strong weak"},
	{"no window", MATCH("evidence: x, grade: weak, from: send.id, to: sure.id"),
	 "f:19: links.l.match: within: expected a duration, for the grade is not exact"},
	{"no reference", MATCH("evidence: x, grade: exact, to: sure.id"),
	 "f:19: links.l.match: from: expected POINT.ARGUMENT, or a list of them"},
	{"reference without a dot", MATCH("evidence: x, grade: exact, from: send, to: sure.id"),
	 "f:19: links.l.match: expected POINT.ARGUMENT of from"},
	{"unknown point", MATCH("evidence: x, grade: exact, from: sent.id, to: sure.id"),
	 "f:19: links.l.match: sent.id: expected a point of from"},
	{"unknown argument", MATCH("evidence: x, grade: exact, from: send.ids, to: sure.id"),
	 "f:19: links.l.match: send.ids: expected an argument of send"},
	{"nine alternatives",
	 MATCH("evidence: e, grade: exact, from: [send.id, send.id, send.id, send.id, send.id, "
	       "send.id, send.id, send.id, send.id], to: sure.id"),
	 "f:19: links.l.match: expected at most 8 alternatives, one per operation"},
	{"list of no operations", ENDS "  - {name: l, from: [], to: to, match: []}\n",
	 "f:19: links.l: from: expected OPERATION or OPERATION/SPAN"},
	{"operation twice", ENDS "  - {name: l, from: [from, from/try], to: to, match: []}\n",
	 "f:19: links.l: from: expected no operation twice (from)"},
	{"five operations", ENDS "  - {name: l, from: [a, b, c, d, e], to: to, match: []}\n",
	 "f:19: links.l: from: expected at most 4 operations"},
	{"point that is not always recorded",
	 FILE_HEAD
	 "operations:\n  o:\n"
	 "    points: {go: {level: essential}, id: {level: detail, args: {n: u8}}, end: {level: "
	 "essential, args: {n: u8}}}\n" START
	 "    states: {S: {go: T}, T: {id: U}, U: {end: {end: ok}}}\n"
	 "links: [{name: l, from: o, to: o, match: [{evidence: e, grade: exact, from: end.n, to: end.n, "
	 "also: {n: {from: id.n, to: end.n}}}]}]\n",
	 "f:8: links.l.match.also.n: id: expected a point of level essential"},
	{"point that one of the operations lacks",
	 ENDS
	 "  - {name: l, from: from, to: [to, from], match: [{evidence: e, grade: exact, from: send.id, "
	 "to: sure.id}]}\n",
	 "f:19: links.l.match: sure.id: expected a point of from"},
	{"types that differ", MATCH("evidence: x, grade: exact, from: send.id, to: sure.topic"),
	 "f:19: links.l.match: expected arguments of one type: id and topic differ"},
	{"context the wrong way", MATCH("evidence: x, grade: exact, from: send.id, to: sure.c"),
	 "f:19: links.l.match: expected a context_out in from and a context_in in to"},
	{"point outside the span",
	 MATCH("evidence: x, grade: exact, from: go.topic, to: sure.topic"),
	 "f:19: links.l.match: go: expected a point inside the span try"},
	{"point before authentication", MATCH("evidence: x, grade: exact, from: send.c, to: got.c"),
	 "f:19: links.l.match: got: expected a point behind the authentication of the peer"},
	{"also before authentication",
	 MATCH("evidence: x, grade: exact, from: send.c, to: sure.c, also: {id: {from: send.id, to: got.id}}"),
	 "f:19: links.l.match.also.id: got: expected a point behind the authentication of the "
	 "peer"},
	{"also without to",
	 MATCH("evidence: x, grade: exact, from: send.c, to: sure.c, also: {id: {from: send.id}}"),
	 "f:19: links.l.match.also.id: to: expected POINT.ARGUMENT, or a list of them"},
	{"two links of one name",
	 MATCH("evidence: x, grade: exact, from: send.c, to: sure.c") "  - {name: l}\n",
	 "f:20: links: name: expected no link twice (l)"},
	{"unknown point that lacks",
	 HEAD POINTS START STATES "implementations: {py: {lacks: [a.stop]}}\n",
	 "f:8: implementations.py: lacks: expected OPERATION or OPERATION.POINT"},
	{"lacks that is no list", HEAD POINTS START STATES "implementations: {py: {lacks: a}}\n",
	 "f:8: implementations.py: lacks: expected a list"},
};

static void refuse(const struct row *rows, size_t count)
{
	size_t wrong = 0;

	for (size_t i = 0; i < count; i++) {
		struct osp_catalogue *c = NULL;
		struct osp_catalogue_error error = {""};
		int r;

		assert_int_equal(osp_catalogue_new(&c), 0);
		r = osp_catalogue_add(c, "f", rows[i].text, strlen(rows[i].text), &error);
		if (r != -EINVAL || strcmp(error.text, rows[i].message)) {
			print_error("%s: returned %d\n  got      %s\n  expected %s\n", rows[i].what,
				    r, error.text, rows[i].message);
			wrong++;
		}
		osp_catalogue_free(&c);
	}
	assert_int_equal(wrong, 0);
}

#define REFUSALS(rows)                                                                             \
	static void rows##_are_refused(void **state)                                               \
	{                                                                                          \
		(void)state;                                                                       \
		refuse(rows, sizeof(rows) / sizeof(rows[0]));                                      \
	}

REFUSALS(yaml_rows)
REFUSALS(file_rows)
REFUSALS(operation_rows)
REFUSALS(point_rows)
REFUSALS(state_rows)
REFUSALS(span_rows)
REFUSALS(fragment_rows)
REFUSALS(message_rows)
REFUSALS(link_rows)

static int add(struct osp_catalogue *c, const char *text, struct osp_catalogue_error *error)
{
	return osp_catalogue_add(c, "f", text, strlen(text), error);
}

static void same_provider_in_two_files_is_refused(void **state)
{
	struct osp_catalogue *c = NULL;
	struct osp_catalogue_error error;

	(void)state;
	assert_int_equal(osp_catalogue_new(&c), 0);
	assert_int_equal(add(c, HEAD POINTS START STATES, &error), 0);
	assert_int_equal(add(c, HEAD POINTS START STATES, &error), -EINVAL);
	assert_string_equal(error.text,
			    "f:1: provider: expected one that no other file defines (p)");
	osp_catalogue_free(&c);
}

/* Writes an operation with `count` states in a row into text. */
static void many_states(char *text, size_t count)
{
	char *p = text;

	p += sprintf(p, "%s",
		     HEAD "    points: {go: {level: essential}}\n    start: S0\n"
			  "    states:\n");
	for (size_t i = 0; i + 1 < count; i++)
		p += sprintf(p, "      S%zu: {go: S%zu}\n", i, i + 1);
	sprintf(p, "      S%zu: {go: {end: ok}}\n", count - 1);
}

static void sixty_four_states_are_the_maximum(void **state)
{
	struct osp_catalogue *c = NULL;
	struct osp_catalogue_error error;
	char text[8192];

	(void)state;
	assert_int_equal(osp_catalogue_new(&c), 0);
	many_states(text, 64);
	assert_int_equal(add(c, text, &error), 0);
	osp_catalogue_free(&c);

	assert_int_equal(osp_catalogue_new(&c), 0);
	many_states(text, 65);
	assert_int_equal(add(c, text, &error), -EINVAL);
	assert_string_equal(error.text,
			    "f:72: operations.a.states.S64: expected at most 64 states, "
			    "fragments included");
	osp_catalogue_free(&c);
}

static void file_too_large_is_refused(void **state)
{
	struct osp_catalogue *c = NULL;
	struct osp_catalogue_error error;
	char *text = malloc((1 << 20) + 1);

	(void)state;
	memset(text, '#', (1 << 20) + 1);
	assert_int_equal(osp_catalogue_new(&c), 0);
	assert_int_equal(osp_catalogue_add(c, "f", text, (1 << 20) + 1, &error), -E2BIG);
	assert_string_equal(error.text, "f:1: expected at most 1048576 bytes and 64 files");
	osp_catalogue_free(&c);
	free(text);
}

static void more_operations_than_the_maximum_are_refused(void **state)
{
	struct osp_catalogue *c = NULL;
	struct osp_catalogue_error error;
	char *text = malloc(1 << 16), *p = text;

	(void)state;
	p += sprintf(p, "%s", FILE_HEAD "operations:\n");
	for (int i = 0; i < 257; i++)
		p += sprintf(p,
			     "  a%d: {points: {go: {level: essential}}, start: S, states: {S: {go: "
			     "{end: ok}}}}\n",
			     i);
	assert_int_equal(osp_catalogue_new(&c), 0);
	assert_int_equal(add(c, text, &error), -E2BIG);
	assert_string_equal(error.text,
			    "f:260: operations.a256: expected at most 256 operations in all");
	osp_catalogue_free(&c);
	free(text);
}

static void missing_and_empty_files_are_named(void **state)
{
	struct osp_catalogue *c = NULL;
	struct osp_catalogue_error error;

	(void)state;
	assert_int_equal(osp_catalogue_new(&c), 0);
	assert_int_equal(osp_catalogue_read(c, "/nowhere/x.yaml", &error), -ENOENT);
	assert_string_equal(error.text,
			    "/nowhere/x.yaml: expected a readable file: No such file or "
			    "directory");
	assert_int_equal(osp_catalogue_read(c, "/dev/null", &error), -EINVAL);
	assert_string_equal(error.text, "/dev/null:1: expected YAML, got an empty file");
	osp_catalogue_free(&c);
}

/* Any cut, and any byte changed, is refused or accepted, but never crashes. */
static void damaged_catalogues_do_no_harm(void **state)
{
	static const char *const texts[] = {
		MATCH("evidence: x, grade: exact, from: send.c, to: sure.c"),
		FRAGMENT("{entry: F, exits: [then], states: {F: {go: {to: then}}}}",
			 "{S: {use: f, then: T}, T: {end: {end: ok}}}"),
	};
	static const char bytes[] = "\0\n :{}[]\"$*&!-\xff";

	(void)state;
	for (size_t t = 0; t < 2; t++) {
		size_t size = strlen(texts[t]);
		char *text = malloc(size);

		for (size_t i = 0; i < size; i++) {
			struct osp_catalogue *c = NULL;
			struct osp_catalogue_error error;

			memcpy(text, texts[t], size);
			text[i] = bytes[i % sizeof(bytes)];
			assert_int_equal(osp_catalogue_new(&c), 0);
			(void)osp_catalogue_add(c, "f", text, size, &error);
			osp_catalogue_free(&c);
			assert_int_equal(osp_catalogue_new(&c), 0);
			(void)osp_catalogue_add(c, "f", texts[t], i, &error);
			osp_catalogue_free(&c);
		}
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(yaml_rows_are_refused),
		cmocka_unit_test(file_rows_are_refused),
		cmocka_unit_test(operation_rows_are_refused),
		cmocka_unit_test(point_rows_are_refused),
		cmocka_unit_test(state_rows_are_refused),
		cmocka_unit_test(span_rows_are_refused),
		cmocka_unit_test(fragment_rows_are_refused),
		cmocka_unit_test(message_rows_are_refused),
		cmocka_unit_test(link_rows_are_refused),
		cmocka_unit_test(same_provider_in_two_files_is_refused),
		cmocka_unit_test(sixty_four_states_are_the_maximum),
		cmocka_unit_test(file_too_large_is_refused),
		cmocka_unit_test(more_operations_than_the_maximum_are_refused),
		cmocka_unit_test(missing_and_empty_files_are_named),
		cmocka_unit_test(damaged_catalogues_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
