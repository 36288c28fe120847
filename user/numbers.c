/*
 * Tables of header numbers (user/numbers.h). Fed by the pipeline with what the recorder has learnt
 * from the notes of binaries; asked by decode for every step of a block. Owns the tables, and one
 * per provider made from the catalogue, for records of binaries of which nothing was told.
 */
#include "user/numbers.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct osp_numbers_set {
	const struct osp_catalogue *catalogue; /* borrowed */
	struct osp_numbers_table tables[OSP_EVENT_NUMBERS];
	bool told[OSP_EVENT_NUMBERS];
	const char *provider[OSP_EVENT_NUMBERS]; /* borrowed: the catalogue's; of `own` */
	struct osp_numbers_table own[OSP_EVENT_NUMBERS];
	uint8_t own_of[OSP_EVENT_POINTS]; /* by point of the catalogue: which of `own`, or none */
};

static size_t find_provider(const struct osp_numbers_set *s, const char *name)
{
	size_t i = 0;

	while (i < OSP_EVENT_NUMBERS && s->provider[i] && strcmp(s->provider[i], name) != 0)
		i++;
	return i;
}

int osp_numbers_new(struct osp_numbers_set **out, const struct osp_catalogue *c)
{
	struct osp_numbers_set *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->catalogue = c;
	for (size_t i = 0; i < c->point_count; i++) {
		const struct osp_point *p = c->points[i];
		size_t n = p->foreign ? OSP_EVENT_NUMBERS : find_provider(s, p->provider);

		s->own_of[p->number] = (uint8_t)n;
		if (n == OSP_EVENT_NUMBERS)
			continue;
		s->provider[n] = p->provider;
		if (!p->spill)
			s->own[n].points[p->header] = p;
	}
	*out = s;
	return 0;
}

void osp_numbers_free(struct osp_numbers_set **s)
{
	free(*s);
	*s = NULL;
}

static const struct osp_point *find_point(const struct osp_catalogue *c, uint16_t n)
{
	const struct osp_point *p = n && n <= c->point_count ? c->points[n - 1] : NULL;

	return p && !p->foreign && !p->spill ? p : NULL;
}

void osp_numbers_add(struct osp_numbers_set *s, uint32_t table, const struct osp_numbers *numbers)
{
	if (!table || table >= OSP_EVENT_NUMBERS)
		return;
	for (size_t i = 0; i < OSP_EVENT_POINTS; i++)
		s->tables[table].points[i] = find_point(s->catalogue, numbers->point[i]);
	s->told[table] = true;
}

const struct osp_numbers_table *osp_numbers_table(const struct osp_numbers_set *s, uint32_t table,
						  const struct osp_point *like)
{
	if (table < OSP_EVENT_NUMBERS && s->told[table])
		return &s->tables[table];
	return s->own_of[like->number] < OSP_EVENT_NUMBERS ? &s->own[s->own_of[like->number]]
							   : NULL;
}
