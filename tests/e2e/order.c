/*
 * Looks through a session of tests/e2e/tally.c: in every operation the steps must stand as their
 * own numbers say (begun, passed 0, 1, 2, ..., ended) and no time may be before the one it follows.
 * Prints what it found as NAME=COUNT words; what is stored short of a step has its own count.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "store/store.h"

static struct {
	uint64_t operations, steps, inverted, back, whole, marked, unmarked_holes;
} found;

/* The place of a step in its operation, by the program's own numbers: begun 0, passed n = n + 1. */
static uint64_t place_of(const struct osp_row *row, const struct osp_step *s)
{
	const struct osp_attribute *n = &row->attributes[s->first_attribute];

	if (!strcmp(s->name, "begun"))
		return 0;
	if (!s->attribute_count)
		return UINT64_MAX;
	return n->value.u64 + 1;
}

static void look_at(const struct osp_row *row, uint64_t steps)
{
	bool whole = row->step_count == steps, marked = row->spans[0].marks;
	uint64_t last = 0;

	for (size_t i = 0; i < row->step_count; i++) {
		uint64_t place = place_of(row, &row->steps[i]);

		whole = whole && place == i;
		found.inverted += i && place <= last;
		found.back += i && row->steps[i].time_ns < row->steps[i - 1].time_ns;
		last = place;
	}
	found.operations++;
	found.steps += row->step_count;
	found.whole += whole;
	found.marked += marked;
	found.unmarked_holes += !whole && !marked;
}

int main(int argc, char **argv)
{
	char uri[4200], error[512];
	struct osp_cursor *c = NULL;
	struct osp_store *s = NULL;
	struct osp_part part;
	unsigned long steps;
	int r;

	if (argc != 3 || sscanf(argv[2], "%lu", &steps) != 1)
		return 2;
	snprintf(uri, sizeof(uri), "sqlite:%s", argv[1]);
	if (osp_store_open(&s, uri, OSP_STORE_READ, error)) {
		fprintf(stderr, "%s\n", error);
		return 1;
	}
	r = osp_store_parts(s, OSP_PART_ROW, &c);
	while (!r && !(r = osp_cursor_next_part(c, &part)))
		look_at(&part.row, steps);
	osp_cursor_close(&c);
	osp_store_close(&s, false);
	printf("operations=%" PRIu64 " steps=%" PRIu64 " whole=%" PRIu64 " marked=%" PRIu64
	       " inverted=%" PRIu64 " back=%" PRIu64 " unmarked_holes=%" PRIu64 "\n",
	       found.operations, found.steps, found.whole, found.marked, found.inverted, found.back,
	       found.unmarked_holes);
	return r < 0;
}
