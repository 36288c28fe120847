/*
 * Fuzz target: records of the real catalogue through the pipeline. Every chunk of the input is a
 * record: a short head that picks point, process, operation and time, then its data.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "user/pipeline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct head {
	uint8_t kind, point, process, op, sequence, nested, size, time;
};

static struct osp_catalogue *catalogue;

static int ignore(void *arg, const struct osp_part *part)
{
	volatile size_t *sum = arg;

	/* Reads what the sink may read. */
	if (part->kind == OSP_PART_ROW) {
		for (size_t i = 0; i < part->row.span_count; i++)
			*sum += strlen(part->row.spans[i].name);
		for (size_t i = 0; i < part->row.attribute_count; i++)
			if (part->row.attributes[i].value.size)
				*sum += *(const uint8_t *)part->row.attributes[i].value.data;
	}
	return 0;
}

/* Half of the records hold steps whose heads make sense, so that what lies behind is reached. */
static void mend_steps(uint8_t *data, size_t size, uint32_t last)
{
	struct osp_record_step s;
	size_t at = 0;

	for (uint32_t n = 0; last && at + sizeof(s) <= size; n++) {
		memcpy(&s, data + at, sizeof(s));
		s.sequence = n < last ? n : last;
		s.number %= 256;
		s.size = (s.size & 0x78) < size - at - sizeof(s) ? s.size & 0x78 : 0;
		memcpy(data + at, &s, sizeof(s));
		at += sizeof(s) + s.size;
	}
}

static size_t push_record(struct osp_pipeline *p, const uint8_t *data, size_t size, int64_t *now)
{
	struct head h;
	struct {
		struct osp_record record;
		uint8_t data[256];
	} r = {{0}, {0}};
	struct osp_input in = {.kind = OSP_INPUT_RECORD, .record = &r.record};
	size_t kept;

	memcpy(&h, data, sizeof(h));
	kept = h.size < size - sizeof(h) ? h.size : size - sizeof(h);
	*now += (int64_t)h.time * h.time * h.time * 1000;
	r.record =
		(struct osp_record){.kind = h.kind % 8,
				    .flags = h.kind >> 7 | (h.kind & 32 ? OSP_RECORD_CLEARED : 0),
				    .data_size = h.kind & 64 ? -14 : (int32_t)kept,
				    .time_ns = (uint64_t)*now,
				    .process = h.process % 8,
				    .site = h.op % 8,
				    .lost = h.process / 64,
				    .point = h.point,
				    .op_id = (uint64_t)(h.op % 16) << 16,
				    .tid = h.op % 4,
				    .sequence = h.sequence,
				    .nested = h.nested,
				    .number = h.nested,
				    .numbers = h.time % 2,
				    .value = h.sequence};
	memcpy(r.data, data + sizeof(h), kept);
	mend_steps(r.data, kept, h.kind & 16 ? h.sequence : 0);
	in.size = sizeof(r.record) + kept;
	in.time_ns = *now;
	if (osp_pipeline_push(p, &in))
		abort();
	return sizeof(h) + kept;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const files[] = {"probes/catalogue/lonelypsp.yaml",
					    "tests/golden/works.yaml", "tests/golden/tasks.yaml"};
	static const struct osp_pipeline_limits limits = {
		.operations = 12, .steps = 20, .links = 6, .start_part_ns = 1000000};
	struct osp_input stop = {.kind = OSP_INPUT_STOP};
	struct osp_catalogue_error error;
	struct osp_pipeline *p;
	size_t sum = 0, used;

	if (!catalogue && osp_catalogue_new(&catalogue))
		abort();
	for (size_t i = 0; !catalogue->point_count || (i && i < 3); i++)
		if (osp_catalogue_read(catalogue, files[i], &error))
			abort();
	if (osp_pipeline_new(&p, catalogue, &limits, ignore, &sum))
		abort();
	for (; size > sizeof(struct head); data += used, size -= used)
		used = push_record(p, data, size, &stop.time_ns);
	if (osp_pipeline_push(p, &stop))
		abort();
	osp_pipeline_free(&p);
	return 0;
}
