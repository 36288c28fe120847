/*
 * Users' rules come from anywhere: whatever the bytes, the loader takes them or refuses them with a
 * text, and what it takes speaks of operations and points of the catalogue. Seeds: tests/fuzz/rules/,
 * and tests/golden/rules.yaml.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "probes/expectation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct osp_catalogue *catalogue(void)
{
	static struct osp_catalogue *c;
	struct osp_catalogue_error error;

	if (!c && (osp_catalogue_new(&c) ||
		   osp_catalogue_read(c, "probes/catalogue/lonelypsp.yaml", &error)))
		abort(); /* not run from the top folder */
	return c;
}

/* A file that holds the bytes: its descriptor, and its name. */
static int make_file(char name[32], const uint8_t *data, size_t size)
{
	int fd = memfd_create("rules", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(name, 32, "/proc/self/fd/%d", fd);
	return fd;
}

static bool is_of(const struct osp_operation *o, const struct osp_point *p)
{
	for (size_t i = 0; p && i < o->point_count; i++)
		if (o->points[i] == p)
			return true;
	return !p;
}

static void check(const struct osp_expectation *e)
{
	if (!e->name || !e->expect.operation || !is_of(e->expect.operation, e->expect.point))
		abort();
	if (!e->never && !e->after.operation)
		abort();
	if (e->after.operation && (e->within_ns <= 0 || !is_of(e->after.operation, e->after.point)))
		abort();
	if (e->same == OSP_SAME_ARG && (!e->after.attribute || !e->expect.attribute))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct osp_expectations *rules = NULL;
	struct osp_catalogue_error error = {""};
	char name[32];
	int fd = make_file(name, data, size);
	int r = osp_expectations_read(&rules, catalogue(), name, &error);

	if (r && !error.text[0])
		abort(); /* a refusal without a reason */
	for (size_t i = 0; !r && i < rules->count; i++)
		check(&rules->rules[i]);
	osp_expectations_free(&rules);
	close(fd);
	return 0;
}
