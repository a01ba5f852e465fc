/* SPDX-License-Identifier: MIT
 *
 * idle.S - say that it is there, and halt.
 */
#include "payload.inc"

BEGIN
	SAY "idles"
1:	hlt
	jmp	1b

	.section .rodata
	.globl	payload_name
payload_name:
	.asciz	"idle"
