/*
 * Fuzz target: programs come from anybody. Whatever the bytes, reading them ends, and what is
 * kept of them can be read. Its first seed is any small program.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "user/elf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads all that is kept. */
static size_t touch(const struct osp_elf *e)
{
	size_t sum = e->build_id_size;

	for (size_t i = 0; i < e->count; i++)
		sum += strlen(e->sites[i].provider) + strlen(e->sites[i].probe) +
		       strlen(e->sites[i].args) + e->sites[i].operands +
		       strlen(osp_elf_refusal_to_str(e->sites[i].refusal)) +
		       strlen(osp_elf_form_to_str(e->sites[i].form));
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct osp_elf *e = NULL;
	uint64_t offset;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size) {
		close(fd);
		return 0;
	}
	if (!osp_elf_read(&e, fd) && touch(e) == SIZE_MAX)
		abort();
	osp_elf_free(&e);
	osp_elf_find_function(fd, "main", &offset);
	close(fd);
	return 0;
}
