/* A broadcaster without web sockets: no topic is wanted, so nothing is ever queued. */
#include "probes/pubsub/ps_relay.h"

static int next(struct ps_relay *s, struct ps_bytes topic, struct ps_relay_at *at)
{
	(void)s;
	(void)topic;
	(void)at;
	return 1;
}

static enum ps_queued queue(struct ps_relay *s, const struct ps_relay_at *at,
			    struct ps_relay_message *m)
{
	(void)s;
	(void)at;
	(void)m;
	return PS_NOT_QUEUED;
}

static void cancel(struct ps_relay *s, struct ps_relay_message *m)
{
	(void)s;
	(void)m;
}

static bool tell_missed(struct ps_relay *s, const struct ps_relay_at *at, struct ps_bytes topic,
			const struct outspan_op *parent)
{
	(void)s;
	(void)at;
	(void)topic;
	(void)parent;
	return false;
}

struct ps_relay ps_relay_none = {next, queue, cancel, tell_missed};
