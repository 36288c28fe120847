/*
 * A recorder as small as can be on the loader's own interface: attaches, prints every record as a
 * line, and at the end the books. For the tests of the kernel side and the loader.
 *
 *   hits [-q] [-r RING_BYTES] [-l LEVEL] [-f multi|perf] [-m light|default|immediate] [-n] [-b RECORDS] [-s N] -c CATALOGUE [-t GLOB] [-w CONDITION] [-k] TARGET...
 *   TARGET: pid:N  path:FILE  comm:NAME  all:
 *   -q prints no records, -n follows no children, -b bounds a drain, -s samples one of N traces;
 *   -t, -w are --match-topic and --where of outspan: what the choice leaves is printed as "left out",
 *   -k lets the kernel side leave out what it can
 *
 * Standard output: "ready SITES PROCESSES", records, then on SIGTERM or SIGINT
 *   count SLOT POINT hits=N stored=N ring_full=N ... carried=N
 *   books closed|open
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "user/account.h"
#include "user/base/log.h"
#include "user/base/text.h"
#include "user/choice.h"
#include "user/loader.h"
#include "user/semaphore.h"
#include "user/target.h"

enum { SLOTS = OSP_EVENT_PROCESSES, TARGETS = 16 };

static struct hits {
	struct osp_catalogue *catalogue;
	struct osp_binaries *binaries;
	struct osp_loader *loader;
	struct osp_loader_options options;
	size_t batch;
	struct osp_target targets[TARGETS];
	size_t target_count;
	bool quiet, books_open;
	uint64_t *stored, *carried; /* [slot * points + point] */
	const struct osp_numbers *numbers[OSP_EVENT_NUMBERS];
	const char *topics[TARGETS];
	size_t topic_count;
	struct osp_patterns *patterns;
	struct osp_where_table where;
	struct osp_numbers_set *number_set;
	struct osp_decode_with with;
	struct osp_choice *choice; /* NULL: nothing is left out */
	struct osp_predicates *predicates;
	bool kernel_chooses;
	uint64_t noticed; /* notices_lost, seen so far */
	uint32_t rescan[64];
	size_t rescans;
} h;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- attach ---------------------------------------------------------------------------------- */

static int attach(struct osp_binary *b)
{
	struct osp_attach_result result;
	bool fresh = !b->attachment;
	int r;

	r = osp_loader_attach(h.loader, b, &result);

	for (size_t i = 0; i < b->count; i++) {
		h.numbers[b->sites[i].numbers] = b->sites[i].table;
		if (h.choice && b->sites[i].numbers)
			osp_numbers_add(h.number_set, b->sites[i].numbers, b->sites[i].table);
	}
	if (!r && fresh && b->known)
		printf("attached %s wanted=%zu attached=%zu refused=%zu leased=%d\n", b->path,
		       result.wanted, result.attached, result.refused, result.leased);
	return r;
}

static void verify(const struct osp_found *f)
{
	const char *reason;
	size_t unarmed;

	for (size_t i = 0; i < f->binary_count; i++)
		if (!osp_semaphore_verify(f->binaries[i], f->process.pid, &unarmed, &reason) &&
		    unarmed)
			printf("unarmed pid=%u sites=%zu in %s: %s\n", f->process.pid, unarmed,
			       f->binaries[i]->path, reason);
}

static int start(void)
{
	struct osp_targets t = {0};
	size_t sites = 0, members = 0;
	uint32_t slot;
	int r = osp_targets_find(&t, h.binaries, h.targets, h.target_count);

	for (size_t i = 0; !r && i < t.count; i++)
		if (t.found[i].target &&
		    !osp_loader_add_member(h.loader, t.found[i].process.pid, &slot)) {
			printf("member pid=%u slot=%u\n", t.found[i].process.pid, slot);
			members++;
		}
	for (size_t i = 0; !r && i < t.binary_count; i++) {
		r = attach(t.binaries[i]);
		for (size_t k = 0; !r && k < t.binaries[i]->count; k++)
			sites += t.binaries[i]->sites[k].attached;
	}
	for (size_t i = 0; !r && i < t.count; i++)
		if (t.found[i].target)
			verify(&t.found[i]);
	if (!r)
		r = osp_targets_add_bystanders(&t, h.binaries);
	for (size_t i = 0; !r && i < t.count; i++)
		if (!t.found[i].target)
			printf("bystander pid=%u\n", t.found[i].process.pid);
	osp_targets_clear(&t);
	if (!r)
		printf("ready %zu %zu\n", sites, members);
	fflush(stdout);
	return r;
}

