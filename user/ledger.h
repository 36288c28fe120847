/* The books of a session as text for people, at most 100 columns: `outspan losses`. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "user/books.h"

struct osp_ledger {
	FILE *out;
	bool utc;
};

/* All of it; the books are counted unless nothing is missing. */
void osp_ledger_write(const struct osp_ledger *l, const struct osp_books *b);

/* One line: whether anything is missing, and how much. */
void osp_ledger_write_verdict(const struct osp_ledger *l, const struct osp_books *b);
