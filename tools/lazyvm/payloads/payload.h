/* SPDX-License-Identifier: MIT
 *
 * payload.h - what the payloads share. The machine may emulate a guest one
 * instruction at a time, so a page is known by three of its words, and loops are short.
 *
 * Registers that are kept all through a payload:
 *   r12  the number of this vCPU       r14  the boot block
 *   r13  how many vCPUs there are      r15  a constant that addresses are multiplied with
 * Functions may change all others, except where they say so.
 */
#ifndef LAZYVM_PAYLOAD_H
#define LAZYVM_PAYLOAD_H

#include "boot_layout.h"

#define PAGE 4096
#define MULTIPLIER 0x9e3779b97f4a7c15

#define ARGUMENT(index) (BOOT_ARGUMENTS + 8 * (index))(%r14)

/* The first instructions of each payload. */
.macro BEGIN
	.text
	.globl	_start
_start:
	mov	%rdi, %r12
	mov	%rsi, %r13
	mov	%rdx, %r14
	movabs	$MULTIPLIER, %r15
.endm

/* Print "PAYLOAD: vcpu N ", text, and the number in rax if the text has one after it. Lines
 * of several vCPUs do not mix. */
.macro SAY text
	.section .rodata
9:	.asciz	"\text"
	.text
	lea	9b(%rip), %rsi
	call	say
.endm

.macro SAY_NUMBER before, after
	.section .rodata
8:	.asciz	"\before"
9:	.asciz	"\after"
	.text
	lea	8b(%rip), %rsi
	lea	9b(%rip), %rdi
	call	say_number
.endm

#endif
