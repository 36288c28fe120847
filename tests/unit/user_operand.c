/* Operands of USDT notes, as gcc and clang write them, and as nobody should. */
#include "tests/unit/test.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/operand.h"

enum { NONE = 0, CONST = OSP_OPERAND_CONST, REG = OSP_OPERAND_REGISTER, MEM = OSP_OPERAND_MEMORY };
enum { RIP = 128, SITE = 0x1000, SINK = 0x4010 };

/* There is one symbol, "sink". */
static int symbol(void *arg, const char *name, uint64_t *address)
{
	(void)arg;
	if (strcmp(name, "sink"))
		return -ENOENT;
	*address = SINK;
	return 0;
}

static const struct osp_operand_site x86 = {EM_X86_64, SITE, symbol, NULL};
static const struct osp_operand_site arm = {EM_AARCH64, SITE, symbol, NULL};

static const struct {
	const struct osp_operand_site *site;
	const char *text;
	int operand, size, base, index, scale;
	long long offset;
} forms[] = {
	{&x86, "8@%rdi", REG, 8, 112, -1, 1, 0},
	{&x86, "-4@%eax", REG, -4, 80, -1, 1, 0},
	{&x86, "2@%r15w", REG, 2, 0, -1, 1, 0},
	{&x86, "1@%sil", REG, 1, 104, -1, 1, 0},
	{&x86, "1@%ah", REG, 1, 81, -1, 1, 0},
	{&x86, "4@$42", CONST, 4, -1, -1, 1, 42},
	{&x86, "-4@$-1", CONST, -4, -1, -1, 1, -1},
	{&x86, "8@$0x10", CONST, 8, -1, -1, 1, 16},
	{&x86, "8@$18446744073709551615", CONST, 8, -1, -1, 1, -1},
	{&x86, "-8@-20(%rbp)", MEM, -8, 32, -1, 1, -20},
	{&x86, "4@(%rax)", MEM, 4, 80, -1, 1, 0},
	{&x86, "4@8(%rax,%rbx,4)", MEM, 4, 80, 40, 4, 8},
	{&x86, "4@(%rax,%rbx)", MEM, 4, 80, 40, 1, 0},
	{&x86, "8@-8(,%rcx,8)", MEM, 8, -1, 88, 8, -8},
	{&x86, "4@sink(%rip)", MEM, 4, RIP, -1, 1, SINK - SITE},
	{&x86, "4@sink+4(%rip)", MEM, 4, RIP, -1, 1, SINK + 4 - SITE},
	{&x86, "4@-8+sink(%rip)", MEM, 4, RIP, -1, 1, SINK - 8 - SITE},
	{&x86, "4@sink", MEM, 4, RIP, -1, 1, SINK - SITE},
	{&x86, "4@4096", MEM, 4, -1, -1, 1, 4096},
	{&x86, "4@16(%rip)", NONE, 0, 0, 0, 0, 0},
	{&x86, "4@gone(%rip)", NONE, 0, 0, 0, 0, 0},
	{&x86, "4@sink(%rax)", NONE, 0, 0, 0, 0, 0},
	{&x86, "8@$sink", NONE, 0, 0, 0, 0, 0},
	{&x86, "8f@%xmm0", NONE, 0, 0, 0, 0, 0},
	{&x86, "8@%xmm0", NONE, 0, 0, 0, 0, 0},
	{&x86, "8@%fs:16", NONE, 0, 0, 0, 0, 0},
	{&x86, "4@8(%rax,%rbx,3)", NONE, 0, 0, 0, 0, 0},
	{&x86, "4@8(%rax", NONE, 0, 0, 0, 0, 0},
	{&x86, "3@%eax", NONE, 0, 0, 0, 0, 0},
	{&x86, "%eax", NONE, 0, 0, 0, 0, 0},
	{&x86, "4@", NONE, 0, 0, 0, 0, 0},
	{&x86, "4@-", NONE, 0, 0, 0, 0, 0},
	{&x86, "4@99999999999999999999999", NONE, 0, 0, 0, 0, 0},
	{&arm, "8@x0", REG, 8, 0, -1, 1, 0},
	{&arm, "-4@w30", REG, -4, 240, -1, 1, 0},
	{&arm, "8@sp", REG, 8, 248, -1, 1, 0},
	{&arm, "8@xzr", CONST, 8, -1, -1, 1, 0},
	{&arm, "4@5", CONST, 4, -1, -1, 1, 5},
	{&arm, "4@#-5", CONST, 4, -1, -1, 1, -5},
	{&arm, "8@[x2]", MEM, 8, 16, -1, 1, 0},
	{&arm, "8@[sp, 16]", MEM, 8, 248, -1, 1, 16},
	{&arm, "8@[x1, #-8]", MEM, 8, 8, -1, 1, -8},
	{&arm, "8@[x1, x2, lsl 3]", MEM, 8, 8, 16, 8, 0},
	{&arm, "8@[x1, w2, sxtw]", NONE, 0, 0, 0, 0, 0},
	{&arm, "8@x31", NONE, 0, 0, 0, 0, 0},
	{&arm, "8@[x1", NONE, 0, 0, 0, 0, 0},
	{&arm, "8@%rax", NONE, 0, 0, 0, 0, 0},
};

