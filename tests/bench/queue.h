/* A queue of events with a thread that writes them into SQLite: the peer that lives in-process. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct queue_event {
	int64_t time_ns;
	uint64_t id;
	uint32_t number, tid; /* of the point, of the thread */
	uint32_t size;	      /* of data */
	unsigned char data[164];
};

/* Appends a field; what does not fit is cut. */
static inline void queue_put(struct queue_event *e, const void *bytes, size_t size)
{
	size_t room = sizeof(e->data) - e->size;

	size = size < room ? size : room;
	memcpy(e->data + e->size, bytes, size);
	e->size += (uint32_t)size;
}

/* Copies the event into the queue, with time and thread; a full queue drops and counts it. */
void queue_add(struct queue_event *e);

/* Begins the writer's thread on a new file. 0 or -errno. */
int queue_start(const char *path);

/* Waits until all that was put in is written. */
void queue_drain(void);

/* Ends the thread when all is written, and says on stdout how much. */
void queue_stop(void);
