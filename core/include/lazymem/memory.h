/* SPDX-License-Identifier: MIT
 *
 * memory.h - the model of guest memory, the same whether a region is mapped
 * eagerly or filled lazily.
 *
 *   mapping  one host range (anonymous, memfd, hugetlb, file, adopted)
 *   region   a mapping, its guest base, and the backing object it is filled from
 *   memory   an immutable sorted set of regions
 *
 * All three are reference-counted and never change after their creation, so
 * any thread may use any of them while it holds a reference.
 */
#ifndef LAZYMEM_MEMORY_H
#define LAZYMEM_MEMORY_H

#include <lazymem/backing.h>
#include <lazymem/common.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- mapping ------------------------------------------------------------- */

struct lazymem_mapping;

enum lazymem_mapping_kind {
	LAZYMEM_MAPPING_ANONYMOUS = 1,    /* private memory of this process */
	LAZYMEM_MAPPING_MEMFD = 2,        /* shared memory, sealed against shrinking */
	LAZYMEM_MAPPING_HUGETLB = 3,      /* shared memory in hugetlb pages */
	LAZYMEM_MAPPING_FILE_SHARED = 4,  /* MAP_SHARED of a file */
	LAZYMEM_MAPPING_FILE_PRIVATE = 5, /* MAP_PRIVATE of a file */
	LAZYMEM_MAPPING_ADOPTED = 6,      /* mapped, and unmapped, by the caller */
};

/* Flags of struct lazymem_mapping_options. */
#define LAZYMEM_MAPPING_DUMP (1u << 0)          /* in core dumps (default: MADV_DONTDUMP) */
#define LAZYMEM_MAPPING_DONTFORK (1u << 1)      /* MADV_DONTFORK */
#define LAZYMEM_MAPPING_MERGEABLE (1u << 2)     /* MADV_MERGEABLE; anonymous memory only */
#define LAZYMEM_MAPPING_LOCK_ON_FAULT (1u << 3) /* mlock2(MLOCK_ONFAULT) */
#define LAZYMEM_MAPPING_HUGEPAGES (1u << 4)     /* lazymem_mapping_use_hugepages at creation */

/* How a mapping is made. NULL in place of a pointer to it, and zero in any
 * field, mean the default. Since 0.1. */
struct lazymem_mapping_options {
	size_t size;      /* sizeof(struct lazymem_mapping_options) */
	unsigned flags;   /* LAZYMEM_MAPPING_* */
	int protection;   /* PROT_* of mmap(2); default PROT_READ | PROT_WRITE */
	size_t alignment; /* of the host address: a power of two, at least the page size;
			   * default 2 MiB where the length allows, else the page size */
	const char *name; /* of the memfd, for messages and /proc; copied */
};