static void every_form_is_read_or_marked_unreadable(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct osp_site_spec s;

		if (osp_operand_parse(&s, forms[i].text, forms[i].site) != 1)
			fail_msg("%s: not one operand", forms[i].text);
		if (s.arg[0].operand != forms[i].operand || s.arg[0].size != forms[i].size ||
		    (forms[i].operand &&
		     (s.arg[0].base != forms[i].base || s.arg[0].index != forms[i].index ||
		      s.arg[0].scale != forms[i].scale || s.arg[0].offset != forms[i].offset)))
			fail_msg("%s: operand %d size %d base %d index %d scale %d offset %lld",
				 forms[i].text, s.arg[0].operand, s.arg[0].size, s.arg[0].base,
				 s.arg[0].index, s.arg[0].scale, (long long)s.arg[0].offset);
	}
}

static void operands_are_split_at_blanks_outside_of_brackets(void **state)
{
	struct osp_site_spec s;

	(void)state;
	assert_int_equal(osp_operand_parse(&s, " 8@x0  4@[sp, 8] -1@w3 ", &arm), 3);
	assert_int_equal(s.arg[0].operand, REG);
	assert_int_equal(s.arg[1].offset, 8);
	assert_int_equal(s.arg[2].size, -1);
	assert_int_equal(osp_operand_parse(&s, "", &x86), 0);
}

static void one_bad_operand_leaves_the_others_readable(void **state)
{
	struct osp_site_spec s;

	(void)state;
	assert_int_equal(osp_operand_parse(&s, "8@%rdi 8f@%xmm1 4@gone(%rip) 8@%rsi", &x86), 4);
	assert_int_equal(s.arg[0].operand, REG);
	assert_int_equal(s.arg[1].operand, NONE);
	assert_int_equal(s.arg[2].operand, NONE);
	assert_int_equal(s.arg[3].base, 104);
}

static void more_operands_than_a_point_may_have_are_refused(void **state)
{
	struct osp_site_spec s = {.arg = {{.size = 99}}};
	char text[13 * 7 + 1] = "";

	(void)state;
	for (int i = 0; i < 13; i++)
		strcat(text, "8@%rdi ");
	assert_int_equal(osp_operand_parse(&s, text, &x86), -E2BIG);
	assert_int_equal(s.arg[0].size, 99);
	text[12 * 7] = 0;
	assert_int_equal(osp_operand_parse(&s, text, &x86), 12);
}

static void endless_operands_and_other_machines_are_refused(void **state)
{
	struct osp_operand_site sparc = {EM_SPARC, SITE, NULL, NULL};
	struct osp_site_spec s;
	char text[4096];

	(void)state;
	memset(text, '(', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	assert_int_equal(osp_operand_parse(&s, text, &x86), 1);
	assert_int_equal(s.arg[0].operand, NONE);
	assert_int_equal(osp_operand_parse(&s, "8@%i0", &sparc), -ENOTSUP);
}

RUN_TESTS(TEST(every_form_is_read_or_marked_unreadable),
	  TEST(operands_are_split_at_blanks_outside_of_brackets),
	  TEST(one_bad_operand_leaves_the_others_readable),
	  TEST(more_operands_than_a_point_may_have_are_refused),
	  TEST(endless_operands_and_other_machines_are_refused))
