/*
 * Prints the canonical dump of a session file, for comparing a replay with its live run. The
 * arguments after the file name what is left out: a section, or one setting as "session:NAME".
 */
#include <stdio.h>

#include "store/store.h"

int main(int argc, char **argv)
{
	char uri[4200], error[512];
	struct osp_store *s = NULL;
	int r;

	if (argc < 2)
		return 2;
	snprintf(uri, sizeof(uri), "sqlite:%s", argv[1]);
	if (osp_store_open(&s, uri, OSP_STORE_READ, error)) {
		fprintf(stderr, "%s\n", error);
		return 1;
	}
	r = osp_store_dump(s, stdout, (const char *const *)argv + 2);
	osp_store_close(&s, false);
	return r ? 1 : 0;
}
