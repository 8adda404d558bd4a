/* SPDX-License-Identifier: Apache-2.0
 *
 * list-disk.c - says what is on an ext4 disk, so that a test can compare it with what should be
 *
 * usage: list-disk DISK
 *
 * One line for each name, in no order, fields separated by tabs, names and values as percent-escaped bytes:
 *     PATH TYPE MODE UID GID MTIME_S MTIME_NS INODE SIZE EXTRA XATTRS
 * EXTRA is the SHA-256 of a file, the target of a symbolic link, MAJOR:MINOR of a device. XATTRS are NAME=VALUE with commas between them. Read
 * with libext2fs, which has no line in common with the writer.
 */
#include <ctype.h>
#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct walk {
    ext2_filsys fs;
    const char *path; /* of the folder that is being read */
} walk;

static _Noreturn void fail(const char *what, const char *path, errcode_t code) {
    (void) fprintf(stderr, "list-disk: %s '%s': %s\n", what, path, error_message(code));
    exit(1);
}

static void print_escaped(const char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char) bytes[i];
        if (isalnum(c) || strchr("/._-:+", c))
            (void) putchar(c);
        else
            (void) printf("%%%02x", c);
    }
}

static int on_xattr(char *name, char *value, size_t length, void *user) {
    bool *first = user;
    (void) printf("%s", *first ? "" : ",");
    *first = false;
    print_escaped(name, strlen(name));
    (void) putchar('=');
    print_escaped(value, length);
    return 0;
}

static void print_xattrs(const walk *w, ext2_ino_t number, const char *path) {
    struct ext2_xattr_handle *handle;
    bool first = true;
    errcode_t code = ext2fs_xattrs_open(w->fs, number, &handle);
    if (code == 0)
        code = ext2fs_xattrs_read(handle);
    if (code == 0)
        code = ext2fs_xattrs_iterate(handle, on_xattr, &first);
    if (code != 0)
        fail("read the attributes of", path, code);
    (void) ext2fs_xattrs_close(&handle);
}

static void print_digest(const walk *w, ext2_ino_t number, const char *path) {
    static char block[64 << 10];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0, got;
    ext2_file_t file;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    errcode_t code = ext2fs_file_open(w->fs, number, 0, &file);
    if (code != 0 || !context || !EVP_DigestInit_ex(context, EVP_sha256(), NULL))
        fail("open", path, code);
    while ((code = ext2fs_file_read(file, block, sizeof(block), &got)) == 0 && got > 0)
        (void) EVP_DigestUpdate(context, block, got);
    if (code != 0)
        fail("read", path, code);
    (void) EVP_DigestFinal_ex(context, digest, &length);
    for (unsigned i = 0; i < length; i++)
        (void) printf("%02x", digest[i]);
    EVP_MD_CTX_free(context);
    (void) ext2fs_file_close(file);
}

static void print_target(const walk *w, ext2_ino_t number, struct ext2_inode *inode, const char *path) {
    char target[4097] = "";
    ext2_file_t file;
    unsigned got = 0;
    if (inode->i_size < sizeof(inode->i_block) && ext2fs_is_fast_symlink(inode)) {
        print_escaped((const char *) inode->i_block, inode->i_size);
        return;
    }
    errcode_t code = ext2fs_file_open(w->fs, number, 0, &file);
    if (code == 0)
        code = ext2fs_file_read(file, target, sizeof(target) - 1, &got);
    if (code != 0)
        fail("read the link", path, code);
    print_escaped(target, got);
    (void) ext2fs_file_close(file);
}

static void print_extra(const walk *w, ext2_ino_t number, struct ext2_inode *inode, const char *path) {
    uint32_t device = inode->i_block[1];
    if (LINUX_S_ISREG(inode->i_mode))
        print_digest(w, number, path);
    else if (LINUX_S_ISLNK(inode->i_mode))
        print_target(w, number, inode, path);
    else if (!LINUX_S_ISCHR(inode->i_mode) && !LINUX_S_ISBLK(inode->i_mode))
        return;
    else if (inode->i_block[0]) /* old encoding: 8 bits each */
        (void) printf("%u:%u", (inode->i_block[0] >> 8) & 0xff, inode->i_block[0] & 0xff);
    else /* new encoding: 12 and 20 bits */
        (void) printf("%u:%u", (device & 0xfff00) >> 8, (device & 0xff) | ((device >> 12) & 0xfff00));
}

