/* SPDX-License-Identifier: MIT */
#include "size.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Bits that the suffix stands for; 64: it is none. */
static unsigned suffix_shift(const char *suffix)
{
	static const char letters[] = "KMG";
	const char *letter = suffix[0] != '\0' ? strchr(letters, suffix[0]) : NULL;

	if (suffix[0] == '\0')
		return 0;
	if (letter == NULL || suffix[1] != '\0')
		return 64;
	return 10u * (unsigned)(letter - letters + 1);
}

/* strtoull takes signs, white space, and a zero for "0x". */
static int number_base(const char *text)
{
	if (!isdigit((unsigned char)text[0]))
		return 0;
	if (text[0] != '0' || (text[1] != 'x' && text[1] != 'X'))
		return 10;
	return isxdigit((unsigned char)text[2]) ? 16 : 0;
}

int size_parse(const char *text, uint64_t *ret_size)
{
	const int base = number_base(text);
	unsigned long long number;
	unsigned shift;
	char *end;

	if (base == 0)
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, base);
	shift = suffix_shift(end);
	if (shift == 64)
		return -EINVAL;
	if (errno != 0 || number > UINT64_MAX >> shift)
		return -ERANGE;
	*ret_size = (uint64_t)number << shift;
	return 0;
}
