/* SPDX-License-Identifier: MIT
 *
 * json.h - write JSON: commas and escapes are taken care of.
 */
#ifndef SUPPORT_JSON_H
#define SUPPORT_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json {
	FILE *file;
	bool follows; /* something stands before in the same object or array */
};

/* `key` is NULL inside an array and for the outermost value. */
void json_open(struct json *json, const char *key, char bracket);
void json_close(struct json *json, char bracket);
void json_string(struct json *json, const char *key, const char *value);
void json_number(struct json *json, const char *key, uint64_t value);
void json_bool(struct json *json, const char *key, bool value);
void json_null(struct json *json, const char *key);

/* null when value is below zero: a rate that could not be measured. */
void json_rate(struct json *json, const char *key, double value);

/* Likewise null below zero, with six decimals. */
void json_ratio(struct json *json, const char *key, double value);

/* Any finite number, with three decimals. */
void json_real(struct json *json, const char *key, double value);

#endif
