/* SPDX-License-Identifier: Apache-2.0
 *
 * test-agent-stress.c - thousands of execs of every kind at once, killed, stalled and timed out at random moments
 *
 * Theory of operation
 *   A job is one exec: what is asked, what the test does to it meanwhile, and what must come of it. All of that follows from the seed and the
 *   job's number alone, so that a job that went wrong can be asked for again; only the interleaving is the machine's. JOBS_AT_ONCE
 *   run at any time. Each is judged when it has ended: the kind of its end, code, signal, flags, and every byte of its output.
 *
 *   Nothing hangs unseen: a job that has not ended after JOB_MAX_MS is named, with what /proc says of agent and zygote.
 *
 *   NESTBOX_TEST_SEED=N      the seed of an earlier run
 *   NESTBOX_SOAK=1           SOAK_JOBS instead of SHORT_JOBS
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/size.h"
#include "native.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SHORT_JOBS 2000u
#define SOAK_JOBS 100000u
#define WARM_UP_JOBS 1000u
#define JOBS_AT_ONCE 32u
/* Beyond the two seconds that a stubborn process is given, and a stalled reader, on a machine that is busy with other things. */
#define JOB_MAX_MS 90000u
/* The longest that the loop waits when nothing comes. */
#define LOOK_MS 10
/* One turn of the loop in so many does not read the link at all for a while. */
#define LINK_STALL_ONE_IN 400u
#define LINK_STALL_NS 40000000L
#define OUTPUT_BITS_MAX 20
#define INPUT_BITS_MAX 19
#define ARGUMENT_BITS_MAX 16
/* How long sleeps what is to be killed. */
#define FOREVER "86421"
/* More than this is a leak: the sanitizer's own caches breathe by less. KiB. */
#define AGENT_GROWTH_MAX 3072
#define ZYGOTE_GROWTH_MAX 256

typedef enum signal_moment { SIGNAL_NEVER, SIGNAL_AT_ONCE, SIGNAL_AFTER_OUTPUT } signal_moment;

typedef struct job job;

typedef struct kind {
    const char *name;
    unsigned weight;
    bool needs_cgroup;
    void (*make)(job *j);
} kind;

struct job {
    const kind *kind;
    uint64_t random;
    unsigned number;
    uint32_t id;
    uint64_t begun_ms;
    /* what is asked */
    buf argv;
    msg_spawn request;
    /* what is done meanwhile; times count from begun_ms */
    uint32_t hold_ms;    /* nothing is granted until then */
    unsigned resizes;    /* left to be sent */
    uint8_t *input;      /* for stdin */
    size_t input_length; /* of that, and how much was sent */
    size_t input_sent;
    bool input_open;
    signal_moment when;
    uint32_t signal_ms; /* so long after that moment; 0 once it was sent */
    int signal;
    bool whole_tree;
    bool may_die_unborn; /* the signal went out before SPAWNED came */
    /* what must come of it */
    unsigned failed_step; /* WIRE_STEP_NONE: it runs */
    int failed_errno;
    int code, end_signal, other_signal;
    unsigned flags;
    char word[32]; /* stdout repeats it, out_length bytes of it */
    size_t out_length;
    char err[32];
};

typedef struct stress {
    native *box;
    uint64_t seed;
    uint64_t random; /* for what is no job's */
    job *jobs[JOBS_AT_ONCE];
    unsigned running, begun, ended;
} stress;

/* ---------------------------------------------------------------------------------------------------------- random */

/* An affine step and a mix of its bits: good enough to be different everywhere, and the same for the same seed. */
static uint64_t next(uint64_t *state) {
    *state += 0x9e3779b97f4a7c15u;
    uint64_t mixed = *state;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return mixed ^ mixed >> 31;
}

static unsigned below(job *j, unsigned limit) {
    return (unsigned) (next(&j->random) % limit);
}

/* Small sizes as often as large ones. */
static size_t size_of_bits(job *j, unsigned bits_max) {
    return (size_t) (next(&j->random) & ((UINT64_C(1) << below(j, bits_max + 1)) - 1));
}

