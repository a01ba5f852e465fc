/* SPDX-License-Identifier: MIT
 *
 * wrapper.h - what the wrappers of inject.h have in common: the object inside,
 * what is hit, and a child for each read, write or flush that they forward.
 *
 * An object of a wrapper begins with its struct lm_wrapper.
 */
#ifndef LM_WRAPPER_H
#define LM_WRAPPER_H

#include <lazymem/backing.h>
#include <lazymem/inject.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct lm_child;

struct lm_wrapper {
	struct lazymem_backing *inner; /* a reference */
	struct lazymem_inject_range range;
	pthread_mutex_t lock; /* of the lists */
	struct lm_child *spare;
	struct lm_child *children; /* all of them, through sibling */
};

/* The read, write or flush of the inner object on behalf of an outer one. */
struct lm_child {
	enum lazymem_inject_operation operation;
	union { /* its context is the child */
		struct lazymem_read read;
		struct lazymem_write write; /* or flush */
	};
	struct lazymem_read *outer; /* of a read in flight, else NULL */
	struct lazymem_write *outer_write;
	struct lm_wrapper *wrapper;
	struct lm_child *sibling;
	struct lm_child *next, *previous; /* in a list of the wrapper's choice */
	uint64_t submitted_ns;            /* CLOCK_MONOTONIC */
	uint64_t due_ns;                  /* of delay */
	int error;                        /* it ended with, kept until it is passed on */
};

/* A wrapper of `size` bytes, zeroed, that holds a reference to inner. NULL,
 * with ret_error set, on failure: -EINVAL, -ENOMEM. */
void *lm_wrapper_create(size_t size, struct lazymem_backing *inner,
			struct lazymem_inject_range range, int *ret_error);
void lm_wrapper_destroy(struct lm_wrapper *wrapper);

/* The backing object of a wrapper, named "inner's name (adjective)". Its `read`
 * is also its `read_parts`, if the inner object takes parts; what it has to write
 * with is left away, if the inner object is read-only. On failure the wrapper is
 * left as it is. */
int lm_wrapper_publish(struct lm_wrapper *wrapper,
		       const struct lazymem_backing_operations *operations, const char *adjective,
		       struct lazymem_backing **ret_backing);

/* Are reads hit, and does this one, or any part of it, overlap the range? */
bool lm_wrapper_hits(const struct lm_wrapper *wrapper, const struct lazymem_read *read);

/* The same for a write or a discard of these bytes, and for a flush, which
 * overlaps everything. */
bool lm_wrapper_hits_bytes(const struct lm_wrapper *wrapper,
			   enum lazymem_inject_operation operation, uint64_t offset,
			   uint64_t length);
bool lm_wrapper_hits_flush(const struct lm_wrapper *wrapper);

/* Take one from a count of hits; false when none is left. UINT64_MAX is endless. */
bool lm_wrapper_take(_Atomic uint64_t *count);

/* A child for the first `length` bytes of outer, which ends in `complete`. They
 * end where a part of outer does, when it has any. NULL when there is no memory: outer has then completed with -ENOMEM. */
struct lm_child *lm_wrapper_child(struct lm_wrapper *wrapper, struct lazymem_read *outer,
				  size_t length, lazymem_read_completion complete);

/* The same for the first `length` bytes of a write, or for a flush. */
struct lm_child *lm_wrapper_write_child(struct lm_wrapper *wrapper,
					enum lazymem_inject_operation operation,
					struct lazymem_write *outer, size_t length,
					lazymem_write_completion complete);

/* Submit a child to the inner object. */
void lm_wrapper_forward(struct lm_child *child);

/* Give the child back and complete its outer read, write or flush. The wrapper may
 * be gone afterwards. */
void lm_wrapper_complete(struct lm_child *child, int error);

/* Forward a read, a write or a flush as it is and pass on how it ends. */
void lm_wrapper_pass(struct lm_wrapper *wrapper, struct lazymem_read *outer);
void lm_wrapper_pass_write(struct lm_wrapper *wrapper, struct lazymem_write *outer);
void lm_wrapper_pass_flush(struct lm_wrapper *wrapper, struct lazymem_write *outer);

/* The operations of a wrapper with nothing of its own. */
int lm_wrapper_extent(void *object, uint64_t offset, uint64_t length,
		      struct lazymem_extent *ret_extent);
int lm_wrapper_identity(void *object, struct lazymem_identity *ret_identity);
void lm_wrapper_hurry(void *object, struct lazymem_read *read);
void lm_wrapper_readahead(void *object, uint64_t offset, uint64_t length);
void lm_wrapper_flush(void *object, struct lazymem_write *flush);
int lm_wrapper_discard(void *object, uint64_t offset, uint64_t length);
void lm_wrapper_close(void *object);

#endif
