/* SPDX-License-Identifier: MIT
 *
 * boot.c - a payload in fresh guest memory, and vCPUs that are about to run it:
 * straight in 64-bit mode, with page tables and segments that are made here
 * (boot_layout.h). All of it is written with the library's calls, which fault
 * the pages in like the guest's own accesses.
 */
#include "boot_layout.h"
#include "elf_payload.h"
#include "fault.h"
#include "machine_parts.h"

#include <inttypes.h>

#define PAGE UINT64_C(4096)
#define HUGE_PAGE (UINT64_C(2) << 20)
#define GIB (UINT64_C(1) << 30)
#define ENTRIES 512

#define ENTRY_PRESENT_WRITABLE 3u
#define ENTRY_HUGE 0x80u

#define CR0_LONG_MODE 0x80050033u /* PG, AM, WP, NE, ET, MP, PE */
#define CR4_LONG_MODE 0x620u      /* PAE, OSFXSR, OSXMMEXCPT */
#define EFER_LONG_MODE 0x500u     /* LME, LMA */
#define CODE_SELECTOR 0x08
#define DATA_SELECTOR 0x10

static int write_guest(struct machine *machine, uint64_t address, const void *bytes, size_t length)
{
	if (lazymem_memory_write(machine->memory->memory, (lazymem_guest_address){address}, bytes,
				 length) != 0)
		return fault_of_library(NULL);
	return 0;
}

static int write_word(struct machine *machine, uint64_t address, uint64_t value)
{
	return write_guest(machine, address, &value, sizeof(value));
}

/* ---- tables -------------------------------------------------------------------- */

static uint64_t memory_end(const struct machine *machine)
{
	const struct guest_memory_shape *shape = &machine->shape.memory;
	const struct guest_region_shape *last = &shape->regions[shape->region_count - 1];

	return last->base + last->length;
}

static int write_page_tables(struct machine *machine)
{
	const uint64_t gibs = (memory_end(machine) + GIB - 1) / GIB;
	const uint64_t directories = BOOT_PAGES + PAGE;
	const uint64_t first_table = directories + PAGE;

	if (write_word(machine, BOOT_PAGES, directories | ENTRY_PRESENT_WRITABLE) != 0)
		return -1;
	for (uint64_t gib = 0; gib < gibs; gib++) {
		const uint64_t table = first_table + gib * PAGE;
		uint64_t entries[ENTRIES];

		for (uint64_t i = 0; i < ENTRIES; i++)
			entries[i] =
				(gib * GIB + i * HUGE_PAGE) | ENTRY_HUGE | ENTRY_PRESENT_WRITABLE;
		if (write_word(machine, directories + gib * 8, table | ENTRY_PRESENT_WRITABLE) !=
			    0 ||
		    write_guest(machine, table, entries, sizeof(entries)) != 0)
			return -1;
	}
	return 0;
}

static int write_segments(struct machine *machine)
{
	static const uint64_t descriptors[] = {
		0, UINT64_C(0x00af9b000000ffff), /* 64-bit code */
		UINT64_C(0x00cf93000000ffff),    /* data */
	};

	return write_guest(machine, BOOT_SEGMENTS, descriptors, sizeof(descriptors));
}

/* ---- what the payload is told ---------------------------------------------------- */

/* The pages of the trace that are memory, as a list of addresses behind the payload; the
 * address behind them. */
static int write_trace(struct machine *machine, const struct lazymem_trace *trace, uint64_t start,
		       uint64_t *ret_end)
{
	const size_t count = trace != NULL ? lazymem_trace_count(trace) : 0;
	uint64_t end = start;

	for (size_t i = 0; i < count; i++) {
		const struct lazymem_guest_range range = lazymem_trace_range(trace, i);

		for (uint64_t done = 0; done < range.length; done += PAGE) {
			const lazymem_guest_address page = {range.start.value + done};
			struct lazymem_region *region;
			uint64_t offset;

			if (lazymem_memory_find(machine->memory->memory, page, &region, &offset) !=
			    0)
				continue;
			if (write_word(machine, end, page.value) != 0)
				return fault("no room for the trace: %s", fault_message());
			end += 8;
		}
	}
	*ret_end = end;
	return 0;
}

