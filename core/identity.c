/* SPDX-License-Identifier: MIT
 *
 * identity.c - what images are known by.
 *
 * Several identities and numbers become one in the way of a sponge: the 256
 * bits are four numbers, each further number is added to one of them, and then
 * all four are stirred by additions, rotations and exclusive ors (the round of
 * SipHash, four times, as at its end), so that each bit of the number reaches
 * each bit of the identity. Stirring loses nothing: it can be undone. A constant
 * that is added before keeps zeros from staying zeros. What is made here lands
 * in files (a trace is bound to it), so it is the same on every machine and must
 * not change.
 */
#include "core/identity.h"

#include "core/error.h"
#include "core/little_endian.h"
#include "core/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define WORDS 4
#define WORD_SIZE ((size_t)8)
#define ROUNDS 4

_Static_assert(sizeof(struct lazymem_identity) == WORDS * WORD_SIZE, "four words");

/* 2^64 divided by the golden ratio: bits without a pattern. */
#define SEED UINT64_C(0x9e3779b97f4a7c15)

bool lm_identity_is_none(const struct lazymem_identity *identity)
{
	const struct lazymem_identity none = {{0}};

	return lm_identity_equal(identity, &none);
}

bool lm_identity_equal(const struct lazymem_identity *a, const struct lazymem_identity *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* The kernel gives up to 256 bytes whole; before its pool is ready a signal may
 * come in between. */
int lm_identity_create(struct lazymem_identity *ret_identity)
{
	struct lazymem_identity identity;
	ssize_t given;

	do
		given = getrandom(identity.bytes, sizeof(identity.bytes), 0);
	while (given < 0 && errno == EINTR);
	if (given < 0)
		return lm_error_errno(-errno, "no random bytes for an identity");
	*ret_identity = identity;
	return 0;
}

static uint64_t rotate(uint64_t word, unsigned bits)
{
	return word << bits | word >> (64 - bits);
}

static void stir(uint64_t v[WORDS])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

void lm_identity_fold_number(struct lazymem_identity *identity, uint64_t number)
{
	uint64_t words[WORDS];

	for (size_t i = 0; i < WORDS; i++)
		words[i] = lm_get_u64(identity->bytes + i * WORD_SIZE);
	words[0] += SEED;
	words[3] ^= number;
	for (int i = 0; i < ROUNDS; i++)
		stir(words);
	if ((words[0] | words[1] | words[2] | words[3]) == 0)
		words[0] = 1; /* zeros would be none */
	for (size_t i = 0; i < WORDS; i++)
		lm_put_u64(identity->bytes + i * WORD_SIZE, words[i]);
}

void lm_identity_fold(struct lazymem_identity *identity, const struct lazymem_identity *more)
{
	for (size_t i = 0; i < WORDS; i++)
		lm_identity_fold_number(identity, lm_get_u64(more->bytes + i * WORD_SIZE));
}

/* ---- of guest memory ------------------------------------------------------ */

/* The one backing object behind all regions that have any; NULL when there are
 * several, or none. */
static struct lazymem_backing *only_backing(const struct lazymem_memory *memory,
					    size_t *ret_regions)
{
	struct lazymem_backing *only = NULL;
	bool is_only = true;

	*ret_regions = 0;
	for (size_t i = 0; i < memory->count; i++) {
		struct lazymem_backing *backing = memory->regions[i]->backing;

		if (backing == NULL)
			continue;
		is_only = is_only && (only == NULL || only == backing);
		only = backing;
		++*ret_regions;
	}
	return is_only ? only : NULL;
}

static int fold_region(struct lazymem_identity *identity, const struct lazymem_region *region)
{
	struct lazymem_identity own;
	const int error = lazymem_backing_identity(region->backing, &own);

	if (error != 0)
		return error;
	lm_identity_fold_number(identity, region->base.value);
	lm_identity_fold_number(identity, region->length);
	lm_identity_fold_number(identity, region->backing_offset);
	lm_identity_fold(identity, &own);
	return 0;
}

int lazymem_memory_identity(const struct lazymem_memory *memory,
			    struct lazymem_identity *ret_identity)
{
	struct lazymem_identity identity = {{0}};
	struct lazymem_backing *only;
	size_t regions;

	only = only_backing(memory, &regions);
	if (regions == 0)
		return lm_error(-ENODATA, "no region of the guest memory has a backing object");
	if (only != NULL)
		return lazymem_backing_identity(only, ret_identity);
	for (size_t i = 0; i < memory->count; i++) {
		int error = 0;

		if (memory->regions[i]->backing != NULL)
			error = fold_region(&identity, memory->regions[i]);
		if (error != 0)
			return error;
	}
	*ret_identity = identity;
	return 0;
}

bool lm_memory_has_image(const struct lazymem_memory *memory, const struct lazymem_identity *image)
{
	const struct lazymem_backing *before = NULL;
	struct lazymem_identity known;

	for (size_t i = 0; i < memory->count; i++) {
		struct lazymem_backing *backing = memory->regions[i]->backing;

		if (backing == NULL || backing == before)
			continue;
		before = backing;
		if (lazymem_backing_identity(backing, &known) == 0 &&
		    lm_identity_equal(&known, image))
			return true;
	}
	return lazymem_memory_identity(memory, &known) == 0 && lm_identity_equal(&known, image);
}