static uint64_t choose_seed(void) {
    const char *given = getenv("NESTBOX_TEST_SEED");
    uint64_t seed;
    if (given)
        return strtoull(given, NULL, 10);
    assert_int_equal(getrandom(&seed, sizeof(seed), 0), sizeof(seed));
    return seed;
}

/* ----------------------------------------------------------------------------------------------------------- kinds */

static void ask(job *j, const char *word) {
    assert_true(strv_add(&j->argv, word));
}

static void ask_shell(job *j, const char *script) {
    ask(j, "sh");
    ask(j, "-c");
    ask(j, script);
}

static void expect_word(job *j, const char *text) {
    (void) snprintf(j->word, sizeof(j->word), "%s", text);
    j->out_length = strlen(text);
}

static void make_exit(job *j) {
    char script[96], word[32];
    j->code = (int) below(j, 256);
    (void) snprintf(word, sizeof(word), "out %u\n", j->number);
    expect_word(j, word);
    (void) snprintf(j->err, sizeof(j->err), "err %u\n", j->number);
    (void) snprintf(script, sizeof(script), "echo out %u; echo err %u >&2; exit %d", j->number, j->number, j->code);
    ask_shell(j, script);
}

static void make_own_signal(job *j) {
    static const int signals[] = {SIGTERM, SIGKILL, SIGHUP, SIGUSR1, SIGABRT, SIGSEGV, SIGPIPE, SIGINT};
    char script[64];
    j->end_signal = signals[below(j, ARRAY_LENGTH(signals))];
    (void) snprintf(script, sizeof(script), "kill -%d $$; sleep " FOREVER, j->end_signal);
    ask_shell(j, script);
}

static void make_refused(job *j) {
    static const struct {
        const char *program, *cwd, *user;
        unsigned step;
        int error;
    } refusals[] = {
        {"nothing", "", "", WIRE_STEP_EXECUTE, ENOENT},
        {"/nothing", "", "", WIRE_STEP_EXECUTE, ENOENT},
        {"/tmp/plain", "", "", WIRE_STEP_EXECUTE, EACCES},
        {"/tmp/noise", "", "", WIRE_STEP_EXECUTE, ENOEXEC},
        {"true", "/nowhere", "", WIRE_STEP_DIRECTORY, ENOENT},
        {"true", "/tmp/plain", "", WIRE_STEP_DIRECTORY, ENOTDIR},
        {"true", "", "nobody-of-that-name", WIRE_STEP_USER, ENOENT},
    };
    size_t i = below(j, ARRAY_LENGTH(refusals));
    ask(j, refusals[i].program);
    j->request.cwd = wire_str(refusals[i].cwd);
    j->request.user = wire_str(refusals[i].user);
    j->request.spawn_flags = below(j, 4) == 0 ? WIRE_SPAWN_TTY : 0;
    j->failed_step = refusals[i].step;
    j->failed_errno = refusals[i].error;
}

static void make_terminal(job *j) {
    char script[64], word[32];
    j->request.spawn_flags = WIRE_SPAWN_TTY;
    j->request.columns = (uint16_t) (2 + below(j, WIRE_COLUMNS_MAX - 1)); /* busybox takes 1 for unknown */
    j->request.rows = (uint16_t) (2 + below(j, WIRE_ROWS_MAX - 1));
    j->code = (int) below(j, 256);
    (void) snprintf(word, sizeof(word), "%u %u\r\n", j->request.rows, j->request.columns);
    expect_word(j, word);
    (void) snprintf(script, sizeof(script), "stty size; exit %d", j->code);
    ask_shell(j, script);
}

static void make_resized_terminal(job *j) {
    char script[64];
    j->request.spawn_flags = WIRE_SPAWN_TTY;
    j->resizes = 1 + below(j, 8);
    j->code = (int) below(j, 256);
    (void) snprintf(script, sizeof(script), "sleep 0.0%u; exit %d", below(j, 10), j->code);
    ask_shell(j, script);
}

