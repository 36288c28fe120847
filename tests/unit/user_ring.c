/* The kernel ring, played by hand: which records come, when their space is given back, its size. */
#include "tests/unit/test.h"

#include <stdbool.h>
#include <stddef.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "user/ring.h"

enum {
	CAPACITY = 65536,
	SIZE = sizeof(struct osp_record) + 400,
	WHOLE = SIZE + BPF_RINGBUF_HDR_SZ,
	ROOM = CAPACITY / WHOLE, /* records */
};

_Static_assert(WHOLE % 8 == 0, "records lie at multiples of 8 bytes");

/* The kernel's side of the memory: the data is there twice, as the kernel maps it. */
static uint8_t *memory;
static int memory_fd;
static size_t page;
static struct osp_ring *ring;
static uint64_t written, next; /* records: that found room, and that were handed on */
static __u64 woken;

static uint64_t *consumed(void)
{
	return (uint64_t *)memory;
}

static uint64_t *produced(void)
{
	return (uint64_t *)(memory + page);
}

static void put(uint64_t at, const void *bytes, size_t size)
{
	uint8_t *data = memory + 2 * page;

	at %= CAPACITY;
	memcpy(data + at, bytes, size);
	if (at + size > CAPACITY)
		memcpy(data, (const uint8_t *)bytes + CAPACITY - at, at + size - CAPACITY);
	else
		memcpy(data + CAPACITY + at, bytes, size);
}

/* One record, as the kernel writes it: false if there is no room. */
static bool produce(uint32_t bits)
{
	uint64_t record[WHOLE / 8] = {0}, at = *produced();
	struct osp_record *r = (void *)&record[1];
	uint32_t length = SIZE | bits;

	if (at + WHOLE - *consumed() > CAPACITY)
		return false;
	memcpy(record, &length, sizeof(length));
	r->data_size = SIZE - (int)sizeof(*r);
	r->ordinal = written++;
	put(at, record, sizeof(record));
	*produced() = at + WHOLE;
	return true;
}

static size_t produce_all(void)
{
	size_t n = 0;

	while (produce(0))
		n++;
	return n;
}

static int on_record(void *arg, const struct osp_record *record, size_t size, int64_t seen_ns)
{
	assert_ptr_equal(arg, &ring);
	assert_int_equal(size, SIZE);
	assert_int_equal(record->ordinal, next);
	assert_in_range(seen_ns, 1, INT64_MAX);
	next++;
	return 0;
}

/* For every record that is handed on another one comes, and finds room. */
static int go_on(void *arg, const struct osp_record *record, size_t size, int64_t seen_ns)
{
	assert_true(produce(0));
	return on_record(arg, record, size, seen_ns);
}

static int set_up(void **state)
{
	(void)state;
	page = (size_t)sysconf(_SC_PAGESIZE);
	memory_fd = memfd_create("ring", 0);
	assert_int_equal(ftruncate(memory_fd, (off_t)(2 * page + 2 * CAPACITY)), 0);
	memory = mmap(NULL, 2 * page + 2 * CAPACITY, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd,
		      0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	written = next = 0;
	assert_int_equal(osp_ring_open(&ring, memory_fd, CAPACITY, &woken, 2), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	osp_ring_close(&ring);
	assert_null(ring);
	munmap(memory, 2 * page + 2 * CAPACITY);
	close(memory_fd);
	return 0;
}

static int drain(size_t max)
{
	return osp_ring_drain(ring, max, on_record, &ring);
}

static void records_come_in_order_around_the_end_of_the_ring(void **state)
{
	(void)state;
	for (int i = 0; i < 1000; i++) {
		assert_true(produce(0));
		assert_true(produce(0));
		assert_int_equal(drain(100), 2);
		assert_int_equal(*consumed(), *produced());
	}
	assert_int_equal(next, 2000);
	assert_int_equal(drain(100), 0);
}

static void what_is_being_written_holds_up_what_comes_after(void **state)
{
	uint64_t at = *produced() + WHOLE;
	uint32_t length = SIZE;

	(void)state;
	assert_true(produce(0));
	assert_true(produce(BPF_RINGBUF_BUSY_BIT));
	assert_true(produce(0));
	assert_int_equal(drain(100), 1);
	assert_int_equal(*consumed(), at);
	put(at, &length, sizeof(length));
	assert_int_equal(drain(100), 2);
}

static void what_was_discarded_is_passed_over(void **state)
{
	(void)state;
	assert_true(produce(BPF_RINGBUF_DISCARD_BIT));
	assert_true(produce(0));
	next = 1;
	assert_int_equal(drain(1), 1);
	assert_int_equal(*consumed(), *produced());
}

static void a_drain_is_bounded(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++)
		assert_true(produce(0));
	assert_int_equal(drain(4), 4);
	assert_int_equal(*consumed(), 4 * WHOLE);
	assert_int_equal(drain(100), 6);
}

static int refuse(void *arg, const struct osp_record *record, size_t size, int64_t seen_ns)
{
	on_record(arg, record, size, seen_ns);
	return next == 3 ? -EIO : 0;
}

static void an_error_ends_the_drain(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++)
		assert_true(produce(0));
	assert_int_equal(osp_ring_drain(ring, 100, refuse, &ring), -EIO);
	assert_int_equal(drain(100), 7);
}

