/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Q35 card without the PCI function round it: what q35_hw.h describes, in plain C and
 * pthreads.
 *
 * Threads. The host calls q35_asic_read() and q35_asic_write() from wherever it likes;
 * neither waits for work in progress. Descriptors are executed by the card's own workers,
 * in parts: a part is a piece of one descriptor that takes about a millisecond at most.
 * Between parts a worker takes up whatever has the highest priority, and that is also
 * where resets, faults and pauses take hold. Every translation of a device virtual
 * address is made and dropped within one part, so an invalidation waits for no more than
 * the parts in flight.
 *
 * Locks. Q35Asic.lock guards everything here but what a worker owns while it is inside a
 * queue (Q35Queue.workers). It is not held across an access to guest memory or a product.
 *
 * Trust. Registers, descriptors, page tables and operands are the guest's, and may change
 * at any moment: whatever steers the model is copied once and checked after copying.
 */
#ifndef Q35_ASIC_H
#define Q35_ASIC_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "q35_hw.h"
#include "timing.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the card's structures are used in place: little-endian hosts only"
#endif

#define Q35_QUEUES_MAX 64
#define Q35_VMS 64
#define Q35_THREADS_MAX 64
#define Q35_RING_ORDER_MAX 16
#define Q35_QUEUE_OFFSET 0x1000
#define Q35_QUEUE_STRIDE 0x80
#define Q35_VM_OFFSET 0x4000
#define Q35_VM_STRIDE 0x10
#define Q35_DOORBELL_OFFSET 0x40000
#define Q35_DOORBELL_STRIDE 0x1000
#define Q35_REGS_SIZE 0x80000

#define Q35_CARD_REGS (0xa0 / 4)
#define Q35_QUEUE_REGS (Q35_QREG_COUNTERS / 4)
#define Q35_COUNTERS (Q35_COUNTERS_SIZE / 8)

/*
 * What the card needs from whatever it is plugged into. Called from several threads at
 * once; raise_vector() and now_ns() also with the card's lock held, so they must not call
 * back.
 */
typedef struct Q35Host {
    void *opaque;
    /*
     * System memory at a DMA address: a pointer to up to *len bytes, *len made smaller
     * where they do not go on, or NULL if no memory answers. unmap() gets back what map()
     * gave; if write, all of it may have been written to.
     */
    void *(*map)(void *opaque, uint64_t address, uint64_t *len, bool write);
    void (*unmap)(void *opaque, void *p, uint64_t len, bool write);
    /* The card has written to its device memory. */
    void (*memory_written)(void *opaque, uint64_t offset, uint64_t len);
    void (*raise_vector)(void *opaque, unsigned vector);
    uint64_t (*now_ns)(void *opaque);
    /*
     * Run in each of the card's threads, first and last; NULL if there is nothing to do.
     */
    void (*thread_enter)(void *opaque);
    void (*thread_leave)(void *opaque);
    /*
     * map() may depend on the very thread that waits for it to return, in q35_asic_pause(),
     * q35_asic_reset() or q35_asic_destroy(). After q35_asic_call_on() this is called there,
     * if anybody waits, without the card's lock. NULL if map() depends on nobody.
     */
    void (*attend)(void *opaque);
} Q35Host;

typedef struct Q35Config {
    uint8_t *memory; /* device memory, page-aligned; the host's */
    uint64_t memory_size; /* a power of two from 1 MiB up */
    uint32_t queues; /* 1 … Q35_QUEUES_MAX */
    uint32_t threads; /* 1 … Q35_THREADS_MAX */
    struct q35_timing timing;
    bool pace; /* jobs complete no sooner than the time model says */
    uint32_t defects; /* to begin with: enum q35_defect */
} Q35Config;

/* README.md says what each of them does. */
enum q35_defect {
    Q35_DEFECT_HANG_FILL = 1u << 0,
    Q35_DEFECT_HANG = 1u << 1, /* once */
    Q35_DEFECT_MMU_FAULT = 1u << 2, /* once */
    Q35_DEFECT_SLOW = 1u << 3,
    Q35_DEFECT_LOST_IRQ = 1u << 4,
    Q35_DEFECT_DUPLICATE_IRQ = 1u << 5,
    Q35_DEFECT_SPURIOUS_IRQ = 1u << 6,
    Q35_DEFECT_SEQNO_AHEAD = 1u << 7,
    Q35_DEFECT_SEQNO_BACKWARD = 1u << 8,
    Q35_DEFECT_BIT_FLIPS = 1u << 9,
    Q35_DEFECT_BAD_CAPS = 1u << 10,
    Q35_DEFECT_ZERO_CAPS = 1u << 11,
    Q35_DEFECT_RESET_FAILS = 1u << 12,
    Q35_DEFECT_CARD_RESET_FAILS = 1u << 13,
    Q35_DEFECT_DEAD = 1u << 14,
    Q35_DEFECT_LINK_DOWN = 1u << 15, /* configuration space is the host's part of it */
    Q35_DEFECT_REMOVED = 1u << 16, /* the host's alone */
};

/* The card answers nobody and does nothing. */
#define Q35_DEFECTS_GONE (Q35_DEFECT_DEAD | Q35_DEFECT_LINK_DOWN)

#define Q35_HANG_VALUE 0xdeadbeef /* of the FILL that HANG_FILL makes hang */
#define Q35_DEFECT_VA 0xdead000 /* that MMU_FAULT reports */
#define Q35_SLOW_NS 100000000ull /* what SLOW adds to every job */
#define Q35_DEFECTS_TEXT 256 /* all names, with room to spare */

/* In the order of Q35_COUNTER_*. */
enum q35_counter {
    Q35_CYCLES,
    Q35_MACS,
    Q35_MEMORY_BYTES,
    Q35_LINK_BYTES,
    Q35_STALLS,
    Q35_JOBS,
};

