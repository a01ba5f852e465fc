/* SPDX-License-Identifier: MIT
 *
 * boot_layout.h - what a payload finds in guest memory, and what is in its
 * registers when it begins. For C and for assembly.
 *
 *   rdi  the number of this vCPU, from 0 on
 *   rsi  how many there are; all begin at the entry
 *   rdx  where the boot block is
 *   rsp  the end of a stack of 4 KiB of its own
 *
 * 64-bit mode, guest addresses mapped to themselves in pages of 2 MiB, no
 * interrupts, no interrupt table.
 */
#ifndef LAZYVM_BOOT_LAYOUT_H
#define LAZYVM_BOOT_LAYOUT_H

#define BOOT_BLOCK 0x8000
#define BOOT_SEGMENTS 0x9000  /* descriptor table */
#define BOOT_PAGES 0x10000    /* page tables: one, one, and one for each GiB */
#define BOOT_STACKS 0x60000   /* 4 KiB for each vCPU */
#define BOOT_PAYLOAD 0x100000 /* a payload lies from here on */

/* The boot block, in bytes from its beginning; each field has eight. */
#define BOOT_REGION_COUNT 0
#define BOOT_FREE 8         /* the first address behind the payload and its trace */
#define BOOT_TRACE 16       /* where the list of pages is */
#define BOOT_TRACE_COUNT 24 /* and how many these are */
#define BOOT_ARGUMENTS 32   /* the words of the command line; 0 where there are fewer */
#define BOOT_ARGUMENTS_MAX 8
#define BOOT_REGIONS 96 /* base and length of each region, in ascending order */

/* Ports: devices.c says what they do. */
#define PORT_SERIAL 0x3f8
#define PORT_SERIAL_STATUS 0x3fd
#define PORT_EXIT 0xf4
#define PORT_DISCARD_PAGE 0x510
#define PORT_DISCARD_COUNT 0x514

#endif
