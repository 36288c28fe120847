/* What every cmocka program needs before it, and two assertions in our own terms. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#define assert_ok(expression)	     assert_int_equal(expression, 0)
#define assert_err(code, expression) assert_int_equal(expression, code)

#define RUN_TESTS(...)                                                                             \
	int main(void)                                                                             \
	{                                                                                          \
		const struct CMUnitTest tests[] = {__VA_ARGS__};                                   \
                                                                                                   \
		return cmocka_run_group_tests(tests, NULL, NULL);                                  \
	}
#define TEST(name) cmocka_unit_test(name)
