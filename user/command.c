/* What every command shares beyond its own file. */
#include "user/command.h"

#include <errno.h>

int osp_exit_status(int r)
{
	switch (r) {
	case 0:
		return OSP_EXIT_OK;
	case -EPERM:
	case -EACCES:
	case -ENOTSUP:
	case -ENOSYS:
		return OSP_EXIT_UNSUPPORTED;
	default:
		return OSP_EXIT_FAILED;
	}
}
