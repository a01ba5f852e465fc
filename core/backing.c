/* SPDX-License-Identifier: MIT
 *
 * backing.c - the dispatch in front of every backing object; its half that
 * writes is in backing_write.c.
 *
 * What every implementation would have to check is checked here, once: empty
 * and wrapping reads, reads past the end, parts that do not make up their read,
 * extents outside what was asked for. An implementation sees a read that lies
 * wholly inside its object; the bytes past the end are cut off before
 * (read->tail) and filled with zeros after it. A read in parts has no tail: who
 * knows of parts knows how long the object is.
 *
 * A read is in one of two states:
 *
 *            submit                     lazymem_read_complete
 *   (any) ----------> READ_IN_FLIGHT --------------------------> READ_OVER
 *
 * The step to READ_OVER is one atomic exchange, so a second completion is seen
 * whichever thread it comes from, for as long as the caller keeps the struct.
 * It means that a page may have been installed from a buffer that is still
 * being written to; there is no caller to tell, and going on would corrupt a
 * guest in silence, so it aborts, in every build (assert is not there in all).
 *
 * No lock, and no reference is taken for a read: whoever submits one holds a
 * reference until it has completed (a region does). A completion may therefore
 * drop the last one, and nothing is touched here after it was called.
 */
#include <lazymem/backing.h>

#include "core/backing_dispatch.h"
#include "core/backing_object.h"
#include "core/checked.h"
#include "core/error.h"
#include "core/identity.h"
#include "core/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum read_state {
	READ_IN_FLIGHT = 0x5a, /* unlikely in a struct that was never submitted */
	READ_OVER = 0xa5,
};

int lazymem_backing_create(const struct lazymem_backing_operations *operations, void *object,
			   uint64_t length, const char *name, struct lazymem_backing **ret_backing)
{
	struct lazymem_backing_operations known;
	struct lazymem_backing *backing;
	int error;

	if (name == NULL)
		name = "unnamed";
	if (operations == NULL)
		return lm_error(-EINVAL, "backing object %s has no operations", name);
	error = lm_options_copy(operations, &known, sizeof(known),
				"struct lazymem_backing_operations");
	if (error != 0)
		return error;
	if (known.read == NULL)
		return lm_error(-EINVAL, "backing object %s has no read operation", name);
	if (known.write == NULL && (known.flush != NULL || known.discard != NULL))
		return lm_error(-EINVAL,
				"backing object %s has a flush or discard operation, but no write",
				name);
	if (length == 0)
		return lm_error(-EINVAL, "backing object %s has a length of zero", name);

	backing = malloc(sizeof(*backing));
	if (backing == NULL)
		return lm_error(-ENOMEM, "no memory for backing object %s", name);
	backing->name = strdup(name);
	if (backing->name == NULL) {
		free(backing);
		return lm_error(-ENOMEM, "no memory for backing object %s", name);
	}
	backing->operations = known;
	backing->object = object;
	backing->length = length;
	atomic_init(&backing->references, 1);
	lm_flushes_create(&backing->flushes);
	*ret_backing = backing;
	return 0;
}

struct lazymem_backing *lazymem_backing_ref(struct lazymem_backing *backing)
{
	atomic_fetch_add_explicit(&backing->references, 1, memory_order_relaxed);
	return backing;
}

void lazymem_backing_unref(struct lazymem_backing *backing)
{
	if (backing == NULL)
		return;
	if (atomic_fetch_sub_explicit(&backing->references, 1, memory_order_acq_rel) != 1)
		return;
	if (backing->operations.close != NULL)
		backing->operations.close(backing->object);
	lm_flushes_destroy(&backing->flushes);
	free(backing->name);
	free(backing);
}

uint64_t lazymem_backing_length(const struct lazymem_backing *backing)
{
	return backing->length;
}

const char *lazymem_backing_name(const struct lazymem_backing *backing)
{
	return backing->name;
}

void *lm_backing_object(const struct lazymem_backing *backing,
			void (*read)(void *object, struct lazymem_read *read))
{
	return backing->operations.read == read ? backing->object : NULL;
}

