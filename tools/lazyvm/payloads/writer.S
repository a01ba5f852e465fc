/* SPDX-License-Identifier: MIT
 *
 * writer.S - fill all memory, and then write some pages over and over, each time
 * one generation on, after checking that each is still of the one before.
 *
 *   argument 0  sweeps, before all memory is checked and the machine ends with status 0; 0: for ever
 *   argument 1  of each vCPU's pages, every how-manieth is written; 0: every one
 */
#include "payload.inc"

BEGIN
	mov	$1, %ebp
	mov	$1, %r8d
	lea	write_page(%rip), %rbx
	xor	%r9d, %r9d
	call	walk
	mov	%r9, %rax
	SAY_NUMBER "filled ", " pages"
	call	wait_for_all
	mov	ARGUMENT(1), %r8
	cmp	$1, %r8
	adc	$0, %r8			/* 0 means 1 */
	lea	advance_page(%rip), %rbx
1:	inc	%rbp
	xor	%r9d, %r9d
	call	walk
	lea	-1(%rbp), %rax
	SAY_NUMBER "ended sweep ", ""
	lea	-1(%rbp), %rax
	cmp	ARGUMENT(0), %rax
	jne	1b

	/* What was swept becomes the first generation again; then all is. */
	lea	check_page(%rip), %rbx
	call	walk
	mov	$1, %ebp
	lea	write_page(%rip), %rbx
	call	walk
	mov	$1, %r8d
	lea	check_page(%rip), %rbx
	xor	%r9d, %r9d
	call	walk
	mov	%r9, %rax
	SAY_NUMBER "checked ", " pages"
	call	wait_for_all
	xor	%eax, %eax
	jmp	leave

	.section .rodata
	.globl	payload_name
payload_name:
	.asciz	"writer"
