/*
 * Sites of ELF files: of this very program (sys/sdt.h), and of files made up byte by byte, which
 * say what no linker would.
 */
#include "tests/unit/test.h"

#define _SDT_HAS_SEMAPHORES 1
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sdt.h>
#include <unistd.h>

#include "user/base/buffer.h"
#include "user/elf.h"

#if defined(__aarch64__)
enum { MACHINE = EM_AARCH64 };
#else
enum { MACHINE = EM_X86_64 };
#endif

/* ---- a file made up ---- */

enum { CODE = 0x1000, DATA = 0x2000, CODE_OFFSET = 0x200, DATA_OFFSET = 0x300, PART = 0x100 };
enum { SECTION_NAMES = 1, SECTION_STAPSDT, SECTION_OUTSPAN, SECTION_BASE, SECTION_ID, SECTIONS };

struct image {
	struct osp_buffer notes, own;
	uint64_t base; /* address of .stapsdt.base, 0 = no such section */
	uint8_t code[PART];
	bool shared_page, build_id;
	uint16_t machine;
};

static void image_init(struct image *m)
{
	*m = (struct image){.notes = OSP_BUFFER_INIT(1 << 20),
			    .own = OSP_BUFFER_INIT(1 << 20),
			    .machine = MACHINE};
	memset(m->code, 0x90, sizeof(m->code));
}

static void image_clear(struct image *m)
{
	osp_buffer_clear(&m->notes);
	osp_buffer_clear(&m->own);
}

static void pad(struct osp_buffer *b)
{
	while (b->size % 4)
		osp_buffer_add(b, "", 1);
}

static void add_note(struct osp_buffer *b, const char *owner, uint32_t type, const void *desc,
		     size_t size)
{
	uint32_t head[3] = {(uint32_t)strlen(owner) + 1, (uint32_t)size, type};

	osp_buffer_add(b, head, sizeof(head));
	osp_buffer_add(b, owner, head[0]);
	pad(b);
	osp_buffer_add(b, desc, size);
	pad(b);
}

/* A note of sys/sdt.h's form; `texts` holds provider, probe and arguments with their NULs. */
static void add_site(struct image *m, uint64_t address, uint64_t semaphore, const char *texts,
		     size_t size)
{
	uint64_t word[3] = {address, 0x5000, semaphore};
	struct osp_buffer desc = OSP_BUFFER_INIT(8192);

	osp_buffer_add(&desc, word, sizeof(word));
	osp_buffer_add(&desc, texts, size);
	add_note(&m->notes, "stapsdt", 3, desc.data, desc.size);
	osp_buffer_clear(&desc);
}

#define ADD_SITE(m, address, semaphore, texts) add_site(m, address, semaphore, texts, sizeof(texts))

static void add_own(struct image *m, uint64_t address, uint32_t abi, uint64_t digest,
		    const char *texts, size_t size)
{
	uint32_t first[2] = {abi, 7}, last[2] = {12, 0};
	uint64_t word[3] = {address, 0x5000, digest};
	struct osp_buffer desc = OSP_BUFFER_INIT(8192);

	osp_buffer_add(&desc, first, sizeof(first));
	osp_buffer_add(&desc, word, sizeof(word));
	osp_buffer_add(&desc, last, sizeof(last));
	osp_buffer_add(&desc, texts, size);
	add_note(&m->own, "outspan", 1, desc.data, desc.size);
	osp_buffer_clear(&desc);
}

static void put(uint8_t *file, size_t at, const void *bytes, size_t size)
{
	memcpy(file + at, bytes, size);
}

