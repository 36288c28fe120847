/*
 * `record --match-topic` and `--where`: operations that come whole with their end are looked at here,
 * and what is not asked for does not enter the ring. All others, and whatever here is larger or other
 * than expected, are decided about by user/choice.c, which decides the same. Part of outspan.bpf.c.
 */
#pragma once

enum {
	TOPIC_PIECE = 64, /* bytes of a topic on the stack at a time */
	TOPIC_MOST = 256,
	STEPS_WALKED = 48, /* of an operation */
	STEP_WORDS = 10,   /* of a step's arguments that are read with its head: each read costs */
};

enum { TOPIC_UNSEEN, TOPIC_MATCHES, TOPIC_DIFFERS };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* the points, with cfg_choose */
	__type(key, __u32);
	__type(value, struct osp_predicate);
} predicates SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct osp_pattern_table);
} topics SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OSP_WHERE_TERMS);
	__type(key, __u32);
	__type(value, struct osp_where_term);
} terms SEC(".maps");

/* An operation whose block is walked: what its steps have shown so far. As in user/choice.c. */
struct choosing {
	__u64 at;		 /* arguments of the step at hand */
	__u32 point, sequence;	 /* of the step that trapped, the last one */
	__u32 numbers, topic;	 /* TOPIC_* */
	__u32 passed, satisfied; /* points with terms, as bits */
	__u32 wanted, of_topic;	 /* as in the predicate of the point */
	/* Of the step at hand. Here, and not on the stack, the verifier keeps no account of them. */
	__u64 offset; /* of the next argument */
	__u32 fails, padding;
	struct osp_record_step step;
	/* The first of its arguments, or what lies behind; one more: the verifier does not see 8s. */
	__u64 words[STEP_WORDS + 1];
};

/* The automaton's state behind these bytes, or -EINVAL. Global functions, walked once each. */
__noinline int choose_bytes(__u64 at, __u32 size, __u32 state)
{
	__u8 bytes[TOPIC_PIECE] = {0};
	struct osp_pattern_table *t;
	__u32 key = 0;

	if (!cfg_choose || size > TOPIC_PIECE)
		return -EINVAL;
	t = bpf_map_lookup_elem(&topics, &key);
	if (!t || bpf_probe_read_user(bytes, size, (void *)at))
		return -EINVAL;
	state %= OSP_PATTERN_STATES;
	for (__u32 i = 0; i < TOPIC_PIECE; i++) {
		if (i >= size || t->settled >> state & 1)
			break;
		state = t->next[state][bytes[i]] % OSP_PATTERN_STATES;
	}
	return state;
}

/* What a topic is, or -EINVAL. sizes: the true one, and above it what is kept. */
__noinline int choose_topic(__u64 at, __u64 sizes)
{
	__u32 kept = sizes >> 32, whole = (__u32)sizes, done = 0, key = 0;
	struct osp_pattern_table *t;
	int state = 0;

	if (!cfg_choose || kept > TOPIC_MOST || kept > whole)
		return -EINVAL;
	t = bpf_map_lookup_elem(&topics, &key);
	if (!t)
		return -EINVAL;
	for (int i = 0; i < TOPIC_MOST / TOPIC_PIECE && done < kept; i++) {
		__u32 size = kept - done < TOPIC_PIECE ? kept - done : TOPIC_PIECE;

		state = choose_bytes(at + done, size, state);
		if (state < 0)
			return -EINVAL;
		done += size;
	}
	return (whole > kept ? t->live : t->accept) >> (state & 63) & 1 ? TOPIC_MATCHES
									: TOPIC_DIFFERS;
}

/* Whether a value satisfies all terms of its argument: 1, 0 or -EINVAL. */
__noinline int choose_value(__u32 first, __u32 count, __u32 arg, __u64 raw)
{
	if (!cfg_choose)
		return -EINVAL;
	for (__u32 i = 0; i < OSP_WHERE_TERMS && i < count; i++) {
		__u32 key = first + i;
		struct osp_where_term *t = bpf_map_lookup_elem(&terms, &key);

		if (!t)
			return -EINVAL;
		if (t->arg == arg && !osp_where_compare(t, osp_where_widen(t, raw)))
			return 0;
	}
	return 1;
}

