/* SPDX-License-Identifier: MIT */
#include "json.h"

#include <inttypes.h>

/* Bytes from 0x80 on are passed through if they form UTF-8; paths need not,
 * and what does not is replaced. Returns the length of the sequence, 0 for a
 * byte that begins none. */
static unsigned sequence_length(const unsigned char *text)
{
	unsigned length = text[0] >= 0xc2 && text[0] <= 0xdf   ? 2
			  : text[0] >= 0xe0 && text[0] <= 0xef ? 3
			  : text[0] >= 0xf0 && text[0] <= 0xf4 ? 4
							       : 0;

	for (unsigned i = 1; i < length; i++) {
		if ((text[i] & 0xc0u) != 0x80u)
			return 0;
	}
	if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
	    (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
		return 0;
	return length;
}

static const unsigned char *put_sequence(FILE *file, const unsigned char *text)
{
	unsigned length = sequence_length(text);

	if (length == 0) {
		fputs("\\ufffd", file);
		return text + 1;
	}
	fwrite(text, 1, length, file);
	return text + length;
}

static void put_string(FILE *file, const char *value)
{
	const unsigned char *next = (const unsigned char *)value;

	fputc('"', file);
	while (*next != '\0') {
		if (*next >= 0x80) {
			next = put_sequence(file, next);
			continue;
		}
		if (*next == '"' || *next == '\\')
			fprintf(file, "\\%c", *next);
		else if (*next < 0x20)
			fprintf(file, "\\u%04x", *next);
		else
			fputc(*next, file);
		next++;
	}
	fputc('"', file);
}

static void begin(struct json *json, const char *key)
{
	if (json->follows)
		fputc(',', json->file);
	if (key != NULL) {
		put_string(json->file, key);
		fputc(':', json->file);
	}
	json->follows = true;
}

void json_open(struct json *json, const char *key, char bracket)
{
	begin(json, key);
	fputc(bracket, json->file);
	json->follows = false;
}

void json_close(struct json *json, char bracket)
{
	fputc(bracket, json->file);
	fputc('\n', json->file);
	json->follows = true;
}

void json_string(struct json *json, const char *key, const char *value)
{
	begin(json, key);
	put_string(json->file, value);
}

void json_number(struct json *json, const char *key, uint64_t value)
{
	begin(json, key);
	fprintf(json->file, "%" PRIu64, value);
}

void json_bool(struct json *json, const char *key, bool value)
{
	begin(json, key);
	fputs(value ? "true" : "false", json->file);
}

void json_null(struct json *json, const char *key)
{
	begin(json, key);
	fputs("null", json->file);
}

void json_rate(struct json *json, const char *key, double value)
{
	if (value < 0) {
		json_null(json, key);
		return;
	}
	begin(json, key);
	fprintf(json->file, "%.1f", value);
}

void json_ratio(struct json *json, const char *key, double value)
{
	if (value < 0) {
		json_null(json, key);
		return;
	}
	begin(json, key);
	fprintf(json->file, "%.6f", value);
}

void json_real(struct json *json, const char *key, double value)
{
	begin(json, key);
	fprintf(json->file, "%.3f", value);
}
