/*
 * The reasons of loss as people read about them (user/reason.h). What happened stands in
 * bpf/event.h, beside the counters; what follows from it stands here. Used by books.c; owns nothing.
 */
#include "user/reason.h"

#include <string.h>

static const struct {
	const char *name, *help;
} helps[OSP_LOSS_COUNT] = {
#define X(id, name, help) {name, help},
	OSP_LOSS_REASONS(X)
#undef X
};

/* By name, as in a session: it may come from a program that has other reasons. */
static const struct osp_reason reasons[] = {
	{"ring_full",
	 "give a larger --ring-size, record less (--level essential, fewer targets), or leave outspan more CPU",
	 OSP_REASON_MISSING},
	{"overload",
	 "as for ring_full; with --overload drop-newest the newest would be missing instead",
	 OSP_REASON_MISSING},
	{"argument_fault",
	 "the page was paged out or the program passed a bad pointer: fault it in, or mend the program",
	 OSP_REASON_MISSING},
	{"block_full",
	 "the arguments of one step are larger than a record: give them a smaller max in the catalogue",
	 OSP_REASON_MISSING},
	{"table_full", "record fewer processes at once: -p or --comm instead of --all",
	 OSP_REASON_MISSING},
	{"decode_error",
	 "rebuild the program with the catalogue in use, or give outspan the program's with --catalogue",
	 OSP_REASON_MISSING},
	{"late",
	 "the operation was silent for longer than its time-out: raise `timeout' in the catalogue",
	 OSP_REASON_MISSING},
	{"operations_full",
	 "look for operations that never end (I in outspan ls), or record fewer targets",
	 OSP_REASON_MISSING},
	{"steps_full", "end such an operation and begin another, or record --level essential",
	 OSP_REASON_MISSING},
	{"store_refused", "read what the recorder said; free some space on the disk",
	 OSP_REASON_MISSING},
	{"steps_unknown",
	 "each stands for steps of one operation, however many they were: read it as cut",
	 OSP_REASON_MISSING},
	{"sampled",
	 "whole traces were left out on purpose: multiply counts by hits / (hits - sampled)",
	 OSP_REASON_CHOSEN},
	{"aggregated",
	 "nothing is missing from the counts: outspan ls shows them; there are no traces",
	 OSP_REASON_CHOSEN},
	{"limited",
	 "left out on purpose, the more of a value the more there was of it: do not count what is stored",
	 OSP_REASON_CHOSEN},
	{"filtered", "nothing is missing: this recording did not ask for these steps",
	 OSP_REASON_CHOSEN},
	{"forked_copy",
	 "nothing of the parent is missing: what a child does with its copy is no operation",
	 OSP_REASON_SPARE},
	{"duplicate", "nothing is missing: the step is stored once", OSP_REASON_SPARE},
};

static const struct osp_reason unknown = {
	NULL, "look at the session with the outspan that wrote it", OSP_REASON_MISSING};

const struct osp_reason *osp_reason_find(const char *name)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (!strcmp(reasons[i].name, name))
			return &reasons[i];
	return &unknown;
}

const char *osp_reason_help(const char *name)
{
	for (size_t i = 0; i < OSP_LOSS_COUNT; i++)
		if (!strcmp(helps[i].name, name))
			return helps[i].help;
	return "a reason that this outspan does not know";
}

uint64_t osp_reason_sum(const uint64_t lost[OSP_LOSS_COUNT], enum osp_reason_kind kind)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < OSP_LOSS_COUNT; i++)
		if (osp_reason_find(helps[i].name)->kind == kind)
			sum += lost[i];
	return sum;
}

bool osp_reason_is_late(const char *name)
{
	return !strcmp(name, helps[OSP_LOSS_LATE].name);
}