/* A process called exec or loaded something: attach what it has now. */
static void look_again(uint32_t pid, uint64_t since_ns)
{
	struct osp_found f;
	size_t fresh = 0;

	if (osp_found_read(&f, h.binaries, pid))
		return;
	for (size_t i = 0; i < f.binary_count; i++) {
		fresh += f.binaries[i]->known && !f.binaries[i]->attachment;
		attach(f.binaries[i]);
	}
	verify(&f);
	printf("looked pid=%u known=%zu fresh=%zu delay_us=%" PRIu64 "\n", pid, f.known, fresh,
	       (now_ns() - since_ns) / 1000);
	osp_found_clear(&f);
}

/* ---- records --------------------------------------------------------------------------------- */

static void print_values(const struct osp_record *r)
{
	const uint8_t *data = (const uint8_t *)(r + 1);
	struct osp_foreign_value v;
	char text[256];

	for (uint64_t i = 0; i < r->value; i++) {
		memcpy(&v, data + i * sizeof(v), sizeof(v));
		if (!v.offset) {
			printf(" %s=%" PRId64, v.size < 0 ? "error" : "value",
			       v.size < 0 ? (int64_t)v.size : (int64_t)v.value);
			continue;
		}
		osp_text_escape(text, sizeof(text), data + v.offset,
				v.size < 0 ? 0 : (size_t)v.size);
		printf(" %d:%s", v.size, text);
	}
}

static void print_head(const struct osp_record *r, const struct osp_point *p, size_t size)
{
	printf("%s pid=%u tid=%u slot=%u ordinal=%llu lost=%llu data=%d", p->probe, r->pid, r->tid,
	       r->process, r->ordinal, r->lost, r->data_size < 0 ? r->data_size : (int)size);
}

/* The step that trapped, with its arguments if they are not all in the header. */
static void print_step(const struct osp_record *r, const void *arguments, size_t size)
{
	char hex[2 * 700 + 1];

	print_head(r, h.catalogue->points[r->point], size);
	osp_text_hex(hex, arguments, size > 700 ? 0 : size);
	printf(" flags=%u op=%llx sequence=%u number=%u value=%llu %s\n",
	       r->flags & (OSP_RECORD_FORKED | OSP_RECORD_CLEARED), r->op_id, r->sequence,
	       r->number, r->value, hex);
}

static const struct osp_point *point_of(const struct osp_record *r, uint16_t number)
{
	const struct osp_numbers *n = r->numbers < OSP_EVENT_NUMBERS ? h.numbers[r->numbers] : NULL;
	uint16_t point = n && number < OSP_EVENT_POINTS ? n->point[number] : 0;

	return point ? h.catalogue->points[point - 1] : NULL;
}

/* A step that had no trap of its own, or has been seen at its own trap. */
static int take_carried(const struct osp_record *r, const struct osp_record_step *s)
{
	const struct osp_point *p = point_of(r, s->number);

	if (!p || p->spill)
		return -EBADMSG;
	if (!h.quiet)
		printf("%s %s pid=%u op=%llx sequence=%u size=%u flags=%u\n",
		       s->flags & OSP_STEP_FIRED ? "copied" : "carried", p->probe, r->pid, r->op_id,
		       s->sequence, s->size, s->flags);
	if (!(s->flags & OSP_STEP_FIRED))
		h.carried[(size_t)r->process * h.catalogue->point_count + p->number]++;
	return 0;
}