/* Private anonymous memory. `length` in bytes, a positive multiple of the base
 * page size. -EINVAL (length, alignment, flag, protection), -E2BIG (unknown
 * option), -ENOMEM, or what mmap, madvise or mlock2 answered.
 * Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_mapping_create_anonymous(size_t length,
						    const struct lazymem_mapping_options *options,
						    struct lazymem_mapping **ret_mapping);

/* Shared memory in a memfd of its own, sealed against shrinking and growing. As above.
 * Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_mapping_create_memfd(size_t length,
						const struct lazymem_mapping_options *options,
						struct lazymem_mapping **ret_mapping);

/* Shared memory in hugetlb pages of `page_size` bytes (2 MiB or 1 GiB; a size
 * that the machine has). `length` is a multiple of it. -ENOMEM when the pool
 * (vm.nr_hugepages) cannot reserve them all. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_mapping_create_hugetlb(size_t length, size_t page_size,
						  const struct lazymem_mapping_options *options,
						  struct lazymem_mapping **ret_mapping);

/* `length` bytes of an open regular file or block device from `offset` on,
 * shared or private. fd is duplicated, and must be open for what `protection`
 * asks. offset and length are multiples of the base page size; a range past the end of
 * the file is refused with -ERANGE (the last page may be partial). -EBADF,
 * -EACCES, -EISDIR; -EINVAL for hugetlbfs: map that and adopt the mapping. Any
 * thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_mapping_create_file(int fd, uint64_t offset, size_t length, bool shared,
					       const struct lazymem_mapping_options *options,
					       struct lazymem_mapping **ret_mapping);

/* Memory that the caller mapped and will unmap, after the last reference is
 * gone. `fd` is the file mapped there (duplicated; shared memfd, hugetlbfs or
 * regular file; `fd_offset` bytes into it), or -1 for private anonymous memory.
 * host, length and fd_offset are multiples of the page size, which is that of
 * fd's file system. It is taken to be readable and writable. Of the options
 * only flags and name count. -EINVAL, -E2BIG, -ENOMEM, -EBADF, -EISDIR; -EFAULT
 * when the host range is not all mapped, -ERANGE when it goes past the end of
 * the file. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_mapping_adopt(void *host, size_t length, int fd, uint64_t fd_offset,
					 const struct lazymem_mapping_options *options,
					 struct lazymem_mapping **ret_mapping);

/* One more reference; returns mapping. Any thread. Since 0.1. */
LAZYMEM_PUBLIC struct lazymem_mapping *lazymem_mapping_ref(struct lazymem_mapping *mapping);

/* One reference less. The last one of a shared file mapping syncs, then all
 * but adopted ones are unmapped. NULL is allowed. Any thread. Since 0.1. */
LAZYMEM_PUBLIC void lazymem_mapping_unref(struct lazymem_mapping *mapping);

/* Host range, kind, page size (bytes; the hugetlb page for hugetlb memory).
 * Any thread. Since 0.1. */
LAZYMEM_PUBLIC struct lazymem_span lazymem_mapping_span(const struct lazymem_mapping *mapping);
LAZYMEM_PUBLIC enum lazymem_mapping_kind
lazymem_mapping_get_kind(const struct lazymem_mapping *mapping);
LAZYMEM_PUBLIC size_t lazymem_mapping_page_size(const struct lazymem_mapping *mapping);

/* The descriptor behind the mapping (borrowed; do not close) and the offset of
 * the mapping's first byte in it. -ENOENT for anonymous memory.
 * Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_mapping_fd(const struct lazymem_mapping *mapping, int *ret_fd,
				      uint64_t *ret_offset);

/* Advise huge pages. Below 2 MiB: success, and nothing is done. Else
 * MADV_HUGEPAGE over the whole mapping; hugetlb memory has them anyway. A
 * lazily filled region of an advised mapping ends up in huge pages.
 * -EOPNOTSUPP where the kernel has no transparent huge pages. Any thread.
 * Since 0.1. */
LAZYMEM_PUBLIC int lazymem_mapping_use_hugepages(struct lazymem_mapping *mapping);

/* Keep the mapping out of children made by fork (MADV_DONTFORK). Any thread.
 * Since 0.1. */
LAZYMEM_PUBLIC int lazymem_mapping_use_dontfork(struct lazymem_mapping *mapping);

