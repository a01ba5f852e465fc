/* SPDX-License-Identifier: MIT
 *
 * trace.S - touch the pages of a trace, in its order, each vCPU its share.
 *
 *   argument 0  how often, before the machine ends with status 0; 0: for ever
 *   argument 1  0: the pages are read, 1: they are written
 */
#include "payload.inc"

BEGIN
	xor	%ebp, %ebp
1:	call	touch_all
	inc	%rbp
	mov	%r9, %rax
	SAY_NUMBER "touched ", " pages"
	cmp	ARGUMENT(0), %rbp
	jne	1b
	call	wait_for_all
	xor	%eax, %eax
	jmp	leave

/* How many there were is in r9. */
touch_all:
	mov	BOOT_TRACE(%r14), %rbx
	mov	BOOT_TRACE_COUNT(%r14), %r8
	lea	(%rbx, %r8, 8), %r8
	lea	(%rbx, %r12, 8), %rbx
	xor	%r9d, %r9d
	cmpq	$0, ARGUMENT(1)
	jne	4f
	jmp	3f
2:	mov	(%rbx), %rdi
	mov	(%rdi), %rax
	inc	%r9
	lea	(%rbx, %r13, 8), %rbx
3:	cmp	%r8, %rbx
	jb	2b
	ret
4:	cmp	%r8, %rbx
	jae	5f
	mov	(%rbx), %rdi
	mov	%rdi, (%rdi)
	inc	%r9
	lea	(%rbx, %r13, 8), %rbx
	jmp	4b
5:	ret

	.section .rodata
	.globl	payload_name
payload_name:
	.asciz	"trace"
