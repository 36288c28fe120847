/*
 * The built-in catalogues: the YAML texts of probes/catalogue/, laid into the program by the
 * assembler, so that one file is all there is to install and the texts stay the one definition.
 */
#include "user/builtin.h"

#include "user/base/log.h"

#define BUILTIN(name, path)                                                                        \
	__asm__(".pushsection .rodata\n"                                                           \
		"builtin_" #name ": .incbin \"" path "\"\n"                                        \
		"builtin_" #name "_end: .byte 0\n"                                                 \
		".popsection\n");                                                                  \
	extern const char builtin_##name[], builtin_##name##_end[];
#include "gen/builtin.inc"
#undef BUILTIN

static const struct builtin {
	const char *path, *text, *end;
} builtins[] = {
#define BUILTIN(name, path) {path, builtin_##name, builtin_##name##_end},
#include "gen/builtin.inc"
#undef BUILTIN
};

int osp_builtin_catalogue(struct osp_catalogue **out, const char *const *files, size_t count)
{
	struct osp_catalogue_error error = {""};
	struct osp_catalogue *c = NULL;
	int r = osp_catalogue_new(&c);

	if (r)
		return osp_err(r, "load the built-in catalogue");
	for (size_t i = 0; !r && i < sizeof(builtins) / sizeof(builtins[0]); i++)
		r = osp_catalogue_add(c, builtins[i].path, builtins[i].text,
				      (size_t)(builtins[i].end - builtins[i].text), &error);
	for (size_t i = 0; !r && i < count; i++)
		r = osp_catalogue_read(c, files[i], &error);
	if (r) {
		osp_catalogue_free(&c);
		return osp_err(0, "%s", error.text), r;
	}
	*out = c;
	return 0;
}