/* What is asked of the step's point. */
static __always_inline struct osp_predicate *choose_find(const struct choosing *c)
{
	__u32 key = c->numbers;
	struct osp_numbers *n;

	if (c->step.sequence == c->sequence) {
		key = c->point;
		return bpf_map_lookup_elem(&predicates, &key);
	}
	n = bpf_map_lookup_elem(&numbers, &key);
	key = c->step.number;
	if (!n || key >= OSP_EVENT_POINTS || !n->point[key])
		return NULL;
	key = n->point[key] - 1;
	return bpf_map_lookup_elem(&predicates, &key);
}

/* The next word of the arguments. */
static __always_inline int choose_word(struct choosing *c, __u64 *out)
{
	__u64 offset = c->offset, i = offset / 8;

	if (offset >= c->step.size)
		return -EINVAL;
	c->offset = offset + 8;
	if (i >= STEP_WORDS)
		return bpf_probe_read_user(out, sizeof(*out), (void *)(c->at + offset));
	*out = c->words[i];
	return 0;
}

/* Looks at the arguments of a step. 0, or -EINVAL: they are not what they should be. */
__noinline int choose_step(struct choosing *c)
{
	const struct osp_predicate *p;
	int topic;
	__u64 word;

	if (!cfg_choose || !c)
		return -EINVAL;
	p = choose_find(c);
	if (!p)
		return -EINVAL;
	c->offset = c->fails = 0;
	for (__u32 i = 0; i < OSP_EVENT_ARGS && i < p->args; i++) {
		if (choose_word(c, &word))
			return -EINVAL;
		if (p->asked >> i & 1)
			c->fails |= !choose_value(p->first, p->terms, i, word);
		if (i + 1 == p->topic && c->topic == TOPIC_UNSEEN) {
			topic = choose_topic(c->at + c->offset, word);
			if (topic < 0)
				return -EINVAL;
			c->topic = topic;
		}
		if (p->sized >> i & 1)
			c->offset += ((word >> 32) + 7) & ~7ull;
	}
	if (c->offset > c->step.size)
		return -EINVAL;
	if (p->terms)
		c->passed |= 1u << (p->first & 31);
	if (p->terms && !c->fails)
		c->satisfied |= 1u << (p->first & 31);
	return 0;
}

static __always_inline bool choose_is_sure(const struct choosing *c)
{
	return (!c->of_topic || c->topic == TOPIC_MATCHES) && !(c->wanted & ~c->satisfied);
}

/*
 * Looks at the steps of an operation until it is sure. 1: it is not asked for. 0: it is, or that
 * cannot be said here: its first steps came before, or something makes no sense.
 */
__noinline int choose_walk(struct choosing *c, __u64 at, __u64 end)
{
	const struct osp_record_step *s;
	__u64 next = 0, size;

	if (!cfg_choose || !c)
		return 0;
	s = &c->step;
	for (int i = 0; i < STEPS_WALKED && at < end; i++) {
		size = end - at;
		if (size > sizeof(c->step) + sizeof(c->words))
			size = sizeof(c->step) + sizeof(c->words);
		if (size < sizeof(c->step) || bpf_probe_read_user(&c->step, size, (void *)at))
			return 0;
		at += sizeof(c->step);
		if (s->sequence < next || s->sequence > c->sequence || s->size % 8 ||
		    s->size > end - at || (!i && s->sequence))
			return 0;
		next = (__u64)s->sequence + 1;
		c->at = at;
		if (choose_step(c) || choose_is_sure(c))
			return 0;
		if (c->topic == TOPIC_DIFFERS)
			return 1;
		at += s->size;
	}
	return at == end && next == (__u64)c->sequence + 1 && c->passed & ~c->satisfied;
}

/*
 * The operation ends, and is not asked for. What trapped of it before was left out by the recorder:
 * it takes no step before it is sure of the whole operation.
 */
static __always_inline bool choose_leaves(const struct hit *h, const struct call *c,
					  const struct osp_shape *shape)
{
	struct choosing choosing;
	struct osp_predicate *p;
	__u32 key = h->point;

	if (!cfg_choose || !call_clears(c) || shape->kind == OSP_SHAPE_SPILL || c->used >> 63 ||
	    !hit_has_slot(h))
		return false;
	p = bpf_map_lookup_elem(&predicates, &key);
	if (!p || (!p->of_topic && !p->wanted) || call_end(c) - call_start(c) > OSP_EVENT_DATA)
		return false;
	choosing = (struct choosing){.point = h->point,
				     .sequence = (__u32)c->packed,
				     .numbers = h->numbers,
				     .wanted = p->wanted,
				     .of_topic = p->of_topic};
	return choose_walk(&choosing, c->block + call_start(c), c->block + call_end(c));
}
