/* SPDX-License-Identifier: MIT
 *
 * idle.S - halt, and be woken by the timer of each vCPU's interrupt controller ten times a second.
 *
 *   argument 0  ticks, before the machine ends with status 0; 0: for ever
 *
 * The interrupt never returns to where it came from, which was the halt: a machine that
 * emulates instructions may lack the one that does.
 */
#include "payload.inc"

#define CONTROLLER 0xfee00000
#define CONTROLLER_END_OF_INTERRUPT 0xb0
#define CONTROLLER_ENABLE 0xf0
#define CONTROLLER_TIMER 0x320
#define CONTROLLER_TIMER_START 0x380
#define CONTROLLER_TIMER_DIVISOR 0x3e0

#define VECTOR 0x40
#define ENABLED 0x1ff
#define PERIODIC (1 << 17)
#define DIVISOR_ONE 0xb
#define TENTH_OF_A_SECOND 100000000 /* at 1 GHz */

#define GATE_LENGTH 16
#define INTERRUPT_GATE 0x8e00
#define CODE_SELECTOR 0x08
#define INTERRUPT_FRAME 40

BEGIN
	xor	%ebp, %ebp
	test	%r12, %r12
	jnz	1f
	lea	tick(%rip), %rax
	lea	gates + VECTOR * GATE_LENGTH(%rip), %rdi
	mov	%ax, (%rdi)
	movw	$CODE_SELECTOR, 2(%rdi)
	movw	$INTERRUPT_GATE, 4(%rdi)
	shr	$16, %rax
	mov	%ax, 6(%rdi)
1:	call	wait_for_all
	lidt	table(%rip)
	mov	$CONTROLLER, %ebx
	movl	$ENABLED, CONTROLLER_ENABLE(%rbx)
	movl	$DIVISOR_ONE, CONTROLLER_TIMER_DIVISOR(%rbx)
	movl	$(VECTOR | PERIODIC), CONTROLLER_TIMER(%rbx)
	movl	$TENTH_OF_A_SECOND, CONTROLLER_TIMER_START(%rbx)
	SAY "idles"
2:	sti
3:	hlt
	jmp	3b

tick:
	add	$INTERRUPT_FRAME, %rsp
	movl	$0, CONTROLLER_END_OF_INTERRUPT(%rbx)
	inc	%rbp
	mov	%rbp, %rax
	SAY_NUMBER "tick ", ""
	cmp	ARGUMENT(0), %rbp
	jne	2b
	call	wait_for_all
	xor	%eax, %eax
	jmp	leave

	.data
	.balign	8
table:
	.word	(VECTOR + 1) * GATE_LENGTH - 1
	.quad	gates
	.balign	16
gates:
	.space	(VECTOR + 1) * GATE_LENGTH

	.section .rodata
	.globl	payload_name
payload_name:
	.asciz	"idle"
