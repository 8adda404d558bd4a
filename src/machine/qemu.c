/* SPDX-License-Identifier: Apache-2.0
 *
 * qemu.c - QEMU's command line
 *
 * Theory of operation
 *   The command names no path that a user chose. Disks are descriptors in QEMU's sets (-add-fd, /dev/fdset/N), which QEMU uses without opening
 *   anything; kernel and initramfs, which its loader opens by name, are /proc/self/fd/N. So commas, colons and quotes in names cannot
 *   matter, and nothing can be exchanged between the check of a file and its use.
 *   The disk's overlay says in its header what it lies over, but that note is never followed: both layers are named here.
 *   Locking stays on: QEMU locks the overlay for itself and the base disk against writers, so two machines never run on one disk.
 *
 * Why what is there is there
 *   tb-size=32     the default translation buffer takes a gigabyte of address space and as much memory as the guest can make it use
 *   pit, pic       off: less for a guest to attack; the clock comes from the time stamp counter
 *   rtc            on: without one a Debian kernel waits for it twice, a second each (measured: 4.4 s to the first program, 2.1 with it)
 *   notests        the kernel's self-tests of its ciphers cost 0.3 s of a translated boot and find faults of hardware that is not there
 *   erms           off when translating: a kernel that is told of fast string moves copies byte by byte, and TCG takes as long for a byte as for
 *                  eight (measured: a stream out of the machine 190 MB/s with it, 700 without)
 *   arch-capabilities off: with it on, some hosts' KVM refuses the processor model
 *   -S             the processors wait for the control connection, which says "cont"
 *   -no-reboot     a guest that resets ends the machine; panic=-1 makes a panic such a reset
 *   werror=report  the guest hears of a full host disk as an I/O error; QEMU's default stops the machine without a word to it
 */
#include "machine/qemu.h"

#include "base/error.h"
#include "base/size.h"
#include "base/strv.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Numbers of QEMU's descriptor sets; any would do. */
#define SET_BASE_DISK "1"
#define SET_DISK "2"
#define SET_CONSOLE "3"

static const qemu_target targets[] = {
    {
        .architecture = "x86_64",
        .machine = "microvm,x-option-roms=off,pit=off,pic=off,rtc=on,isa-serial=on,acpi=on,dump-guest-core=off",
        .cpu_kvm = "host,-arch-capabilities",
        .cpu_tcg = "max,-erms",
        .kernel_console = "ttyS0",
        .kernel_arguments = "reboot=t", /* by triple fault: there is no keyboard controller to ask */
        .has_tsc = true,
    },
    /* Not tested yet: no test of ours boots it. */
    {
        .architecture = "aarch64",
        .machine = "virt,gic-version=max,dump-guest-core=off",
        .cpu_kvm = "host",
        .cpu_tcg = "cortex-a72",
        .kernel_console = "ttyAMA0",
        .kernel_arguments = "",
        .has_tsc = false,
    },
};

const qemu_target *qemu_target_find(const char *architecture) {
    for (size_t i = 0; i < ARRAY_LENGTH(targets); i++) {
        if (strcmp(targets[i].architecture, architecture) == 0)
            return &targets[i];
    }
    return NULL;
}

const char *qemu_host_architecture(void) {
#if defined(__x86_64__)
    return "x86_64";
#elif defined(__aarch64__)
    return "aarch64";
#else
    return "unknown";
#endif
}

#define QEMU_ARGUMENT_SIZE 512

/* A list that remembers a failure, so that the command below reads as what it is. */
typedef struct command {
    buf *packed;
    bool bad;
} command;

static void add(command *c, const char *argument) {
    if (!c->bad && !strv_add(c->packed, argument))
        c->bad = true;
}

static void option(command *c, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void option(command *c, const char *name, const char *format, ...) {
    char value[QEMU_ARGUMENT_SIZE];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(value, sizeof(value), format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t) length >= sizeof(value))
        c->bad = true;
    add(c, name);
    add(c, value);
}

