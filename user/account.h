/*
 * The books: for every (process, point) how many hits there were, how many steps are stored and
 * where the others went, so that hits = stored + losses can be shown for each. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/event.h"
#include "probes/catalogue.h"
#include "store/span.h"
#include "user/base/list.h"

/* What is known of a page at one time: hits = stored + the losses. */
struct osp_page_sums {
	uint64_t hits, stored, all_lost;
	uint64_t lost[OSP_LOSS_COUNT];
};

/* The page of one (process, point). */
struct osp_page {
	const struct osp_point *point;
	uint32_t process;   /* the process' key, for the store */
	uint64_t hits;	    /* highest ordinal seen + 1 */
	uint64_t records;   /* of its own hits that reached user space */
	uint64_t carried;   /* steps that came with other hits and had none for us */
	uint64_t recovered; /* the record of its hit was lost; the step came all the same */
	uint64_t stored;    /* steps in rows that the sink has taken */
	uint64_t lost[OSP_LOSS_COUNT]; /* by the recorder's own reasons */
	struct osp_counter counter;    /* the kernel's, if some came */
	bool informed;		       /* they did */
	bool counted;		       /* they were its last: nothing is left in the ring */
	struct osp_page_sums written;  /* what the sink has been told last */
	struct osp_list in_order;
	struct osp_list in_changed, *changed; /* pages that the next writing hands out */
};

struct osp_account;

/* `c` is borrowed. -ENOMEM. */
int osp_account_new(struct osp_account **out, const struct osp_catalogue *c);
void osp_account_free(struct osp_account **a);

/* The page of (slot, point), made if there is none; process is its key. -ENOMEM, -ENOSPC. */
int osp_account_page(struct osp_account *a, uint32_t slot, uint32_t process, uint16_t point,
		     struct osp_page **out);

/* The page may say something else than when it was written. */
static inline void osp_account_change(struct osp_page *p)
{
	if (osp_list_empty(&p->in_changed))
		osp_list_add(p->changed, &p->in_changed);
}

/* A step came that had no hit of its own: one more. */
static inline void osp_account_carry(struct osp_page *p)
{
	p->carried++;
	osp_account_change(p);
}

/* Its step went into a row. */
static inline void osp_account_store(struct osp_page *p)
{
	p->stored++;
	osp_account_change(p);
}

/* The pages of a slot by point, as far as there are any (NULL), until one is made; or NULL. */
struct osp_page *const *osp_account_pages(const struct osp_account *a, uint32_t slot);

void osp_account_record(struct osp_page *p, uint64_t ordinal); /* a record came */
void osp_account_recover(struct osp_page *p); /* a step came whose own record had not */
bool osp_account_return(struct osp_page *p);  /* that record comes now; false: none was missed */
void osp_account_lose(struct osp_page *p, enum osp_loss_reason reason); /* it did not */

/* What the kernel has hits of: those that were left out on request are not in counter->hits. */
uint64_t osp_account_hits(const struct osp_counter *counter);

void osp_account_count(struct osp_page *p, const struct osp_counter *counter, bool last);

/*
 * Hands pages whose sums are others than the last time to the sink as loss rows. Before the
 * kernel's counters are in, hits are those whose fate is settled, and ordinals that never came
 * count as ring losses.
 */
int osp_account_write(struct osp_account *a, int (*sink)(void *arg, const struct osp_part *part),
		      void *arg);

/* Sums over all pages: losses by reason (kernel ones as far as counted). */
void osp_account_sum(const struct osp_account *a, uint64_t lost[OSP_LOSS_COUNT]);

/* Sums the kernel's losses of one process but those asked for; *worst is the reason with the most. */
uint64_t osp_account_kernel_lost(const struct osp_account *a, uint32_t process,
				 enum osp_loss_reason *worst);

/* Name of a reason: "ring_full", ... */
const char *osp_account_reason(enum osp_loss_reason reason);
