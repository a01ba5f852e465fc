/* SPDX-License-Identifier: MIT
 *
 * fill.S - fill all memory, and then check it over and over.
 *
 *   argument 0  how often it is checked before the machine ends with status 0; 0: for ever
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
	lea	check_page(%rip), %rbx
1:	xor	%r9d, %r9d
	call	walk
	incq	rounds(,%r12,8)
	mov	%r9, %rax
	SAY_NUMBER "checked ", " pages"
	mov	rounds(,%r12,8), %rax
	SAY_NUMBER "ended round ", ""
	mov	rounds(,%r12,8), %rax
	cmp	ARGUMENT(0), %rax
	jne	1b
	call	wait_for_all
	xor	%eax, %eax
	jmp	leave

	.data
	.balign	8
rounds:
	.fill	64, 8, 0

	.section .rodata
	.globl	payload_name
payload_name:
	.asciz	"fill"