/* Half of them through a terminal, some of them read late. */
static void make_output(job *j) {
    char script[128];
    size_t length = size_of_bits(j, OUTPUT_BITS_MAX);
    bool tty = below(j, 2) == 0;
    int printed = snprintf(j->word, sizeof(j->word), "word %u%s", j->number, tty ? "\r\n" : "\n"); /* a terminal adds the CR */
    size_t line = (size_t) printed - (tty ? 1 : 0);
    length -= length % line;
    j->request.spawn_flags = tty ? WIRE_SPAWN_TTY : 0;
    j->out_length = length / line * (size_t) printed;
    j->hold_ms = below(j, 3) == 0 ? below(j, 500) : 0;
    j->code = (int) below(j, 256);
    (void) snprintf(script, sizeof(script), "yes word %u | head -c %zu; exit %d", j->number, length, j->code);
    ask_shell(j, script);
}

static void give_input(job *j) {
    j->input_length = size_of_bits(j, INPUT_BITS_MAX);
    j->input = malloc(j->input_length + 1);
    assert_non_null(j->input);
    for (size_t i = 0; i < j->input_length; i += sizeof(uint64_t)) {
        uint64_t bytes = next(&j->random);
        size_t left = j->input_length - i;
        memcpy(j->input + i, &bytes, left < sizeof(bytes) ? left : sizeof(bytes));
    }
    j->request.spawn_flags = WIRE_SPAWN_STDIN;
    j->input_open = true;
}

static void make_echo(job *j) {
    give_input(j);
    j->out_length = j->input_length;
    j->hold_ms = below(j, 4) == 0 ? below(j, 300) : 0;
    ask(j, "cat");
}

static void make_unread_input(job *j) {
    give_input(j);
    ask(j, "true");
}

static void make_long_argument(job *j) {
    CLEANUP(cleanup_free) char *word = malloc(((size_t) 1 << ARGUMENT_BITS_MAX) + 1);
    char length[32];
    assert_non_null(word);
    size_t size = size_of_bits(j, ARGUMENT_BITS_MAX);
    memset(word, 'a' + (int) below(j, 26), size);
    word[size] = '\0';
    (void) snprintf(length, sizeof(length), "%zu\n", size);
    expect_word(j, length);
    ask_shell(j, "echo ${#1}");
    ask(j, "sh");
    ask(j, word);
}

/* The orphan has the pipe open for longer than anybody waits for it. */
static void make_orphan(job *j) {
    char script[64];
    j->code = (int) below(j, 256);
    expect_word(j, "out\n");
    (void) snprintf(script, sizeof(script), "sleep 2 & echo out; exit %d", j->code);
    ask_shell(j, script);
}

static void make_killed(job *j) {
    static const int signals[] = {SIGTERM, SIGKILL, SIGINT, SIGUSR2};
    j->when = SIGNAL_AT_ONCE;
    j->signal_ms = below(j, 60);
    j->signal = j->end_signal = signals[below(j, ARRAY_LENGTH(signals))];
    j->request.spawn_flags = below(j, 3) == 0 ? WIRE_SPAWN_TTY : 0;
    ask(j, "sleep");
    ask(j, FOREVER);
}

static void make_killed_tree(job *j) {
    j->when = below(j, 2) ? SIGNAL_AT_ONCE : SIGNAL_AFTER_OUTPUT;
    j->signal_ms = below(j, 60);
    j->signal = j->end_signal = SIGKILL;
    j->whole_tree = true;
    if (j->when == SIGNAL_AFTER_OUTPUT)
        expect_word(j, "up\n");
    ask_shell(j, j->when == SIGNAL_AFTER_OUTPUT ? "sleep " FOREVER " & (setsid sleep " FOREVER " &) ; echo up; sleep " FOREVER "; echo more"
                                                : "sleep " FOREVER " & (sleep " FOREVER " &) ; sleep " FOREVER);
}

static void make_trap(job *j) {
    char script[96];
    j->when = SIGNAL_AFTER_OUTPUT;
    j->signal_ms = below(j, 40);
    j->signal = SIGUSR1;
    j->code = (int) below(j, 256);
    expect_word(j, "up\n");
    (void) snprintf(script, sizeof(script), "trap 'exit %d' USR1; echo up; while :; do sleep 0.02; done", j->code);
    ask_shell(j, script);
}

