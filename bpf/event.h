/*
 * The one layout that the kernel side and user space share: records of the kernel ring, keys and
 * values of the maps. Native byte order; times are CLOCK_BOOTTIME in ns; structs are multiples of
 * 8 bytes. Included after vmlinux.h on the kernel side, <linux/types.h> in user space.
 */
#pragma once

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

enum {
	OSP_EVENT_ABI = 2,
	OSP_EVENT_POINTS = 1024,    /* points that one session can hold */
	OSP_EVENT_PROCESSES = 4096, /* slots of a session: processes seen, and slot 0 */
	OSP_EVENT_ARGS = 12,	    /* arguments of a point, as in a USDT note */
	OSP_EVENT_DATA = 3584,	    /* largest variable part of a record, bytes */
	OSP_EVENT_STEP_HEAD = 24,   /* bytes before a step's arguments */
	OSP_EVENT_NUMBERS = 64,	    /* tables of numbers: see struct osp_numbers */
};

/* Reasons for a hit that is not stored. One list for kernel and user (name, help). */
#define OSP_LOSS_REASONS(X)                                                                        \
	X(RING_FULL, "ring_full",                                                                  \
	  "the kernel ring was full: the recorder was too slow or stopped")                        \
	X(ARGUMENT_FAULT, "argument_fault", "the arguments could not be read from the process")    \
	X(TABLE_FULL, "table_full", "more processes than the session can hold")                    \
	X(BLOCK_FULL, "block_full", "the steps were larger than a record can be")                  \
	X(STEPS_UNKNOWN, "steps_unknown",                                                          \
	  "an operation's stamped steps could not be read: how many they were is unknown")         \
	X(SAMPLED, "sampled", "left out on request: sampling")                                     \
	X(AGGREGATED, "aggregated", "counted and timed only, as --aggregate asks")                 \
	X(FILTERED, "filtered",                                                                    \
	  "not wanted here: --match-topic or --where leaves it out, or only others want it")       \
	X(DECODE, "decode_error", "the record did not have the layout of its point")               \
	X(FORKED, "forked_copy", "a step of an operation that fork copied: it is the parent's")    \
	X(LATE, "late", "the step came after its operation was closed")                            \
	X(OPERATIONS_FULL, "operations_full", "more open operations than the recorder holds")      \
	X(STORE, "store_refused", "the store refused the row")                                     \
	X(STEPS_FULL, "steps_full", "more steps in one operation than the recorder holds")         \
	X(DUPLICATE, "duplicate", "the step of its operation had come before")                     \
	X(OVERLOAD, "overload",                                                                    \
	  "the ring was filling up: the oldest were discarded, as --overload keep-last asks")      \
	X(LIMITED, "limited", "left out on request: more in a second than --limit takes")

enum osp_loss_reason {
#define X(id, name, help) OSP_LOSS_##id,
	OSP_LOSS_REASONS(X)
#undef X
		OSP_LOSS_COUNT
};

enum { OSP_LOSS_KERNEL_COUNT = OSP_LOSS_DECODE }; /* those before are counted in the kernel */

enum osp_record_kind {
	OSP_RECORD_STEP = 1, /* steps of an operation block (probes/op.h) */
	OSP_RECORD_FOREIGN,  /* a hit of somebody else's USDT site */
	OSP_RECORD_FORK,     /* a member forked: pid is the child, value the parent's pid */
	OSP_RECORD_EXEC,     /* a member (or, with cfg_all, anybody) called exec: see `site` */
	OSP_RECORD_EXIT,     /* the last thread of a member ended: value is the exit code */
	OSP_RECORD_MAPPED,   /* a member's dynamic linker mapped objects */
	OSP_RECORD_LEFT,     /* steps that lie in a block, unflushed: nothing trapped */
};

enum { OSP_EVENT_COMM = 16, OSP_EVENT_FILE = 240 }; /* EXEC: bytes of a comm; of a file name */

enum {
	OSP_RECORD_FORKED = 1,	/* STEP: of a child's copy of its parent's operation */
	OSP_RECORD_CLEARED = 2, /* STEP, LEFT: all steps of the block since it was cleared last */
	OSP_RECORD_PEEKED = 4,	/* LEFT: read by the recorder from a process that lives on */
	OSP_RECORD_UNTIMED = 8, /* STEP: time_ns is not its own, but of a record before it */
	OSP_RECORD_REASON = 8,	/* not a flag: bits from here on: reason of the latest loss, + 1 */
};