static int take_steps(const struct osp_record *r)
{
	bool spill = h.catalogue->points[r->point]->spill;
	const uint8_t *at = (const uint8_t *)(r + 1), *end = at + r->data_size;
	int e = 0;

	if (r->data_size <= 0 && !h.quiet && !spill)
		print_step(r, NULL, 0);
	if (spill && !h.quiet)
		printf("spill pid=%u op=%llx sequence=%u data=%d\n", r->pid, r->op_id, r->sequence,
		       r->data_size);
	while (!e && r->data_size > 0 && at < end) {
		struct osp_record_step s;

		memcpy(&s, at, sizeof(s));
		at += sizeof(s) + s.size;
		if (at > end)
			return -EBADMSG;
		if (spill || s.sequence != r->sequence)
			e = take_carried(r, &s);
		else if (!h.quiet)
			print_step(r, at - s.size, s.size);
	}
	return e;
}

/* What a dying process left in a block. */
static int take_left(const struct osp_record *r)
{
	const uint8_t *at = (const uint8_t *)(r + 1), *end = at + r->data_size;

	printf("left pid=%u tid=%u op=%llx sequence=%u data=%d steps", r->pid, r->tid, r->op_id,
	       r->sequence, r->data_size);
	while (r->data_size > 0 && at < end) {
		struct osp_record_step s;
		const struct osp_point *p;

		memcpy(&s, at, sizeof(s));
		at += sizeof(s) + s.size;
		p = at > end ? NULL : point_of(r, s.number);
		if (!p)
			return -EBADMSG;
		printf(" %u:%s", s.sequence, p->name);
	}
	printf("\n");
	return 0;
}

static int take_hit(const struct osp_record *r)
{
	enum osp_loss_reason why;

	if (!h.catalogue->points[r->point]->spill)
		h.stored[(size_t)r->process * h.catalogue->point_count + r->point]++;
	if (h.choice &&
	    osp_choice_leaves(h.choice, r,
			      sizeof(*r) + (size_t)(r->data_size > 0 ? r->data_size : 0), &why)) {
		printf("left out op=%llx sequence=%u\n", r->op_id, r->sequence);
		return 0;
	}
	if (r->kind == OSP_RECORD_STEP)
		return take_steps(r);
	if (h.quiet)
		return 0;
	print_head(r, h.catalogue->points[r->point], (size_t)r->data_size);
	print_values(r);
	printf("\n");
	return 0;
}

static int take(void *arg, const struct osp_record *r, size_t size, int64_t seen_ns)
{
	static const char *const names[] = {"", "", "", "fork", "exec", "exit", "mapped"};

	(void)arg;
	(void)seen_ns;
	if (r->data_size > 0 && size != sizeof(*r) + (size_t)r->data_size)
		return -EBADMSG;
	if (r->kind <= OSP_RECORD_FOREIGN)
		return take_hit(r);
	if (r->kind == OSP_RECORD_LEFT)
		return take_left(r);
	printf("%s pid=%u slot=%u site=%u exec=%u value=%llu\n", names[r->kind], r->pid, r->process,
	       r->site, r->exec_id, r->value);
	if (r->kind == OSP_RECORD_EXEC || r->kind == OSP_RECORD_MAPPED)
		look_again(r->pid, r->time_ns);
	return 0;
}

static int drain(void)
{
	int n = osp_ring_drain(osp_loader_ring(h.loader), h.batch, take, NULL);

	fflush(stdout);
	return n > (int)h.batch ? -EOVERFLOW : n;
}

static void on_change(void *arg, enum osp_loader_change change, bool begins, struct osp_binary *b)
{
	static const char *const names[] = {"detached", "reattached", "gone"};

	(void)arg;
	if (!begins)
		printf("%s %s known=%zu\n", names[change], b->path, b->known);
}

static int again(void *arg, uint32_t pid, const struct osp_member *m)
{
	(void)arg;
	(void)m;
	look_again(pid, now_ns());
	return 0;
}

