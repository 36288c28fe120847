/* Operations are taken or left as a whole, however their steps come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/choice.h"

static const char yaml[] =
	"provider: shop\n"
	"abi: 1\n"
	"operations:\n"
	"  sell:\n"
	"    kind: SERVER\n"
	"    name: sell\n"
	"    points:\n"
	"      asked: {level: essential}\n"
	"      named: {level: essential, args: {what: {type: str, max: 8, otel: " OSP_CATALOGUE_TOPIC
	"}}}\n"
	"      weighed: {level: essential, args: {grams: {type: u64}}}\n"
	"      done: {level: essential}\n"
	"    start: A\n"
	"    states: {A: {asked: B}, B: {named: B, weighed: B, done: {end: ok}}}\n"
	"  sweep:\n"
	"    kind: SERVER\n"
	"    name: sweep\n"
	"    points: {swept: {level: essential}}\n"
	"    start: A\n"
	"    states: {A: {swept: {end: ok}}}\n";

static struct osp_catalogue *catalogue;
static struct osp_numbers_set *numbers;
static struct osp_stamps stamps;
static struct osp_decode_with with;
static struct osp_patterns *patterns;
static struct osp_where_table where;
static struct osp_choice *choice;

static struct {
	struct osp_record record;
	uint64_t data[64];
} bytes;

static uint32_t sequence; /* of the next step */
static enum osp_loss_reason why;

static int set_up(void **state)
{
	struct osp_catalogue_error e = {""};
	struct osp_numbers table = {{0}};
	int r = osp_catalogue_new(&catalogue);

	(void)state;
	r = r ? r : osp_catalogue_add(catalogue, "shop.yaml", yaml, strlen(yaml), &e);
	if (r)
		print_error("%s\n", e.text);
	r = r ? r : osp_numbers_new(&numbers, catalogue);
	for (uint16_t i = 0; !r && i < catalogue->point_count; i++)
		table.point[i] = i + 1;
	if (!r)
		osp_numbers_add(numbers, 1, &table);
	osp_stamps_init(&stamps);
	with = (struct osp_decode_with){catalogue, numbers, &stamps};
	where.count = 0;
	sequence = 0;
	return r;
}

static int tear_down(void **state)
{
	(void)state;
	osp_choice_free(&choice);
	osp_pattern_free(&patterns);
	osp_numbers_free(&numbers);
	osp_catalogue_free(&catalogue);
	return 0;
}

static void choose(const char *glob, const char *condition)
{
	struct osp_choice_rules rules = {.where = condition ? &where : NULL};
	char error[512];

	if (glob)
		assert_int_equal(osp_pattern_new(&patterns, &glob, 1), 0);
	if (condition)
		assert_int_equal(osp_where_add(&where, catalogue, condition, error), 0);
	rules.topics = patterns;
	assert_int_equal(osp_choice_new(&choice, &rules, &with), 0);
}

/* At most one in a second of each name, of those that the glob takes, if there is one. */
static void choose_limited(const char *glob)
{
	struct osp_choice_rules rules = {.limit = {1, "what"}};

	if (glob)
		assert_int_equal(osp_pattern_new(&patterns, &glob, 1), 0);
	rules.topics = patterns;
	assert_int_equal(osp_choice_new(&choice, &rules, &with), 0);
}

static const struct osp_point *point_of(const char *name)
{
	return osp_catalogue_find_point(catalogue, "shop", name);
}

/* A record of the operation `id`; what steps it has is added next. */
static void begin(uint64_t id)
{
	memset(&bytes, 0, sizeof(bytes));
	bytes.record = (struct osp_record){
		.kind = OSP_RECORD_STEP, .process = 3, .numbers = 1, .op_id = id, .time_ns = 99};
}

static void add(const char *name, const void *arguments, uint32_t size)
{
	struct osp_record_step s = {
		.sequence = sequence++, .number = point_of(name)->number, .size = size};
	uint8_t *at = (uint8_t *)bytes.data + bytes.record.data_size;

	memcpy(at, &s, sizeof(s));
	if (size)
		memcpy(at + sizeof(s), arguments, size);
	bytes.record.data_size += (int32_t)(sizeof(s) + size);
}

static void add_name(const char *text)
{
	uint32_t size = (uint32_t)strlen(text);
	uint32_t data[4] = {size, size, 0, 0};

	memcpy(data + 2, text, size);
	add("sell__named", data, 16);
}

static void add_weight(uint64_t grams)
{
	add("sell__weighed", &grams, sizeof(grams));
}

/* The record is of this point's trap, which was the last step; a spill's was none. */
static bool leaves(const struct osp_point *p, uint16_t flags)
{
	bytes.record.point = p->number;
	bytes.record.number = p->number;
	bytes.record.flags = flags;
	bytes.record.sequence = sequence - (p->spill ? 0 : 1);
	return osp_choice_leaves(choice, &bytes.record,
				 sizeof(bytes.record) + (size_t)bytes.record.data_size, &why);
}

static bool end_leaves(void)
{
	add("sell__done", NULL, 0);
	return leaves(point_of("sell__done"), OSP_RECORD_CLEARED);
}

static bool spill_leaves(void)
{
	return leaves(point_of("sell__asked")->operations[0]->spill, OSP_RECORD_CLEARED);
}

static void topic_decides_at_the_end(void **state)
{
	(void)state;
	choose("a*", NULL);
	begin(1);
	add("sell__asked", NULL, 0);
	add_name("apple");
	assert_false(end_leaves());
	begin(2);
	add_name("pear");
	add_name("apple"); /* the first one counts */
	assert_true(end_leaves());
}