/* ---- reads --------------------------------------------------------------- */

/* 0, or why the read cannot be started. */
static int check_read(const struct lazymem_backing *backing, const struct lazymem_read *read)
{
	uint64_t end;

	if (read->length == 0)
		return lm_error(-EINVAL, "%s: read of no bytes at offset %" PRIu64, backing->name,
				read->offset);
	if (!lm_add(read->offset, read->length, &end))
		return lm_error(-EINVAL, "%s: read of %zu bytes at offset %" PRIu64 " wraps",
				backing->name, read->length, read->offset);
	if (read->offset >= backing->length)
		return lm_error(-ERANGE,
				"%s: read at offset %" PRIu64 " lies past its %" PRIu64 " bytes",
				backing->name, read->offset, backing->length);
	return 0;
}

static int check_parts(const struct lazymem_backing *backing, const struct lazymem_read *read)
{
	size_t left = read->length;

	if (backing->operations.read_parts == NULL)
		return lm_error(-EOPNOTSUPP, "%s: its reads take no parts", backing->name);
	if (read->part_count == 0)
		return lm_error(-EINVAL, "%s: read of no parts", backing->name);
	for (size_t i = 0; i < read->part_count; i++) {
		const struct lazymem_read_part *part = &read->parts[i];

		if (part->length == 0 || part->length > left)
			return lm_error(-EINVAL,
					"%s: part %zu of a read has %zu bytes where %zu of %zu are "
					"left",
					backing->name, i, part->length, left, read->length);
		if (!lm_fits(part->offset, part->length, backing->length))
			return lm_error(-ERANGE,
					"%s: part %zu of a read, %zu bytes at offset %" PRIu64
					", does not lie inside its %" PRIu64 " bytes",
					backing->name, i, part->length, part->offset,
					backing->length);
		left -= part->length;
	}
	if (left != 0)
		return lm_error(-EINVAL, "%s: the parts of a read of %zu bytes are %zu too short",
				backing->name, read->length, left);
	return 0;
}

static int check_flags(const struct lazymem_backing *backing, const struct lazymem_read *read)
{
	if ((read->flags & ~LAZYMEM_READ_BACKGROUND) == 0)
		return 0;
	return lm_error(-EINVAL, "%s: a read has unknown flags %#x", backing->name, read->flags);
}

static void submit_parts(struct lazymem_backing *backing, struct lazymem_read *read)
{
	const int error = check_parts(backing, read);

	if (error != 0)
		lazymem_read_complete(read, error);
	else
		backing->operations.read_parts(backing->object, read);
}

void lazymem_backing_submit(struct lazymem_backing *backing, struct lazymem_read *read)
{
	uint64_t inside;
	int error;

	read->backing = backing;
	read->tail = 0;
	__atomic_store_n(&read->state, READ_IN_FLIGHT, __ATOMIC_RELEASE);
	error = check_flags(backing, read);
	if (error != 0) {
		lazymem_read_complete(read, error);
		return;
	}
	if (read->parts != NULL) {
		submit_parts(backing, read);
		return;
	}
	error = check_read(backing, read);
	if (error != 0) {
		lazymem_read_complete(read, error);
		return;
	}
	inside = backing->length - read->offset;
	if (read->length > inside) {
		read->tail = read->length - (size_t)inside;
		read->length = (size_t)inside;
	}
	backing->operations.read(backing->object, read);
}

void lazymem_backing_hurry(struct lazymem_backing *backing, struct lazymem_read *read)
{
	if (backing->operations.hurry == NULL ||
	    __atomic_load_n(&read->state, __ATOMIC_ACQUIRE) != READ_IN_FLIGHT)
		return;
	backing->operations.hurry(backing->object, read);
}

bool lazymem_backing_takes_parts(const struct lazymem_backing *backing)
{
	return backing->operations.read_parts != NULL;
}

void lazymem_read_complete(struct lazymem_read *read, int error)
{
	if (error > 0)
		abort();
	if (__atomic_exchange_n(&read->state, READ_OVER, __ATOMIC_ACQ_REL) != READ_IN_FLIGHT)
		abort();
	if (read->tail != 0) {
		if (error == 0)
			memset((char *)read->buffer + read->length, 0, read->tail);
		read->length += read->tail;
		read->tail = 0;
	}
	read->complete(read, error);
}

