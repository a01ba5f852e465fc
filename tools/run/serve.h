/* SPDX-License-Identifier: MIT
 *
 * serve.h - this process serves the faults of the memories, from the first
 * mapping of one of them until its end.
 */
#ifndef RUN_SERVE_H
#define RUN_SERVE_H

#include "inherited.h"

#include <stdbool.h>

/* Is `fd` the file of a memory, and of which? False where there are no settings.
 * errno is kept. */
bool run_memory_of(int fd, size_t *ret_index);

/* Has `fd`, which is of no memory, the name of one? After a message. errno is kept. */
bool run_is_in_place_of_memory(int fd);

/* Does this process serve? A child does not: it has none of the views. */
bool run_is_serving(void);

/* Become the process that serves, unless it is already, because memory `index` is
 * wanted. 0, or an errno value after a message: nobody may map it here, as it
 * would read false zeros. The lock is held. */
int run_claim(size_t index);

/* Start what the settings ask to be prefetched, the first time. Once there is a view:
 * pages that come before it are put in our own mapping, and fault again. The lock is
 * held. */
void run_prefetch_once(void);

/* What is served; only while run_is_serving(). The descriptor of memory `index`
 * is our own, for reading and writing. */
struct lazymem_attachment *run_attachment(void);
struct lazymem_memory *run_guest_memory(void);
int run_memory_descriptor(size_t index);

#endif