static void operation_without_a_topic_is_taken(void **state)
{
	(void)state;
	choose("a*", NULL);
	begin(1);
	assert_false(end_leaves());
	begin(2);
	sequence = 0;
	add("sweep__swept", NULL, 0);
	assert_false(leaves(point_of("sweep__swept"), OSP_RECORD_CLEARED));
	begin(3);
	sequence = 0;
	add("sweep__swept", NULL, 0);
	assert_false(leaves(point_of("sweep__swept"), 0));
}

static void conditions_speak_of_those_who_pass_the_point(void **state)
{
	(void)state;
	choose(NULL, "weighed.grams > 100");
	begin(1);
	assert_false(end_leaves());
	begin(2);
	add_weight(100);
	assert_true(end_leaves());
	begin(3);
	add_weight(100);
	add_weight(101); /* once is enough */
	assert_false(end_leaves());
}

static void both_must_hold(void **state)
{
	(void)state;
	choose("a*", "weighed.grams > 100");
	for (int i = 0; i < 4; i++) {
		begin(10 + (uint64_t)i);
		add_name(i & 1 ? "apple" : "pear");
		add_weight(i & 2 ? 200 : 50);
		assert_int_equal(end_leaves(), i != 3);
	}
}

/* One by one from the first on, or all of them with the end: never some of both. */
static void single_steps_are_taken_if_the_first_one_decides(void **state)
{
	(void)state;
	choose("a*", NULL);
	begin(1);
	add("sell__asked", NULL, 0);
	assert_true(leaves(point_of("sell__asked"), 0));
	begin(1);
	add_name("apple");
	assert_true(leaves(point_of("sell__named"), 0));
	sequence = 0;
	begin(2);
	add_name("apple");
	assert_false(leaves(point_of("sell__named"), 0));
	begin(2);
	add_weight(1);
	assert_false(leaves(point_of("sell__weighed"), 0));
	begin(2);
	assert_false(end_leaves());
	begin(2); /* over, and forgotten */
	add_weight(1);
	assert_true(leaves(point_of("sell__weighed"), 0));
}

static void full_block_is_taken_only_if_all_is_known(void **state)
{
	(void)state;
	choose("a*", NULL);
	begin(1);
	add("sell__asked", NULL, 0);
	assert_true(spill_leaves());
	begin(1);
	add_name("apple");
	assert_false(spill_leaves());
	begin(1);
	assert_false(end_leaves());
	begin(2);
	add_name("pear");
	assert_true(spill_leaves());
	begin(2);
	add_name("apple");
	assert_true(end_leaves());
}

static void what_cannot_be_read_is_not_left_out(void **state)
{
	(void)state;
	choose("a*", "weighed.grams > 100");
	begin(1);
	add_weight(1);
	bytes.record.data_size += 8; /* the head of the next step is cut */
	sequence++;
	assert_true(leaves(point_of("sell__done"), OSP_RECORD_CLEARED));
	begin(2);
	bytes.record.data_size = -14;
	assert_false(leaves(point_of("sell__done"), OSP_RECORD_CLEARED));
	begin(3);
	add_name("pear");
	bytes.record.kind = OSP_RECORD_FOREIGN;
	assert_false(leaves(point_of("sell__done"), OSP_RECORD_CLEARED));
}

static void limit_decides_where_all_steps_have_come(void **state)
{
	(void)state;
	choose_limited(NULL);
	sequence = 0;
	begin(1);
	add_name("apple");
	assert_true(leaves(point_of("sell__named"), 0)); /* comes again with the end */
	assert_int_equal(why, OSP_LOSS_LIMITED);
	sequence = 0;
	begin(1);
	add_name("apple");
	assert_false(end_leaves());
	begin(2);
	add_name("apple");
	assert_true(end_leaves());
	assert_int_equal(why, OSP_LOSS_LIMITED);
	begin(3);
	add_name("pear");
	assert_false(end_leaves());
	begin(4); /* without a name */
	assert_false(end_leaves());
}

static void limit_decides_once_about_what_fills_its_block(void **state)
{
	(void)state;
	choose_limited(NULL);
	begin(1);
	add_name("apple");
	assert_false(spill_leaves());
	begin(2);
	add_name("apple");
	assert_true(spill_leaves());
	begin(1);
	assert_false(leaves(point_of("sell__weighed"), 0));
	begin(1);
	assert_false(end_leaves());
	begin(2);
	bytes.record.time_ns = 5000000000; /* there would be room by now */
	assert_true(end_leaves());
	assert_int_equal(why, OSP_LOSS_LIMITED);
	begin(2); /* over, and forgotten */
	bytes.record.time_ns = 5000000000;
	add_name("apple");
	assert_false(end_leaves());
}

static void what_is_not_wanted_takes_nobodys_place(void **state)
{
	(void)state;
	choose_limited("a*");
	begin(1);
	add_name("pear");
	assert_true(end_leaves());
	assert_int_equal(why, OSP_LOSS_FILTERED);
	begin(2);
	add_name("apple");
	assert_false(end_leaves());
	begin(3);
	add_name("apple");
	assert_true(end_leaves());
	assert_int_equal(why, OSP_LOSS_LIMITED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(topic_decides_at_the_end),
		TEST(operation_without_a_topic_is_taken),
		TEST(conditions_speak_of_those_who_pass_the_point),
		TEST(both_must_hold),
		TEST(single_steps_are_taken_if_the_first_one_decides),
		TEST(full_block_is_taken_only_if_all_is_known),
		TEST(what_cannot_be_read_is_not_left_out),
		TEST(limit_decides_where_all_steps_have_come),
		TEST(limit_decides_once_about_what_fills_its_block),
		TEST(what_is_not_wanted_takes_nobodys_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
