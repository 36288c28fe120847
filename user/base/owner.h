/* Whose a new file is. */
#pragma once

/*
 * Under sudo, what root makes belongs to the user who asked (SUDO_UID, SUDO_GID); otherwise, and
 * for anyone but root, nothing changes. `fd` is the new file. 0 or -errno.
 */
int osp_owner_give(int fd);
