/*
 * Globs to an automaton (user/pattern.h): text -> positions -> sets of positions -> states.
 *
 * A position is a place in a pattern with what may come there: a byte of a set, a star, or the
 * end. A matcher stands at a set of positions at once; the sets that can be reached are the
 * states of a deterministic automaton (subset construction), of which those that no text tells
 * apart become one (Moore). Both steps are bounded, so that no pattern takes long.
 */
#include "user/pattern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/cleanup.h"

enum {
	WORDS = (OSP_PATTERN_POSITIONS + 63) / 64,
	SETS_MAX = 512, /* of the subset construction, before equal ones become one */
};

enum position_kind { POSITION_END, POSITION_BYTE, POSITION_STAR };

struct bytes {
	uint64_t bits[4];
};

struct set {
	uint64_t bits[WORDS];
};

struct osp_patterns {
	size_t count; /* positions of all patterns, one behind the other */
	struct {
		enum position_kind kind;
		struct bytes bytes;
	} at[OSP_PATTERN_POSITIONS];
	struct set start, end, live; /* live: an end can still be reached */
};

/* ---- reading ---- */

static bool has_byte(const struct bytes *b, uint8_t byte)
{
	return b->bits[byte / 64] >> byte % 64 & 1;
}

static void add_bytes(struct bytes *b, uint8_t first, uint8_t last)
{
	for (unsigned int i = first; i <= last; i++)
		b->bits[i / 64] |= 1ull << i % 64;
}

/* Reads the set that begins behind a "[". Returns what follows its "]", or NULL: none closes it. */
static const uint8_t *parse_set(const uint8_t *s, struct bytes *out)
{
	bool negated = *s == '!' || *s == '^';
	const uint8_t *first = s += negated;
	struct bytes b = {{0}};

	for (; *s && (*s != ']' || s == first); s++) {
		bool range = s[1] == '-' && s[2] && s[2] != ']';

		add_bytes(&b, s[0], range ? s[2] : s[0]);
		s += range ? 2 : 0;
	}
	if (!*s)
		return NULL;
	for (size_t i = 0; negated && i < 4; i++)
		b.bits[i] = ~b.bits[i];
	*out = b;
	return s + 1;
}

/* Reads the next position of a pattern; at its NUL, its end. */
static const uint8_t *parse_position(const uint8_t *s, enum position_kind *kind, struct bytes *b)
{
	const uint8_t *behind = *s == '[' ? parse_set(s + 1, b) : NULL;

	*kind = *s == '*' ? POSITION_STAR : *s ? POSITION_BYTE : POSITION_END;
	if (behind)
		return behind;
	if (*s == '*')
		return s + strspn((const char *)s, "*");
	if (*s == '?')
		add_bytes(b, 0, 255);
	else if (*s)
		add_bytes(b, *s, *s);
	return s + (*s != 0);
}

/* ---- sets of positions ---- */

static bool has_position(const struct set *s, size_t at)
{
	return s->bits[at / 64] >> at % 64 & 1;
}

/* A star may match nothing: whoever stands at it stands behind it, too. */
static void add_position(const struct osp_patterns *p, struct set *s, size_t at)
{
	s->bits[at / 64] |= 1ull << at % 64;
	if (p->at[at].kind == POSITION_STAR)
		s->bits[(at + 1) / 64] |= 1ull << (at + 1) % 64;
}

static struct set step(const struct osp_patterns *p, const struct set *from, uint8_t byte)
{
	struct set to = {{0}};

	for (size_t w = 0; w < WORDS; w++)
		for (uint64_t left = from->bits[w]; left; left &= left - 1) {
			size_t at = w * 64 + (size_t)__builtin_ctzll(left);

			if (p->at[at].kind == POSITION_STAR)
				add_position(p, &to, at);
			else if (p->at[at].kind == POSITION_BYTE &&
				 has_byte(&p->at[at].bytes, byte))
				add_position(p, &to, at + 1);
		}
	return to;
}

static bool intersects(const struct set *a, const struct set *b)
{
	uint64_t common = 0;

	for (size_t w = 0; w < WORDS; w++)
		common |= a->bits[w] & b->bits[w];
	return common;
}

/* A pattern with an empty set ("[z-a]") matches nothing; only what lies behind it is live. */
static void find_live(struct osp_patterns *p)
{
	static const struct bytes none;
	bool live = false;

	for (size_t at = p->count; at-- > 0;) {
		if (p->at[at].kind == POSITION_END)
			live = true;
		else if (p->at[at].kind == POSITION_BYTE)
			live &= memcmp(&p->at[at].bytes, &none, sizeof(none)) != 0;
		if (live)
			p->live.bits[at / 64] |= 1ull << at % 64;
	}
}

static int add_pattern(struct osp_patterns *p, const char *text)
{
	const uint8_t *s = (const uint8_t *)text;
	size_t start = p->count, at;

	do {
		at = p->count;
		if (at == OSP_PATTERN_POSITIONS)
			return -E2BIG;
		p->count++;
		s = parse_position(s, &p->at[at].kind, &p->at[at].bytes);
	} while (p->at[at].kind != POSITION_END);
	p->end.bits[at / 64] |= 1ull << at % 64;
	add_position(p, &p->start, start);
	return 0;
}

int osp_pattern_new(struct osp_patterns **out, const char *const *texts, size_t count)
{
	_cleanup_(osp_pattern_free) struct osp_patterns *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		int r = add_pattern(p, texts[i]);

		if (r)
			return r;
	}
	find_live(p);
	*out = TAKE_PTR(p);
	return 0;
}

void osp_pattern_free(struct osp_patterns **p)
{
	free(*p);
	*p = NULL;
}