/*
 * A record: this header, then data_size bytes (none if data_size is negative: -errno of the
 * read that failed).
 *   STEP     data = whole steps as they lie in the operation block, each a struct osp_record_step and its
 *            arguments, in rising order of their sequence. Nothing (data_size 0) is one step
 *            without arguments but `value`. The header tells of the step that trapped, which is
 *            the last one; at a point of the kind spill none did: then it is the next sequence.
 *            Steps that are not the one that trapped were carried: the kernel counted no hit
 *            of them.
 *   LEFT     data = steps as above; the header tells of none: sequence = the next one, point and
 *            thread = those of a hit before, stamp = 0.
 *   FOREIGN  data = value count in `value`: that many struct osp_foreign_value, then bytes
 *   EXEC     data = comm (OSP_EVENT_COMM bytes), then the file name as execve got it
 */
struct osp_record {
	__u16 kind;	 /* enum osp_record_kind */
	__u16 flags;	 /* OSP_RECORD_FORKED and so on, OSP_RECORD_REASON */
	__s32 data_size; /* bytes behind the header that hold data, or -errno */
	__u64 time_ns;	 /* boot time, read after the space was reserved; OSP_RECORD_UNTIMED */
	__u64 start_ns;	 /* start_boottime of the thread group: identity with pid and exec_id */
	__u32 pid;	 /* thread group id in the initial pid namespace */
	__u32 tid;
	__u32 exec_id;	/* how often the process has called exec */
	__u32 process;	/* slot, unique per (pid, start, exec) in a session; 0: EXEC of no member */
	__u64 ordinal;	/* hits of this (process, point) before this one, lost ones included */
	__u64 lost;	/* hits of this process lost in the kernel so far, all points */
	__u16 point;	/* that trapped: bits 0..15 of the attach cookie */
	__u16 numbers;	/* STEP: table for the numbers of the steps: bits 16..31 */
	__u32 site;	/* high half of the cookie: which binary's site; FORK: the parent's slot;
			     EXEC: the slot before, 0 = was no member */
	__u64 op_id;	/* STEP: operation id */
	__u64 block;	/* STEP: address of the operation block */
	__u32 sequence; /* STEP: number of the step in its operation */
	__u16 number;	/* STEP: the point's number in the binary's own header */
	__u16 nested;	/* STEP: nested spans opened so far, this step's included */
	__u64 stamp;	/* STEP: CPU counter at the point */
	__u64 value;	/* STEP: first integer argument; FOREIGN: values; FORK, EXIT: see above */
};

/* The head of a step in an operation block: struct outspan_step of probes/op.h. */
struct osp_record_step {
	__u64 stamp; /* CPU counter */
	__u32 sequence;
	__u16 number; /* of the point, in the binary's own header */
	__u16 nested;
	__u32 size;  /* bytes of arguments that follow, a multiple of 8 */
	__u32 flags; /* OSP_STEP_* */
};

enum {
	OSP_STEP_FORKED = 1, /* made by a child in its copy of its parent's operation */
	OSP_STEP_FIRED = 2,  /* was handed over by itself, too, to whoever attached its site */
};

/* The first fields of struct outspan_op (probes/op.h), which has OSP_BLOCK_STEPS bytes. */
struct osp_block_head {
	__u32 magic;
	__u16 abi, flags; /* OSP_BLOCK_HAS_* */
	__u64 id;
	__u32 owner, sequence;	   /* steps stamped so far */
	__u32 used, size, rest[2]; /* bytes, the head included */
	__u64 trace_id[2]; /* bytes as on the wire: what came in, else the operation's own */
};

enum { OSP_BLOCK_MAGIC = 0x3150534f, OSP_BLOCK_ABI = 2, OSP_BLOCK_STEPS = 72 };
enum { OSP_BLOCK_HAS_CONTEXT = 1, OSP_BLOCK_HAS_SENT = 2 }; /* its trace is known by now */

/*
 * Points by the numbers of one provider's header as it was when a binary was built: the array map
 * `numbers`. Binaries that agree share a table; table 0 is nobody's and empty.
 */
