/* SPDX-License-Identifier: Apache-2.0
 *
 * initramfs.c - what the guest's kernel unpacks and starts: the agent and its modules
 *
 * It is made at every start: two files of together a megabyte are copied, which costs less than asking whether a kept copy still
 * matches them would.
 */
#include "machine/initramfs.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/size.h"
#include "machine/cpio.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* The agent has some hundred kilobytes; what is far larger is another file. */
#define INITRAMFS_AGENT_MAX_BYTES MIB(32)
#define INITRAMFS_MODULES_MAX_BYTES MIB(64)

static int write_agent(int fd, const void *agent, size_t agent_length) {
    static const char *const folders[] = {"dev", "proc", "sys", "newroot"};
    cpio_writer w = cpio_to_fd(&fd);
    for (size_t i = 0; i < ARRAY_LENGTH(folders); i++) {
        if (cpio_add_folder(&w, folders[i], 0755) < 0)
            return -1;
    }
    /* The kernel opens it as the descriptors 0 to 2 of /init; without it they stay closed. */
    if (cpio_add_character_device(&w, "dev/console", 0600, 5, 1) < 0 || cpio_add_file(&w, "init", 0755, agent, agent_length) < 0)
        return -1;
    return cpio_end(&w);
}

static int append_modules(int fd, const char *modules_path, nb_error *err) {
    CLEANUP(cleanup_fd) int modules = open(modules_path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (modules < 0 || fstat(modules, &status) < 0)
        return nb_fail(err, NB_E_MACHINE, errno, "open the guest's modules '%s'", modules_path);
    if (!S_ISREG(status.st_mode) || (uint64_t) status.st_size > INITRAMFS_MODULES_MAX_BYTES)
        return nb_fail(err, NB_E_MACHINE, 0, "use the guest's modules '%s': not a file of at most %llu MiB", modules_path,
                       (unsigned long long) (INITRAMFS_MODULES_MAX_BYTES >> 20));
    if (file_copy(modules, fd) < 0)
        return nb_fail(err, NB_E_MACHINE, errno, "read the guest's modules '%s'", modules_path);
    return 0;
}

int initramfs_compose(const char *agent_path, const char *modules_path, int *ret_fd, nb_error *err) {
    CLEANUP(cleanup_free) char *agent = NULL;
    size_t agent_length;
    CLEANUP(cleanup_fd) int source = open(agent_path, O_RDONLY | O_CLOEXEC);
    if (source < 0 || fd_read_file(source, INITRAMFS_AGENT_MAX_BYTES, &agent, &agent_length) < 0)
        return nb_fail(err, errno == ENOMEM ? NB_E_NO_MEMORY : NB_E_MACHINE, errno, "read the guest agent '%s'", agent_path);

    CLEANUP(cleanup_fd) int fd = memfd_create("nestbox-initramfs", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || write_agent(fd, agent, agent_length) < 0)
        return nb_fail(err, errno == ENOMEM ? NB_E_NO_MEMORY : NB_E_MACHINE, errno, "write the initramfs");
    int r = append_modules(fd, modules_path, err);
    if (r < 0)
        return r;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return nb_fail(err, NB_E_MACHINE, errno, "seal the initramfs");
    *ret_fd = take_fd(&fd);
    return 0;
}
