/* The loop's wait and both ends' authorizations (tests/support/ends.h). */
#include "tests/support/ends.h"

#include <string.h>

#include "tests/unit/test.h"

struct wait {
	bool (*holds)(void *what);
	void *what;
	struct ps_loop *loop;
	int rounds;
};

static void look(struct ps_timer *t)
{
	struct wait *w = t->owner;

	if ((w->holds && w->holds(w->what)) || !w->rounds--)
		ps_loop_stop(w->loop, 0);
	else
		ps_loop_arm(w->loop, t, 1000000);
}

bool ends_wait(struct ps_loop *loop, bool (*holds)(void *what), void *what, int ms)
{
	struct wait w = {holds, what, loop, ms};
	struct ps_timer t = {.expired = look, .owner = &w};

	ps_loop_arm(loop, &t, 0);
	ps_loop_run(loop);
	return holds && holds(what);
}

void ends_open_auths(struct ps_auth auths[2], struct ps_replay *replays[2])
{
	const struct ps_replay_options o = {.busy_ms = 50, .rows_max = 100000};

	for (int i = 0; i < 2; i++) {
		assert_ok(ps_replay_open(&replays[i], &o));
		auths[i] = (struct ps_auth){.replay = replays[i], .lifetime_s = 120};
		auths[i].to_broadcaster.type = auths[i].to_subscriber.type = PS_AUTH_HMAC;
		memset(auths[i].to_broadcaster.key, 1, sizeof(auths[i].to_broadcaster.key));
		memset(auths[i].to_subscriber.key, 2, sizeof(auths[i].to_subscriber.key));
	}
}

void ends_close_auths(struct ps_replay *replays[2])
{
	for (int i = 0; i < 2; i++)
		ps_replay_close(&replays[i]);
}