static int write_boot_block(struct machine *machine, const struct machine_payload *payload,
			    uint64_t payload_end)
{
	const struct guest_memory_shape *shape = &machine->shape.memory;
	const uint64_t trace = (payload_end + PAGE - 1) / PAGE * PAGE;
	uint64_t block[PAGE / 8] = {0};
	uint64_t end = trace;

	if (write_trace(machine, payload->trace, trace, &end) != 0)
		return -1;
	block[BOOT_REGION_COUNT / 8] = shape->region_count;
	block[BOOT_FREE / 8] = (end + PAGE - 1) / PAGE * PAGE;
	block[BOOT_TRACE / 8] = trace;
	block[BOOT_TRACE_COUNT / 8] = (end - trace) / 8;
	for (size_t i = 0; i < payload->argument_count && i < BOOT_ARGUMENTS_MAX; i++)
		block[BOOT_ARGUMENTS / 8 + i] = payload->arguments[i];
	for (size_t i = 0; i < shape->region_count; i++) {
		block[BOOT_REGIONS / 8 + 2 * i] = shape->regions[i].base;
		block[BOOT_REGIONS / 8 + 2 * i + 1] = shape->regions[i].length;
	}
	return write_guest(machine, BOOT_BLOCK, block, sizeof(block));
}

static int load_segments(struct machine *machine, const struct elf_payload *elf)
{
	for (size_t i = 0; i < elf->segment_count; i++) {
		const struct elf_payload_segment *segment = &elf->segments[i];
		struct lazymem_region *region;
		uint64_t offset;

		if (lazymem_memory_find(machine->memory->memory,
					(lazymem_guest_address){segment->address}, &region,
					&offset) != 0 ||
		    segment->length > lazymem_region_length(region) - offset)
			return fault("segment %zu [0x%" PRIx64 "+0x%" PRIx64
				     "] does not lie in the memory of the guest",
				     i, segment->address, segment->length);
		if (write_guest(machine, segment->address, segment->bytes, segment->stored) != 0)
			return -1;
	}
	return 0;
}

static int load_payload(struct machine *machine, const struct machine_payload *payload,
			uint64_t *ret_entry)
{
	struct elf_payload elf;

	if (elf_payload_parse(payload->elf, payload->elf_length, &elf) != 0 ||
	    load_segments(machine, &elf) != 0)
		return fault("%s: %s", payload->name, fault_message());
	*ret_entry = elf.entry;
	return write_boot_block(machine, payload, elf.end);
}

/* ---- vCPUs ------------------------------------------------------------------------ */

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.l = selector == CODE_SELECTOR,
		.db = selector != CODE_SELECTOR,
		.g = 1,
	};
}

static int set_long_mode(const struct vcpu *vcpu)
{
	struct kvm_sregs registers;

	if (kvm_call(vcpu->fd, KVM_GET_SREGS, &registers) < 0)
		return -1;
	registers.cs = flat_segment(CODE_SELECTOR, 11);
	registers.ds = flat_segment(DATA_SELECTOR, 3);
	registers.es = registers.ds;
	registers.fs = registers.ds;
	registers.gs = registers.ds;
	registers.ss = registers.ds;
	registers.gdt = (struct kvm_dtable){.base = BOOT_SEGMENTS, .limit = 3 * 8 - 1};
	registers.idt = (struct kvm_dtable){.base = 0, .limit = 0};
	registers.cr3 = BOOT_PAGES;
	registers.cr4 = CR4_LONG_MODE;
	registers.cr0 = CR0_LONG_MODE;
	registers.efer = EFER_LONG_MODE;
	return kvm_call(vcpu->fd, KVM_SET_SREGS, &registers) < 0 ? -1 : 0;
}

static int set_entry(struct vcpu *vcpu, uint64_t entry)
{
	const struct kvm_regs registers = {
		.rip = entry,
		.rflags = 2, /* the bit that is always there */
		.rsp = BOOT_STACKS + (vcpu->index + 1) * PAGE,
		.rdi = vcpu->index,
		.rsi = vcpu->machine->shape.vcpu_count,
		.rdx = BOOT_BLOCK,
	};

	if (vcpu_reset(vcpu) != 0 || set_long_mode(vcpu) != 0)
		return -1;
	return kvm_call(vcpu->fd, KVM_SET_REGS, &registers) < 0 ? -1 : 0;
}

int machine_boot(struct machine *machine, const struct machine_payload *payload)
{
	uint64_t entry;

	if (machine_give_memory(machine) != 0 || write_page_tables(machine) != 0 ||
	    write_segments(machine) != 0 || load_payload(machine, payload, &entry) != 0)
		return -1;
	for (unsigned i = 0; i < machine->shape.vcpu_count; i++) {
		if (set_entry(&machine->vcpus[i], entry) != 0)
			return -1;
	}
	return 0;
}
