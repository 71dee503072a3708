/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Defects: what a broken card does, on demand, for software to be tested against. They
 * change what software sees and never what the card relies on: whatever is set, the
 * model stays safe, and a reset by the host (power, function level, removal) works.
 */
#include <stdio.h>
#include <string.h>

#include "engine.h"

static const struct {
    const char *name;
    enum q35_defect defect;
} defects[] = {
    { "hang-fill", Q35_DEFECT_HANG_FILL },
    { "hang", Q35_DEFECT_HANG },
    { "mmu-fault", Q35_DEFECT_MMU_FAULT },
    { "slow", Q35_DEFECT_SLOW },
    { "lost-irq", Q35_DEFECT_LOST_IRQ },
    { "duplicate-irq", Q35_DEFECT_DUPLICATE_IRQ },
    { "spurious-irq", Q35_DEFECT_SPURIOUS_IRQ },
    { "seqno-ahead", Q35_DEFECT_SEQNO_AHEAD },
    { "seqno-backward", Q35_DEFECT_SEQNO_BACKWARD },
    { "bit-flips", Q35_DEFECT_BIT_FLIPS },
    { "bad-caps", Q35_DEFECT_BAD_CAPS },
    { "zero-caps", Q35_DEFECT_ZERO_CAPS },
    { "reset-fails", Q35_DEFECT_RESET_FAILS },
    { "card-reset-fails", Q35_DEFECT_CARD_RESET_FAILS },
    { "dead", Q35_DEFECT_DEAD },
    { "link-down", Q35_DEFECT_LINK_DOWN },
    { "removed", Q35_DEFECT_REMOVED },
};

#define DEFECTS (sizeof(defects) / sizeof(defects[0]))

bool q35_defects_parse(const char *list, uint32_t *set)
{
    size_t len, i;

    for (*set = 0; *list; list += len + (list[len] == '+')) {
        len = strcspn(list, "+");
        for (i = 0; i < DEFECTS && (strlen(defects[i].name) != len ||
                                    memcmp(defects[i].name, list, len));
             i++) {
        }
        if (i == DEFECTS) {
            return false;
        }
        *set |= defects[i].defect;
    }
    return true;
}

void q35_defects_print(uint32_t set, char text[Q35_DEFECTS_TEXT])
{
    size_t used = 0, i;

    *text = 0;
    for (i = 0; i < DEFECTS; i++) {
        if (set & defects[i].defect) {
            used += snprintf(text + used, Q35_DEFECTS_TEXT - used, "%s%s",
                             used ? "+" : "", defects[i].name);
        }
    }
}

void q35_asic_set_defects(Q35Asic *asic, uint32_t set)
{
    pthread_mutex_lock(&asic->lock);
    asic->defects = set;
    pthread_cond_broadcast(&asic->work);
    pthread_cond_broadcast(&asic->coalesce);
    pthread_mutex_unlock(&asic->lock);
}

uint32_t q35_asic_defects(Q35Asic *asic)
{
    uint32_t set;

    pthread_mutex_lock(&asic->lock);
    set = asic->defects;
    pthread_mutex_unlock(&asic->lock);
    return set;
}

/* Of the defects that strike once. */
static bool take(Q35Asic *asic, enum q35_defect defect)
{
    bool set = asic->defects & defect;

    asic->defects &= ~(uint32_t)defect;
    return set;
}

void q35_defects_job(Q35Asic *asic, Q35Job *job)
{
    const struct q35_hw_desc *desc = &job->desc;

    if (take(asic, Q35_DEFECT_MMU_FAULT)) {
        job->fault = (Q35Fault){ Q35_FAULT_UNMAPPED, Q35_FAULT_WRITE, Q35_DEFECT_VA };
    } else {
        job->hung = take(asic, Q35_DEFECT_HANG) ||
                    ((asic->defects & Q35_DEFECT_HANG_FILL) && desc->op == Q35_OP_FILL &&
                     desc->fill.value == Q35_HANG_VALUE);
    }
}

void q35_defects_writeback(const Q35Asic *asic, const Q35Queue *queue,
                           struct q35_hw_writeback *block)
{
    uint64_t jobs = queue->counters.value[Q35_JOBS];
    /* Comes past every bit of the fields, for it is prime to their number. */
    uint32_t bit = jobs * 89 % (8 * offsetof(struct q35_hw_writeback, reserved));

    if (asic->defects & Q35_DEFECT_SEQNO_AHEAD) {
        block->seqno += 1000;
    }
    if ((asic->defects & Q35_DEFECT_SEQNO_BACKWARD) && jobs % 2 == 0) {
        block->seqno -= block->seqno < 3 ? block->seqno : 3;
    }
    if (asic->defects & Q35_DEFECT_BIT_FLIPS) {
        ((uint8_t *)block)[bit / 8] ^= 1u << bit % 8;
    }
}

uint32_t q35_defects_read(const Q35Asic *asic, uint32_t offset, uint32_t value)
{
    bool capability = offset >= Q35_REG_FEATURES && offset < Q35_REG_CONTROL;

    if ((asic->defects & Q35_DEFECTS_GONE) ||
        (capability && (asic->defects & Q35_DEFECT_BAD_CAPS))) {
        return UINT32_MAX;
    }
    return capability && (asic->defects & Q35_DEFECT_ZERO_CAPS) ? 0 : value;
}