static int run(int signals)
{
	struct pollfd p[] = {{.fd = osp_ring_fd(osp_loader_ring(h.loader)), .events = POLLIN},
			     {.fd = osp_loader_lease_fd(h.loader), .events = POLLIN},
			     {.fd = signals, .events = POLLIN}};
	struct osp_loader_stats stats;

	for (;;) {
		int ring = osp_ring_timeout_ms(osp_loader_ring(h.loader));
		int lease = osp_loader_timeout_ms(h.loader);
		int r;

		poll(p, 3, lease < 0 || (ring >= 0 && ring < lease) ? ring : lease);
		osp_loader_grow(h.loader);
		r = drain();
		if (r < 0)
			return r;
		if (p[1].revents || lease >= 0)
			osp_loader_handle(h.loader, h.binaries, on_change, NULL);
		osp_loader_stats(h.loader, &stats);
		if (stats.notices_lost != h.noticed) {
			h.noticed = stats.notices_lost;
			osp_loader_members(h.loader, again, NULL);
		}
		fflush(stdout);
		if (p[2].revents)
			return 0;
	}
}

/* ---- the books ------------------------------------------------------------------------------- */

static int close_book(void *arg, uint32_t slot, uint32_t point, const struct osp_counter *c)
{
	size_t at = (size_t)slot * h.catalogue->point_count + point;
	uint64_t stored = h.stored[at], lost = 0;

	(void)arg;
	for (int i = 0; i < OSP_LOSS_KERNEL_COUNT; i++)
		lost += c->lost[i];
	printf("count %u %s hits=%llu stored=%" PRIu64
	       " ring_full=%llu argument_fault=%llu table_full=%llu block_full=%llu"
	       " steps_unknown=%llu sampled=%llu filtered=%llu carried=%" PRIu64 "\n",
	       slot, h.catalogue->points[point]->probe, c->hits, stored,
	       c->lost[OSP_LOSS_RING_FULL], c->lost[OSP_LOSS_ARGUMENT_FAULT],
	       c->lost[OSP_LOSS_TABLE_FULL], c->lost[OSP_LOSS_BLOCK_FULL],
	       c->lost[OSP_LOSS_STEPS_UNKNOWN], c->lost[OSP_LOSS_SAMPLED],
	       c->lost[OSP_LOSS_FILTERED], h.carried[at]);
	h.carried[at] = 0;
	h.books_open |= osp_account_hits(c) != stored + lost;
	return 0;
}

static int finish(void)
{
	struct osp_loader_stats s;
	int r;

	osp_loader_detach_all(h.loader);
	while ((r = drain()) > 0)
		;
	if (r < 0)
		return r;
	osp_loader_counters(h.loader, close_book, NULL);
	osp_loader_stats(h.loader, &s);
	printf("stats processes=%u notices_lost=%" PRIu64 " children_lost=%" PRIu64
	       " strangers=%" PRIu64 "\n",
	       s.processes, s.notices_lost, s.children_lost, s.strangers);
	printf("books %s\n", h.books_open ? "open" : "closed");
	return 0;
}

/* ---- start ----------------------------------------------------------------------------------- */

static int add_target(const char *text)
{
	struct osp_target *t = &h.targets[h.target_count++];
	static const char *const names[] = {"pid:", "path:", "comm:", "all:"};

	for (int i = 0; i < 4; i++)
		if (!strncmp(text, names[i], strlen(names[i]))) {
			t->kind = (enum osp_target_kind)i;
			t->text = text + strlen(names[i]);
			t->pid = (uint32_t)strtoul(t->text, NULL, 10);
			h.options.admit |= i == OSP_TARGET_PATH || i == OSP_TARGET_ALL;
			h.options.all |= i == OSP_TARGET_COMM || i == OSP_TARGET_ALL;
			return 0;
		}
	return -EINVAL;
}

static int read_catalogue(const char *path)
{
	struct osp_catalogue_error e;
	int r = osp_catalogue_read(h.catalogue, path, &e);

	if (r)
		fprintf(stderr, "%s\n", e.text);
	return r;
}

static int set_form(const char *text)
{
	for (int f = 0; f < OSP_FORM_COUNT; f++)
		if (!strcmp(text, osp_form_to_str((enum osp_form)f))) {
			h.options.wanted.form = (enum osp_form)f;
			return 0;
		}
	return -EINVAL;
}