static void make_timed_out(job *j) {
    j->request.timeout_ms = 1 + below(j, 200);
    j->flags = WIRE_EXIT_TIMED_OUT;
    j->end_signal = SIGTERM;
    ask(j, "sleep");
    ask(j, FOREVER);
}

static void make_stubborn(job *j) {
    j->request.timeout_ms = 200 + below(j, 200);
    j->request.grace_ms = 1 + below(j, 500);
    j->flags = WIRE_EXIT_TIMED_OUT;
    j->end_signal = SIGKILL;
    j->other_signal = SIGTERM; /* where the time was over before the trap was set */
    ask_shell(j, "trap '' TERM; sleep " FOREVER " & sleep " FOREVER "; sleep " FOREVER);
}

static const kind kinds[] = {
    {"exit", 20, false, make_exit},
    {"own signal", 8, false, make_own_signal},
    {"refused", 12, false, make_refused},
    {"terminal", 8, false, make_terminal},
    {"resized terminal", 4, false, make_resized_terminal},
    {"output", 10, false, make_output},
    {"echo", 8, false, make_echo},
    {"unread input", 4, false, make_unread_input},
    {"long argument", 6, false, make_long_argument},
    {"orphan", 4, false, make_orphan},
    {"killed", 10, false, make_killed},
    {"killed tree", 4, true, make_killed_tree},
    {"trap", 4, false, make_trap},
    {"timed out", 6, true, make_timed_out},
    {"stubborn", 1, true, make_stubborn},
};

static const kind *choose_kind(job *j) {
    unsigned weights = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++)
        weights += kinds[i].weight;
    unsigned drawn = below(j, weights);
    size_t i = 0;
    while (drawn >= kinds[i].weight)
        drawn -= kinds[i++].weight;
    return kinds[i].needs_cgroup && !native_has_cgroup() ? &kinds[0] : &kinds[i];
}

/* ------------------------------------------------------------------------------------------------------------ jobs */

static job *begin_job(stress *s) {
    job *j = calloc(1, sizeof(*j));
    assert_non_null(j);
    j->number = s->begun++;
    j->random = s->seed ^ (uint64_t) j->number << 20;
    buf_init(&j->argv, WIRE_ARGV_MAX_BYTES);
    j->kind = choose_kind(j);
    j->kind->make(j);
    j->request.argv = strv_of(&j->argv);
    j->begun_ms = clock_monotonic_ms();
    j->id = native_spawn(s->box, j->request);
    native_get(s->box, j->id)->hold = j->hold_ms > 0;
    return j;
}

static void free_job(stress *s, job *j) {
    native_forget(s->box, j->id);
    buf_done(&j->argv);
    free(j->input);
    free(j);
}

static void send_signal(stress *s, job *j, const native_exec *e) {
    j->may_die_unborn = !e->spawned;
    j->when = SIGNAL_NEVER;
    native_tell(s->box, wire_encode_signal, (&(msg_signal){.exec_id = j->id, .signal = (uint8_t) j->signal, .whole_tree = j->whole_tree}));
}

/* Does to a running job what is due. */
static void act(stress *s, job *j, uint64_t now_ms) {
    native_exec *e = native_get(s->box, j->id);
    uint64_t age_ms = now_ms - j->begun_ms;
    if (e->hold && age_ms >= j->hold_ms)
        native_release(s->box, j->id);
    if (j->input_open) {
        j->input_sent += native_write_some(s->box, j->id, j->input + j->input_sent, j->input_length - j->input_sent);
        if (j->input_sent == j->input_length) {
            native_close_stdin(s->box, j->id);
            j->input_open = false;
        }
    }
    if (j->resizes > 0 && age_ms % 3 == 0) {
        j->resizes--;
        native_tell(s->box, wire_encode_resize,
                    (&(msg_resize){.exec_id = j->id, .columns = (uint16_t) below(j, 300), .rows = (uint16_t) below(j, 100)}));
    }
    if (j->when == SIGNAL_AFTER_OUTPUT && e->received[0] == j->out_length) {
        j->when = SIGNAL_AT_ONCE;
        j->signal_ms += (uint32_t) age_ms;
    }
    if (j->when == SIGNAL_AT_ONCE && age_ms >= j->signal_ms)
        send_signal(s, j, e);
}