static const char *type_of(const struct ext2_inode *inode) {
    switch (inode->i_mode & LINUX_S_IFMT) {
    case LINUX_S_IFREG:
        return "file";
    case LINUX_S_IFDIR:
        return "folder";
    case LINUX_S_IFLNK:
        return "symlink";
    case LINUX_S_IFCHR:
        return "character";
    case LINUX_S_IFBLK:
        return "block";
    case LINUX_S_IFIFO:
        return "fifo";
    default: /* an open set: whatever stands on a disk */
        return "unknown";
    }
}

/* ext4's extra bits: the upper 30 are nanoseconds, the lower two continue the seconds. */
static void print_mtime(const struct ext2_inode_large *inode) {
    int64_t seconds = (int32_t) inode->i_mtime;
    uint32_t extra = inode->i_extra_isize >= 8 ? inode->i_mtime_extra : 0;
    (void) printf("%" PRId64 "\t%u", seconds + ((int64_t) (extra & 3) << 32), extra >> 2);
}

static void list_folder(ext2_filsys fs, ext2_ino_t number, const char *path);

static void list_name(const walk *w, ext2_ino_t number, const char *path) {
    struct ext2_inode_large inode;
    struct ext2_inode *small = (struct ext2_inode *) &inode;
    errcode_t code = ext2fs_read_inode_full(w->fs, number, small, sizeof(inode));
    if (code != 0)
        fail("read the inode of", path, code);
    print_escaped(path, strlen(path));
    (void) printf("\t%s\t%o\t%u\t%u\t", type_of(small), inode.i_mode & 07777, inode_uid(inode), inode_gid(inode));
    print_mtime(&inode);
    bool is_file = LINUX_S_ISREG(inode.i_mode);
    (void) printf("\t%u\t%" PRIu64 "\t", number, is_file ? (uint64_t) EXT2_I_SIZE(&inode) : 0);
    print_extra(w, number, small, path);
    (void) putchar('\t');
    print_xattrs(w, number, path);
    (void) putchar('\n');
    if (LINUX_S_ISDIR(inode.i_mode))
        list_folder(w->fs, number, path);
}

static int on_name(ext2_ino_t folder, int entry, struct ext2_dir_entry *found, int offset, int block_size, char *buffer, void *user) {
    const walk *w = user;
    size_t length = (size_t) ext2fs_dirent_name_len(found), above = strlen(w->path);
    if ((length == 1 && found->name[0] == '.') || (length == 2 && memcmp(found->name, "..", 2) == 0))
        return 0;
    if (above == 1 && length == strlen("lost+found") && memcmp(found->name, "lost+found", length) == 0)
        return 0; /* the file system's own */
    char *path = malloc(above + 1 + length + 1);
    if (!path)
        fail("list", w->path, EXT2_ET_NO_MEMORY);
    (void) snprintf(path, above + 1 + length + 1, "%s%s%.*s", w->path, above > 1 ? "/" : "", (int) length, found->name);
    list_name(w, found->inode, path);
    free(path);
    return 0;
}

static void list_folder(ext2_filsys fs, ext2_ino_t number, const char *path) {
    walk w = {.fs = fs, .path = path};
    errcode_t code = ext2fs_dir_iterate2(fs, number, 0, NULL, on_name, &w);
    if (code != 0)
        fail("list", path, code);
}

int main(int argc, char **argv) {
    ext2_filsys fs;
    if (argc != 2) {
        (void) fprintf(stderr, "usage: list-disk DISK\n");
        return 2;
    }
    initialize_ext2_error_table();
    errcode_t code = ext2fs_open(argv[1], 0, 0, 0, unix_io_manager, &fs);
    if (code != 0)
        fail("open", argv[1], code);
    walk w = {.fs = fs, .path = "/"};
    list_name(&w, EXT2_ROOT_INO, "/");
    (void) ext2fs_close(fs);
    return fflush(stdout) == 0 ? 0 : 1;
}
