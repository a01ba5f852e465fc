/* SPDX-License-Identifier: MIT
 *
 * backing_object.h - what is behind a backing object, for implementations that
 * need to know their own kind again.
 */
#ifndef LM_BACKING_OBJECT_H
#define LM_BACKING_OBJECT_H

#include <lazymem/backing.h>

/* The object that was given to lazymem_backing_create, when its read operation
 * is this one; else NULL. */
void *lm_backing_object(const struct lazymem_backing *backing,
			void (*read)(void *object, struct lazymem_read *read));

#endif
