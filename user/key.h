/*
 * What an operation is found by: process and op id, or for foreign ones process, operation and
 * thread, or an argument's value. Values that are longer than a word stand for themselves by 128
 * bits of hash.
 */
#pragma once

#include <stdint.h>

struct osp_open_key {
	uint64_t hash; /* of the words, for tables */
	uint64_t words[3];
};
