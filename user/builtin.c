/*
 * The built-in catalogues: the YAML texts of probes/catalogue/, laid into the program by the
 * assembler, so that one file is all there is to install and the texts stay the one definition.
 */
#include "user/builtin.h"

#include "user/base/log.h"

__asm__(".pushsection .rodata\n"
	"lonelypsp_yaml: .incbin \"probes/catalogue/lonelypsp.yaml\"\n"
	"lonelypsp_yaml_end: .byte 0\n"
	".popsection\n");
extern const char lonelypsp_yaml[], lonelypsp_yaml_end[];

int osp_builtin_catalogue(struct osp_catalogue **out, const char *const *files, size_t count)
{
	struct osp_catalogue_error error = {""};
	struct osp_catalogue *c = NULL;
	int r = osp_catalogue_new(&c);

	if (r)
		return osp_err(r, "load the built-in catalogue");
	r = osp_catalogue_add(c, "lonelypsp.yaml", lonelypsp_yaml,
			      (size_t)(lonelypsp_yaml_end - lonelypsp_yaml), &error);
	for (size_t i = 0; !r && i < count; i++)
		r = osp_catalogue_read(c, files[i], &error);
	if (r) {
		osp_catalogue_free(&c);
		return osp_err(0, "%s", error.text), r;
	}
	*out = c;
	return 0;
}
