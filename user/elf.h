/*
 * What outspan wants to know of an ELF file: its USDT sites (.note.stapsdt), what our own
 * generator says of them (.note.outspan), its build id. The file is untrusted: whatever is wrong
 * in it is counted or named per site, and everything read has a maximum.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/event.h"

enum {
	OSP_ELF_SITES = 16384,	      /* sites of one file */
	OSP_ELF_NOTE_BYTES = 8 << 20, /* of all note sections */
	OSP_ELF_NAME = 128,	      /* provider, probe */
	OSP_ELF_ARGS = 1024,	      /* argument string */
	OSP_ELF_BUILD_ID = 32,
};

/* Why a site cannot be attached, as far as the file tells. */
#define OSP_ELF_REFUSALS(X)                                                                        \
	X(NONE, "")                                                                                \
	X(CODE, "its address lies in no executable part of the file")                              \
	X(SHARED, "another point stands at the same address")                                      \
	X(SEMAPHORE, "its semaphore lies in no writable part of the file")                         \
	X(OPERANDS, "it has more arguments than can be recorded")

enum osp_elf_refusal {
#define X(id, text) OSP_ELF_REFUSAL_##id,
	OSP_ELF_REFUSALS(X)
#undef X
};

/* What the site's instruction is. */
enum osp_elf_form {
	OSP_ELF_FORM_NOP,    /* one byte (arm64: the nop) */
	OSP_ELF_FORM_NOP_5,  /* one byte, then a 5-byte nop */
	OSP_ELF_FORM_NOP_10, /* one byte, then a 10-byte nop */
	OSP_ELF_FORM_LONG, /* a nop of several bytes: not to be attached to (forked children crash) */
	OSP_ELF_FORM_OTHER, /* an instruction that does something: slow */
	OSP_ELF_FORM_COUNT
};

struct osp_elf_site {
	const char *provider, *probe; /* in the owner's memory */
	const char *args;
	uint64_t address;   /* link-time */
	uint64_t offset;    /* in the file */
	uint64_t semaphore; /* offset in the file; 0 = none */
	enum osp_elf_form form;
	enum osp_elf_refusal refusal;
	struct osp_site_spec spec; /* operands in the note's order */
	uint32_t operands;
	bool own; /* has a note of our generator: */
	uint32_t abi, number;
	uint64_t carry; /* offset in the file of a no-op that is never executed; 0 = none */
	uint64_t digest;
};

struct osp_elf {
	struct osp_elf_site *sites; /* by offset */
	size_t count;
	uint32_t zero_notes; /* notes at address 0: their code was thrown away by the linker */
	uint32_t bad_notes;  /* unreadable, or more than OSP_ELF_SITES */
	bool shared_page;    /* a semaphore's file page belongs to two writable segments */
	uint8_t build_id[OSP_ELF_BUILD_ID];
	size_t build_id_size; /* 0 = none */
	struct osp_elf_memory *memory;
};

/*
 * Reads the file behind the descriptor (which stays the caller's). -ENOEXEC: no 64-bit ELF file
 * of this machine. -EBADMSG: damaged. -ENOMEM.
 */
int osp_elf_read(struct osp_elf **out, int fd);
void osp_elf_free(struct osp_elf **e);

/* File offset of a function, by the dynamic symbol table first. -ENOENT, -ENOEXEC, -EBADMSG. */
int osp_elf_find_function(int fd, const char *name, uint64_t *offset);

const char *osp_elf_refusal_to_str(enum osp_elf_refusal r);
const char *osp_elf_form_to_str(enum osp_elf_form f); /* "nop", "nop+nop10", ... */
