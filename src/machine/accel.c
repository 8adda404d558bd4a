/* SPDX-License-Identifier: Apache-2.0
 *
 * accel.c - whether machines run on KVM or on QEMU's own translator, and why
 *
 * Theory of operation
 *   That /dev/kvm opens, and even that it makes machines, proves little: inside some clouds' machines it does both on a processor
 *   without virtualisation, and a guest then crawls at a few million instructions a second until an instruction that the kernel cannot
 *   emulate ends it. So KVM counts only when each step of the probe succeeds and, on x86, the processor itself offers vmx or svm.
 */
#include "machine/accel.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#if defined(__x86_64__) || defined(__i386__)

#include <cpuid.h>

/* Intel SDM volume 2, CPUID leaf 1: ECX bit 5 is VMX. AMD APM volume 3, CPUID function 8000_0001h: ECX bit 2 is SVM. */
#define CPUID_1_ECX_VMX (1u << 5)
#define CPUID_80000001_ECX_SVM (1u << 2)

static bool processor_can_virtualise(void) {
    unsigned eax, ebx, ecx, edx;
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & CPUID_1_ECX_VMX))
        return true;
    return __get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) && (ecx & CPUID_80000001_ECX_SVM);
}

#else

/* Elsewhere the kernel makes no machine where the processor cannot run one. */
static bool processor_can_virtualise(void) {
    return true;
}

#endif

/* NULL when KVM works; otherwise, in @reason, why it does not. */
static const char *kvm_obstacle(char *reason, size_t size) {
    CLEANUP(cleanup_fd) int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0) {
        if (errno == ENOENT)
            (void) snprintf(reason, size, "there is no /dev/kvm");
        else
            (void) snprintf(reason, size, "/dev/kvm cannot be opened: %s", strerror(errno));
        return reason;
    }
    int version = ioctl(kvm, KVM_GET_API_VERSION, 0);
    if (version != KVM_API_VERSION) {
        (void) snprintf(reason, size, "/dev/kvm speaks version %d of its interface, not %d", version, KVM_API_VERSION);
        return reason;
    }
    if (!processor_can_virtualise()) {
        (void) snprintf(reason, size, "/dev/kvm is there, but the processor offers neither vmx nor svm");
        return reason;
    }
    CLEANUP(cleanup_fd) int machine = ioctl(kvm, KVM_CREATE_VM, 0);
    if (machine < 0) {
        (void) snprintf(reason, size, "/dev/kvm makes no machine: %s", strerror(errno));
        return reason;
    }
    return NULL;
}

static const char *kvm_hint(void) {
    if (access("/dev/kvm", F_OK) == 0 && access("/dev/kvm", R_OK | W_OK) < 0)
        return "join the group that owns /dev/kvm (usually kvm), or leave the accelerator to be chosen";
    return "leave the accelerator to be chosen, or ask for tcg, which needs nothing of the host";
}

int accel_choose(const char *wanted, accel_choice *ret_choice, nb_error *err) {
    accel_choice choice = {.name = "tcg"};
    if (wanted && strcmp(wanted, "kvm") != 0 && strcmp(wanted, "tcg") != 0)
        return nb_fail(err, NB_E_INVALID, 0, "choose the accelerator '%s': there are kvm and tcg", wanted);

    if (wanted && strcmp(wanted, "tcg") == 0) {
        (void) snprintf(choice.reason, sizeof(choice.reason), "TCG was asked for");
        *ret_choice = choice;
        return 0;
    }
    char obstacle[sizeof(choice.reason) - sizeof("TCG: ")];
    if (!kvm_obstacle(obstacle, sizeof(obstacle))) {
        choice.name = "kvm";
        (void) snprintf(choice.reason, sizeof(choice.reason), wanted ? "KVM was asked for and works" : "KVM works");
    } else if (wanted) {
        return nb_fail_hint(err, nb_fail(err, NB_E_MACHINE, 0, "use KVM: %s", obstacle), "%s", kvm_hint());
    } else {
        (void) snprintf(choice.reason, sizeof(choice.reason), "TCG: %s", obstacle);
    }
    *ret_choice = choice;
    return 0;
}
