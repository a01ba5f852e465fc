/* SPDX-License-Identifier: MIT */
#include "engine.h"

#include <string.h>

extern const struct engine engine_floor;
extern const struct engine engine_kernel;
extern const struct engine engine_eager;
extern const struct engine engine_naive;
extern const struct engine engine_mapped;
extern const struct engine engine_reap;
extern const struct engine engine_lazymem;
extern const struct engine engine_lazymem_direct;
extern const struct engine engine_lazymem_memfd;
extern const struct engine engine_lazymem_fill;
extern const struct engine engine_lazymem_prefetch;
extern const struct engine engine_lazymem_snapshot;
extern const struct engine engine_lazymem_verified;
extern const struct engine engine_lazymem_lz4;
extern const struct engine engine_lazymem_zstd;

static const struct {
	const struct engine *engine;
	bool by_default;
} engines[] = {
	{&engine_floor, true},
	{&engine_kernel, true},
	{&engine_eager, true},
	{&engine_naive, true},
	{&engine_mapped, true},
	{&engine_reap, true},
	{&engine_lazymem, true},
	{&engine_lazymem_direct, false},
	{&engine_lazymem_memfd, false},
	{&engine_lazymem_fill, true},
	{&engine_lazymem_prefetch, true},
	{&engine_lazymem_snapshot, true},
	{&engine_lazymem_verified, false},
	{&engine_lazymem_lz4, false},
	{&engine_lazymem_zstd, false},
};

#define ENGINE_COUNT (sizeof(engines) / sizeof(engines[0]))

const struct engine *engine_at(size_t index)
{
	return index < ENGINE_COUNT ? engines[index].engine : NULL;
}

const struct engine *engine_find(const char *name)
{
	for (size_t i = 0; i < ENGINE_COUNT; i++) {
		if (strcmp(name, engines[i].engine->name) == 0)
			return engines[i].engine;
	}
	return NULL;
}

bool engine_is_default(const struct engine *engine)
{
	for (size_t i = 0; i < ENGINE_COUNT; i++) {
		if (engines[i].engine == engine)
			return engines[i].by_default;
	}
	return false;
}