static _Noreturn void fail_job(stress *s, const job *j, const char *what) {
    const native_exec *e = native_get(s->box, j->id);
    print_error("exec %u, job %u of the seed %" PRIu64 ", %s: %s\n", j->id, j->number, s->seed, j->kind->name, what);
    print_error("  asked %" PRIu64 " ms ago; spawned %d, failed %d (%s: %s), exited %d (code %d, signal %u, flags %u)\n",
                clock_monotonic_ms() - j->begun_ms, e->spawned, e->failed, wire_step_text(e->failure.step), strerror(e->failure.error),
                e->exited, e->exit.code, e->exit.signal, e->exit.exit_flags);
    print_error("  stdout %zu of %zu bytes, ungranted %u, ended %d; stderr %zu bytes; stdin %zu of %zu bytes, credit %u\n", e->received[0],
                j->out_length, e->ungranted[0], e->ended[0], e->received[1], j->input_sent, j->input_length, e->stdin_credit);
    print_error("  asked for '%s', stdout begins with '%.*s'\n", j->word, buf_length(&e->out[0]) < 100 ? (int) buf_length(&e->out[0]) : 100,
                buf_length(&e->out[0]) ? (const char *) buf_bytes(&e->out[0]) : "");
    native_print_state(s->box);
    fail_msg("job %u of the seed %" PRIu64 " (%s): %s", j->number, s->seed, j->kind->name, what);
    abort(); /* fail_msg() does not come back, but its declaration does not say so */
}

static bool output_is_right(const job *j, const native_exec *e) {
    const uint8_t *bytes = buf_bytes(&e->out[0]);
    size_t word = strlen(j->word);
    if (e->received[0] != j->out_length)
        return false;
    if (j->out_length == 0)
        return true;
    if (j->input)
        return memcmp(bytes, j->input, j->out_length) == 0;
    for (size_t i = 0; i < j->out_length; i++) {
        if (bytes[i] != (uint8_t) j->word[i % word])
            return false;
    }
    return true;
}

static void judge(stress *s, const job *j) {
    const native_exec *e = native_get(s->box, j->id);
    if (e->failed && e->spawned)
        fail_job(s, j, "it failed to spawn after it was spawned");
    if (e->failed && j->may_die_unborn && e->failure.step == WIRE_STEP_FORK && e->failure.error == ECHILD)
        return;
    if (j->failed_step != WIRE_STEP_NONE) {
        if (!e->failed || e->failure.step != j->failed_step || e->failure.error != j->failed_errno)
            fail_job(s, j, "it was to be refused otherwise");
        return;
    }
    if (e->failed)
        fail_job(s, j, "it was refused");
    if (e->exit.signal != j->end_signal && (!j->other_signal || e->exit.signal != j->other_signal))
        fail_job(s, j, "it ended by another signal");
    if (e->exit.code != j->code || e->exit.exit_flags != j->flags)
        fail_job(s, j, "another code, or other flags");
    if (!e->ended[0] || (!e->ended[1] && !(j->request.spawn_flags & WIRE_SPAWN_TTY)))
        fail_job(s, j, "a stream has no end");
    if (!output_is_right(j, e))
        fail_job(s, j, "another output");
    if (buf_length(&e->out[1]) != strlen(j->err) || (*j->err && memcmp(buf_bytes(&e->out[1]), j->err, strlen(j->err)) != 0))
        fail_job(s, j, "another output on stderr");
}

