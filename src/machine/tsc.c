/* SPDX-License-Identifier: Apache-2.0
 *
 * tsc.c - the frequency of the processor's time stamp counter
 *
 * Theory of operation
 *   CPUID leaf 0x15 gives the exact ratio to the crystal, where a processor fills it in wholly. Many do not, hypervisors scale the counter
 *   without changing the leaf, and leaf 0x16 is a marketing figure that can be off by half a percent: so a leaf counts only when a measurement
 *   agrees with it, and without one the measurement is the answer: the counter against CLOCK_MONOTONIC_RAW over a few milliseconds. What
 *   disturbs such a sample is being interrupted between reading the clock and reading the counter; each reading is therefore the best of
 *   several, by the time it took, and the answer is the median of the samples.
 */
#include "machine/tsc.h"

#if defined(__x86_64__)

#include "base/size.h"

#include <cpuid.h>
#include <stdlib.h>
#include <time.h>
#include <x86intrin.h>

/* No processor with an invariant counter was made outside of these. */
#define TSC_KHZ_MIN UINT64_C(200000)
#define TSC_KHZ_MAX UINT64_C(20000000)

/* A reading is exact to some 30 ns: over 1 ms, that is 30 parts in a million. */
#define TSC_SAMPLE_NS UINT64_C(1000000)
#define TSC_SAMPLES 5
#define TSC_READINGS 8

/* How far, in parts of the value, CPUID may be from the measurement: 1/500 covers spread spectrum and the sample's error, and is less than
 * the distance of a scaled counter. */
#define TSC_AGREEMENT 500

typedef struct instant {
    uint64_t ns;
    uint64_t ticks;
} instant;

static uint64_t raw_ns(void) {
    struct timespec now;
    (void) clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (uint64_t) now.tv_sec * 1000000000u + (uint64_t) now.tv_nsec;
}

static instant read_instant(void) {
    instant best = {0};
    uint64_t best_width = UINT64_MAX;
    for (unsigned i = 0; i < TSC_READINGS; i++) {
        uint64_t before = __rdtsc();
        uint64_t ns = raw_ns();
        uint64_t width = __rdtsc() - before;
        if (width < best_width) {
            best_width = width;
            best = (instant){ns, before + width / 2};
        }
    }
    return best;
}

static int compare_u64(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *) a, right = *(const uint64_t *) b;
    return left < right ? -1 : left > right;
}

static uint64_t measured_khz(void) {
    uint64_t samples[TSC_SAMPLES];
    for (unsigned i = 0; i < TSC_SAMPLES; i++) {
        instant from = read_instant();
        while (raw_ns() - from.ns < TSC_SAMPLE_NS)
            _mm_pause();
        instant to = read_instant();
        if (to.ns <= from.ns || to.ticks <= from.ticks)
            return 0;
        samples[i] = (uint64_t) ((__uint128_t) (to.ticks - from.ticks) * 1000000u / (to.ns - from.ns));
    }
    qsort(samples, ARRAY_LENGTH(samples), sizeof(samples[0]), compare_u64);
    return samples[TSC_SAMPLES / 2];
}

/* Intel SDM volume 2, CPUID leaf 0x15: TSC = crystal (ECX, in Hz) * EBX / EAX. 0 unless all three are there. */
static uint64_t enumerated_khz(void) {
    unsigned denominator, numerator, crystal_hz, reserved;
    if (!__get_cpuid_count(0x15, 0, &denominator, &numerator, &crystal_hz, &reserved) || !denominator || !numerator || !crystal_hz)
        return 0;
    return (uint64_t) crystal_hz * numerator / denominator / 1000;
}

uint64_t tsc_host_khz(void) {
    uint64_t measured = measured_khz();
    if (measured < TSC_KHZ_MIN || measured > TSC_KHZ_MAX)
        return 0;
    uint64_t enumerated = enumerated_khz();
    uint64_t apart = enumerated > measured ? enumerated - measured : measured - enumerated;
    return apart <= measured / TSC_AGREEMENT ? enumerated : measured;
}

#else

uint64_t tsc_host_khz(void) {
    return 0;
}

#endif
