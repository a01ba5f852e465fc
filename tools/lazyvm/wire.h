/* SPDX-License-Identifier: MIT
 *
 * wire.h - what the two sides of a migration say to each other: bytes made of
 * messages, and messages made of bytes. No I/O here, and nothing that is read is
 * trusted.
 *
 *   header   magic, version, type, length of the payload, checksum of both; 16 bytes
 *   payload  at most as long as its type allows; every byte of it means something
 *
 * All numbers are little-endian. The header, REFUSE and what a version number
 * means never change, so that two versions can tell each other that they differ.
 *
 * Functions that can fail return 0, or -1 and leave a sentence in fault_message().
 */
#ifndef LAZYVM_WIRE_H
#define LAZYVM_WIRE_H

#include "guest_memory.h"

#include <stddef.h>
#include <stdint.h>

#define WIRE_VERSION 2
#define WIRE_HEADER ((size_t)16)
#define WIRE_PAYLOAD_MOST ((size_t)1 << 20)
#define WIRE_SENTENCE_MOST ((size_t)512)
#define WIRE_TOKEN ((size_t)16)
#define WIRE_RANGES_MOST (WIRE_PAYLOAD_MOST / 16) /* in one message */
#define WIRE_STATE_MOST ((size_t)256 << 10)       /* bytes of state in one message */
#define WIRE_NAME_MOST ((size_t)64)               /* of an export */

/* S: said by the source, D: by the destination. */
enum wire_type {
	WIRE_HELLO = 1,  /* S  what is to be migrated */
	WIRE_ACCEPT,     /*  D I can */
	WIRE_REFUSE,     /* SD a sentence; nothing more follows, nothing has been done */
	WIRE_EXPORT,     /* S  where the memory is to be had */
	WIRE_READY,      /*  D I have it open */
	WIRE_ROUND,      /* S  read this while I run; RANGES and ZEROS follow */
	WIRE_RANGES,     /* S  of a ROUND or of a LAST */
	WIRE_ROUND_DONE, /*  D I have */
	WIRE_LAST,   /* S  I stand still; what was written since follows, then STATE, then SWITCH */
	WIRE_STATE,  /* S  a part of the state of vCPUs and devices */
	WIRE_SWITCH, /* S  run; from here on only the destination decides who runs */
	WIRE_RUNNING,  /*  D I run, and shall never not have run */
	WIRE_FAILED,   /*  D a sentence; I have not run, and never shall */
	WIRE_PROGRESS, /*  D how far I am; also a sign of life */
	WIRE_ALIVE,    /* S  a sign of life */
	WIRE_COMPLETE, /*  D I need nothing more of you */
	WIRE_FAREWELL, /* S  I know, and end */
	WIRE_CANCEL,   /* S  a sentence; forget it */
	WIRE_RETURN,   /* S  in place of HELLO: here I am again; what became of us? */
	WIRE_STANDING, /*  D this */
	WIRE_ZEROS,    /* S  of a ROUND or of a LAST, after its RANGES: this reads as zeros */
	WIRE_TYPES,
};

/* Its name, for sentences. */
const char *wire_type_name(unsigned type);

struct wire_header {
	enum wire_type type;
	uint32_t length; /* of the payload; no more than the type allows */
};

/* A whole message. The payload is borrowed. */
struct wire_message {
	enum wire_type type;
	const unsigned char *payload;
	size_t length;
};

/* The header of a message with this payload. */
void wire_seal(unsigned char header[WIRE_HEADER], enum wire_type type, const void *payload,
	       size_t length);

/* -1 for a stranger, another version, an unknown type, or a length that the type
 * does not have. To be asked before the payload is read, or has memory. */
int wire_parse_header(const unsigned char header[WIRE_HEADER], struct wire_header *ret_header);

/* -1 when header and payload are not what was sent. */
int wire_verify(const unsigned char header[WIRE_HEADER], const void *payload, size_t length);

/* ---- the messages ------------------------------------------------------------
 * wire_put_x writes the payload and returns its length; `payload` has
 * WIRE_SMALL_MOST bytes unless said otherwise. wire_get_x takes it apart. */