/* When this returns 0, every byte written to the range before the call is
 * durable in the backing object. Shared file mapping: msync(MS_SYNC). Lazily filled memory that
 * was attached with LAZYMEM_ATTACH_WRITE_BACK: what is dirty is written and flushed. Private
 * memory, memfd and hugetlb otherwise: nothing to do. start and length in bytes inside the mapping, start
 * a multiple of the page size. -ERANGE, -EINVAL, -EIO.
 * Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_mapping_sync(struct lazymem_mapping *mapping, size_t start,
					size_t length);

/* Give the range back: afterwards it reads as zeros (a private file mapping:
 * as the file again) and takes no memory. Of a shared file mapping it becomes a hole of
 * the file, durable after a sync, or is refused: -EACCES when that is open for
 * reading only, -EOPNOTSUPP when its file system has no holes. A lazily filled page that was not yet there reads as
 * zeros too, never as its backing object. (madvise(MADV_DONTNEED) on a lazily
 * filled memfd counts as a discard of what was not there.) start and length are multiples of
 * the page size. Any thread that serves no faults. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_mapping_discard(struct lazymem_mapping *mapping, size_t start,
					   size_t length);

/* A hint that the range will be used soon; returns at once. start and length
 * are multiples of the page size. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_mapping_prefetch(struct lazymem_mapping *mapping, size_t start,
					    size_t length);

/* How many bytes of the range are in memory now. start and length are
 * multiples of the page size. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_mapping_resident(struct lazymem_mapping *mapping, size_t start,
					    size_t length, size_t *ret_bytes);

/* ---- region -------------------------------------------------------------- */

struct lazymem_region;

/* A mapping at guest address `base`, filled from `backing_offset` on in
 * `backing` (NULL: nothing to fill it from). References are taken. base is a
 * multiple of the mapping's page size (-EINVAL); base + length - 1 fits in 64
 * bits (-EOVERFLOW); the range lies in the backing object, whose end may lie
 * inside the region's last page (-ERANGE). A file mapping takes no backing
 * object (-EINVAL): it is its own. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_region_create(struct lazymem_mapping *mapping,
					 lazymem_guest_address base,
					 struct lazymem_backing *backing, uint64_t backing_offset,
					 struct lazymem_region **ret_region);

/* References, as for mappings. Any thread. Since 0.1. */
LAZYMEM_PUBLIC struct lazymem_region *lazymem_region_ref(struct lazymem_region *region);
LAZYMEM_PUBLIC void lazymem_region_unref(struct lazymem_region *region);

/* What the region was made of; pointers are borrowed. length in bytes. Any
 * thread. Since 0.1. */
LAZYMEM_PUBLIC lazymem_guest_address lazymem_region_base(const struct lazymem_region *region);
LAZYMEM_PUBLIC uint64_t lazymem_region_length(const struct lazymem_region *region);
LAZYMEM_PUBLIC struct lazymem_mapping *lazymem_region_mapping(const struct lazymem_region *region);
LAZYMEM_PUBLIC struct lazymem_backing *lazymem_region_backing(const struct lazymem_region *region);
LAZYMEM_PUBLIC uint64_t lazymem_region_backing_offset(const struct lazymem_region *region);

/* Eager: read the whole region from its backing object into its memory now.
 * Holes are skipped, so the memory must be fresh. -ENOENT without a backing
 * object, -EACCES without write permission, -EBUSY while a handler serves the
 * region, else what the backing object answered. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_region_load(struct lazymem_region *region);

/* ---- guest memory -------------------------------------------------------- */

struct lazymem_memory;

/* Guest memory of `count` regions in any order; references are taken. Refused
 * with both culprits named, by their places in `regions`: -EEXIST when two
 * overlap or share host memory; -EINVAL for no regions at all, or a NULL among
 * them; -ENOMEM. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_memory_create(struct lazymem_region *const *regions, size_t count,
					 struct lazymem_memory **ret_memory);

/* The next guest memory: this one and one region more (-EEXIST when it
 * overlaps), or less (-ENOENT when it is not there, -EINVAL when it is the
 * last). This one stays as it is. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_memory_with(struct lazymem_memory *memory, struct lazymem_region *region,
				       struct lazymem_memory **ret_next);
LAZYMEM_PUBLIC int lazymem_memory_without(struct lazymem_memory *memory,
					  struct lazymem_region *region,
					  struct lazymem_memory **ret_next);

/* References, as for mappings. Any thread. Since 0.1. */
LAZYMEM_PUBLIC struct lazymem_memory *lazymem_memory_ref(struct lazymem_memory *memory);
LAZYMEM_PUBLIC void lazymem_memory_unref(struct lazymem_memory *memory);