/* Its space is that of the producers long before a large drain ends. */
static void a_long_drain_gives_back_part_by_part(void **state)
{
	(void)state;
	for (int i = 0; i < ROOM / 2; i++)
		assert_true(produce(0));
	assert_int_equal(osp_ring_drain(ring, 10 * (size_t)ROOM, go_on, &ring), 10 * ROOM);
}

/* Everything comes, then nothing, then everything: no trickle of single records in between. */
static void a_full_ring_is_given_back_by_halves(void **state)
{
	size_t stretches = 0;

	(void)state;
	assert_int_equal(produce_all(), ROOM);
	for (size_t n = 1; n <= 10 * (size_t)ROOM; n++) {
		size_t found;

		assert_int_equal(drain(1), 1);
		found = produce_all();
		if (!found)
			continue;
		stretches++;
		assert_true(found + 1 >= ROOM / 2);
	}
	assert_true(stretches >= 19 && stretches <= 20);
}

/* Who holds back has no use of it when nobody writes any more. */
static void the_rest_of_a_full_ring_is_given_back(void **state)
{
	(void)state;
	produce_all();
	assert_int_equal(drain(ROOM / 4), ROOM / 4);
	assert_int_equal(*consumed(), 0);
	assert_int_equal(drain(CAPACITY), ROOM - ROOM / 4);
	assert_int_equal(*consumed(), *produced());
}

/* A ring in which hardly one record fits is always full: who has taken all holds nothing back. */
static void the_rest_of_a_tiny_ring_is_given_back(void **state)
{
	(void)state;
	osp_ring_close(&ring);
	assert_int_equal(osp_ring_open(&ring, memory_fd, 4096, &woken, 2), 0);
	assert_true(produce(0));
	assert_int_equal(drain(100), 1);
	assert_int_equal(*consumed(), *produced());
}

static void on_demand_everything_is_given_back(void **state)
{
	size_t bytes, capacity;

	(void)state;
	produce_all();
	assert_int_equal(drain(3), 3);
	osp_ring_fill(ring, &bytes, &capacity);
	assert_int_equal(capacity, CAPACITY);
	assert_int_equal(bytes, ROOM * WHOLE);
	osp_ring_give_back(ring);
	osp_ring_fill(ring, &bytes, &capacity);
	assert_int_equal(bytes, (ROOM - 3) * WHOLE);
}

/* ---- the size of a ring: it is chosen once, before anything is known of the rate ---- */

static const uint64_t plenty = 1ull << 40;

static void it_grows_with_the_processors(void **state)
{
	(void)state;
	assert_int_equal(osp_ring_choose(1, plenty), 16 << 20);
	assert_int_equal(osp_ring_choose(2, plenty), 32 << 20);
	assert_int_equal(osp_ring_choose(3, plenty), 64 << 20);
}

static void many_processors_do_not_make_a_start_slow(void **state)
{
	(void)state;
	assert_int_equal(osp_ring_choose(256, plenty), 64 << 20);
}

static void little_memory_is_left_to_others(void **state)
{
	(void)state;
	assert_int_equal(osp_ring_choose(2, 2047ull << 20), 16 << 20);
	assert_int_equal(osp_ring_choose(2, 2048ull << 20), 32 << 20);
	assert_int_equal(osp_ring_choose(2, 1 << 20), 1 << 20);
}

static void memory_that_is_not_known_does_not_count(void **state)
{
	(void)state;
	assert_int_equal(osp_ring_choose(2, 0), 32 << 20);
}

#define WITH_RING(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

RUN_TESTS(WITH_RING(records_come_in_order_around_the_end_of_the_ring),
	  WITH_RING(what_is_being_written_holds_up_what_comes_after),
	  WITH_RING(what_was_discarded_is_passed_over), WITH_RING(a_drain_is_bounded),
	  WITH_RING(an_error_ends_the_drain), WITH_RING(a_long_drain_gives_back_part_by_part),
	  WITH_RING(a_full_ring_is_given_back_by_halves),
	  WITH_RING(the_rest_of_a_full_ring_is_given_back),
	  WITH_RING(the_rest_of_a_tiny_ring_is_given_back),
	  WITH_RING(on_demand_everything_is_given_back), TEST(it_grows_with_the_processors),
	  TEST(many_processors_do_not_make_a_start_slow), TEST(little_memory_is_left_to_others),
	  TEST(memory_that_is_not_known_does_not_count))
