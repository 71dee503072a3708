/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target of the Q35 card: what a guest can do to it through configuration space, its BARs
 * and the memory that it masters. An input is a list of actions, a byte each and its arguments.
 * The card starts with queues that run and tables that map, and descriptors are valid ones that
 * the input changes, so that it gets beyond the first check. After each input the machine is
 * reset, and the card must be as new. What its threads do meanwhile is no part of the input:
 * a run is not quite repeatable.
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "hw/pci/pci_regs.h"
#include "fuzz.h"

#include "asic.h"

#define FUNCTION (4u << 3) /* slot 4 of bus 0 */
#define REGS 0xe0000000u /* BAR0 */
#define MSIX 0xe0100000u /* BAR4 */
#define MEMORY 0xe4000000u /* BAR2 */
#define MEMORY_SIZE (4 * MiB)
#define QUEUES 3

/* System memory: a page each, then what descriptors may use. */
#define RAM 0x400000u
#define RING(q) (RAM + 0x1000 * (q))
#define WRITEBACK(q) (RAM + 0x3000 + 64 * (q))
#define ROOT (RAM + 0x4000)
#define DIRECTORY (RAM + 0x5000)
#define TABLE (RAM + 0x6000)
#define RAM_SIZE (2 * MiB)
#define RAM_END (64 * MiB)
#define TABLE_USED 64 /* entries */
#define MESSAGE 0x300000u /* of interrupts */
#define RING_ORDER 5 /* a page */

/* Device virtual addresses: all of either memory by large pages, and then pages of both in turn. */
#define VA_MEMORY 0
#define VA_RAM MEMORY_SIZE
#define VA_PAGES (MEMORY_SIZE + RAM_SIZE)
#define VA_END (VA_PAGES + RAM_SIZE)

typedef struct Input {
    const unsigned char *data;
    size_t size;
} Input;

static uint32_t tail[QUEUES];

/* The next bytes, zeros after the last one. */
static uint64_t take(Input *in, size_t bytes)
{
    uint64_t value = 0;
    size_t there = MIN(bytes, in->size);

    memcpy(&value, in->data, there);
    in->data += there;
    in->size -= there;
    return value;
}

/* ---- The machine ---- */

static void config_write(QTestState *s, uint32_t offset, uint32_t value)
{
    qtest_outl(s, 0xcf8, 0x80000000 | FUNCTION << 8 | (offset & 0xfc));
    qtest_outl(s, 0xcfc, value);
}

static uint32_t config_read(QTestState *s, uint32_t offset)
{
    qtest_outl(s, 0xcf8, 0x80000000 | FUNCTION << 8 | (offset & 0xfc));
    return qtest_inl(s, 0xcfc);
}

static void reg_write(QTestState *s, uint32_t offset, uint32_t value)
{
    qtest_writel(s, REGS + offset, value);
}

static uint32_t reg_read(QTestState *s, uint32_t offset)
{
    return qtest_readl(s, REGS + offset);
}

static uint32_t queue_reg(uint32_t q, uint32_t reg)
{
    return Q35_QUEUE_OFFSET + q * Q35_QUEUE_STRIDE + reg;
}

