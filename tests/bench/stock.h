/* What stock.bpf.c tells stock.c of a hit, and how it is told what the arguments are. */
#pragma once

enum {
	STOCK_ARGS = 6,	  /* after the id */
	STOCK_BYTES = 3,  /* of them with bytes behind a pointer */
	STOCK_ROOM = 40,  /* bytes kept of each */
	STOCK_NUMBER = 1, /* kinds of arguments, 4 bits each in the cookie, above the point's 8 */
	STOCK_POINTER = 2,
	STOCK_CONTEXT = 3, /* a pointer to 25 bytes */
};

struct stock_event {
	unsigned long long time_ns, id;
	unsigned int pid, tid, point, count;
	long args[STOCK_ARGS];
	unsigned char bytes[STOCK_BYTES][STOCK_ROOM];
};
