/* SPDX-License-Identifier: MIT
 *
 * pages.S - pages that know their address and their generation, which is how often they were
 * written: a page that was lost, that is older than it should be, that lies at another place, or of which
 * a part is missing, is noticed by whoever checks it.
 *
 *   word at 0      the generation
 *   word at 8      (address + generation) * r15
 *   word at 4088   the complement of that
 *
 * Each vCPU has every r13th page of the memory that the payload has free.
 */
#include "payload.inc"

	.text

/* Call the function at rbx for each r8th of this vCPU's pages, with the address in rdi. It
 * may change rax, rcx, rdx and rsi. The number of pages is added to r9. Keeps rbx, rbp, r8. */
	.globl	walk
walk:
	push	%rbp
	push	%rbx
	mov	BOOT_REGION_COUNT(%r14), %r10
	lea	BOOT_REGIONS(%r14), %rsi
1:	push	%rsi
	mov	(%rsi), %rdi
	mov	8(%rsi), %r11
	add	%rdi, %r11
	cmp	BOOT_FREE(%r14), %rdi
	cmovb	BOOT_FREE(%r14), %rdi
	mov	%r12, %rax
	shl	$12, %rax
	add	%rax, %rdi
	mov	%r13, %rax
	imul	%r8, %rax
	shl	$12, %rax
	mov	%rax, step_of_vcpu(,%r12,8)
	jmp	3f
2:	call	*%rbx
	inc	%r9
	add	step_of_vcpu(,%r12,8), %rdi
3:	cmp	%r11, %rdi
	jb	2b
	pop	%rsi
	add	$16, %rsi
	dec	%r10
	jnz	1b
	pop	%rbx
	pop	%rbp
	ret

/* For walk: the page at rdi becomes one of generation rbp. */
	.globl	write_page
write_page:
	lea	(%rdi, %rbp), %rax
	imul	%r15, %rax
	mov	%rbp, (%rdi)
	mov	%rax, 8(%rdi)
	not	%rax
	mov	%rax, 4088(%rdi)
	ret

/* For walk: the page at rdi is of generation rbp, or the machine ends with status 1. */
	.globl	check_page
check_page:
	cmp	%rbp, (%rdi)
	jne	bad_page
	lea	(%rdi, %rbp), %rax
	imul	%r15, %rax
	cmp	%rax, 8(%rdi)
	jne	bad_page
	not	%rax
	cmp	%rax, 4088(%rdi)
	jne	bad_page
	ret

/* For walk: check that the page at rdi is of the generation before rbp; then write it. */
	.globl	advance_page
advance_page:
	dec	%rbp
	call	check_page
	inc	%rbp
	jmp	write_page

/* For walk: the page at rdi is of zeros. */
	.globl	check_zero_page
check_zero_page:
	mov	(%rdi), %rax
	or	8(%rdi), %rax
	or	4088(%rdi), %rax
	jnz	bad_page
	ret

bad_page:
	push	%rdi
	push	(%rdi)
	mov	%rdi, %rax
	SAY_NUMBER "BAD page at ", ""
	pop	%rax
	SAY_NUMBER "BAD page has generation ", ""
	mov	%rbp, %rax
	SAY_NUMBER "BAD page should have generation ", ""
	mov	$1, %al
	jmp	leave

	.data
	.balign	8
step_of_vcpu:
	.fill	64, 8, 0