/* One turn: begins what there is room for, does what is due, takes what comes, judges what has ended. */
static void turn(stress *s, unsigned total) {
    for (size_t i = 0; i < JOBS_AT_ONCE && s->begun < total; i++) {
        if (!s->jobs[i]) {
            s->jobs[i] = begin_job(s);
            s->running++;
        }
    }
    if (next(&s->random) % LINK_STALL_ONE_IN == 0)
        (void) nanosleep(&(struct timespec){.tv_nsec = LINK_STALL_NS}, NULL);
    int wait_ms = LOOK_MS;
    for (unsigned i = 0; i < 64 && native_pump_for(s->box, wait_ms); i++)
        wait_ms = 0;
    uint64_t now_ms = clock_monotonic_ms();
    for (size_t i = 0; i < JOBS_AT_ONCE; i++) {
        job *j = s->jobs[i];
        if (!j)
            continue;
        const native_exec *e = native_get(s->box, j->id);
        if (e->exited || e->failed) {
            judge(s, j);
            free_job(s, j);
            s->jobs[i] = NULL;
            s->running--;
            s->ended++;
        } else if (s->box->fd < 0) {
            fail_job(s, j, "the link is over");
        } else if (now_ms - j->begun_ms > JOB_MAX_MS) {
            fail_job(s, j, "it hangs");
        } else {
            act(s, j, now_ms);
        }
    }
}

static void run_jobs(stress *s, unsigned count) {
    unsigned total = s->begun + count;
    while (s->ended < total)
        turn(s, total);
}

/* ----------------------------------------------------------------------------------------------------------- leaks */

typedef struct holdings {
    unsigned agent_fds, agent_groups, zygote_fds, zombies;
    long agent_kib, zygote_kib;
} holdings;

/* What agent and zygote hold when nothing runs any more. */
static holdings take_stock(stress *s) {
    native *n = s->box;
    holdings h;
    native_wait_empty_box(n);
    native_settle(n);
    h.agent_fds = native_count_fds_outside(n->agent, n->cgroup, &h.agent_groups);
    h.zygote_fds = native_count_fds(n->zygote);
    h.zombies = native_count_zombies(n->agent) + native_count_zombies(n->zygote);
    h.agent_kib = native_status_number(n->agent, "VmRSS");
    h.zygote_kib = native_status_number(n->zygote, "VmRSS");
    print_message("after %u execs: agent %u descriptors, %u groups, %ld KiB; zygote %u descriptors, %ld KiB\n", s->ended, h.agent_fds,
                  h.agent_groups, h.agent_kib, h.zygote_fds, h.zygote_kib);
    return h;
}

static void every_exec_of_thousands_comes_to_the_end_that_was_asked_for(void **state) {
    const char *soak = getenv("NESTBOX_SOAK");
    stress s = {.seed = choose_seed(), .box = native_start(WIRE_SETUP_INIT)};
    s.random = s.seed;
    print_message("seed: NESTBOX_TEST_SEED=%" PRIu64 "\n", s.seed);
    const char *prepare = "echo x >/tmp/plain; chmod 644 /tmp/plain; echo 'no program' >/tmp/noise; chmod 755 /tmp/noise";
    uint32_t preparing = native_shell(s.box, prepare);
    assert_int_equal(native_wait(s.box, preparing)->exit.code, 0);
    native_forget(s.box, preparing);
    run_jobs(&s, WARM_UP_JOBS);
    holdings before = take_stock(&s);
    run_jobs(&s, (soak && strcmp(soak, "1") == 0 ? SOAK_JOBS : SHORT_JOBS) - WARM_UP_JOBS);
    holdings after = take_stock(&s);
    assert_int_equal(after.agent_fds, before.agent_fds);
    assert_int_equal(after.zygote_fds, before.zygote_fds);
    assert_true(after.agent_groups <=
                8 * JOBS_AT_ONCE); /* two for each group that is kept: no more than were in use at once, with orphans */
    assert_int_equal(after.zombies, 0);
    assert_true(after.agent_kib <= before.agent_kib + AGENT_GROWTH_MAX);
    assert_true(after.zygote_kib <= before.zygote_kib + ZYGOTE_GROWTH_MAX);
    native_stop(s.box); /* the agent's own leak check comes with its end */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_exec_of_thousands_comes_to_the_end_that_was_asked_for),
    };
    const char *why = native_prepare();
    if (why)
        (void) printf("skipped: %s\n", why);
    int result = why ? 77 : cmocka_run_group_tests(tests, NULL, NULL);
    native_clean_up();
    return result;
}
