/* SPDX-License-Identifier: MIT */
#include "format.h"

#include <stdio.h>

/* Three significant digits below 1000. */
static struct cell with_unit(double value, const char *unit)
{
	struct cell cell;
	int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;

	snprintf(cell.text, sizeof(cell.text), "%.*f%s%s", decimals, value,
		 unit[0] != '\0' ? " " : "", unit);
	return cell;
}

struct cell format_ns(double ns)
{
	if (ns < 999.5)
		return with_unit(ns, "ns");
	if (ns < 999.5e3)
		return with_unit(ns / 1e3, "\xc2\xb5s");
	if (ns < 999.5e6)
		return with_unit(ns / 1e6, "ms");
	return with_unit(ns / 1e9, "s");
}

struct cell format_bytes(double bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	unsigned unit = 0;

	if (bytes < 999.5) {
		struct cell cell;

		snprintf(cell.text, sizeof(cell.text), "%.0f B", bytes);
		return cell;
	}
	while (bytes >= 999.5 && unit < 4) {
		bytes /= 1024;
		unit++;
	}
	return with_unit(bytes, units[unit]);
}

struct cell format_count(double count)
{
	struct cell cell;

	if (count >= 999.5e3)
		return with_unit(count / 1e6, "M");
	if (count >= 99999.5)
		return with_unit(count / 1e3, "k");
	snprintf(cell.text, sizeof(cell.text), "%.0f", count);
	return cell;
}

struct cell format_ratio(double a, double b)
{
	struct cell cell;

	if (a <= 0 || b <= 0)
		return (struct cell){"-"};
	if (a / b >= 0.0995)
		return with_unit(a / b, "");
	snprintf(cell.text, sizeof(cell.text), "%.3f", a / b);
	return cell;
}

void format_put(struct cell cell, int width)
{
	int columns = 0;

	/* Bytes that continue a character take no column. */
	for (const char *c = cell.text; *c != '\0'; c++)
		columns += ((unsigned char)*c & 0xc0u) != 0x80u;
	printf("%*s%s", columns < width ? width - columns : 0, "", cell.text);
}