/* Writes headers and sections; returns the size. */
static size_t image_write(const struct image *m, uint8_t *file, size_t room)
{
	static const char names[] =
		"\0.names\0.note.stapsdt\0.note.outspan\0.stapsdt.base\0.note.id";
	static const uint32_t id[] = {4, 20, 3, 0x554e47, 1, 2, 3, 4, 5};
	size_t notes = 0x400, own = notes + m->notes.size, strings = own + m->own.size;
	size_t ids = (strings + sizeof(names) + 7) & ~7ul, table = (ids + sizeof(id) + 7) & ~7ul;
	Elf64_Ehdr head = {.e_type = ET_DYN,
			   .e_machine = m->machine,
			   .e_version = EV_CURRENT,
			   .e_phoff = sizeof(head),
			   .e_shoff = table,
			   .e_ehsize = sizeof(head),
			   .e_phentsize = sizeof(Elf64_Phdr),
			   .e_phnum = 3,
			   .e_shentsize = sizeof(Elf64_Shdr),
			   .e_shnum = SECTIONS,
			   .e_shstrndx = SECTION_NAMES};
	const Elf64_Phdr segments[3] = {{.p_type = PT_LOAD,
					 .p_flags = PF_R | PF_X,
					 .p_offset = CODE_OFFSET,
					 .p_vaddr = CODE,
					 .p_filesz = PART,
					 .p_memsz = PART},
					{.p_type = PT_LOAD,
					 .p_flags = PF_R | PF_W,
					 .p_offset = DATA_OFFSET,
					 .p_vaddr = DATA,
					 .p_filesz = PART,
					 .p_memsz = 0x1000},
					{.p_type = PT_LOAD,
					 .p_flags = m->shared_page ? PF_R | PF_W : PF_R,
					 .p_offset = DATA_OFFSET + PART,
					 .p_vaddr = 0x9000,
					 .p_filesz = 16,
					 .p_memsz = 16}};
	const Elf64_Shdr sections[SECTIONS] = {
		[SECTION_NAMES] = {.sh_name = 1,
				   .sh_type = SHT_STRTAB,
				   .sh_offset = strings,
				   .sh_size = sizeof(names)},
		[SECTION_STAPSDT] = {.sh_name = 8,
				     .sh_type = SHT_NOTE,
				     .sh_offset = notes,
				     .sh_size = m->notes.size,
				     .sh_addralign = 4},
		[SECTION_OUTSPAN] = {.sh_name = 22,
				     .sh_type = SHT_NOTE,
				     .sh_offset = own,
				     .sh_size = m->own.size,
				     .sh_addralign = 4},
		[SECTION_BASE] = {.sh_name = m->base ? 36 : 0,
				  .sh_type = SHT_PROGBITS,
				  .sh_addr = m->base,
				  .sh_offset = 0x100,
				  .sh_size = 1},
		[SECTION_ID] = {.sh_name = 50,
				.sh_type = SHT_NOTE,
				.sh_offset = ids,
				.sh_size = m->build_id ? sizeof(id) : 0,
				.sh_addralign = 4}};

	assert_true(table + sizeof(sections) <= room);
	memset(file, 0, table + sizeof(sections));
	memcpy(head.e_ident, ELFMAG, SELFMAG);
	head.e_ident[EI_CLASS] = ELFCLASS64;
	head.e_ident[EI_DATA] = ELFDATA2LSB;
	head.e_ident[EI_VERSION] = EV_CURRENT;
	put(file, 0, &head, sizeof(head));
	put(file, sizeof(head), segments, sizeof(segments));
	put(file, CODE_OFFSET, m->code, PART);
	if (m->notes.size)
		put(file, notes, m->notes.data, m->notes.size);
	if (m->own.size)
		put(file, own, m->own.data, m->own.size);
	put(file, strings, names, sizeof(names));
	put(file, ids, id, sizeof(id));
	put(file, table, sections, sizeof(sections));
	return table + sizeof(sections);
}

static int read_bytes(struct osp_elf **out, const uint8_t *file, size_t size)
{
	int fd = memfd_create("image", MFD_CLOEXEC), r;

	assert_int_equal(write(fd, file, size), (ssize_t)size);
	r = osp_elf_read(out, fd);
	close(fd);
	return r;
}

static int read_image(struct osp_elf **out, const struct image *m)
{
	static uint8_t file[1 << 20];

	return read_bytes(out, file, image_write(m, file, sizeof(file)));
}

/* ---- this program ---- */

__extension__ unsigned short unit_here_semaphore __attribute__((section(".probes"), used));

static void the_sites_of_this_program_are_found(void **state)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	const struct osp_elf_site *s = NULL;
	struct osp_elf *e = NULL;
	int value = 5;

	(void)state;
	STAP_PROBE2(unit, here, value, &value);
	assert_int_equal(osp_elf_read(&e, fd), 0);
	for (size_t i = 0; i < e->count; i++)
		if (!strcmp(e->sites[i].provider, "unit"))
			s = &e->sites[i];
	assert_non_null(s);
	assert_string_equal(s->probe, "here");
	assert_int_equal(s->operands, 2);
	assert_int_equal(s->refusal, OSP_ELF_REFUSAL_NONE);
	assert_int_equal(s->form, OSP_ELF_FORM_NOP);
	assert_true(s->semaphore > 0);
	assert_false(s->own);
	assert_true(e->build_id_size > 0);
	osp_elf_free(&e);
	close(fd);
}

