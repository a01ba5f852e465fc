/* SPDX-License-Identifier: MIT
 *
 * runtime.S - printing, waiting for the other vCPUs, and the end.
 */
#include "payload.inc"

	.text

/* Print the text at rsi. Keeps all but rsi, rax, rdx. */
print:
	mov	$PORT_SERIAL, %dx
1:	lodsb
	test	%al, %al
	jz	2f
	out	%al, %dx
	jmp	1b
2:	ret

/* Print rax in decimal. */
print_number:
	mov	%rsp, %rdi
	sub	$32, %rsp
	dec	%rdi
	movb	$0, (%rdi)
	mov	$10, %ecx
1:	xor	%edx, %edx
	div	%rcx
	add	$'0', %dl
	dec	%rdi
	mov	%dl, (%rdi)
	test	%rax, %rax
	jnz	1b
	mov	%rdi, %rsi
	call	print
	add	$32, %rsp
	ret

begin_line:
	mov	$1, %eax
1:	xchg	%eax, line(%rip)
	test	%eax, %eax
	jz	2f
	pause
	jmp	1b
2:	lea	payload_name(%rip), %rsi
	call	print
	lea	vcpu(%rip), %rsi
	call	print
	mov	%r12, %rax
	call	print_number
	lea	space(%rip), %rsi
	jmp	print

end_line:
	lea	newline(%rip), %rsi
	call	print
	movl	$0, line(%rip)
	ret

/* A line with the text at rsi. Keeps rbx, rbp, r8 to r15. */
	.globl	say
say:
	push	%rsi
	call	begin_line
	pop	%rsi
	call	print
	jmp	end_line

/* A line with the text at rsi, the number in rax, and the text at rdi. Keeps likewise. */
	.globl	say_number
say_number:
	push	%rdi
	push	%rax
	push	%rsi
	call	begin_line
	pop	%rsi
	call	print
	pop	%rax
	call	print_number
	pop	%rsi
	call	print
	jmp	end_line

/* Wait until all vCPUs have come here. Keeps rbx, rbp, r8 to r15. */
	.globl	wait_for_all
wait_for_all:
	mov	waited(%rip), %rcx
	mov	$1, %eax
	lock xadd %rax, arrived(%rip)
	inc	%rax
	cmp	%r13, %rax
	je	2f
1:	pause
	cmp	%rcx, waited(%rip)
	je	1b
	ret
2:	movq	$0, arrived(%rip)
	lock incq waited(%rip)
	ret

/* The machine ends with status al, and this does not return. */
	.globl	leave
leave:
	mov	$PORT_EXIT, %dx
	out	%al, %dx
1:	hlt
	jmp	1b

	.data
	.balign	8
arrived:
	.quad	0
waited:
	.quad	0
line:
	.long	0

	.section .rodata
vcpu:
	.asciz	": vcpu "
space:
	.asciz	" "
newline:
	.asciz	"\n"