bool osp_pattern_match(const struct osp_patterns *p, const void *bytes, size_t size, bool cut)
{
	const uint8_t *s = bytes;
	struct set now = p->start;

	for (size_t i = 0; i < size; i++)
		now = step(p, &now, s[i]);
	if (!cut)
		return intersects(&now, &p->end);
	/* At least one byte is missing: who stands at an end only has nowhere to go. */
	for (size_t at = 0; at < p->count; at++)
		if (p->at[at].kind != POSITION_END && has_position(&now, at) &&
		    has_position(&p->live, at))
			return true;
	return false;
}

/* ---- the automaton ---- */

struct subsets {
	const struct osp_patterns *p; /* borrowed: for the call */
	size_t count;
	struct set sets[SETS_MAX];
	uint16_t next[SETS_MAX][256];
	uint8_t like[256]; /* the first byte that no pattern tells from this one */
	uint8_t block[SETS_MAX];
};

/* Bytes that occur in the same sets lead to the same places: only one of them is tried. */
static void find_likes(struct subsets *s)
{
	for (unsigned int byte = 0; byte < 256; byte++) {
		unsigned int other = 0;

		for (; other < byte; other++) {
			size_t at = 0;

			while (at < s->p->count &&
			       has_byte(&s->p->at[at].bytes, (uint8_t)byte) ==
				       has_byte(&s->p->at[at].bytes, (uint8_t)other))
				at++;
			if (at == s->p->count)
				break;
		}
		s->like[byte] = (uint8_t)other;
	}
}

static int find_set(struct subsets *s, const struct set *wanted, uint16_t *out)
{
	size_t i = 0;

	while (i < s->count && memcmp(&s->sets[i], wanted, sizeof(*wanted)))
		i++;
	if (i == SETS_MAX)
		return -E2BIG;
	if (i == s->count)
		s->sets[s->count++] = *wanted;
	*out = (uint16_t)i;
	return 0;
}

static int find_sets(struct subsets *s)
{
	int r = 0;

	s->sets[s->count++] = s->p->start;
	for (size_t i = 0; i < s->count; i++)
		for (unsigned int byte = 0; byte < 256; byte++) {
			struct set to;

			if (s->like[byte] == byte) {
				to = step(s->p, &s->sets[i], (uint8_t)byte);
				r = find_set(s, &to, &s->next[i][byte]);
			} else {
				s->next[i][byte] = s->next[i][s->like[byte]];
			}
			if (r)
				return r;
		}
	return 0;
}

/* True if a and b lie in one block, and whatever byte comes next leads both into one block. */
static bool is_alike(const struct subsets *s, size_t a, size_t b)
{
	if (s->block[a] != s->block[b])
		return false;
	for (unsigned int byte = 0; byte < 256; byte++)
		if (s->block[s->next[a][byte]] != s->block[s->next[b][byte]])
			return false;
	return true;
}

/* Splits blocks until no text tells two sets of one apart. Returns how many, or -E2BIG. */
static int find_blocks(struct subsets *s)
{
	size_t before = 0, count = 1;

	for (size_t i = 0; i < s->count; i++) {
		s->block[i] =
			intersects(&s->sets[i], &s->p->end) != intersects(&s->sets[0], &s->p->end);
		count += s->block[i] && count == 1;
	}
	while (count != before) {
		uint16_t first[OSP_PATTERN_STATES]; /* a set of each new block */
		uint8_t fresh[SETS_MAX];

		before = count;
		count = 0;
		for (size_t i = 0; i < s->count; i++) {
			size_t b = 0;

			while (b < count && !is_alike(s, first[b], i))
				b++;
			if (b == OSP_PATTERN_STATES)
				return -E2BIG;
			if (b == count)
				first[count++] = (uint16_t)i;
			fresh[i] = (uint8_t)b;
		}
		memcpy(s->block, fresh, s->count);
	}
	return (int)count;
}

/* A state is live if a byte leads from it into one that accepts or is live itself. */
static uint64_t find_live_states(const struct osp_pattern_table *t, size_t count)
{
	uint64_t live = 0, before;

	do {
		before = live;
		for (size_t i = 0; i < count; i++)
			for (unsigned int byte = 0; byte < 256; byte++)
				if ((t->accept | live) >> t->next[i][byte] & 1)
					live |= 1ull << i;
	} while (live != before);
	return live;
}

static void fill_table(const struct subsets *s, size_t count, struct osp_pattern_table *t)
{
	memset(t, 0, sizeof(*t));
	for (size_t i = 0; i < s->count; i++) {
		size_t state = s->block[i];
		bool stays = true;

		for (unsigned int byte = 0; byte < 256; byte++) {
			t->next[state][byte] = s->block[s->next[i][byte]];
			stays &= t->next[state][byte] == state;
		}
		t->accept |= (uint64_t)intersects(&s->sets[i], &s->p->end) << state;
		t->settled |= (uint64_t)stays << state;
	}
	t->live = find_live_states(t, count);
}

int osp_pattern_compile(const struct osp_patterns *p, struct osp_pattern_table *out)
{
	_cleanup_free_ struct subsets *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->p = p;
	find_likes(s);
	r = find_sets(s);
	if (r)
		return r;
	r = find_blocks(s);
	if (r < 0)
		return r;
	fill_table(s, (size_t)r, out);
	return 0;
}

bool osp_pattern_run(const struct osp_pattern_table *t, const void *bytes, size_t size, bool cut)
{
	const uint8_t *s = bytes;
	uint8_t state = 0;

	for (size_t i = 0; i < size && !(t->settled >> state & 1); i++)
		state = t->next[state][s[i]];
	return (cut ? t->live : t->accept) >> state & 1;
}