static void a_function_is_found_by_name(void **state)
{
	int fd = open("/lib64/ld-linux-x86-64.so.2", O_RDONLY);
	uint64_t offset = 0;

	(void)state;
	if (fd < 0)
		skip();
	assert_int_equal(osp_elf_find_function(fd, "_dl_debug_state", &offset), 0);
	assert_true(offset > 0);
	assert_int_equal(osp_elf_find_function(fd, "no_such_function", &offset), -ENOENT);
	close(fd);
}

/* ---- made-up files ---- */

static void addresses_become_file_offsets(void **state)
{
	struct osp_elf *e = NULL;
	struct image m;

	(void)state;
	image_init(&m);
	ADD_SITE(&m, CODE + 0x10, DATA + 0x20, "p\0q\08@%rdi");
	assert_int_equal(read_image(&e, &m), 0);
	assert_int_equal(e->count, 1);
	assert_int_equal(e->sites[0].address, CODE + 0x10);
	assert_int_equal(e->sites[0].offset, CODE_OFFSET + 0x10);
	assert_int_equal(e->sites[0].semaphore, DATA_OFFSET + 0x20);
	assert_false(e->shared_page);
	assert_int_equal(e->bad_notes, 0);
	osp_elf_free(&e);
	image_clear(&m);
}

static void prelinked_addresses_are_moved_with_the_base(void **state)
{
	struct osp_elf *e = NULL;
	struct image m;

	(void)state;
	image_init(&m);
	m.base = 0x5000 + 0x800; /* notes say 0x5000 */
	ADD_SITE(&m, CODE + 0x10 - 0x800, DATA + 0x20 - 0x800, "p\0q\0");
	add_own(&m, CODE + 0x10 - 0x800, 1, 99, "p\0q", 4);
	assert_int_equal(read_image(&e, &m), 0);
	assert_int_equal(e->sites[0].offset, CODE_OFFSET + 0x10);
	assert_int_equal(e->sites[0].semaphore, DATA_OFFSET + 0x20);
	assert_true(e->sites[0].own);
	osp_elf_free(&e);
	image_clear(&m);
}

static void notes_at_address_zero_are_counted_and_ignored(void **state)
{
	struct osp_elf *e = NULL;
	struct image m;

	(void)state;
	image_init(&m);
	ADD_SITE(&m, 0, 0, "p\0gone\0");
	ADD_SITE(&m, CODE, 0, "p\0here\0");
	assert_int_equal(read_image(&e, &m), 0);
	assert_int_equal(e->count, 1);
	assert_int_equal(e->zero_notes, 1);
	assert_string_equal(e->sites[0].probe, "here");
	osp_elf_free(&e);
	image_clear(&m);
}

static void two_points_at_one_address_are_both_refused(void **state)
{
	struct osp_elf *e = NULL;
	struct image m;

	(void)state;
	image_init(&m);
	ADD_SITE(&m, CODE + 4, 0, "p\0one\0");
	ADD_SITE(&m, CODE + 8, 0, "p\0alone\0");
	ADD_SITE(&m, CODE + 4, 0, "p\0two\0");
	assert_int_equal(read_image(&e, &m), 0);
	assert_int_equal(e->count, 3);
	assert_int_equal(e->sites[0].refusal, OSP_ELF_REFUSAL_SHARED);
	assert_int_equal(e->sites[1].refusal, OSP_ELF_REFUSAL_SHARED);
	assert_int_equal(e->sites[2].refusal, OSP_ELF_REFUSAL_NONE);
	osp_elf_free(&e);
	image_clear(&m);
}

static void a_note_that_is_there_twice_counts_once(void **state)
{
	struct osp_elf *e = NULL;
	struct image m;

	(void)state;
	image_init(&m);
	ADD_SITE(&m, CODE + 4, DATA, "p\0one\0");
	ADD_SITE(&m, CODE + 4, DATA, "p\0one\0");
	ADD_SITE(&m, CODE + 9, DATA, "p\0one\0"); /* inlined twice: two sites */
	assert_int_equal(read_image(&e, &m), 0);
	assert_int_equal(e->count, 2);
	assert_int_equal(e->sites[0].refusal, OSP_ELF_REFUSAL_NONE);
	osp_elf_free(&e);
	image_clear(&m);
}