/* The regions, in ascending order of their guest addresses; borrowed, NULL
 * when index is not below the count. Any thread. Since 0.1. */
LAZYMEM_PUBLIC size_t lazymem_memory_region_count(const struct lazymem_memory *memory);
LAZYMEM_PUBLIC struct lazymem_region *lazymem_memory_region(const struct lazymem_memory *memory,
							    size_t index);

/* Bytes of all regions together. Any thread. Since 0.1. */
LAZYMEM_PUBLIC uint64_t lazymem_memory_length(const struct lazymem_memory *memory);

/* What the images behind the regions are known by: the identity of their one
 * backing object, or, where there are several, one made of them all and of where
 * they lie. A handler binds the traces that it records to it. -ENODATA when no
 * region has a backing object, or one of these has no identity. Any thread.
 * Since 0.1. */
LAZYMEM_PUBLIC int lazymem_memory_identity(const struct lazymem_memory *memory,
					   struct lazymem_identity *ret_identity);

/* The region that holds `address` (borrowed) and the offset of address in it.
 * -EFAULT where there is none. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_memory_find(const struct lazymem_memory *memory,
				       lazymem_guest_address address,
				       struct lazymem_region **ret_region, uint64_t *ret_offset);

/* Translate: host memory from `address` on, at most `length` bytes; less
 * where the region ends, so check ret_span->length. -EFAULT where there is no region,
 * -EINVAL for a length of zero. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_memory_span(const struct lazymem_memory *memory,
				       lazymem_guest_address address, size_t length,
				       struct lazymem_span *ret_span);

/* Translate the whole of [address, address + length) into spans, one for each
 * region it crosses; iovecs likewise. -EFAULT when a byte of it lies in no
 * region, -ENOBUFS when `capacity` entries do not suffice, -EINVAL for a
 * length of zero, -EOVERFLOW. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_memory_spans(const struct lazymem_memory *memory,
					lazymem_guest_address address, size_t length,
					struct lazymem_span *spans, size_t capacity,
					size_t *ret_count);
LAZYMEM_PUBLIC int lazymem_memory_iovecs(const struct lazymem_memory *memory,
					 lazymem_guest_address address, size_t length,
					 struct iovec *iovecs, size_t capacity, size_t *ret_count);

/* Copy bytes out of and into guest memory, across adjacent regions. Nothing is
 * copied unless all of the range is there: -EFAULT, -EOVERFLOW. A length of
 * zero succeeds inside a region. -EACCES where the mapping's protection forbids
 * it. Blocks while lazy pages arrive; a poisoned page raises SIGBUS. Any
 * thread that serves no faults. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_memory_read(const struct lazymem_memory *memory,
				       lazymem_guest_address address, void *buffer, size_t length);
LAZYMEM_PUBLIC int lazymem_memory_write(const struct lazymem_memory *memory,
					lazymem_guest_address address, const void *buffer,
					size_t length);

/* One little-endian value. A naturally aligned one is loaded with acquire
 * and stored with release semantics, in one access; any other byte by byte,
 * across adjacent regions. -EFAULT, -EOVERFLOW, -EACCES. Threads as for read
 * and write. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_memory_load_u8(const struct lazymem_memory *memory,
					  lazymem_guest_address address, uint8_t *ret_value);
LAZYMEM_PUBLIC int lazymem_memory_load_u16(const struct lazymem_memory *memory,
					   lazymem_guest_address address, uint16_t *ret_value);
LAZYMEM_PUBLIC int lazymem_memory_load_u32(const struct lazymem_memory *memory,
					   lazymem_guest_address address, uint32_t *ret_value);
LAZYMEM_PUBLIC int lazymem_memory_load_u64(const struct lazymem_memory *memory,
					   lazymem_guest_address address, uint64_t *ret_value);
LAZYMEM_PUBLIC int lazymem_memory_store_u8(const struct lazymem_memory *memory,
					   lazymem_guest_address address, uint8_t value);
LAZYMEM_PUBLIC int lazymem_memory_store_u16(const struct lazymem_memory *memory,
					    lazymem_guest_address address, uint16_t value);
LAZYMEM_PUBLIC int lazymem_memory_store_u32(const struct lazymem_memory *memory,
					    lazymem_guest_address address, uint32_t value);
LAZYMEM_PUBLIC int lazymem_memory_store_u64(const struct lazymem_memory *memory,
					    lazymem_guest_address address, uint64_t value);

/* The descriptor behind `address` (borrowed), the offset in it, and how many
 * of `length` bytes follow there: for vhost-user and io_uring. What is reached through it
 * is not filled lazily: a page that is not there yet reads as zeros, and what
 * is written to it is lost, until the attachment has finished. -ENOENT for
 * anonymous memory, -EFAULT, -EINVAL for a length of zero. Any thread. Since
 * 0.1. */
