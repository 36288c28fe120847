/*
 * Retry plans: pure but for chance (ps_system). Used by the publisher and the subscriber for
 * their requests, and by the broadcaster for the first due time of MISSED. Owns the order.
 */
#include "probes/pubsub/ps_retry.h"

#include <errno.h>
#include <stdlib.h>

#include "probes/pubsub/ps_system.h"

enum { EXPONENT_MAX = 64 }; /* beyond it everything is over a year */
static const double YEAR_NS = 365 * 86400e9;

static double pow2(unsigned exponent)
{
	return (double)(1u << (exponent < 20 ? exponent : 20));
}

static int64_t seconds_ns(double seconds)
{
	return (int64_t)(seconds * 1e9);
}

/* A fresh shuffle per pass, then by priority; stable, so equal priorities stay shuffled. */
static void shuffle(struct ps_retry *r)
{
	for (size_t i = 0; i < r->count; i++)
		r->order[i] = i;
	for (size_t i = r->count; i > 1; i--) {
		size_t k = (size_t)(ps_system_uniform() * (double)i), t = r->order[i - 1];

		r->order[i - 1] = r->order[k];
		r->order[k] = t;
	}
	for (size_t i = 1; i < r->count; i++)
		for (size_t k = i;
		     k && r->list[r->order[k]].priority < r->list[r->order[k - 1]].priority; k--) {
			size_t t = r->order[k];

			r->order[k] = r->order[k - 1];
			r->order[k - 1] = t;
		}
}

int ps_retry_init(struct ps_retry *r, const struct ps_broadcaster_url *list, size_t count,
		  unsigned passes)
{
	size_t *order = calloc(count ? count : 1, sizeof(*order));

	if (!order)
		return -ENOMEM;
	*r = (struct ps_retry){list, count, order, passes ? passes : 1, 0, 0};
	shuffle(r);
	return 0;
}

void ps_retry_clear(struct ps_retry *r)
{
	free(r->order);
	*r = (struct ps_retry){0};
}

const char *ps_retry_next(struct ps_retry *r, int64_t *wait_ns)
{
	*wait_ns = 0;
	if (!r->count)
		return NULL;
	if (r->next == r->count) {
		if (r->pass + 1 >= r->passes)
			return NULL;
		r->pass++;
		r->next = 0;
		shuffle(r);
		*wait_ns = seconds_ns(pow2(r->pass - 1) + ps_system_uniform());
	}
	return r->list[r->order[r->next++]].url;
}

int64_t ps_retry_missed_delay_ns(const struct ps_missed_policy *p, unsigned attempts)
{
	unsigned exponent = attempts < p->exponent_max ? attempts : p->exponent_max;
	double ns = (double)p->factor_ns;

	if (attempts >= p->retries)
		return -1;
	for (unsigned i = 0; i < exponent && i < EXPONENT_MAX && ns < YEAR_NS; i++)
		ns *= p->base;
	ns += (double)p->constant_ns + (double)p->jitter_ns * ps_system_uniform();
	return (int64_t)(ns < YEAR_NS ? ns : YEAR_NS);
}