static void what_lies_outside_of_the_file_is_refused(void **state)
{
	struct osp_elf *e = NULL;
	struct image m;

	(void)state;
	image_init(&m);
	ADD_SITE(&m, DATA + 4, 0, "p\0in_data\0");
	ADD_SITE(&m, CODE + PART, 0, "p\0behind\0");
	ADD_SITE(&m, CODE + 4, CODE, "p\0semaphore_in_code\0");
	ADD_SITE(&m, CODE + 5, DATA + PART, "p\0semaphore_in_bss\0");
	assert_int_equal(read_image(&e, &m), 0);
	assert_int_equal(e->count, 4);
	for (size_t i = 0; i < e->count; i++)
		assert_int_equal(e->sites[i].refusal, strncmp(e->sites[i].probe, "sem", 3)
							      ? OSP_ELF_REFUSAL_CODE
							      : OSP_ELF_REFUSAL_SEMAPHORE);
	osp_elf_free(&e);
	image_clear(&m);
}

static void a_semaphore_page_of_two_segments_is_told(void **state)
{
	struct osp_elf *e = NULL;
	struct image m;

	(void)state;
	image_init(&m);
	m.shared_page = true;
	ADD_SITE(&m, CODE, DATA, "p\0q\0");
	assert_int_equal(read_image(&e, &m), 0);
	assert_true(e->shared_page);
	osp_elf_free(&e);
	image_clear(&m);
}

static void our_own_note_is_matched_by_name_and_address(void **state)
{
	struct osp_elf *e = NULL;
	struct image m;

	(void)state;
	image_init(&m);
	ADD_SITE(&m, CODE, DATA, "p\0ours\0");
	ADD_SITE(&m, CODE + 8, DATA, "p\0theirs\0");
	add_own(&m, CODE, 3, 0x1122334455667788, "p\0ours", 7);
	add_own(&m, CODE + 8, 1, 5, "p\0other", 8);
	assert_int_equal(read_image(&e, &m), 0);
	assert_true(e->sites[0].own);
	assert_int_equal(e->sites[0].abi, 3);
	assert_int_equal(e->sites[0].number, 7);
	assert_int_equal(e->sites[0].carry, 0);
	assert_true(e->sites[0].digest == 0x1122334455667788);
	assert_false(e->sites[1].own);
	osp_elf_free(&e);
	image_clear(&m);
}

static void what_is_carried_stands_behind_a_return(void **state)
{
#if defined(__aarch64__)
	static const uint8_t end[] = {0xc0, 0x03, 0x5f, 0xd6, 0x1f, 0x20, 0x03, 0xd5};
#else
	static const uint8_t end[] = {0xc3, 0x90};
#endif
	struct osp_elf *e = NULL;
	struct image m;

	(void)state;
	image_init(&m);
	memcpy(m.code + 12 - sizeof(end) / 2, end, sizeof(end));
	ADD_SITE(&m, CODE, DATA, "p\0good\0");
	ADD_SITE(&m, CODE + 32, DATA + 4, "p\0no_return\0");
	ADD_SITE(&m, CODE + PART - 8, DATA + 8, "p\0outside\0");
	add_own(&m, CODE, 1, 5, "p\0good", 7);
	add_own(&m, CODE + 32, 1, 5, "p\0no_return", 12);
	add_own(&m, CODE + PART - 8, 1, 5, "p\0outside", 10);
	assert_int_equal(read_image(&e, &m), 0);
	assert_int_equal(e->count, 3);
	assert_int_equal(e->sites[0].carry, CODE_OFFSET + 12);
	assert_int_equal(e->sites[1].carry, 0);
	assert_int_equal(e->sites[2].carry, 0);
	osp_elf_free(&e);
	image_clear(&m);
}

static void the_form_of_the_no_op_is_told(void **state)
{
	static const struct {
		const char *bytes;
		enum osp_elf_form form;
	} forms[] = {
		{"\x90\x90\x90\x90\x90\x90\x90", OSP_ELF_FORM_NOP},
		{"\x90\x66\x2e\x0f\x1f\x84\x00", OSP_ELF_FORM_NOP_10},
		{"\x90\x0f\x1f\x44\x00\x00\x90", OSP_ELF_FORM_NOP_5},
		{"\x0f\x1f\x44\x00\x00\x90\x90", OSP_ELF_FORM_LONG},
		{"\x66\x90\x90\x90\x90\x90\x90", OSP_ELF_FORM_LONG},
		{"\x55\x48\x89\xe5\x90\x90\x90", OSP_ELF_FORM_OTHER},
	};
	struct osp_elf *e = NULL;

	(void)state;
	if (MACHINE != EM_X86_64)
		skip();
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct image m;

		image_init(&m);
		memcpy(m.code + 16, forms[i].bytes, 7);
		ADD_SITE(&m, CODE + 16, 0, "p\0q\0");
		assert_int_equal(read_image(&e, &m), 0);
		assert_int_equal(e->sites[0].form, forms[i].form);
		osp_elf_free(&e);
		image_clear(&m);
	}
}