LAZYMEM_PUBLIC int lazymem_memory_fd(const struct lazymem_memory *memory,
				     lazymem_guest_address address, uint64_t length, int *ret_fd,
				     uint64_t *ret_offset, uint64_t *ret_length);

/* lazymem_mapping_sync, _discard, _prefetch and _resident over a guest range,
 * across adjacent regions. The range is checked as a whole first (-EFAULT,
 * -EINVAL, -EOVERFLOW); then the regions take their turn, and the first
 * failure is returned, with the region named. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_memory_sync(struct lazymem_memory *memory, lazymem_guest_address address,
				       uint64_t length);
LAZYMEM_PUBLIC int lazymem_memory_discard(struct lazymem_memory *memory,
					  lazymem_guest_address address, uint64_t length);
LAZYMEM_PUBLIC int lazymem_memory_prefetch(struct lazymem_memory *memory,
					   lazymem_guest_address address, uint64_t length);
LAZYMEM_PUBLIC int lazymem_memory_resident(struct lazymem_memory *memory,
					   lazymem_guest_address address, uint64_t length,
					   uint64_t *ret_bytes);

/* NUMA policy of every region, as for mbind(2): `mode` MPOL_*, `nodes` a mask
 * of `node_bits` bits. results[i], if results is not NULL, receives 0 or a
 * negative errno value for region i; it has one entry for each region. Every
 * region is tried; the first failure is returned. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_memory_set_policy(struct lazymem_memory *memory, int mode,
					     const unsigned long *nodes, unsigned long node_bits,
					     int *results);

/* ---- slot: the current guest memory, for hotplug --------------------------
 * Threads take a reference to whatever guest memory is current; the owner
 * swaps in the next one; the old one lives until its last user is done. */

struct lazymem_memory_slot;

/* A slot that holds `memory` (a reference is taken). -ENOMEM. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_memory_slot_create(struct lazymem_memory *memory,
					      struct lazymem_memory_slot **ret_slot);

/* A new reference to the current guest memory: give it back with
 * lazymem_memory_unref. Any thread. Since 0.1. */
LAZYMEM_PUBLIC struct lazymem_memory *lazymem_memory_slot_get(struct lazymem_memory_slot *slot);

/* Make `next` the current guest memory (a reference is taken) and drop the
 * slot's reference to the one before. Any thread. Since 0.1. */
LAZYMEM_PUBLIC void lazymem_memory_slot_swap(struct lazymem_memory_slot *slot,
					     struct lazymem_memory *next);

/* Drop the slot and its reference. NULL is allowed. The owner, when no other
 * thread uses the slot any more. Since 0.1. */
LAZYMEM_PUBLIC void lazymem_memory_slot_destroy(struct lazymem_memory_slot *slot);

#ifdef __cplusplus
}
#endif
#endif
