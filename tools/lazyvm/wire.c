/* SPDX-License-Identifier: MIT
 *
 * Bytes and messages of a migration.
 *
 * Each type has a least and a most length, in one table, which is looked at
 * before memory is given to a payload: a header of a stranger can make us
 * neither allocate nor wait for more than its type may have.
 *
 * A payload is taken apart by a reader that remembers whether it was asked for
 * more than there is, so that every message is checked once, at its end: short, or
 * with bytes left over, it is refused.
 *
 * The checksum is the CRC-32 of IEEE 802.3 over the header, with zeros in place
 * of the checksum, and the payload. It finds damage, not malice: against that
 * there is TLS.
 */
#include "wire.h"

#include "fault.h"

#include <stdio.h>
#include <string.h>

static const unsigned char magic[4] = {'L', 'Z', 'V', 'M'};

/* Places in the header. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 4,
	AT_TYPE = 6,
	AT_LENGTH = 8,
	AT_CHECKSUM = 12,
};

#define HELLO_LEAST (WIRE_TOKEN + 16)
#define HELLO_MOST (HELLO_LEAST + (size_t)GUEST_MEMORY_REGIONS_MAX * 16)
#define EXPORT_LEAST ((size_t)24)
#define EXPORT_MOST (EXPORT_LEAST + (size_t)GUEST_MEMORY_REGIONS_MAX * (WIRE_NAME_MOST + 1))
#define RANGES_MOST (GUEST_MEMORY_MOST / 4096) /* each is a page at least */

static const struct type {
	const char *name;
	size_t least;
	size_t most;
} types[WIRE_TYPES] = {
	[WIRE_HELLO] = {"HELLO", HELLO_LEAST, HELLO_MOST},
	[WIRE_ACCEPT] = {"ACCEPT", 0, 0},
	[WIRE_REFUSE] = {"REFUSE", 0, WIRE_SENTENCE_MOST},
	[WIRE_EXPORT] = {"EXPORT", EXPORT_LEAST, EXPORT_MOST},
	[WIRE_READY] = {"READY", 0, 0},
	[WIRE_ROUND] = {"ROUND", 24, 24},
	[WIRE_RANGES] = {"RANGES", 16, WIRE_RANGES_MOST * 16},
	[WIRE_ROUND_DONE] = {"ROUND_DONE", 8, 8},
	[WIRE_LAST] = {"LAST", 24, 24},
	[WIRE_STATE] = {"STATE", 1, WIRE_STATE_MOST},
	[WIRE_SWITCH] = {"SWITCH", 8, 8},
	[WIRE_RUNNING] = {"RUNNING", 8, 8},
	[WIRE_FAILED] = {"FAILED", 0, WIRE_SENTENCE_MOST},
	[WIRE_PROGRESS] = {"PROGRESS", 32, 32},
	[WIRE_ALIVE] = {"ALIVE", 0, 0},
	[WIRE_COMPLETE] = {"COMPLETE", 32, 32},
	[WIRE_FAREWELL] = {"FAREWELL", 0, 0},
	[WIRE_CANCEL] = {"CANCEL", 0, WIRE_SENTENCE_MOST},
	[WIRE_RETURN] = {"RETURN", WIRE_TOKEN, WIRE_TOKEN},
	[WIRE_STANDING] = {"STANDING", 8, 8},
	[WIRE_ZEROS] = {"ZEROS", 16, WIRE_RANGES_MOST * 16},
};

const char *wire_type_name(unsigned type)
{
	return type < WIRE_TYPES && types[type].name != NULL ? types[type].name : "unknown";
}

/* ---- numbers ----------------------------------------------------------------- */