static void the_build_id_is_found(void **state)
{
	struct osp_elf *e = NULL;
	struct image m;

	(void)state;
	image_init(&m);
	m.build_id = true;
	assert_int_equal(read_image(&e, &m), 0);
	assert_int_equal(e->build_id_size, 20);
	assert_int_equal(e->build_id[0], 1);
	osp_elf_free(&e);
	image_clear(&m);
}

static void notes_that_cannot_be_read_are_counted(void **state)
{
	struct osp_elf *e = NULL;
	char name[OSP_ELF_NAME + 8];
	struct image m;

	(void)state;
	image_init(&m);
	memset(name, 'n', sizeof(name));
	add_site(&m, CODE, 0, name, sizeof(name));    /* no NUL, too long */
	add_site(&m, CODE, 0, "p\0q", 3);	      /* ends before the last NUL */
	add_note(&m.notes, "stapsdt", 3, "short", 5); /* no addresses */
	add_note(&m.own, "outspan", 1, "short", 5);
	add_note(&m.notes, "stapsdt", 4, "other", 5); /* another type: none of ours */
	add_note(&m.notes, "somebody", 3, "other", 5);
	ADD_SITE(&m, CODE, 0, "p\0good\0");
	assert_int_equal(read_image(&e, &m), 0);
	assert_int_equal(e->count, 1);
	assert_int_equal(e->bad_notes, 4);
	osp_elf_free(&e);
	image_clear(&m);
}

static void files_of_other_kinds_are_refused(void **state)
{
	struct osp_elf *e = NULL;
	struct image m;

	(void)state;
	image_init(&m);
	m.machine = EM_SPARCV9;
	assert_int_equal(read_image(&e, &m), -ENOEXEC);
	assert_int_equal(read_bytes(&e, (const uint8_t *)"#!/bin/sh\n", 10), -ENOEXEC);
	assert_int_equal(read_bytes(&e, (const uint8_t *)"", 0), -ENOEXEC);
	assert_null(e);
	image_clear(&m);
}

/* A file with a bit of everything, to be damaged. */
static size_t write_sample(uint8_t *file, size_t room)
{
	struct image m;
	size_t size;

	image_init(&m);
	m.base = 0x5000;
	m.build_id = true;
	ADD_SITE(&m, CODE, DATA, "p\0one\08@%rdi 4@sink(%rip)");
	ADD_SITE(&m, CODE + 8, DATA, "p\0two\0");
	add_own(&m, CODE, 1, 42, "p\0one", 6);
	size = image_write(&m, file, room);
	image_clear(&m);
	return size;
}

static void a_file_cut_off_anywhere_is_survived(void **state)
{
	static uint8_t file[8192];
	size_t size = write_sample(file, sizeof(file));

	(void)state;
	for (size_t n = 0; n < size; n++) {
		struct osp_elf *e = NULL;

		read_bytes(&e, file, n);
		osp_elf_free(&e);
	}
}

static void a_file_with_any_byte_changed_is_survived(void **state)
{
	static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
	static uint8_t file[8192];
	size_t size = write_sample(file, sizeof(file));

	(void)state;
	for (size_t i = 0; i < size; i++)
		for (size_t k = 0; k < sizeof(values); k++) {
			struct osp_elf *e = NULL;
			uint8_t old = file[i];

			file[i] = values[k];
			read_bytes(&e, file, size);
			osp_elf_free(&e);
			file[i] = old;
		}
}

RUN_TESTS(TEST(the_sites_of_this_program_are_found), TEST(a_function_is_found_by_name),
	  TEST(addresses_become_file_offsets), TEST(prelinked_addresses_are_moved_with_the_base),
	  TEST(notes_at_address_zero_are_counted_and_ignored),
	  TEST(two_points_at_one_address_are_both_refused),
	  TEST(a_note_that_is_there_twice_counts_once),
	  TEST(what_lies_outside_of_the_file_is_refused),
	  TEST(a_semaphore_page_of_two_segments_is_told),
	  TEST(our_own_note_is_matched_by_name_and_address),
	  TEST(what_is_carried_stands_behind_a_return), TEST(the_form_of_the_no_op_is_told),
	  TEST(the_build_id_is_found), TEST(notes_that_cannot_be_read_are_counted),
	  TEST(files_of_other_kinds_are_refused), TEST(a_file_cut_off_anywhere_is_survived),
	  TEST(a_file_with_any_byte_changed_is_survived))