typedef struct Q35Counters {
    uint64_t value[Q35_COUNTERS];
    uint32_t latch[Q35_COUNTERS]; /* _HI as of the last read of _LO */
} Q35Counters;

typedef struct Q35Fault {
    uint32_t code; /* enum q35_fault */
    uint32_t info;
    uint64_t addr;
} Q35Fault;

/* The descriptor that a queue is executing. */
typedef struct Q35Job {
    struct q35_hw_desc desc; /* checked */
    /*
     * Progress. A job is a number of rounds, a round an optional preparation that one
     * worker makes alone and then parts that several may share. Rounds and parts are
     * begun in order.
     */
    uint32_t round, rounds;
    uint64_t part, parts; /* of this round: next to begin, how many */
    bool active;
    bool prepared; /* this round's preparation is done, scratch holds it */
    bool hung; /* will never complete */
    uint64_t due_ns; /* when it may complete, once its parts are done; else 0 */
    Q35Fault fault; /* the first part's that failed */
    uint64_t fault_part;
    uint64_t memory_bytes, link_bytes;
    uint64_t started_ns;
} Q35Job;

typedef struct Q35Queue {
    uint32_t regs[Q35_QUEUE_REGS]; /* as programmed */
    uint32_t state; /* enum q35_queue_state */
    bool stuck; /* the reset in progress will never be done */
    /* Latched when the queue was enabled. */
    uint32_t vm, priority, ring_order;
    uint64_t ring, writeback;
    uint32_t head, tail;
    Q35Fault fault; /* stops the queue; published once state is FAULTED */
    uint32_t fault_index;
    Q35Job job;
    void *scratch; /* of the kernels: the round's quantized activations */
    size_t scratch_size;
    uint32_t workers; /* inside; the last one to leave does what has come up meanwhile */
    uint64_t served; /* when a worker last took it up, in Q35Asic.sequence */
    uint64_t seqno, busy_ns;
    Q35Counters counters;
} Q35Queue;

typedef struct Q35Vm {
    uint64_t root;
    uint64_t generation; /* tags cached translations; unique over all address spaces */
    uint64_t invalidated; /* Q35Asic.sequence when INVALIDATE was last written */
} Q35Vm;

typedef struct Q35Worker Q35Worker;

typedef struct Q35Asic {
    Q35Host host;
    Q35Config config;
    const struct q35_kernels *kernels; /* of libq35, for all products */

    pthread_mutex_t lock;
    pthread_cond_t work; /* there may be something to do: all workers wait for it */
    pthread_cond_t quiet; /* a worker has left a queue */
    pthread_cond_t coalesce; /* the coalescing deadline has changed */
    bool stop, paused;
    bool called_on; /* whoever waits for workers is to call attend() */
    bool resetting, stuck; /* stuck: and never done with it */
    uint32_t defects; /* enum q35_defect */
    uint32_t regs[Q35_CARD_REGS];
    uint64_t time_base_ns;
    uint32_t time_latch;
    uint64_t faulted;
    Q35Counters counters;
    Q35Vm vm[Q35_VMS];
    Q35Queue queue[Q35_QUEUES_MAX];
    uint64_t sequence; /* counts parts begun and invalidations */
    uint64_t generation; /* newest one given to an address space */
    uint32_t notifications; /* that wait for the completion vector */
    uint64_t coalesce_deadline_ns; /* CLOCK_MONOTONIC; 0: none */
    uint32_t echo; /* vectors that a defect raises at the echo's deadline */
    uint64_t echo_deadline_ns;
    uint64_t paced_ns; /* until when pacing has the array at work */

    Q35Worker *worker[Q35_THREADS_MAX];
    pthread_t coalescer;
} Q35Asic;

/*
 * Brings up a card in reset state. Returns 0 or -errno (EINVAL: $Q35_ISA names no kernels
 * that this processor has, ENOMEM, or what pthread_create() says), with nothing left behind.
 * config and host are copied; device memory stays the caller's.
 */
int q35_asic_init(Q35Asic *asic, const Q35Config *config, const Q35Host *host);

/* Abandons all work, waits for the parts in flight and frees everything. */
void q35_asic_destroy(Q35Asic *asic);

/* Register access; offset is a multiple of 4 and below Q35_REGS_SIZE. */
uint32_t q35_asic_read(Q35Asic *asic, uint32_t offset);
void q35_asic_write(Q35Asic *asic, uint32_t offset, uint32_t value);

/* As Q35_CONTROL_RESET, but returns when the reset is complete. */
void q35_asic_reset(Q35Asic *asic);

/*
 * Returns when no worker touches guest memory any more; none will until
 * q35_asic_resume(). A paused card is all in Q35Asic's fields: copied to another one that
 * is paused, it goes on there, after q35_asic_restored().
 */
void q35_asic_pause(Q35Asic *asic);
void q35_asic_resume(Q35Asic *asic);

/* From map(): see attend(). */
void q35_asic_call_on(Q35Asic *asic);

/*
 * Checks and completes fields that came from outside. Returns false if they cannot be a
 * card's; the card is in reset state then.
 */
bool q35_asic_restored(Q35Asic *asic);

/*
 * Defects, at any time, as enum q35_defect; those that strike once are gone when they
 * have.
 */
void q35_asic_set_defects(Q35Asic *asic, uint32_t defects);
uint32_t q35_asic_defects(Q35Asic *asic);

/* Names joined by '+'. q35_defects_parse() returns false if one is unknown. */
bool q35_defects_parse(const char *list, uint32_t *defects);
void q35_defects_print(uint32_t defects, char text[Q35_DEFECTS_TEXT]);

#endif /* Q35_ASIC_H */