static void place_bars(QTestState *s)
{
    const uint32_t bars[] = { REGS, 0, MEMORY, 0, MSIX, 0 };
    uint32_t i;

    for (i = 0; i < ARRAY_SIZE(bars); i++) {
        config_write(s, PCI_BASE_ADDRESS_0 + 4 * i, bars[i]);
    }
    config_write(s, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static void enable_interrupts(QTestState *s)
{
    uint32_t at = config_read(s, PCI_CAPABILITY_LIST) & 0xfc, v;

    while (at && (config_read(s, at) & 0xff) != PCI_CAP_ID_MSIX) {
        at = config_read(s, at) >> 8 & 0xfc;
    }
    config_write(s, at, config_read(s, at) | (uint32_t)PCI_MSIX_FLAGS_ENABLE << 16);
    for (v = 0; v < Q35_VECTORS; v++) {
        qtest_writeq(s, MSIX + 16 * v, MESSAGE + 4 * v);
        qtest_writeq(s, MSIX + 16 * v + 8, v + 1);
    }
}

static void build_tables(QTestState *s)
{
    const uint64_t leaf = Q35_PTE_VALID | Q35_PTE_WRITABLE | Q35_PTE_LEAF;
    uint32_t i;

    qtest_memset(s, RAM, 0, TABLE + 0x1000 - RAM);
    qtest_writeq(s, ROOT, DIRECTORY | Q35_PTE_VALID);
    for (i = 0; i < MEMORY_SIZE / RAM_SIZE; i++) {
        qtest_writeq(s, DIRECTORY + 8 * i, (i * RAM_SIZE) | leaf | Q35_PTE_LOCAL);
    }
    qtest_writeq(s, DIRECTORY + 8 * i, RAM | leaf);
    qtest_writeq(s, DIRECTORY + 8 * (i + 1), TABLE | Q35_PTE_VALID);
    for (i = 0; i < TABLE_USED; i++) {
        qtest_writeq(s, TABLE + 8 * i,
                     i % 2 ? (i * 0x2000) | leaf | Q35_PTE_LOCAL
                           : (RAM + 0x10000 + i * 0x2000) | leaf);
    }
}

static void start_queue(QTestState *s, uint32_t q)
{
    reg_write(s, queue_reg(q, Q35_QREG_CONTROL), Q35_QCONTROL_RESET);
    reg_write(s, queue_reg(q, Q35_QREG_RING_LO), RING(q));
    reg_write(s, queue_reg(q, Q35_QREG_RING_ORDER), RING_ORDER);
    reg_write(s, queue_reg(q, Q35_QREG_WRITEBACK_LO), WRITEBACK(q));
    reg_write(s, queue_reg(q, Q35_QREG_CONTROL), Q35_QCONTROL_ENABLE);
    tail[q] = 0;
}

/* ---- What the guest does ---- */

static void make_gemm(struct q35_hw_gemm *g, Input *in)
{
    static const uint32_t spots[] = { VA_MEMORY, VA_RAM + 0x10000, VA_PAGES };

    g->x_va = spots[take(in, 1) % ARRAY_SIZE(spots)];
    g->tiles_va = VA_MEMORY + 0x100000;
    g->meta_va = VA_RAM + 0x40000;
    g->codebook_va = VA_MEMORY + 0x200000;
    g->y_va = spots[take(in, 1) % ARRAY_SIZE(spots)] + 0x8000;
    g->m = 1 + take(in, 1) % 40;
    g->n = 1 + take(in, 2) % 300;
    g->k = 1 + take(in, 2) % 600;
    g->x_stride = 4 * g->k;
    g->y_stride = 4 * g->n;
    g->window_bits = 8;
}

static void make_descriptor(struct q35_hw_desc *d, Input *in)
{
    d->op = take(in, 1) % 7;
    d->flags = Q35_DESC_NOTIFY | Q35_DESC_IRQ;
    switch (d->op) {
    case Q35_OP_GEMM:
        make_gemm(&d->gemm, in);
        break;
    case Q35_OP_COPY:
        d->copy.src_va = take(in, 3) % VA_END;
        d->copy.dst_va = take(in, 3) % VA_END;
        d->copy.size = 1 + take(in, 3) % MiB;
        break;
    case Q35_OP_FILL:
        d->fill.dst_va = take(in, 3) % VA_END & ~3u;
        d->fill.size = 4 + (take(in, 3) % MiB & ~3u);
        break;
    default:
        d->fence.va = take(in, 3) % VA_END & ~7u;
    }
}

/* A valid descriptor, of which up to three bytes are anything. */
static void submit(QTestState *s, Input *in)
{
    struct q35_hw_desc d = { 0 };
    uint32_t q = take(in, 1) % QUEUES, slot = tail[q] % (1u << RING_ORDER), changes;

    make_descriptor(&d, in);
    for (changes = take(in, 1) % 4; changes; changes--) {
        uint32_t at = take(in, 1) % sizeof(d);

        ((uint8_t *)&d)[at] = take(in, 1);
    }
    qtest_memwrite(s, RING(q) + slot * sizeof(d), &d, sizeof(d));
    reg_write(s, Q35_DOORBELL_OFFSET + q * Q35_DOORBELL_STRIDE, ++tail[q]);
}

/* Until it is idle or has faulted; a long job need not end. */
static void wait_for_queue(QTestState *s, uint32_t q)
{
    uint32_t i;

    for (i = 0; i < 50 && reg_read(s, queue_reg(q, Q35_QREG_STATE)) == Q35_QUEUE_RUNNING; i++) {
        g_usleep(100);
    }
    flush_events(s);
}

/* One that is in use becomes anything, or leads to a memory's end, or back into the tables. */
static void change_entry(QTestState *s, Input *in)
{
    static const struct {
        uint32_t table, used;
    } tables[] = { { ROOT, 2 }, { DIRECTORY, 5 }, { TABLE, TABLE_USED }, { TABLE, TABLE_USED } };
    uint32_t which = take(in, 1) % ARRAY_SIZE(tables);
    uint64_t at = tables[which].table + take(in, 1) % tables[which].used * 8, entry;
    uint32_t flags = Q35_PTE_VALID | (take(in, 1) & 0xf);

    switch (take(in, 1) % 4) {
    case 0:
        entry = take(in, 8);
        break;
    case 1:
        entry = (MEMORY_SIZE - 0x2000 + take(in, 1) % 4 * 0x1000) | flags | Q35_PTE_LOCAL;
        break;
    case 2:
        entry = (RAM_END - 0x2000 + take(in, 1) % 4 * 0x1000) | flags;
        break;
    default:
        entry = (ROOT + take(in, 1) % 3 * 0x1000) | flags;
    }
    qtest_writeq(s, at, entry);
    reg_write(s, Q35_VM_OFFSET + Q35_VREG_INVALIDATE, 1);
}

static void act(QTestState *s, Input *in)
{
    uint32_t where;

    switch (take(in, 1) % 12) {
    case 0: /* a register, as likely as not one of a queue or an address space */
        where = take(in, 2);
        reg_write(s, where % 2 ? where % 0x5000 & ~3u : where % 0x200 & ~3u, take(in, 4));
        break;
    case 1:
        reg_read(s, take(in, 3) % Q35_REGS_SIZE & ~3u);
        break;
    case 2: /* an access of any size anywhere */
        where = take(in, 3) % Q35_REGS_SIZE;
        qtest_writeb(s, REGS + where, 1);
        qtest_writeq(s, REGS + where, take(in, 8));
        qtest_readq(s, REGS + where);
        break;
    case 3:
        change_entry(s, in);
        break;
    case 4: /* whatever the card may be reading */
        qtest_writeq(s, RAM + take(in, 3) % RAM_SIZE, take(in, 8));
        break;
    case 5:
        qtest_writeq(s, MEMORY + take(in, 3) % MEMORY_SIZE, take(in, 8));
        break;
    case 6: /* not the BARs: the rest could not find them */
        where = take(in, 1);
        if (where < PCI_BASE_ADDRESS_0 || where >= PCI_CARDBUS_CIS) {
            config_write(s, where, take(in, 4));
        }
        break;
    case 7:
        qtest_writel(s, MSIX + take(in, 1) % 64 * 4, take(in, 4));
        break;
    case 8:
        start_queue(s, take(in, 1) % QUEUES);
        break;
    case 9:
        wait_for_queue(s, take(in, 1) % QUEUES);
        break;
    default:
        submit(s, in);
    }
}

/* ---- The target ---- */

static void q35_accel_fuzz(QTestState *s, const unsigned char *data, size_t size)
{
    Input in = { data, size };
    uint32_t q;

    place_bars(s);
    g_assert(reg_read(s, Q35_REG_MAGIC) == Q35_MAGIC);
    g_assert(reg_read(s, Q35_REG_STATUS) == Q35_STATUS_READY);
    for (q = 0; q < QUEUES; q++) {
        g_assert(reg_read(s, queue_reg(q, Q35_QREG_STATE)) == Q35_QUEUE_DISABLED);
    }
    enable_interrupts(s);
    build_tables(s);
    reg_write(s, Q35_VM_OFFSET + Q35_VREG_ROOT_LO, ROOT | Q35_PTE_VALID);
    reg_write(s, Q35_REG_CONTROL, Q35_CONTROL_ENABLE);
    for (q = 0; q < QUEUES; q++) {
        start_queue(s, q);
    }
    while (in.size) {
        act(s, &in);
    }
    for (q = 0; q < QUEUES; q++) {
        wait_for_queue(s, q);
    }
    fuzz_reset(s);
}

static GString *q35_accel_arguments(FuzzTarget *t)
{
    return g_string_new("qemu -machine q35,accel=qtest -nodefaults -display none -m 64M "
                        "-device q35-accel,addr=4,vram=4M,queues=3,threads=2");
}

static void q35_accel_register(void)
{
    fuzz_add_target(&(FuzzTarget) {
        .name = "q35-accel",
        .description = "The Q35 accelerator: configuration space, registers and DMA",
        .get_init_cmdline = q35_accel_arguments,
        .fuzz = q35_accel_fuzz,
    });
}

fuzz_target_init(q35_accel_register);
