/* The catalogue's enumerations as words, for the commands, the stores and the exporters. */
#include <errno.h>
#include <string.h>

#include "probes/catalogue.h"

static const char *const levels[] = {"essential", "detail", "debug"};
static const char *const kinds[] = {"INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"};
static const char *const statuses[] = {"unset", "ok", "error"};
static const char *const grades[] = {"exact", "strong", "weak", "ambiguous", "reported"};
static const char *const makes_words[] = {"parent", "link", "fan_in"};

const char *osp_level_to_str(enum osp_level level)
{
	return levels[level];
}

int osp_level_from_str(const char *text, enum osp_level *level)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (!strcmp(text, levels[i])) {
			*level = (enum osp_level)i;
			return 0;
		}
	return -EINVAL;
}

const char *osp_kind_to_str(enum osp_kind kind)
{
	return kinds[kind - OSP_KIND_INTERNAL];
}

const char *osp_status_to_str(enum osp_status s)
{
	return statuses[s];
}

const char *osp_grade_to_str(enum osp_grade grade)
{
	return grades[grade];
}

const char *osp_makes_to_str(enum osp_makes makes)
{
	return makes_words[makes];
}
