/*
 * Parses USDT operands. Fed with the strings that user/elf.c takes from notes, feeds
 * user/attach.c with specs for the kernel side. gcc and clang write operands in the assembler's
 * own syntax, so that there are many forms; what no form fits is marked unreadable and never
 * stops the rest. Owns nothing.
 */
#include "user/operand.h"

#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Members of the array in struct osp_site_spec have no name of their own. */
typedef __typeof__(((struct osp_site_spec *)0)->arg[0]) operand;

/* Byte offsets in the kernel's struct pt_regs of x86-64: its user-space layout is fixed. */
enum {
	R15 = 0,
	R14 = 8,
	R13 = 16,
	R12 = 24,
	RBP = 32,
	RBX = 40,
	R11 = 48,
	R10 = 56,
	R9 = 64,
	R8 = 72,
	RAX = 80,
	RCX = 88,
	RDX = 96,
	RSI = 104,
	RDI = 112,
	RIP = 128,
	RSP = 152,
};

static const struct {
	const char *names[5]; /* 64, 32, 16, 8 bits, high byte */
	int16_t offset;
} x86_registers[] = {
	{{"rax", "eax", "ax", "al", "ah"}, RAX},      {{"rbx", "ebx", "bx", "bl", "bh"}, RBX},
	{{"rcx", "ecx", "cx", "cl", "ch"}, RCX},      {{"rdx", "edx", "dx", "dl", "dh"}, RDX},
	{{"rsi", "esi", "si", "sil", NULL}, RSI},     {{"rdi", "edi", "di", "dil", NULL}, RDI},
	{{"rbp", "ebp", "bp", "bpl", NULL}, RBP},     {{"rsp", "esp", "sp", "spl", NULL}, RSP},
	{{"r8", "r8d", "r8w", "r8b", NULL}, R8},      {{"r9", "r9d", "r9w", "r9b", NULL}, R9},
	{{"r10", "r10d", "r10w", "r10b", NULL}, R10}, {{"r11", "r11d", "r11w", "r11b", NULL}, R11},
	{{"r12", "r12d", "r12w", "r12b", NULL}, R12}, {{"r13", "r13d", "r13w", "r13b", NULL}, R13},
	{{"r14", "r14d", "r14w", "r14b", NULL}, R14}, {{"r15", "r15d", "r15w", "r15b", NULL}, R15},
	{{"rip", "eip", NULL, NULL, NULL}, RIP},
};

enum { ARM_SP = 31 * 8, OPERAND_TEXT = 256 };

static const char *skip_blanks(const char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '$' || c == '@';
}

/* A decimal, hexadecimal or octal number at *p; moves behind it. */
static bool read_number(const char **p, int64_t *value)
{
	const char *digits = **p == '-' || **p == '+' ? *p + 1 : *p;
	char *end;

	if (!isdigit((unsigned char)*digits))
		return false;
	errno = 0;
	*value = **p == '-' ? strtoll(*p, &end, 0) : (int64_t)strtoull(*p, &end, 0);
	*p = end;
	return !errno;
}

/* ---- x86-64 ---- */

/* "%eax" at *p: its offset in pt_regs, one more for a high byte. */
static bool read_x86_register(const char **p, int16_t *offset)
{
	size_t n = 0;

	if (**p != '%')
		return false;
	while (isalnum((unsigned char)(*p)[1 + n]))
		n++;
	for (size_t i = 0; i < sizeof(x86_registers) / sizeof(x86_registers[0]); i++)
		for (int k = 0; k < 5; k++) {
			const char *name = x86_registers[i].names[k];

			if (!name || strlen(name) != n || strncmp(name, *p + 1, n))
				continue;
			*offset = (int16_t)(x86_registers[i].offset + (k == 4));
			*p += 1 + n;
			return true;
		}
	return false;
}

static bool find_symbol(const struct osp_operand_site *site, const char *name, size_t size,
			uint64_t *address)
{
	char text[OPERAND_TEXT];

	if (!site->symbol || !size || size >= sizeof(text))
		return false;
	memcpy(text, name, size);
	text[size] = 0;
	return !site->symbol(site->arg, text, address);
}

/* "sink", "sink+4", "-8+sink", "-20": the sum, and whether a symbol is in it. */
static bool read_displacement(const char **p, const struct osp_operand_site *site, int64_t *sum,
			      bool *symbolic)
{
	*sum = 0;
	*symbolic = false;
	while (**p && **p != '(') {
		bool minus = **p == '-';
		uint64_t address;
		int64_t number;
		size_t n = 0;

		if (**p == '+' || **p == '-')
			++*p;
		if (isdigit((unsigned char)**p)) {
			if (!read_number(p, &number))
				return false;
			*sum = (int64_t)(minus ? (uint64_t)*sum - (uint64_t)number
					       : (uint64_t)*sum + (uint64_t)number);
			continue;
		}
		while (is_name((*p)[n]))
			n++;
		if (minus || *symbolic || !find_symbol(site, *p, n, &address))
			return false;
		*sum = (int64_t)((uint64_t)*sum + address);
		*symbolic = true;
		*p += n;
	}
	return true;
}

/* "(%rax,%rbx,8)" at p, or nothing. */
static bool read_x86_base(const char *p, operand *o)
{
	int64_t scale = 1;

	if (!*p)
		return true;
	if (*p++ != '(' || (*p == '%' && !read_x86_register(&p, &o->base)))
		return false;
	if (*p == ',') {
		p++;
		if (*p == '%' && !read_x86_register(&p, &o->index))
			return false;
		if (*p == ',') {
			p++;
			if (!read_number(&p, &scale))
				return false;
		}
	}
	o->scale = (uint16_t)scale;
	return !strcmp(p, ")") && (scale == 1 || scale == 2 || scale == 4 || scale == 8);
}

