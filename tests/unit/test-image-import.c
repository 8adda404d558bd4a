/* SPDX-License-Identifier: Apache-2.0
 *
 * test-image-import.c - whole imports: archives and layouts in, disks out, which e2fsck must find clean
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fail.h"
#include "test-image-archive.h"

#include "base/fd.h"
#include "image/import.h"
#include "wire/limits.h"

#include <errno.h>
#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct fixture {
    char folder[64];
    int folder_fd, disk_fd;
    buf archive;
    image_limits limits;
    int fail_at; /* the allocation of an import that fails; below 0: none */
    import_result result;
    nb_error err;
} fixture;

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof(*f));
    f->fail_at = -1;
    (void) snprintf(f->folder, sizeof(f->folder), "/tmp/test-image-XXXXXX");
    if (!mkdtemp(f->folder))
        return -1;
    f->folder_fd = open(f->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    f->disk_fd = openat(f->folder_fd, "disk", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(mkdirat(f->folder_fd, "in", 0700), 0);
    assert_int_equal(mkdirat(f->folder_fd, "in/blobs", 0700), 0);
    assert_int_equal(mkdirat(f->folder_fd, "in/blobs/sha256", 0700), 0);
    buf_init(&f->archive, ARCHIVE_MAX_BYTES);
    *state = f;
    return 0;
}

static int run(const char *const *argv) {
    extern char **environ;
    pid_t pid;
    int status;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    assert_int_equal(posix_spawn(&pid, argv[0], &actions, NULL, (char *const *) argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int tear_down(void **state) {
    fixture *f = *state;
    import_result_done(&f->result);
    buf_done(&f->archive);
    (void) close(f->disk_fd);
    (void) close(f->folder_fd);
    (void) run((const char *const[]){"/bin/rm", "-rf", f->folder, NULL});
    free(f);
    return 0;
}

static int memory_file(const void *bytes, size_t length) {
    int fd = memfd_create("source", MFD_CLOEXEC);
    assert_true(fd >= 0 && fd_write_all(fd, bytes, length) == 0);
    return fd;
}

static int import_from(fixture *f, int kind, int source_fd, const char *reference, const char *architecture) {
    static const image_watch nobody;
    msg_image_config config = {.architecture = wire_str(architecture), .os = wire_str("linux")};
    CLEANUP(buf_done) buf encoded;
    buf_init(&encoded, WIRE_IMAGE_CONFIG_MAX_BYTES);
    assert_true(wire_encode_image_config(&encoded, &config));
    import_request request = {.kind = kind,
                              .source_fd = source_fd,
                              .disk_fd = f->disk_fd,
                              .reference = reference,
                              .architecture = architecture,
                              .limits = f->limits,
                              .config = {buf_bytes(&encoded), buf_length(&encoded)},
                              .watch = &nobody};
    import_result_done(&f->result);
    assert_int_equal(ftruncate(f->disk_fd, 0), 0);
    if (f->fail_at >= 0)
        fail_alloc_at((unsigned) f->fail_at);
    return image_import(&request, &f->result, &f->err);
}

static int import_archive(fixture *f, int kind) {
    int fd = memory_file(buf_bytes(&f->archive), buf_length(&f->archive));
    int r = import_from(f, kind, fd, "", "amd64");
    (void) close(fd);
    return r;
}

static void assert_disk_is_clean(fixture *f) {
    char path[96];
    (void) snprintf(path, sizeof(path), "%s/disk", f->folder);
    assert_int_equal(run((const char *const[]){"/sbin/e2fsck", "-fn", path, NULL}), 0);
}

static ext2_filsys open_disk(fixture *f) {
    char path[96];
    ext2_filsys fs;
    (void) snprintf(path, sizeof(path), "%s/disk", f->folder);
    assert_int_equal(ext2fs_open(path, EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &fs), 0);
    return fs;
}

static void well(fixture *f, int r) {
    if (r < 0)
        fail_msg("%s", f->err.message);
}

/* A file of the disk has these bytes from @offset on. */
static void assert_content(ext2_filsys fs, const char *path, uint64_t offset, const uint8_t *bytes, size_t length) {
    ext2_ino_t number;
    ext2_file_t file;
    uint8_t *found = malloc(length);
    unsigned got;
    assert_int_equal(ext2fs_namei_follow(fs, EXT2_ROOT_INO, EXT2_ROOT_INO, path, &number), 0);
    assert_int_equal(ext2fs_file_open(fs, number, 0, &file), 0);
    assert_int_equal(ext2fs_file_llseek(file, offset, EXT2_SEEK_SET, NULL), 0);
    assert_int_equal(ext2fs_file_read(file, found, (unsigned) length, &got), 0);
    assert_int_equal(got, length);
    assert_memory_equal(found, bytes, length);
    (void) ext2fs_file_close(file);
    free(found);
}

static void rootfs_becomes_a_clean_disk(void **state) {
    fixture *f = *state;
    static uint8_t large[3 * 1024 * 1024 + 5];
    for (size_t i = 0; i < sizeof(large); i++)
        large[i] = (uint8_t) (i * 2654435761u >> 24);
    archive_folder(&f->archive, "etc/");
    archive_file(&f->archive, "etc/hostname", "box\n");
    archive_file(&f->archive, ".wh.kept", "no whiteout here");
    archive_add(&f->archive, '0', "large", "", large, sizeof(large));
    archive_link(&f->archive, '1', "etc/again", "large");
    archive_link(&f->archive, '2', "fast", "etc/hostname");
    archive_link(&f->archive, '2', "slow", "a/target/that/does/not/fit/into/the/sixty/bytes/that/an/inode/has");
    archive_add_pax(&f->archive, "SCHILY.xattr.user.inside", "small", 5);
    archive_add_pax(&f->archive, "mtime", "17179869183.999999999", 21);
    archive_file(&f->archive, "late", "");
    archive_end(&f->archive);
    well(f, import_archive(f, WIRE_IMAGE_ROOTFS));
    assert_disk_is_clean(f);
    assert_int_equal(f->result.disk_bytes, UINT64_C(64) << 20);
    assert_true(strncmp(f->result.id, "sha256:", 7) == 0);
    ext2_filsys fs = open_disk(f);
    assert_content(fs, "etc/hostname", 0, (const uint8_t *) "box\n", 4);
    assert_content(fs, "etc/again", 0, large, sizeof(large));
    assert_content(fs, ".wh.kept", 0, (const uint8_t *) "no", 2);
    assert_content(fs, "fast", 0, (const uint8_t *) "box\n", 4);
    (void) ext2fs_close(fs);
}

static void same_archive_gives_same_bytes(void **state) {
    fixture *f = *state;
    digest first, second;
    char *text = NULL;
    size_t length;
    for (int i = 0; i < 40; i++) {
        char name[32];
        (void) snprintf(name, sizeof(name), "folder/file-%d", i);
        archive_file(&f->archive, name, name);
    }
    archive_end(&f->archive);
    for (int i = 0; i < 2; i++) {
        well(f, import_archive(f, WIRE_IMAGE_ROOTFS));
        assert_int_equal(lseek(f->disk_fd, 0, SEEK_SET), 0);
        assert_int_equal(fd_read_file(f->disk_fd, (size_t) 128 << 20, &text, &length), 0);
        assert_true(digest_of(text, length, i ? &second : &first));
        free(text);
    }
    assert_true(digest_equal(&first, &second));
}

static void large_folders_are_hashed(void **state) {
    fixture *f = *state;
    static const uint32_t counts[] = {100, 2000, 40000};
    for (size_t i = 0; i < 3; i++) {
        for (uint32_t n = 0; n < counts[i]; n++) {
            char name[100];
            (void) snprintf(name, sizeof(name), "d/%u-%.*s", n, (int) (n % 60),
                            "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefgh");
            archive_file(&f->archive, name, "");
        }
        archive_end(&f->archive);
        well(f, import_archive(f, WIRE_IMAGE_ROOTFS));
        assert_disk_is_clean(f);
        buf_clear(&f->archive);
    }
}

/* More pieces than an inode holds, and more than one block of them. */
static void sparse_files_keep_their_holes(void **state) {
    fixture *f = *state;
    static const unsigned counts[] = {4, 5, 400, 1500};
    for (size_t i = 0; i < 4; i++) {
        static char map[40000];
        static uint8_t bytes[1500 * 10];
        size_t used = 0;
        char name[16];
        for (unsigned n = 0; n < counts[i]; n++)
            used += (size_t) snprintf(map + used, sizeof(map) - used, "%s%u,10", n ? "," : "", n * 12345 * 2);
        for (size_t n = 0; n < sizeof(bytes); n++)
            bytes[n] = (uint8_t) (n % 251);
        (void) snprintf(name, sizeof(name), "s%zu", i);
        char *record = NULL;
        size_t body = strlen(" GNU.sparse.map=\n") + used;
        size_t total = body + (size_t) snprintf(NULL, 0, "%zu", body + 5);
        int length = asprintf(&record, "28 GNU.sparse.size=41000000\n%zu GNU.sparse.map=%s\n", total, map);
        archive_add(&f->archive, 'x', "pax", "", record, (size_t) length);
        free(record);
        archive_add(&f->archive, '0', name, "", bytes, counts[i] * 10);
        archive_end(&f->archive);
        well(f, import_archive(f, WIRE_IMAGE_ROOTFS));
        assert_disk_is_clean(f);
        ext2_filsys fs = open_disk(f);
        for (unsigned n = 0; n < counts[i]; n += counts[i] / 4)
            assert_content(fs, name, n * 12345u * 2, bytes + (size_t) n * 10, 10);
        (void) ext2fs_close(fs);
        buf_clear(&f->archive);
    }
}

static void half_an_archive_is_refused(void **state) {
    fixture *f = *state;
    archive_file(&f->archive, "a", "content");
    assert_int_equal(import_archive(f, WIRE_IMAGE_ROOTFS), -NB_E_IMAGE); /* whole entries, no mark at the end */
    archive_file(&f->archive, "b", "content");
    f->archive.end -= ARCHIVE_BLOCK;
    assert_int_equal(import_archive(f, WIRE_IMAGE_ROOTFS), -NB_E_IMAGE);
    buf_clear(&f->archive);
    assert_int_equal(import_archive(f, WIRE_IMAGE_ROOTFS), -NB_E_IMAGE);
    assert_true(buf_append(&f->archive, "neither tar nor anything else that is known, but longer than nothing", 60));
    assert_int_equal(import_archive(f, WIRE_IMAGE_ROOTFS), -NB_E_IMAGE);
    assert_int_equal(import_archive(f, WIRE_IMAGE_ARCHIVE), -NB_E_IMAGE);
    assert_int_equal(import_archive(f, 99), -NB_E_INVALID);
}

/* Writes a file below "in/". */
static void put_file(fixture *f, const char *name, const void *bytes, size_t length) {
    char path[256];
    (void) snprintf(path, sizeof(path), "in/%s", name);
    int fd = openat(f->folder_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && fd_write_all(fd, bytes, length) == 0);
    (void) close(fd);
}

static void put_blob(fixture *f, const void *bytes, size_t length, char ret_digest[DIGEST_TEXT_SIZE]) {
    digest d;
    char name[256];
    assert_true(digest_of(bytes, length, &d));
    digest_format(&d, ret_digest);
    (void) snprintf(name, sizeof(name), "blobs/sha256/%s", ret_digest + 7);
    put_file(f, name, bytes, length);
}

typedef struct image_text {
    char digest[DIGEST_TEXT_SIZE];
    size_t size;
} image_text;

/* A manifest with one layer, which holds a file named @file; @diff_id NULL: the right one. */
static image_text put_image(fixture *f, const char *architecture, const char *file, const char *diff_id) {
    char layer[DIGEST_TEXT_SIZE], config[DIGEST_TEXT_SIZE], text[2048];
    image_text image;
    buf_clear(&f->archive);
    archive_file(&f->archive, file, "content");
    archive_end(&f->archive);
    put_blob(f, buf_bytes(&f->archive), buf_length(&f->archive), layer);
    int length = snprintf(text, sizeof(text),
                          "{\"os\":\"linux\",\"architecture\":\"%s\",\"config\":{\"Cmd\":[\"sh\",\"-l\"],\"Env\":[\"A=b\"],\"User\":\"u\","
                          "\"Labels\":{\"k\":\"v\"}},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"%s\"]}}",
                          architecture, diff_id ? diff_id : layer);
    put_blob(f, text, (size_t) length, config);
    length = snprintf(
        text, sizeof(text),
        "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"%s\",\"size\":%d},"
        "\"layers\":[{\"digest\":\"%s\",\"size\":%zu}]}",
        config, length, layer, buf_length(&f->archive));
    image.size = (size_t) length;
    put_blob(f, text, image.size, image.digest);
    return image;
}

static void put_index(fixture *f, const char *descriptors) {
    char text[4096];
    int length = snprintf(text, sizeof(text), "{\"schemaVersion\":2,\"manifests\":[%s]}", descriptors);
    put_file(f, "index.json", text, (size_t) length);
}

static int import_layout(fixture *f, const char *reference, const char *architecture) {
    int fd = openat(f->folder_fd, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = import_from(f, WIRE_IMAGE_OCI_LAYOUT, fd, reference, architecture);
    (void) close(fd);
    return r;
}

#define NAMED "{\"digest\":\"%s\",\"size\":%zu,\"annotations\":{\"org.opencontainers.image.ref.name\":\"%s\"}}"
#define PLATFORM "{\"digest\":\"%s\",\"size\":%zu,\"platform\":{\"os\":\"linux\",\"architecture\":\"%s\"}}"

static void layout_gives_its_configuration(void **state) {
    fixture *f = *state;
    char index[2048];
    image_text image = put_image(f, "amd64", "file", NULL);
    (void) snprintf(index, sizeof(index), NAMED, image.digest, image.size, "v1");
    put_index(f, index);
    well(f, import_layout(f, "", "amd64"));
    assert_disk_is_clean(f);
    assert_string_equal(f->result.name, "v1");
    assert_memory_equal(buf_bytes(&f->result.config.command), "sh\0-l\0", 6);
    assert_memory_equal(buf_bytes(&f->result.config.labels), "k=v\0", 4);
    assert_string_equal(f->result.config.user, "u");
    assert_int_equal(import_layout(f, "", "arm64"), -NB_E_NOT_FOUND);
}

static void image_is_chosen_by_name_and_platform(void **state) {
    fixture *f = *state;
    char index[4096];
    image_text one = put_image(f, "amd64", "one", NULL), two = put_image(f, "amd64", "two", NULL),
               arm = put_image(f, "arm64", "three", NULL);
    (void) snprintf(index, sizeof(index), NAMED "," NAMED, one.digest, one.size, "v1", two.digest, two.size, "v2");
    put_index(f, index);
    well(f, import_layout(f, "v2", "amd64"));
    assert_string_equal(f->result.name, "v2");
    assert_int_equal(import_layout(f, "", "amd64"), -NB_E_INVALID);
    assert_non_null(strstr(f->err.message, "'v1', 'v2'"));
    assert_int_equal(import_layout(f, "v3", "amd64"), -NB_E_NOT_FOUND);
    (void) snprintf(index, sizeof(index), PLATFORM "," PLATFORM, one.digest, one.size, "amd64", arm.digest, arm.size, "arm64");
    put_index(f, index);
    well(f, import_layout(f, "", "arm64"));
    assert_string_equal(f->result.config.architecture, "arm64");
    assert_int_equal(import_layout(f, "", "riscv64"), -NB_E_NOT_FOUND);
    assert_non_null(strstr(f->err.message, "'linux/amd64', 'linux/arm64'"));
    assert_int_equal(import_layout(f, "", ""), -NB_E_INVALID);
    put_index(f, "");
    assert_int_equal(import_layout(f, "", "amd64"), -NB_E_IMAGE);
}

static void wrong_digests_and_sizes_are_named(void **state) {
    fixture *f = *state;
    char index[2048], path[256];
    image_text image = put_image(f, "amd64", "file", "sha256:0000000000000000000000000000000000000000000000000000000000000000");
    (void) snprintf(index, sizeof(index), NAMED, image.digest, image.size, "v1");
    put_index(f, index);
    assert_int_equal(import_layout(f, "", "amd64"), -NB_E_IMAGE);
    assert_non_null(strstr(f->err.message, "expected sha256:0000"));
    (void) snprintf(index, sizeof(index), NAMED, image.digest, image.size + 1, "v1");
    put_index(f, index);
    assert_int_equal(import_layout(f, "", "amd64"), -NB_E_IMAGE);

    image = put_image(f, "amd64", "file", NULL);
    (void) snprintf(index, sizeof(index), NAMED, image.digest, image.size, "v1");
    put_index(f, index);
    well(f, import_layout(f, "", "amd64"));
    /* The layer, with another byte in its file. */
    char layer[DIGEST_TEXT_SIZE];
    put_blob(f, buf_bytes(&f->archive), buf_length(&f->archive), layer);
    buf_bytes(&f->archive)[ARCHIVE_BLOCK] ^= 1;
    (void) snprintf(path, sizeof(path), "blobs/sha256/%s", layer + 7);
    put_file(f, path, buf_bytes(&f->archive), buf_length(&f->archive));
    assert_int_equal(import_layout(f, "", "amd64"), -NB_E_IMAGE);
    assert_non_null(strstr(f->err.message, layer));
}

static void digest_is_no_way_out(void **state) {
    fixture *f = *state;
    static const char *const digests[] = {
        "sha256:../../../../../../../../../../../../../../../../etc/passwd",       "sha256:", "md5:d41d8cd98f00b204e9800998ecf8427e",
        "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855", "sha256",  ""};
    char index[2048];
    for (size_t i = 0; i < sizeof(digests) / sizeof(digests[0]); i++) {
        (void) snprintf(index, sizeof(index), "{\"digest\":\"%s\",\"size\":1}", digests[i]);
        put_index(f, index);
        assert_int_equal(import_layout(f, "", "amd64"), -NB_E_IMAGE);
    }
    image_text image = put_image(f, "amd64", "file", NULL);
    char path[256];
    (void) snprintf(index, sizeof(index), NAMED, image.digest, image.size, "v1");
    put_index(f, index);
    (void) snprintf(path, sizeof(path), "in/blobs/sha256/%s", image.digest + 7);
    assert_int_equal(renameat(f->folder_fd, path, f->folder_fd, "outside"), 0);
    assert_int_equal(symlinkat("../../../outside", f->folder_fd, path), 0);
    assert_int_equal(import_layout(f, "", "amd64"), -NB_E_IMAGE);
    assert_int_equal(unlinkat(f->folder_fd, path, 0), 0);
    assert_int_equal(mkfifoat(f->folder_fd, path, 0600), 0);
    assert_int_equal(import_layout(f, "", "amd64"), -NB_E_IMAGE);
}

static void folder_is_read_without_following(void **state) {
    fixture *f = *state;
    int in = openat(f->folder_fd, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    put_file(f, "a", "one", 3);
    assert_int_equal(linkat(in, "a", in, "b", 0), 0);
    assert_int_equal(symlinkat("/etc/shadow", in, "link"), 0);
    assert_int_equal(mkfifoat(in, "fifo", 0600), 0);
    well(f, import_from(f, WIRE_IMAGE_DIRECTORY, in, "", "amd64"));
    assert_disk_is_clean(f);
    char id[DIGEST_TEXT_SIZE];
    memcpy(id, f->result.id, sizeof(id));
    ext2_filsys fs = open_disk(f);
    struct ext2_inode inode;
    ext2_ino_t a, b, link;
    assert_int_equal(ext2fs_lookup(fs, EXT2_ROOT_INO, "a", 1, NULL, &a), 0);
    assert_int_equal(ext2fs_lookup(fs, EXT2_ROOT_INO, "b", 1, NULL, &b), 0);
    assert_int_equal(a, b);
    assert_int_equal(ext2fs_read_inode(fs, a, &inode), 0);
    assert_int_equal(inode.i_links_count, 2);
    assert_int_equal(inode.i_uid, 0);
    assert_int_equal(ext2fs_lookup(fs, EXT2_ROOT_INO, "link", 4, NULL, &link), 0);
    assert_int_equal(ext2fs_read_inode(fs, link, &inode), 0);
    assert_true(LINUX_S_ISLNK(inode.i_mode));
    (void) ext2fs_close(fs);
    well(f, import_from(f, WIRE_IMAGE_DIRECTORY, in, "", "amd64"));
    assert_string_equal(f->result.id, id);
    put_file(f, "a", "two", 3);
    well(f, import_from(f, WIRE_IMAGE_DIRECTORY, in, "", "amd64"));
    assert_string_not_equal(f->result.id, id);
    (void) close(in);
}

/* @limit is in the fixture's limits; it lets an image pass from @least on. */
static void assert_limit(fixture *f, uint64_t *limit, uint64_t least, const char *name, int (*import)(fixture *f)) {
    const uint64_t passing[] = {least, least + 1};
    char value[32];
    for (size_t i = 0; i < 2; i++) {
        *limit = passing[i];
        well(f, import(f));
    }
    *limit = least - 1;
    assert_int_equal(import(f), -NB_E_EXHAUSTED);
    (void) snprintf(value, sizeof(value), " %llu", (unsigned long long) *limit);
    if (!strstr(f->err.hint, name) || !strstr(f->err.message, value))
        fail_msg("no '%s', '%s' in: %s\n%s", name, value, f->err.message, f->err.hint);
    *limit = 0;
}

static int import_names(fixture *f) {
    return import_archive(f, WIRE_IMAGE_ROOTFS);
}

static int import_names_of_folder(fixture *f) {
    int in = openat(f->folder_fd, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = import_from(f, WIRE_IMAGE_DIRECTORY, in, "", "amd64");
    (void) close(in);
    return r;
}

static void names_are_bounded_by_their_limit(void **state) {
    fixture *f = *state;
    archive_file(&f->archive, "folder/a", "");
    archive_link(&f->archive, '1', "b", "folder/a");
    archive_link(&f->archive, '2', "c", "nowhere");
    archive_end(&f->archive);
    assert_limit(f, &f->limits.max_entries, 4, "max_entries", import_names);
    put_file(f, "blobs/one", "1", 1);
    assert_limit(f, &f->limits.max_entries, 3, "max_entries", import_names_of_folder); /* blobs, blobs/one, blobs/sha256 */
}

static int import_any(fixture *f) {
    return import_layout(f, "", "amd64");
}

static void documents_are_bounded_by_their_limit(void **state) {
    fixture *f = *state;
    char index[2048];
    image_text image = put_image(f, "amd64", "file", NULL);
    (void) snprintf(index, sizeof(index), NAMED, image.digest, image.size, "v1");
    put_index(f, index);
    size_t index_length = strlen("{\"schemaVersion\":2,\"manifests\":[]}") + strlen(index);
    assert_true(index_length < image.size); /* the manifest is the longest of the three */
    assert_limit(f, &f->limits.max_manifest_bytes, image.size, "max_manifest_bytes", import_any);
}

static void layers_are_bounded_by_their_limit(void **state) {
    fixture *f = *state;
    image_limits limits = {.max_layers = 2, .max_bytes = 10};
    assert_int_equal(image_check_layers(&limits, 1, &f->err), 0);
    assert_int_equal(image_check_layers(&limits, 2, &f->err), 0);
    assert_int_equal(image_check_layers(&limits, 3, &f->err), -NB_E_EXHAUSTED);
    assert_non_null(strstr(f->err.hint, "max_layers"));
}

static void unpacked_bytes_are_bounded_by_their_limit(void **state) {
    fixture *f = *state;
    static const uint8_t bytes[4096];
    /* Files that replace each other take little room on the disk, but all are unpacked: four times the limit may be. */
    for (int i = 0; i < 12; i++)
        archive_add(&f->archive, '0', "same", "", bytes, sizeof(bytes));
    archive_end(&f->archive);
    size_t length = buf_length(&f->archive);
    assert_int_equal(length % 4, 0);
    f->limits.max_bytes = length / 4;
    well(f, import_names(f));
    f->limits.max_bytes = length / 4 - 1;
    assert_int_equal(import_names(f), -NB_E_EXHAUSTED);
    assert_non_null(strstr(f->err.hint, "max_bytes"));
}

static void a_limit_that_nobody_can_set_is_refused(void **state) {
    fixture *f = *state;
    archive_file(&f->archive, "a", "");
    archive_end(&f->archive);
    f->limits.max_layers = IMAGE_LAYERS_MAX;
    well(f, import_names(f));
    f->limits.max_layers = IMAGE_LAYERS_MAX + 1;
    assert_int_equal(import_names(f), -NB_E_INVALID);
}

/* --------------------------------------------------------------------------------------------------------------- memory */

/* Each allocation in turn is the one that fails. libarchive's own and OpenSSL's do not. */
static void expect_no_memory_everywhere(fixture *f, int (*import)(fixture *f), int at_least) {
    for (f->fail_at = 0;; f->fail_at++) {
        int r = import(f);
        if (!fail_alloc_fired())
            break;
        if (r != -NB_E_NO_MEMORY)
            fail_msg("allocation %d: %d: %s", f->fail_at, r, f->err.message);
    }
    if (f->fail_at < at_least)
        fail_msg("only %d allocations", f->fail_at);
    f->fail_at = -1;
    well(f, import(f));
    assert_disk_is_clean(f);
}

static int import_root_file_system(fixture *f) {
    return import_archive(f, WIRE_IMAGE_ROOTFS);
}

static void memory_may_run_out_while_an_archive_is_read(void **state) {
    fixture *f = *state;
    static const char value[200] = "x";
    archive_folder(&f->archive, "a/");
    archive_folder(&f->archive, "a/b/");
    archive_file(&f->archive, "a/b/file", "content");
    archive_link(&f->archive, '1', "hard", "a/b/file");
    archive_link(&f->archive, '2', "soft", "a/target/that/does/not/fit/into/the/sixty/bytes/that/an/inode/has");
    archive_add_pax(&f->archive, "SCHILY.xattr.user.one", value, sizeof(value));
    archive_file(&f->archive, "with-attributes", "");
    archive_file(&f->archive, "a/b", "a file in place of a folder");
    archive_end(&f->archive);
    expect_no_memory_everywhere(f, import_root_file_system, 20);
}

static int import_layout_for_amd64(fixture *f) {
    return import_layout(f, "", "amd64");
}

static void memory_may_run_out_while_a_layout_is_read(void **state) {
    fixture *f = *state;
    char index[4096];
    image_text one = put_image(f, "amd64", "one", NULL), arm = put_image(f, "arm64", "three", NULL);
    (void) snprintf(index, sizeof(index), PLATFORM "," PLATFORM, one.digest, one.size, "amd64", arm.digest, arm.size, "arm64");
    put_index(f, index);
    expect_no_memory_everywhere(f, import_layout_for_amd64, 50);
}

static int import_folder(fixture *f) {
    int fd = openat(f->folder_fd, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = import_from(f, WIRE_IMAGE_DIRECTORY, fd, "", "amd64");
    (void) close(fd);
    return r;
}

static void memory_may_run_out_while_a_folder_is_read(void **state) {
    fixture *f = *state;
    put_file(f, "one", "content", 7);
    put_file(f, "blobs/two", "content", 7);
    assert_int_equal(symlinkat("one", f->folder_fd, "in/link"), 0);
    expect_no_memory_everywhere(f, import_folder, 10);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(rootfs_becomes_a_clean_disk),
        TEST(same_archive_gives_same_bytes),
        TEST(large_folders_are_hashed),
        TEST(sparse_files_keep_their_holes),
        TEST(half_an_archive_is_refused),
        TEST(layout_gives_its_configuration),
        TEST(image_is_chosen_by_name_and_platform),
        TEST(wrong_digests_and_sizes_are_named),
        TEST(digest_is_no_way_out),
        TEST(folder_is_read_without_following),
        TEST(names_are_bounded_by_their_limit),
        TEST(documents_are_bounded_by_their_limit),
        TEST(layers_are_bounded_by_their_limit),
        TEST(unpacked_bytes_are_bounded_by_their_limit),
        TEST(a_limit_that_nobody_can_set_is_refused),
        TEST(memory_may_run_out_while_an_archive_is_read),
        TEST(memory_may_run_out_while_a_layout_is_read),
        TEST(memory_may_run_out_while_a_folder_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