static int add_condition(const char *text)
{
	char error[512];
	int r = osp_where_add(&h.where, h.catalogue, text, error);

	if (r)
		fprintf(stderr, "%s\n", error);
	return r;
}

/* What -t and -w say, as the recorder has it: the choice, and what the kernel side is told. */
static int choose(void)
{
	struct osp_choice_rules rules = {.where = h.where.count ? &h.where : NULL};
	int r = 0;

	if (!h.topic_count && !h.where.count)
		return 0;
	if (h.topic_count)
		r = osp_pattern_new(&h.patterns, h.topics, h.topic_count);
	rules.topics = h.patterns;
	if (!r)
		r = osp_numbers_new(&h.number_set, h.catalogue);
	h.with = (struct osp_decode_with){h.catalogue, h.number_set, NULL};
	if (!r)
		r = osp_choice_new(&h.choice, &rules, &h.with);
	if (r || !h.kernel_chooses)
		return r;
	h.predicates = malloc(sizeof(*h.predicates));
	r = h.predicates ? osp_choice_predicates(h.predicates, &rules, h.catalogue) : -ENOMEM;
	h.options.chosen = r ? NULL : h.predicates;
	return r == -E2BIG ? 0 : r;
}

static int parse(int argc, char **argv)
{
	int c, r = 0;

	while (!r && (c = getopt(argc, argv, "qr:l:f:m:nc:vxb:s:t:w:k")) != -1) {
		if (c == 'q')
			h.quiet = true;
		else if (c == 'r')
			h.options.ring_bytes = strtoul(optarg, NULL, 0);
		else if (c == 'l')
			r = osp_level_from_str(optarg, &h.options.wanted.level);
		else if (c == 'm')
			r = set_form(optarg);
		else if (c == 'f')
			h.options.form =
				strcmp(optarg, "perf") ? OSP_ATTACH_MULTI : OSP_ATTACH_PERF;
		else if (c == 'n')
			h.options.no_children = true;
		else if (c == 'x')
			h.options.wanted.no_context = true;
		else if (c == 'b')
			h.batch = strtoul(optarg, NULL, 0);
		else if (c == 's')
			h.options.sample = (uint32_t)strtoul(optarg, NULL, 0);
		else if (c == 't' && h.topic_count < TARGETS)
			h.topics[h.topic_count++] = optarg;
		else if (c == 'w')
			r = add_condition(optarg);
		else if (c == 'k')
			h.kernel_chooses = true;
		else if (c == 'v')
			osp_log_level_set(OSP_LOG_DEBUG);
		else
			r = c == 'c' ? read_catalogue(optarg) : -EINVAL;
	}
	while (!r && optind < argc && h.target_count < TARGETS)
		r = add_target(argv[optind++]);
	return r;
}

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

int main(int argc, char **argv)
{
	int signals = open_signals(), r;

	h.options.wanted =
		(struct osp_wanted){.form = OSP_FORM_IMMEDIATE, .level = OSP_LEVEL_DEBUG};
	h.batch = 10000;
	r = osp_catalogue_new(&h.catalogue);
	if (!r)
		r = parse(argc, argv);
	if (r)
		return 2;
	h.stored = calloc(SLOTS * h.catalogue->point_count, sizeof(*h.stored));
	h.carried = calloc(SLOTS * h.catalogue->point_count, sizeof(*h.carried));
	r = h.stored && h.carried ? osp_binaries_new(&h.binaries, h.catalogue) : -ENOMEM;
	if (!r)
		r = choose();
	if (!r)
		r = osp_loader_open(&h.loader, h.catalogue, &h.options);
	if (!r)
		r = start();
	if (!r)
		r = run(signals);
	if (!r)
		r = finish();
	osp_loader_close(&h.loader);
	osp_binaries_free(&h.binaries);
	osp_choice_free(&h.choice);
	osp_numbers_free(&h.number_set);
	osp_pattern_free(&h.patterns);
	free(h.predicates);
	osp_catalogue_free(&h.catalogue);
	free(h.stored);
	free(h.carried);
	return r ? 1 : 0;
}