static bool read_x86_memory(const char *p, const struct osp_operand_site *site, operand *o)
{
	bool symbolic;
	int64_t sum;

	if (!read_displacement(&p, site, &sum, &symbolic) || !read_x86_base(p, o))
		return false;
	if (o->base == RIP && !symbolic)
		return false; /* relative to the next instruction, whose address nobody wrote down */
	if (symbolic) {
		/* From the site to the symbol it is as far at run time as at link time. */
		if (o->base != RIP && o->base >= 0)
			return false;
		o->base = RIP;
		sum = (int64_t)((uint64_t)sum - site->address);
	}
	o->operand = OSP_OPERAND_MEMORY;
	o->offset = sum;
	return true;
}

static bool read_x86(const char *p, const struct osp_operand_site *site, operand *o)
{
	int64_t number;

	if (*p == '$') {
		p++;
		o->operand = OSP_OPERAND_CONST;
		if (!read_number(&p, &number))
			return false;
		o->offset = number;
		return !*p;
	}
	if (*p == '%') {
		o->operand = OSP_OPERAND_REGISTER;
		return read_x86_register(&p, &o->base) && !*p;
	}
	return *p && read_x86_memory(p, site, o);
}

/* ---- arm64 ---- */

static bool read_arm_register(const char **p, int16_t *offset)
{
	const char *q = *p;
	char *end;
	long n;

	if (!strncmp(q, "sp", 2) && !isalnum((unsigned char)q[2])) {
		*offset = ARM_SP;
		*p = q + 2;
		return true;
	}
	if ((*q != 'x' && *q != 'w') || !isdigit((unsigned char)q[1]))
		return false;
	n = strtol(q + 1, &end, 10);
	if (n > 30 || isalnum((unsigned char)*end))
		return false;
	*offset = (int16_t)(n * 8);
	*p = end;
	return true;
}

/* ", 16", ", x1", ", x1, lsl 3" behind the base register. */
static bool read_arm_index(const char *p, operand *o)
{
	int64_t number = 0;

	p = skip_blanks(p);
	if (*p == '#')
		p++;
	if (read_number(&p, &number)) {
		o->offset = number;
		return !strcmp(skip_blanks(p), "]");
	}
	if (*p != 'x' || !read_arm_register(&p, &o->index))
		return false;
	p = skip_blanks(p);
	if (*p == ',') {
		p = skip_blanks(p + 1);
		if (strncmp(p, "lsl ", 4))
			return false;
		p = skip_blanks(p + 4);
		p += *p == '#';
		if (!read_number(&p, &number) || number < 0 || number > 3)
			return false;
		o->scale = (uint16_t)(1 << number);
	}
	return !strcmp(skip_blanks(p), "]");
}

static bool read_arm(const char *p, operand *o)
{
	int64_t number;

	if (*p == '[') {
		o->operand = OSP_OPERAND_MEMORY;
		p = skip_blanks(p + 1);
		if (!read_arm_register(&p, &o->base))
			return false;
		p = skip_blanks(p);
		return *p == ',' ? read_arm_index(p + 1, o) : !strcmp(p, "]");
	}
	if (!strcmp(p, "xzr") || !strcmp(p, "wzr")) {
		o->operand = OSP_OPERAND_CONST;
		return true;
	}
	if (read_arm_register(&p, &o->base)) {
		o->operand = OSP_OPERAND_REGISTER;
		return !*p;
	}
	p += *p == '#';
	o->operand = OSP_OPERAND_CONST;
	if (!read_number(&p, &number))
		return false;
	o->offset = number;
	return !*p;
}

/* ---- both ---- */

/* Bytes of the operand at p: up to a blank outside of brackets. */
static size_t operand_length(const char *p)
{
	bool inside = false;
	size_t n = 0;

	for (; p[n] && (inside || (p[n] != ' ' && p[n] != '\t')); n++) {
		if (p[n] == '[' || p[n] == '(')
			inside = true;
		if (p[n] == ']' || p[n] == ')')
			inside = false;
	}
	return n;
}

static bool read_operand(const char *p, const struct osp_operand_site *site, operand *o)
{
	int64_t size;

	*o = (operand){.base = -1, .index = -1, .scale = 1};
	if (!read_number(&p, &size) || *p++ != '@')
		return false;
	if (size != 1 && size != 2 && size != 4 && size != 8 && size != -1 && size != -2 &&
	    size != -4 && size != -8)
		return false;
	o->size = (int8_t)size;
	return site->machine == EM_X86_64 ? read_x86(p, site, o) : read_arm(p, o);
}

int osp_operand_parse(struct osp_site_spec *out, const char *text,
		      const struct osp_operand_site *site)
{
	struct osp_site_spec spec = {0};
	char one[OPERAND_TEXT];
	int count = 0;

	if (site->machine != EM_X86_64 && site->machine != EM_AARCH64)
		return -ENOTSUP;
	for (const char *p = skip_blanks(text); *p; p = skip_blanks(p)) {
		size_t n = operand_length(p);
		bool fits = n < sizeof(one);

		if (count == OSP_EVENT_ARGS)
			return -E2BIG;
		memcpy(one, p, fits ? n : 0);
		one[fits ? n : 0] = 0;
		if (!read_operand(one, site, &spec.arg[count]))
			spec.arg[count] = (operand){0};
		count++;
		p += n;
	}
	*out = spec;
	return count;
}