#define WIRE_SMALL_MOST ((size_t)1024)

/* WIRE_HELLO, and, with the token alone, WIRE_RETURN. */
struct wire_hello {
	unsigned char token[WIRE_TOKEN]; /* names this migration; who has it may return to it */
	uint32_t state_version;          /* of the machine's state */
	uint32_t page_size;
	uint32_t vcpu_count;
	struct guest_memory_shape memory; /* not checked but for the number of regions */
};
size_t wire_put_hello(unsigned char *payload, const struct wire_hello *hello);
int wire_get_hello(const struct wire_message *message, struct wire_hello *ret_hello);
size_t wire_put_return(unsigned char *payload, const unsigned char token[WIRE_TOKEN]);
int wire_get_return(const struct wire_message *message, unsigned char ret_token[WIRE_TOKEN]);

/* How the memory is kept secret. */
enum wire_security {
	WIRE_PLAIN,
	WIRE_PSK,
	WIRE_CERTIFICATES,
};

/* WIRE_EXPORT. The host is the one that the source connected from: a peer that
 * could name another would have us connect anywhere. */
struct wire_export {
	uint16_t port;
	enum wire_security security;
	bool has_rounds;                                          /* else LAST is of everything */
	uint64_t bytes_per_second;                                /* 0: no limit */
	uint32_t name_count;                                      /* one for each region */
	char names[GUEST_MEMORY_REGIONS_MAX][WIRE_NAME_MOST + 1]; /* letters, digits, '-' */
};
size_t wire_put_export(unsigned char *payload, const struct wire_export *export);
int wire_get_export(const struct wire_message *message, struct wire_export *ret_export);

/* WIRE_ROUND, and, with number zero and nothing said of everything, WIRE_LAST. */
struct wire_round {
	uint32_t number;      /* from 1 on */
	bool is_everything;   /* and no ranges */
	uint64_t range_count; /* that follow in RANGES: what was written */
	uint64_t zero_count;  /* that follow in ZEROS: what need not be read, written or not */
};
size_t wire_put_round(unsigned char *payload, const struct wire_round *round);
int wire_get_round(const struct wire_message *message, struct wire_round *ret_round);

/* WIRE_RANGES and WIRE_ZEROS: `payload` has 16 bytes for each. */
size_t wire_put_ranges(unsigned char *payload, const struct lazymem_guest_range *ranges,
		       size_t count);
size_t wire_range_count(const struct wire_message *message);
struct lazymem_guest_range wire_get_range(const struct wire_message *message, size_t index);

/* WIRE_ROUND_DONE, WIRE_RUNNING, WIRE_LAST (the length of the state is in WIRE_SWITCH). */
size_t wire_put_number(unsigned char *payload, uint64_t number);
int wire_get_number(const struct wire_message *message, uint64_t *ret_number);

/* WIRE_PROGRESS and WIRE_COMPLETE. */
struct wire_progress {
	uint64_t populated; /* bytes of guest memory that are there */
	uint64_t total;     /* bytes of guest memory */
	uint64_t received;  /* bytes that came from the export */
	uint64_t faults;    /* that waited for the source */
};
size_t wire_put_progress(unsigned char *payload, const struct wire_progress *progress);
int wire_get_progress(const struct wire_message *message, struct wire_progress *ret_progress);

/* WIRE_STANDING. */
enum wire_standing {
	WIRE_STANDS_WAITING, /* nothing has been switched over: say LAST, STATE and SWITCH again */
	WIRE_STANDS_RUNNING,
};
size_t wire_put_standing(unsigned char *payload, enum wire_standing standing);
int wire_get_standing(const struct wire_message *message, enum wire_standing *ret_standing);

/* WIRE_REFUSE, WIRE_FAILED, WIRE_CANCEL: cut where it is too long, and on
 * arrival without anything that a terminal would take for a command. */
size_t wire_put_sentence(unsigned char *payload, const char *sentence);
void wire_get_sentence(const struct wire_message *message,
		       char ret_sentence[WIRE_SENTENCE_MOST + 1]);

#endif
