/*
 * Fuzz target: raw captures through the whole pipeline. The first byte chooses whether the rest is
 * a file, or the entries behind a good start.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/pipeline.h"
#include "user/raw.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char text[] = "provider: tiny\n"
			   "abi: 1\n"
			   "operations:\n"
			   "  work:\n"
			   "    by: op\n"
			   "    kind: INTERNAL\n"
			   "    name: \"work {label}\"\n"
			   "    timeout: 1s\n"
			   "    spans: {part: {kind: CLIENT, name: \"part {label}\"}}\n"
			   "    points:\n"
			   "      begun: {level: essential, args: {label: {type: str, max: 16}}}\n"
			   "      part_begun: {level: essential, args: {parent: {type: op}}}\n"
			   "      part_done: {level: essential}\n"
			   "      done: {level: essential, args: {error: {type: i32}}}\n"
			   "    start: Idle\n"
			   "    states:\n"
			   "      Idle: {begun: Busy}\n"
			   "      Busy: {part_begun: {to: In, open: part}, done: {end: ok}}\n"
			   "      In: {part_done: {to: Busy, close: {part: ok}}}\n";

static uint8_t start[8192];
static size_t start_size;

static void make_start(void)
{
	FILE *file = fmemopen(start, sizeof(start), "w");
	struct osp_catalogue_error error;
	struct osp_catalogue *c;
	struct osp_raw *raw;

	if (osp_catalogue_new(&c) ||
	    osp_catalogue_add(c, "tiny.yaml", text, strlen(text), &error) ||
	    osp_raw_create(&raw, file, c))
		abort();
	osp_raw_free(&raw);
	osp_catalogue_free(&c);
	fflush(file);
	start_size = (size_t)ftell(file);
	fclose(file);
}

static int ignore(void *arg, const struct osp_part *part)
{
	(void)arg;
	(void)part;
	return 0;
}

static void push_all(FILE *file)
{
	struct osp_catalogue_error error;
	struct osp_pipeline *p;
	struct osp_raw *raw;
	struct osp_input in;

	if (osp_raw_open(&raw, file, &error))
		return;
	if (!osp_pipeline_new(&p, osp_raw_catalogue(raw), NULL, ignore, NULL)) {
		while (!osp_raw_read(raw, &in))
			if (osp_pipeline_push(p, &in))
				abort();
		osp_pipeline_free(&p);
	}
	osp_raw_free(&raw);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *bytes;
	size_t before;
	FILE *file;

	if (!start_size)
		make_start();
	if (!size)
		return 0;
	before = data[0] & 1 ? start_size : 0;
	bytes = malloc(before + size);
	if (!bytes)
		abort();
	memcpy(bytes, start, before);
	memcpy(bytes + before, data + 1, size - 1);
	if (before + size > 1) {
		file = fmemopen(bytes, before + size - 1, "r");
		push_all(file);
		fclose(file);
	}
	free(bytes);
	return 0;
}