static void add_machine(command *c, const qemu_options *o) {
    bool is_kvm = strcmp(o->accelerator, "kvm") == 0;
    add(c, "-nodefaults");
    add(c, "-no-user-config");
    add(c, "-no-reboot");
    add(c, "-S");
    option(c, "-display", "none");
    option(c, "-M", "%s%s", o->target->machine, o->mode == QEMU_BOOTED ? "" : ",memory-backend=memory");
    option(c, "-accel", "%s", is_kvm ? "kvm" : "tcg,tb-size=32");
    option(c, "-cpu", "%s", is_kvm ? o->target->cpu_kvm : o->target->cpu_tcg);
    option(c, "-m", "%" PRIu64 "M", o->memory_bytes >> 20);
    option(c, "-smp", "%" PRIu32, o->cpus);
    if (o->mode != QEMU_BOOTED)
        option(c, "-object", "memory-backend-file,id=memory,size=%" PRIu64 "M,mem-path=/proc/self/fd/%d,share=%s", o->memory_bytes >> 20,
               QEMU_FD_MEMORY, o->is_saved_later ? "on" : "off");
    if (o->mode == QEMU_RESTORED)
        option(c, "-incoming", "defer");
    option(c, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
}

static void add_kernel(command *c, const qemu_options *o) {
    char tsc[40] = "";
    if (o->target->has_tsc && o->tsc_khz > 0)
        (void) snprintf(tsc, sizeof(tsc), " tsc_early_khz=%" PRIu64, o->tsc_khz);
    option(c, "-kernel", "/proc/self/fd/%d", QEMU_FD_KERNEL);
    option(c, "-initrd", "/proc/self/fd/%d", QEMU_FD_INITRAMFS);
    /* quiet: under TCG each character of the console costs; the kernel lifts it by itself for a panic. */
    option(c, "-append", "console=%s quiet panic=-1 pci=off cryptomgr.notests%s%s%s", o->target->kernel_console,
           o->target->kernel_arguments[0] ? " " : "", o->target->kernel_arguments, tsc);
}

/* A filter above the disk that will let only so much through: its limits are set when the disk is mounted and grown. The node that the guest's
 * device is on. */
static const char *add_disk_bounds(command *c, const qemu_options *o) {
    if (!o->is_disk_bounded)
        return QEMU_DISK_NODE;
    option(c, "-object", "{\"qom-type\":\"throttle-group\",\"id\":\"" QEMU_DISK_BOUNDS "\"}");
    option(c, "-blockdev",
           "{\"driver\":\"throttle\",\"node-name\":\"" QEMU_BOUNDED_DISK_NODE "\",\"throttle-group\":\"" QEMU_DISK_BOUNDS
           "\",\"file\":\"" QEMU_DISK_NODE "\"}");
    return QEMU_BOUNDED_DISK_NODE;
}

/* What a machine to be saved has for a disk: the driver is to be there, and nothing of a file system. */
static void add_no_disk(command *c) {
    option(c, "-blockdev",
           "{\"driver\":\"null-co\",\"node-name\":\"" QEMU_DISK_NODE "\",\"size\":1048576,\"read-zeroes\":true,\"read-only\":false}");
    option(c, "-device", "virtio-blk-device,werror=report,rerror=report,drive=" QEMU_DISK_NODE);
}

static void add_disk(command *c, const qemu_options *o) {
    option(c, "-add-fd", "fd=%d,set=" SET_BASE_DISK, QEMU_FD_BASE_DISK);
    option(c, "-add-fd", "fd=%d,set=" SET_DISK, QEMU_FD_DISK);
    option(c, "-blockdev",
           "{\"driver\":\"file\",\"node-name\":\"base-file\",\"filename\":\"/dev/fdset/" SET_BASE_DISK
           "\",\"read-only\":true,\"locking\":\"on\"}");
    option(c, "-blockdev", "{\"driver\":\"raw\",\"node-name\":\"base\",\"file\":\"base-file\",\"read-only\":true}");
    option(c, "-blockdev",
           "{\"driver\":\"file\",\"node-name\":\"disk-file\",\"filename\":\"/dev/fdset/" SET_DISK
           "\",\"locking\":\"on\",\"discard\":\"unmap\"}");
    option(c, "-blockdev",
           "{\"driver\":\"qcow2\",\"node-name\":\"" QEMU_DISK_NODE "\",\"file\":\"disk-file\",\"backing\":\"base\",\"discard\":\"unmap\"}");
    option(c, "-device", "virtio-blk-device,werror=report,rerror=report,drive=%s", add_disk_bounds(c, o));
}

static void add_channels(command *c) {
    option(c, "-add-fd", "fd=%d,set=" SET_CONSOLE, QEMU_FD_CONSOLE);
    /* Without append it would be truncated first, which a pipe refuses. */
    option(c, "-chardev", "file,id=console,append=on,path=/dev/fdset/" SET_CONSOLE);
    option(c, "-serial", "chardev:console");
    option(c, "-chardev", "socket,id=link,fd=%d", QEMU_FD_LINK);
    option(c, "-device", "virtio-serial-device");
    option(c, "-device", "virtserialport,chardev=link,name=" QEMU_LINK_PORT);
    option(c, "-chardev", "socket,id=control,fd=%d", QEMU_FD_CONTROL);
    option(c, "-mon", "chardev=control,mode=control");
}

/* Memory that the guest has free, and says so of, goes back to the host: QEMU drops its pages (the virtio specification, 5.5.6.7). The guest
 * loads the driver a while after its start, see the agent. A private copy of a file cannot be given back so: QEMU would punch holes into the file. */
static void add_balloon(command *c) {
    option(c, "-device", "virtio-balloon-device,free-page-reporting=on");
}

int qemu_command(buf *packed, const qemu_options *o, nb_error *err) {
    command c = {.packed = packed};
    add(&c, o->program);
    add_machine(&c, o);
    if (o->mode != QEMU_RESTORED)
        add_kernel(&c, o);
    if (o->has_disk)
        add_disk(&c, o);
    else
        add_no_disk(&c);
    add_channels(&c);
    if (o->mode == QEMU_BOOTED)
        add_balloon(&c);
    return c.bad ? nb_fail_oom(err) : 0;
}
