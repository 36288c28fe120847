/*
 * Time and random bytes for the whole library, behind one table of functions so that unit tests
 * run with a fixed clock and fixed bytes. Fed by the kernel and OpenSSL; owns nothing.
 */
#include "probes/pubsub/ps_system.h"

#include <errno.h>
#include <openssl/rand.h>

#include "user/base/clock.h"

static int64_t real_wall_ns(void)
{
	return osp_clock_read(CLOCK_REALTIME);
}

static int64_t real_steady_ns(void)
{
	return osp_clock_read(CLOCK_MONOTONIC);
}

static int real_random(void *out, size_t size)
{
	return RAND_bytes(out, (int)size) == 1 ? 0 : -EIO;
}

struct ps_system ps_system = {real_wall_ns, real_steady_ns, real_random};

int64_t ps_system_wall_ns(void)
{
	return ps_system.wall_ns();
}

int64_t ps_system_steady_ns(void)
{
	return ps_system.steady_ns();
}

int ps_system_random(void *out, size_t size)
{
	return ps_system.random(out, size);
}

double ps_system_uniform(void)
{
	uint32_t n = 0;

	if (ps_system_random(&n, sizeof(n)))
		return 0;
	return (double)n / 4294967296.0;
}
