/* SPDX-License-Identifier: MIT
 *
 * balloon.S - fill all memory, give half of the last region back, and check over and over that
 * this half is zeros and all other memory is as it was.
 *
 *   argument 0  how often it is checked before the machine ends with status 0; 0: for ever
 */
#include "payload.inc"

BEGIN
	mov	$1, %ebp
	mov	$1, %r8d
	lea	write_page(%rip), %rbx
	call	walk
	call	wait_for_all
	test	%r12, %r12
	jnz	1f
	call	give_back
1:	call	wait_for_all
	lea	check_either(%rip), %rbx
2:	xor	%r9d, %r9d
	call	walk
	mov	%r9, %rax
	SAY_NUMBER "checked ", " pages"
	incq	rounds(,%r12,8)
	mov	rounds(,%r12,8), %rax
	cmp	ARGUMENT(0), %rax
	jne	2b
	call	wait_for_all
	xor	%eax, %eax
	jmp	leave

/* For walk. */
check_either:
	cmp	given_start(%rip), %rdi
	jb	check_page
	jmp	check_zero_page

give_back:
	mov	BOOT_REGION_COUNT(%r14), %rcx
	dec	%rcx
	shl	$4, %rcx
	lea	BOOT_REGIONS(%r14, %rcx), %rsi
	mov	8(%rsi), %rdi
	shr	$1, %rdi
	and	$-0x200000, %rdi	/* whole huge pages */
	mov	8(%rsi), %rcx
	sub	%rdi, %rcx
	add	(%rsi), %rdi
	mov	%rdi, given_start(%rip)
	mov	%rdi, %rax
	shr	$12, %rax
	mov	$PORT_DISCARD_PAGE, %dx
	out	%eax, %dx
	mov	%rcx, %rax
	shr	$12, %rax
	mov	$PORT_DISCARD_COUNT, %dx
	push	%rax
	out	%eax, %dx
	in	%dx, %eax
	test	%eax, %eax
	pop	%rax
	jnz	1f
	SAY_NUMBER "gave back ", " pages"
	ret
1:	SAY "was refused"
	mov	$2, %al
	jmp	leave

	.data
	.balign	8
given_start:
	.quad	0
rounds:
	.fill	64, 8, 0

	.section .rodata
	.globl	payload_name
payload_name:
	.asciz	"balloon"
