/* SPDX-License-Identifier: MIT
 *
 * identity.h - identities: none, equal, a new one, and one made of several.
 */
#ifndef LM_IDENTITY_H
#define LM_IDENTITY_H

#include <lazymem/common.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Is it the identity of nothing, all zeros? */
bool lm_identity_is_none(const struct lazymem_identity *identity);

bool lm_identity_equal(const struct lazymem_identity *a, const struct lazymem_identity *b);

/* A new one, at random. What getrandom(2) answered. */
int lm_identity_create(struct lazymem_identity *ret_identity);

/* Mix more into an identity in the making, which begins as all zeros: the
 * bytes of another identity, or one number. The order of the calls matters, as
 * does every bit of every call. The result is never none. Two sequences that
 * differ by accident give different identities; somebody who wants them equal
 * can make them so: this is no cryptographic hash. */
void lm_identity_fold(struct lazymem_identity *identity, const struct lazymem_identity *more);
void lm_identity_fold_number(struct lazymem_identity *identity, uint64_t number);

#endif