static void wake_waiter(struct lazymem_read *read, int error)
{
	lm_waiter_wake(read->context, error);
}

int lazymem_backing_read(struct lazymem_backing *backing, uint64_t offset, void *buffer,
			 size_t length)
{
	struct lm_waiter waiter = LM_WAITER;
	struct lazymem_read read = {.offset = offset,
				    .length = length,
				    .buffer = buffer,
				    .complete = wake_waiter,
				    .context = &waiter};
	int error;

	error = check_read(backing, &read);
	if (error != 0)
		return error;
	lazymem_backing_submit(backing, &read);
	error = lm_waiter_wait(&waiter);
	if (error == 0)
		return 0;
	return lm_error_errno(error, "%s: cannot read %zu bytes at offset %" PRIu64, backing->name,
			      length, offset);
}

/* ---- extents ------------------------------------------------------------- */

/* Does an implementation's answer begin where it was asked to, inside the
 * range, with at least one byte of a kind that is known? */
static bool is_valid_extent(const struct lazymem_extent *extent, uint64_t offset, uint64_t length)
{
	return extent->start == offset && extent->length > 0 && extent->length <= length &&
	       (extent->kind == LAZYMEM_EXTENT_DATA || extent->kind == LAZYMEM_EXTENT_ZERO);
}

int lazymem_backing_extent(struct lazymem_backing *backing, uint64_t offset, uint64_t length,
			   struct lazymem_extent *ret_extent)
{
	struct lazymem_extent extent = {offset, length, LAZYMEM_EXTENT_ZERO};
	uint64_t end, inside;
	int error;

	if (length == 0)
		return lm_error(-EINVAL, "%s: extent of no bytes at offset %" PRIu64, backing->name,
				offset);
	if (!lm_add(offset, length, &end))
		return lm_error(-EINVAL, "%s: extent of %" PRIu64 " bytes at %" PRIu64 " wraps",
				backing->name, length, offset);
	if (offset >= backing->length) {
		*ret_extent = extent;
		return 0;
	}

	inside = lm_min(length, backing->length - offset);
	extent.length = inside;
	extent.kind = LAZYMEM_EXTENT_DATA;
	if (backing->operations.extent != NULL) {
		error = backing->operations.extent(backing->object, offset, inside, &extent);
		if (error != 0)
			return lm_error_errno(error, "%s: no extent at offset %" PRIu64,
					      backing->name, offset);
		if (!is_valid_extent(&extent, offset, inside))
			return lm_error(-EPROTO,
					"%s: asked for the extent at %" PRIu64
					", its implementation gave one of %" PRIu64
					" bytes at %" PRIu64,
					backing->name, offset, extent.length, extent.start);
	}
	/* zeros up to the end go on as the zeros past the end */
	if (extent.kind == LAZYMEM_EXTENT_ZERO && extent.length == inside)
		extent.length = length;
	*ret_extent = extent;
	return 0;
}

/* ---- identity and advice ------------------------------------------------- */

int lazymem_backing_identity(struct lazymem_backing *backing, struct lazymem_identity *ret_identity)
{
	struct lazymem_identity identity = {{0}};
	int error = -ENODATA;

	if (backing->operations.identity != NULL)
		error = backing->operations.identity(backing->object, &identity);
	if (error == -ENODATA || (error == 0 && lm_identity_is_none(&identity)))
		return lm_error(-ENODATA, "%s: nothing tells what its bytes are known by",
				backing->name);
	if (error != 0)
		return lm_error_errno(error, "%s: cannot tell what its bytes are known by",
				      backing->name);
	*ret_identity = identity;
	return 0;
}

void lazymem_backing_readahead(struct lazymem_backing *backing, uint64_t offset, uint64_t length)
{
	if (backing->operations.readahead == NULL || length == 0 || offset >= backing->length)
		return;
	backing->operations.readahead(backing->object, offset,
				      lm_min(length, backing->length - offset));
}