struct osp_numbers {
	__u16 point[OSP_EVENT_POINTS]; /* + 1; 0 = a point that was refused, or none */
};

/*
 * One argument of a foreign site. Strings and byte fields, if there are any, start behind room
 * for OSP_EVENT_ARGS of these (OSP_FOREIGN_START) and follow each other without a gap. A text
 * is kept without its NUL; one longer than its max has size = max + 1, so that the cut shows.
 * Bytes longer than their max have size = max; the argument with their length tells how long.
 */
struct osp_foreign_value {
	__u64 value;  /* the integer, or the address */
	__s32 size;   /* 8 = integer; else bytes kept of what value points to, or -errno */
	__u32 offset; /* of the kept bytes, from the start of the data */
};

enum { OSP_FOREIGN_START = OSP_EVENT_ARGS * 16 };

/*
 * Records of foreign points come in these sizes: text and bytes start at most `start` bytes into
 * the data, each takes at most `most`: its max + 2. (The verifier wants constants.)
 */
#define OSP_FOREIGN_CLASSES(X)                                                                     \
	X(INTEGERS, 192, 0)                                                                        \
	X(SHORT, 390, 66)                                                                          \
	X(ONE, 192, 258)                                                                           \
	X(SOME, 708, 258)                                                                          \
	X(MANY, 2574, 1026)

enum osp_foreign_class {
#define X(id, start, most) OSP_FOREIGN_##id,
	OSP_FOREIGN_CLASSES(X)
#undef X
		OSP_FOREIGN_COUNT
};

/* Records of steps come with room for so many bytes of them. (The verifier wants constants.) */
#define OSP_STEP_CLASSES(X) X(64) X(256) X(512) X(1024) X(2048) X(OSP_EVENT_DATA)

/* How the kernel side reads a point: the array map `shapes`, by point. */
enum osp_shape_kind {
	OSP_SHAPE_NONE,
	OSP_SHAPE_PLAIN, /* at most one integer: alone it needs no user memory read */
	OSP_SHAPE_BLOCK,
	OSP_SHAPE_SPILL, /* no step and no hit by itself: brings those of a full block */
	OSP_SHAPE_FOREIGN,
};

struct osp_shape {
	__u16 kind; /* enum osp_shape_kind */
	__u16 fire; /* its own sites trap for this recorder */
	__u16 args; /* FOREIGN: how many */
	__u16 size; /* FOREIGN: enum osp_foreign_class; else: its operation may join a trace */
	struct {
		__u16 max;   /* 0 = integer, else bytes to keep of what the argument points to */
		__u8 text;   /* ends at the first NUL */
		__u8 length; /* 1-based entry of the site's spec with the byte count, 0 = none */
	} arg[OSP_EVENT_ARGS];
};

/* Where a foreign site keeps its arguments: the hash map `sites`, by site. */
enum osp_operand { /* 0 = cannot be read: the value's size is -ENOTSUP */
		   OSP_OPERAND_CONST = 1,
		   OSP_OPERAND_REGISTER,
		   OSP_OPERAND_MEMORY
};

struct osp_site_spec {
	struct {
		__u8 operand;  /* enum osp_operand */
		__s8 size;     /* 1, 2, 4, 8 bytes, negative = signed */
		__s16 base;    /* byte offset of the base register in struct pt_regs, or -1 */
		__s16 index;   /* of the index register, or -1 */
		__u16 scale;   /* 1, 2, 4, 8 */
		__s64 offset;  /* constant, or displacement */
	} arg[OSP_EVENT_ARGS]; /* in the order of the shape, then byte counts it has no entry for */
};

/* Hits and losses of one point in one process. */
struct osp_counter {
	__u64 hits, left; /* that trapped, carried ones that were lost; trapped ones left out */
	__u64 lost[OSP_LOSS_KERNEL_COUNT];
};

_Static_assert(sizeof(struct osp_record) == 104, "record header");
_Static_assert(sizeof(struct osp_record_step) == OSP_EVENT_STEP_HEAD, "step");
_Static_assert(sizeof(struct osp_block_head) == 56, "head of a block");
_Static_assert(sizeof(struct osp_foreign_value) == 16, "foreign value");
_Static_assert(sizeof(struct osp_shape) == 56, "shape");
_Static_assert(sizeof(struct osp_site_spec) == 192, "site");
