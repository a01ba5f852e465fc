/* SPDX-License-Identifier: MIT
 *
 * The files are taken in by the assembler, which is quick whatever their size.
 * GUEST_TRACES is the directory where the build has unpacked them.
 */
#include "guest_traces.h"

#define MIB (1024ull * 1024)

#define HIDDEN __attribute__((visibility("hidden")))

#define TAKE_IN(symbol, file)                                                                      \
	__asm__(".pushsection .rodata\n"                                                           \
		".globl " #symbol ", " #symbol "_end\n"                                            \
		".hidden " #symbol ", " #symbol "_end\n" #symbol ":\n"                             \
		".incbin \"" GUEST_TRACES "/" file ".trace\"\n" #symbol "_end:\n"                  \
		".popsection\n");                                                                  \
	extern const unsigned char symbol[] HIDDEN;                                                \
	extern const unsigned char symbol##_end[] HIDDEN

#define TAKE_IN_BOTH(name)                                                                         \
	TAKE_IN(guest_trace_##name##_1, #name "-1");                                               \
	TAKE_IN(guest_trace_##name##_2, #name "-2")

#define TRACE(name, number)                                                                        \
	{                                                                                          \
#name "-" #number, guest_trace_##name##_##number,                                  \
			guest_trace_##name##_##number##_end                                        \
	}

#define RECORDING(name, memory)                                                                    \
	{                                                                                          \
#name, memory, TRACE(name, 1), TRACE(name, 2)                                      \
	}

TAKE_IN_BOTH(boot);
TAKE_IN_BOTH(http);
TAKE_IN_BOTH(sort);

static const struct guest_recording recordings[] = {
	RECORDING(boot, 512 * MIB),
	RECORDING(http, 512 * MIB),
	RECORDING(sort, 512 * MIB),
};

const struct guest_recording *guest_recording(size_t index)
{
	return index < sizeof(recordings) / sizeof(recordings[0]) ? &recordings[index] : NULL;
}
