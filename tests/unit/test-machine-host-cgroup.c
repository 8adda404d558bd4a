/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/host-cgroup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char hybrid_mounts[] = "24 1 0:22 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
                                    "25 24 0:23 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
                                    "26 24 0:24 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
                                    "27 24 0:25 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
static const char hybrid_membership[] = "9:name=systemd:/\n4:memory:/a/b\n2:cpu,cpuacct:/\n0::/u\n";

/* "v1 PATH", "v2 PATH" or "none". */
static void expect(const char *membership, const char *mounts, const char *controller, const char *expected) {
    char path[PATH_MAX], found[PATH_MAX + 8];
    bool is_v1;
    bool there = host_cgroup_find(membership, mounts, controller, path, &is_v1);
    (void) snprintf(found, sizeof(found), "%s%s", !there ? "none" : is_v1 ? "v1 " : "v2 ", there ? path : "");
    assert_string_equal(found, expected);
}

static void each_controller_is_looked_for_where_it_is(void **state) {
    expect(hybrid_membership, hybrid_mounts, "cpu", "v1 /sys/fs/cgroup/cpu,cpuacct");
    expect(hybrid_membership, hybrid_mounts, "memory", "v1 /sys/fs/cgroup/memory/a/b");
    /* No hierarchy of its own: then the unified one may have it. */
    expect(hybrid_membership, hybrid_mounts, "pids", "v2 /sys/fs/cgroup/unified/u");
    /* A part of a name is none. */
    expect(hybrid_membership, hybrid_mounts, "cpuacc", "v2 /sys/fs/cgroup/unified/u");
    expect("0::/user.slice/session-1.scope", "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate", "cpu",
           "v2 /sys/fs/cgroup/user.slice/session-1.scope");
}

static void what_cannot_be_reached_is_not_found(void **state) {
    expect("", "", "cpu", "none");
    expect("2:cpu:/x\n", "", "cpu", "none");
    expect("2:cpu:/x\n", hybrid_mounts, "memory", "none");
    expect("rubbish\n\n::\n:", "rubbish\n - cgroup\n", "cpu", "none");
    /* A container sees a part of the tree: what lies outside has no path there. */
    static const char part[] = "30 1 0:26 /docker/c1 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    expect("0::/docker/c1/mine\n", part, "cpu", "v2 /sys/fs/cgroup/mine");
    expect("0::/docker/c1\n", part, "cpu", "v2 /sys/fs/cgroup");
    expect("0::/docker/c12\n", part, "cpu", "none");
    expect("0::/else\n", part, "cpu", "none");
    expect("0::/../x\n", "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "cpu", "none");
    expect("0::/x/..\n", "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "cpu", "none");
}

static void a_path_beyond_its_bound_is_not_found(void **state) {
    static char membership[PATH_MAX + 64];
    int n = snprintf(membership, sizeof(membership), "0::/");
    memset(membership + n, 'x', PATH_MAX);
    expect(membership, "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "cpu", "none");
}

static void what_is_wanted_is_what_is_not_zero(void **state) {
    assert_int_equal(host_limits_wanted(&(host_limits){0}), 0);
    assert_int_equal(host_limits_wanted(&(host_limits){.cpu_us = 1, .tasks = 1}), HOST_LIMIT_CPU | HOST_LIMIT_TASKS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_controller_is_looked_for_where_it_is),
        cmocka_unit_test(what_cannot_be_reached_is_not_found),
        cmocka_unit_test(a_path_beyond_its_bound_is_not_found),
        cmocka_unit_test(what_is_wanted_is_what_is_not_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