static void store(unsigned char *bytes, uint64_t value, size_t length)
{
	for (size_t i = 0; i < length; i++)
		bytes[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t load(const unsigned char *bytes, size_t length)
{
	uint64_t value = 0;

	for (size_t i = 0; i < length; i++)
		value |= (uint64_t)bytes[i] << (8 * i);
	return value;
}

/* ---- header and checksum ------------------------------------------------------ */

/* Half a byte at a time: 16 entries in place of 256. */
static uint32_t crc_add(uint32_t crc, const unsigned char *bytes, size_t length)
{
	static const uint32_t table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
		0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};

	for (size_t i = 0; i < length; i++) {
		crc ^= bytes[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return crc;
}

static uint32_t checksum(const unsigned char header[WIRE_HEADER], const void *payload,
			 size_t length)
{
	static const unsigned char zeros[4];
	uint32_t crc = crc_add(~UINT32_C(0), header, AT_CHECKSUM);

	crc = crc_add(crc, zeros, sizeof(zeros));
	return ~crc_add(crc, payload, length);
}

void wire_seal(unsigned char header[WIRE_HEADER], enum wire_type type, const void *payload,
	       size_t length)
{
	memcpy(header + AT_MAGIC, magic, sizeof(magic));
	store(header + AT_VERSION, WIRE_VERSION, 2);
	store(header + AT_TYPE, type, 2);
	store(header + AT_LENGTH, length, 4);
	store(header + AT_CHECKSUM, checksum(header, payload, length), 4);
}

int wire_parse_header(const unsigned char header[WIRE_HEADER], struct wire_header *ret_header)
{
	unsigned version = (unsigned)load(header + AT_VERSION, 2);
	unsigned type = (unsigned)load(header + AT_TYPE, 2);
	size_t length = (size_t)load(header + AT_LENGTH, 4);

	/* A TLS alert, or the beginning of a handshake. */
	if ((header[0] == 0x15 || header[0] == 0x16) && header[1] == 3)
		return fault("the peer speaks TLS, which is not expected here");
	if (memcmp(header + AT_MAGIC, magic, sizeof(magic)) != 0)
		return fault("the peer is no lazyvm: its message begins with "
			     "%02x %02x %02x %02x",
			     header[0], header[1], header[2], header[3]);
	if (version != WIRE_VERSION)
		return fault("the peer speaks version %u of the protocol, this lazyvm version %d",
			     version, WIRE_VERSION);
	if (type >= WIRE_TYPES || types[type].name == NULL)
		return fault("the peer sent a message of type %u, which is unknown", type);
	if (length < types[type].least || length > types[type].most)
		return fault("the peer sent a message %s of %zu bytes, which has %zu to %zu",
			     types[type].name, length, types[type].least, types[type].most);
	*ret_header = (struct wire_header){(enum wire_type)type, (uint32_t)length};
	return 0;
}

int wire_verify(const unsigned char header[WIRE_HEADER], const void *payload, size_t length)
{
	if (load(header + AT_CHECKSUM, 4) == checksum(header, payload, length))
		return 0;
	return fault("a message %s of the peer was damaged on its way: its checksum is wrong",
		     wire_type_name((unsigned)load(header + AT_TYPE, 2)));
}

/* ---- taking apart, putting together -------------------------------------------- */

struct reader {
	const struct wire_message *message;
	size_t at;
	bool is_short;
};

static const unsigned char *take(struct reader *reader, size_t length)
{
	const unsigned char *bytes = reader->message->payload + reader->at;

	if (length > reader->message->length - reader->at) {
		reader->is_short = true;
		return NULL;
	}
	reader->at += length;
	return bytes;
}

static uint64_t take_number(struct reader *reader, size_t length)
{
	const unsigned char *bytes = take(reader, length);

	return bytes == NULL ? 0 : load(bytes, length);
}

static int take_end(const struct reader *reader)
{
	const char *name = wire_type_name(reader->message->type);

	if (reader->is_short)
		return fault("a message %s of the peer ends too early", name);
	if (reader->at != reader->message->length)
		return fault("a message %s of the peer has %zu bytes too many", name,
			     reader->message->length - reader->at);
	return 0;
}

static void put_number(unsigned char *payload, size_t *at, uint64_t value, size_t length)
{
	store(payload + *at, value, length);
	*at += length;
}

/* ---- HELLO, RETURN -------------------------------------------------------------- */

size_t wire_put_hello(unsigned char *payload, const struct wire_hello *hello)
{
	size_t at = WIRE_TOKEN;

	memcpy(payload, hello->token, WIRE_TOKEN);
	put_number(payload, &at, hello->state_version, 4);
	put_number(payload, &at, hello->page_size, 4);
	put_number(payload, &at, hello->vcpu_count, 4);
	put_number(payload, &at, hello->memory.region_count, 4);
	for (size_t i = 0; i < hello->memory.region_count; i++) {
		put_number(payload, &at, hello->memory.regions[i].base, 8);
		put_number(payload, &at, hello->memory.regions[i].length, 8);
	}
	return at;
}

int wire_get_hello(const struct wire_message *message, struct wire_hello *ret_hello)
{
	struct reader reader = {message, 0, false};
	struct wire_hello hello = {0};
	const unsigned char *token = take(&reader, WIRE_TOKEN);

	if (token != NULL)
		memcpy(hello.token, token, WIRE_TOKEN);
	hello.state_version = (uint32_t)take_number(&reader, 4);
	hello.page_size = (uint32_t)take_number(&reader, 4);
	hello.vcpu_count = (uint32_t)take_number(&reader, 4);
	hello.memory.region_count = (size_t)take_number(&reader, 4);
	if (hello.memory.region_count > GUEST_MEMORY_REGIONS_MAX)
		return fault("the peer has %zu regions of memory, more than %d",
			     hello.memory.region_count, GUEST_MEMORY_REGIONS_MAX);
	for (size_t i = 0; i < hello.memory.region_count; i++) {
		hello.memory.regions[i].base = take_number(&reader, 8);
		hello.memory.regions[i].length = take_number(&reader, 8);
	}
	if (take_end(&reader) != 0)
		return -1;
	*ret_hello = hello;
	return 0;
}

size_t wire_put_return(unsigned char *payload, const unsigned char token[WIRE_TOKEN])
{
	memcpy(payload, token, WIRE_TOKEN);
	return WIRE_TOKEN;
}

int wire_get_return(const struct wire_message *message, unsigned char ret_token[WIRE_TOKEN])
{
	struct reader reader = {message, 0, false};
	const unsigned char *token = take(&reader, WIRE_TOKEN);

	if (take_end(&reader) != 0)
		return -1;
	memcpy(ret_token, token, WIRE_TOKEN);
	return 0;
}

/* ---- EXPORT ---------------------------------------------------------------------- */

size_t wire_put_export(unsigned char *payload, const struct wire_export *export)
{
	size_t at = 0;

	put_number(payload, &at, export->port, 4);
	put_number(payload, &at, export->security, 4);
	put_number(payload, &at, export->has_rounds, 4);
	put_number(payload, &at, export->bytes_per_second, 8);
	put_number(payload, &at, export->name_count, 4);
	for (size_t i = 0; i < export->name_count; i++) {
		size_t length = strlen(export->names[i]);

		put_number(payload, &at, length, 1);
		memcpy(payload + at, export->names[i], length);
		at += length;
	}
	return at;
}

/* It becomes a part of a URI. */
static bool is_name(const unsigned char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		bool letter = (bytes[i] | 32) >= 'a' && (bytes[i] | 32) <= 'z';
		bool digit = bytes[i] >= '0' && bytes[i] <= '9';

		if (!letter && !digit && bytes[i] != '-')
			return false;
	}
	return length > 0 && length <= WIRE_NAME_MOST;
}

static int take_name(struct reader *reader, char ret_name[WIRE_NAME_MOST + 1])
{
	size_t length = (size_t)take_number(reader, 1);
	const unsigned char *bytes = take(reader, length);

	if (bytes == NULL)
		return take_end(reader);
	if (!is_name(bytes, length))
		return fault("the peer calls a region of its memory something that is no name");
	memcpy(ret_name, bytes, length);
	ret_name[length] = '\0';
	return 0;
}

int wire_get_export(const struct wire_message *message, struct wire_export *ret_export)
{
	struct reader reader = {message, 0, false};
	struct wire_export export = {0};
	uint64_t port = take_number(&reader, 4);
	uint64_t security = take_number(&reader, 4);
	uint64_t has_rounds = take_number(&reader, 4);

	export.bytes_per_second = take_number(&reader, 8);
	export.name_count = (uint32_t)take_number(&reader, 4);
	if (port == 0 || port > UINT16_MAX)
		return fault("the peer exports its memory on port %llu, which is none",
			     (unsigned long long)port);
	if (security > WIRE_CERTIFICATES)
		return fault("the peer keeps its memory secret in a way that is unknown (%llu)",
			     (unsigned long long)security);
	if (has_rounds > 1)
		return fault("the peer will copy its memory in a way that is unknown (%llu)",
			     (unsigned long long)has_rounds);
	if (export.name_count > GUEST_MEMORY_REGIONS_MAX)
		return fault("the peer exports %u regions of memory, more than %d",
			     export.name_count, GUEST_MEMORY_REGIONS_MAX);
	export.port = (uint16_t)port;
	export.security = (enum wire_security)security;
	export.has_rounds = has_rounds == 1;
	for (size_t i = 0; i < export.name_count; i++)
		if (take_name(&reader, export.names[i]) != 0)
			return -1;
	if (take_end(&reader) != 0)
		return -1;
	*ret_export = export;
	return 0;
}

/* ---- ROUND, LAST, RANGES, ZEROS ----------------------------------------------------- */

size_t wire_put_round(unsigned char *payload, const struct wire_round *round)
{
	size_t at = 0;

	put_number(payload, &at, round->number, 4);
	put_number(payload, &at, round->is_everything, 4);
	put_number(payload, &at, round->range_count, 8);
	put_number(payload, &at, round->zero_count, 8);
	return at;
}

int wire_get_round(const struct wire_message *message, struct wire_round *ret_round)
{
	struct reader reader = {message, 0, false};
	struct wire_round round = {0};
	uint64_t everything;

	round.number = (uint32_t)take_number(&reader, 4);
	everything = take_number(&reader, 4);
	round.range_count = take_number(&reader, 8);
	round.zero_count = take_number(&reader, 8);
	if (take_end(&reader) != 0)
		return -1;
	if (everything > 1 || (everything == 1 && round.range_count != 0))
		return fault("a message %s of the peer makes no sense",
			     wire_type_name(message->type));
	if ((message->type == WIRE_LAST) != (round.number == 0))
		return fault("a message %s of the peer is of round %u",
			     wire_type_name(message->type), round.number);
	if (round.range_count > RANGES_MOST || round.zero_count > RANGES_MOST)
		return fault("the peer announces %llu and %llu ranges, more than memory can have",
			     (unsigned long long)round.range_count,
			     (unsigned long long)round.zero_count);
	round.is_everything = everything == 1;
	*ret_round = round;
	return 0;
}

size_t wire_put_ranges(unsigned char *payload, const struct lazymem_guest_range *ranges,
		       size_t count)
{
	size_t at = 0;

	for (size_t i = 0; i < count; i++) {
		put_number(payload, &at, ranges[i].start.value, 8);
		put_number(payload, &at, ranges[i].length, 8);
	}
	return at;
}

size_t wire_range_count(const struct wire_message *message)
{
	return message->length / 16;
}

struct lazymem_guest_range wire_get_range(const struct wire_message *message, size_t index)
{
	const unsigned char *bytes = message->payload + index * 16;

	return (struct lazymem_guest_range){{load(bytes, 8)}, load(bytes + 8, 8)};
}

/* ---- numbers, sentences --------------------------------------------------------------- */

size_t wire_put_number(unsigned char *payload, uint64_t number)
{
	size_t at = 0;

	put_number(payload, &at, number, 8);
	return at;
}

int wire_get_number(const struct wire_message *message, uint64_t *ret_number)
{
	struct reader reader = {message, 0, false};
	uint64_t number = take_number(&reader, 8);

	if (take_end(&reader) != 0)
		return -1;
	*ret_number = number;
	return 0;
}

size_t wire_put_progress(unsigned char *payload, const struct wire_progress *progress)
{
	size_t at = 0;

	put_number(payload, &at, progress->populated, 8);
	put_number(payload, &at, progress->total, 8);
	put_number(payload, &at, progress->received, 8);
	put_number(payload, &at, progress->faults, 8);
	return at;
}

int wire_get_progress(const struct wire_message *message, struct wire_progress *ret_progress)
{
	struct reader reader = {message, 0, false};
	struct wire_progress progress;

	progress.populated = take_number(&reader, 8);
	progress.total = take_number(&reader, 8);
	progress.received = take_number(&reader, 8);
	progress.faults = take_number(&reader, 8);
	if (take_end(&reader) != 0)
		return -1;
	*ret_progress = progress;
	return 0;
}

size_t wire_put_standing(unsigned char *payload, enum wire_standing standing)
{
	return wire_put_number(payload, standing);
}

int wire_get_standing(const struct wire_message *message, enum wire_standing *ret_standing)
{
	uint64_t standing;

	if (wire_get_number(message, &standing) != 0)
		return -1;
	if (standing > WIRE_STANDS_RUNNING)
		return fault("the peer says that it stands in a way that is unknown (%llu)",
			     (unsigned long long)standing);
	*ret_standing = (enum wire_standing)standing;
	return 0;
}

size_t wire_put_sentence(unsigned char *payload, const char *sentence)
{
	size_t length = strnlen(sentence, WIRE_SENTENCE_MOST);

	memcpy(payload, sentence, length);
	return length;
}

void wire_get_sentence(const struct wire_message *message,
		       char ret_sentence[WIRE_SENTENCE_MOST + 1])
{
	size_t length = message->length < WIRE_SENTENCE_MOST ? message->length : WIRE_SENTENCE_MOST;

	for (size_t i = 0; i < length; i++) {
		unsigned char byte = message->payload[i];

		ret_sentence[i] = (char)(byte >= ' ' && byte < 0x7f ? byte : '?');
	}
	ret_sentence[length] = '\0';
	if (length == 0)
		snprintf(ret_sentence, WIRE_SENTENCE_MOST + 1, "for no reason that it gave");
}
