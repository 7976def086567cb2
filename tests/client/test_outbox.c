/* The files of an outbox: what was put comes back, and nothing else does. */
#include "client/outbox.h"
#include "client/outbox_file.h"

#include "tests/client/outbox_files.h"
#include "tests/support/check_main.h"

#include <ctype.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define THREADS 8

static struct hf_outbox *box;
static struct holdfast_error err;

static void open_box(void)
{
    ck_assert_msg(hf_outbox_open(outbox, "default", &box, &err), "%s", err.text);
}

static struct hf_queue_state *make(const char *component, const void *data, size_t bytes)
{
    struct hf_queue_state *state = hf_queue_state_new(component, data, bytes, NULL, &err);
    ck_assert_msg(state != NULL, "%s", err.text);
    return state;
}

static void put(const char *component, const char *text)
{
    HF_AUTO(queue_state) struct hf_queue_state *state = make(component, text, strlen(text));
    ck_assert_msg(hf_outbox_put(box, state, &err), "%s", err.text);
}

static bool puts_not(const char *component, const char *text)
{
    HF_AUTO(queue_state) struct hf_queue_state *state = make(component, text, strlen(text));
    return !hf_outbox_put(box, state, &err);
}

static void expect(const char *component, const char *text)
{
    HF_AUTO(queue_state) struct hf_queue_state *state = NULL;
    ck_assert_int_eq(hf_outbox_read(box, component, &state, &err), HF_OUTBOX_READ);
    ck_assert_uint_eq(state->bytes, strlen(text));
    ck_assert_mem_eq(state->data->data, text, state->bytes);
}

/* "a b damaged-file! ": what a scan finds. */
static char found[4096];

static void on_found(void *context, struct hf_queue_state *state)
{
    (void)context;
    ck_assert_ptr_null(state->data);
    sprintf(found + strlen(found), "%s:%zu ", state->component, state->bytes);
    hf_queue_state_free(state);
}

static void on_damaged(void *context, const char *file, const struct holdfast_error *told)
{
    (void)context;
    ck_assert_ptr_nonnull(strstr(told->text, file));
    sprintf(found + strlen(found), "%.2s! ", file);
}

static bool scan(void)
{
    struct hf_outbox_visitor visitor = {on_found, on_damaged, NULL};
    found[0] = '\0';
    return hf_outbox_scan(box, &visitor, &err);
}

START_TEST(what_was_put_comes_back_with_all_that_belongs_to_it)
{
    static const char bytes[] = "\0\n\nsha-256 \xff";
    struct holdfast_save_options options = {.content_type = "text/plain; charset=\"a b\"",
                                            .event = "large-reward",
                                            .event_snapshot = true};
    HF_AUTO(queue_state) struct hf_queue_state *state = NULL, *back = NULL;
    state = hf_queue_state_new("A.b:c_d-E", bytes, sizeof(bytes), &options, &err);
    state->epoch = INT64_C(123456789012);
    open_box();
    ck_assert(hf_outbox_put(box, state, &err));
    hf_outbox_close(box);
    open_box();
    ck_assert_int_eq(hf_outbox_read(box, "A.b:c_d-E", &back, &err), HF_OUTBOX_READ);
    ck_assert_str_eq(back->component, state->component);
    ck_assert_str_eq(back->content_type, options.content_type);
    ck_assert_str_eq(back->event, options.event);
    ck_assert(back->snapshot);
    ck_assert_int_eq(back->epoch, state->epoch);
    ck_assert_int_eq(back->queued_at_ms, state->queued_at_ms);
    ck_assert(hf_hash_equal(&back->hash, &state->hash));
    ck_assert_uint_eq(back->bytes, sizeof(bytes));
    ck_assert_mem_eq(back->data->data, bytes, sizeof(bytes));
    hf_outbox_close(box);
}
END_TEST

START_TEST(an_empty_state_and_a_large_one_come_back)
{
    size_t bytes = 3 * 1024 * 1024 + 17;
    HF_AUTO(free) char *large = hf_alloc(bytes + 1);
    for (size_t i = 0; i < bytes; i++)
        large[i] = (char)('a' + i % 23);
    open_box();
    put("empty", "");
    put("large", large);
    expect("empty", "");
    expect("large", large);
    hf_outbox_close(box);
}
END_TEST

START_TEST(a_newer_state_takes_the_place_of_the_earlier_one)
{
    open_box();
    put("a", "longer than the next one");
    put("a", "2");
    expect("a", "2");
    ck_assert_int_eq(count_files(), 1);
    ck_assert(hf_outbox_remove(box, "a", &err));
    ck_assert_msg(hf_outbox_remove(box, "a", &err), "what is gone already is no failure");
    struct hf_queue_state *state;
    ck_assert_int_eq(hf_outbox_read(box, "a", &state, &err), HF_OUTBOX_GONE);
    hf_outbox_close(box);
}
END_TEST

START_TEST(names_that_differ_have_files_that_differ_in_more_than_capitals)
{
    char long_name[HF_NAME_MAX + 1], other[HF_NAME_MAX + 1], file[HF_OUTBOX_NAME_BYTES], second[HF_OUTBOX_NAME_BYTES];
    memset(long_name, 'X', HF_NAME_MAX);
    long_name[HF_NAME_MAX] = '\0';
    memcpy(other, long_name, sizeof(other));
    other[HF_NAME_MAX - 1] = 'Y';
    hf_outbox_file_name(long_name, file);
    hf_outbox_file_name(other, second);
    ck_assert_uint_lt(strlen(file), HF_OUTBOX_NAME_BYTES);
    ck_assert(ends_with(file, ".state"));
    ck_assert_str_ne(file, second);
    for (const char *at = file; *at; at++)
        ck_assert_msg(!isupper((unsigned char)*at), "%s", file);
    hf_outbox_file_name("a:b", file);
    hf_outbox_file_name("a_b", second);
    ck_assert_str_ne(file, second);
    hf_outbox_file_name("Agent", file);
    hf_outbox_file_name("agent", second);
    ck_assert_str_ne(file, second);
    open_box();
    put(long_name, "1");
    hf_outbox_close(box);
}
END_TEST

START_TEST(a_scan_finds_the_oldest_first_and_leaves_other_files_alone)
{
    open_box();
    for (int i = 3; i > 0; i--) {
        char name[8];
        snprintf(name, sizeof(name), "c%d", i);
        HF_AUTO(queue_state) struct hf_queue_state *state = make(name, "123", (size_t)i);
        state->queued_at_ms = 1000 - i;
        ck_assert(hf_outbox_put(box, state, &err));
    }
    HF_AUTO(free) char *other = hf_format("%s/notes.txt", outbox);
    HF_AUTO(free) char *unfinished = hf_format("%s/.tmp-5-c1.state", outbox);
    ck_assert_int_eq(close(creat(other, 0600)), 0);
    ck_assert_int_eq(close(creat(unfinished, 0600)), 0);
    hf_outbox_close(box);
    open_box();
    ck_assert(scan());
    ck_assert_str_eq(found, "c3:3 c2:2 c1:1 ");
    ck_assert_int_eq(access(other, F_OK), 0);
    ck_assert_int_ne(access(unfinished, F_OK), 0);
    hf_outbox_close(box);
}
END_TEST

/* Every single byte counts: altered, it makes a damaged file, whether the lines show it at once or not. */
START_TEST(no_byte_of_a_file_can_change_unnoticed)
{
    struct holdfast_save_options options = {.content_type = "text/plain", .event = "won", .event_snapshot = true};
    HF_AUTO(queue_state) struct hf_queue_state *state = hf_queue_state_new("a", "content", 7, &options, &err);
    state->epoch = 3;
    open_box();
    ck_assert(hf_outbox_put(box, state, &err));
    HF_AUTO(free) char *path = path_of("a-");
    struct stat status;
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_int_gt(status.st_size, 150);
    for (int i = 0; i < (int)status.st_size; i++) {
        struct hf_queue_state *back = NULL;
        damage_file("a-", i);
        ck_assert_msg(hf_outbox_read(box, "a", &back, &err) == HF_OUTBOX_DAMAGED, "byte %d", i);
        damage_file("a-", i);
    }
    expect("a", "content");
    for (off_t bytes = status.st_size; bytes-- > 0;) {
        struct hf_queue_state *back = NULL;
        ck_assert_int_eq(truncate(path, bytes), 0);
        ck_assert_int_eq(hf_outbox_read(box, "a", &back, &err), HF_OUTBOX_DAMAGED);
    }
    hf_outbox_close(box);
}
END_TEST

START_TEST(lines_that_say_nothing_sensible_and_files_under_a_wrong_name_are_set_aside)
{
    open_box();
    put("a", "1");
    put("b", "1");
    put("c", "1");
    damage_file("a-", 3);
    HF_AUTO(free) char *path = path_of("b-");
    HF_AUTO(free) char *renamed = hf_format("%s/d-1.state", outbox);
    ck_assert_int_eq(rename(path, renamed), 0);
    ck_assert(scan());
    ck_assert_ptr_nonnull(strstr(found, "a-! "));
    ck_assert_ptr_nonnull(strstr(found, "d-! "));
    ck_assert_ptr_nonnull(strstr(found, "c:1 "));
    ck_assert_int_eq(count_aside(".damaged"), 2);
    ck_assert_int_eq(count_files(), 1);
    hf_outbox_close(box);
}
END_TEST

START_TEST(what_is_no_file_is_set_aside)
{
    open_box();
    put("a", "1");
    HF_AUTO(free) char *pipe = hf_format("%s/pipe.state", outbox);
    HF_AUTO(free) char *directory = hf_format("%s/directory.state", outbox);
    HF_AUTO(free) char *link = hf_format("%s/link.state", outbox);
    ck_assert_int_eq(mkfifo(pipe, 0600), 0);
    ck_assert_int_eq(mkdir(directory, 0700), 0);
    ck_assert_int_eq(symlink("/etc/passwd", link), 0);
    ck_assert_msg(scan(), "%s", err.text);
    ck_assert_ptr_nonnull(strstr(found, "a:1 "));
    ck_assert_int_eq(count_aside(".damaged"), 3);
    ck_assert_int_eq(count_files(), 1);
    HF_AUTO(free) char *state = path_of("a-");
    ck_assert(unlink(state) == 0 && mkfifo(state, 0600) == 0);
    struct hf_queue_state *none = NULL;
    ck_assert_int_eq(hf_outbox_read(box, "a", &none, &err), HF_OUTBOX_DAMAGED);
    hf_outbox_close(box);
}
END_TEST

START_TEST(an_altered_size_is_not_what_a_state_is_said_to_take)
{
    open_box();
    put("a", "1");
    HF_AUTO(free) char *path = path_of("a-");
    char text[HF_OUTBOX_HEADER_MAX] = "";
    HF_AUTO(close) int fd = open(path, O_RDWR);
    ck_assert_int_gt(read(fd, text, sizeof(text) - 1), 0);
    char *digit = strstr(text, "\nbytes 1\n");
    ck_assert_ptr_nonnull(digit);
    ck_assert_int_eq(pwrite(fd, "9", 1, digit + strlen("\nbytes ") - text), 1);
    ck_assert(scan());
    ck_assert_str_eq(found, "a:1 ");
    hf_outbox_close(box);
}
END_TEST

START_TEST(states_of_another_system_are_not_sent_to_this_one)
{
    open_box();
    put("a", "1");
    hf_outbox_close(box);
    ck_assert(hf_outbox_open(outbox, "other", &box, &err));
    ck_assert(!scan());
    ck_assert_str_eq(err.code, "outbox_failed");
    ck_assert_ptr_nonnull(strstr(err.text, "system default"));
    ck_assert_int_eq(count_files(), 1);
    hf_outbox_close(box);
}
END_TEST

START_TEST(an_altered_system_is_damage_and_not_another_system)
{
    open_box();
    put("a", "1");
    damage_file("a-", (int)strlen("holdfast-outbox 1\nsystem "));
    ck_assert_msg(scan(), "%s", err.text);
    ck_assert_str_eq(found, "a-! ");
    hf_outbox_close(box);
}
END_TEST

START_TEST(an_outbox_is_open_once_at_a_time_and_after_a_crash_again)
{
    struct hf_outbox *second;
    pid_t child = fork();
    if (child == 0) {
        open_box();
        _exit(hf_outbox_open(outbox, "default", &second, &err) ? 1 : 0);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    open_box();
    ck_assert(!hf_outbox_open(outbox, "default", &second, &err));
    ck_assert(err.retryable);
    hf_outbox_close(box);
}
END_TEST

START_TEST(an_outbox_whose_lock_file_was_removed_is_still_locked)
{
    struct hf_outbox *second;
    HF_AUTO(free) char *file = hf_format("%s/lock", outbox);
    open_box();
    ck_assert_int_eq(unlink(file), 0);
    ck_assert(!hf_outbox_open(outbox, "default", &second, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "another queue"));
    hf_outbox_close(box);
    open_box();
    hf_outbox_close(box);
}
END_TEST

/* Something of that name which is no file cannot be removed when the outbox is opened. */
START_TEST(a_state_is_put_though_a_temporary_name_is_taken)
{
    char name[HF_OUTBOX_NAME_BYTES];
    hf_outbox_file_name("a", name);
    HF_AUTO(free) char *taken = hf_format("%s/.tmp-0-%s", outbox, name);
    ck_assert_int_eq(mkdir(outbox, 0700), 0);
    ck_assert_int_eq(mkdir(taken, 0700), 0);
    open_box();
    put("a", "1");
    expect("a", "1");
    hf_outbox_close(box);
}
END_TEST

START_TEST(a_place_where_no_directory_can_be_is_refused_with_its_name)
{
    ck_assert(!hf_outbox_open("/proc/none/outbox", "default", &box, &err));
    ck_assert_str_eq(err.code, "outbox_failed");
    ck_assert_ptr_nonnull(strstr(err.text, "/proc/none/outbox"));
    ck_assert(!hf_outbox_open("/dev/null", "default", &box, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "/dev/null"));
}
END_TEST

/* The system itself refuses to write more: what is there stays, and nothing of the rest. */
START_TEST(a_state_that_does_not_fit_leaves_the_earlier_one_and_nothing_else)
{
    struct rlimit limit = {4096, 4096};
    HF_AUTO(free) char *large = hf_alloc(100001);
    memset(large, 'x', 100000);
    signal(SIGXFSZ, SIG_IGN);
    open_box();
    put("a", "1");
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert(puts_not("a", large));
    ck_assert_str_eq(err.code, "outbox_failed");
    expect("a", "1");
    ck_assert_int_eq(count_aside(""), 4); /* . .. lock and the state */
    put("a", "2");
    expect("a", "2");
    hf_outbox_close(box);
}
END_TEST

static void *put_many(void *argument)
{
    char name[16], text[16];
    snprintf(name, sizeof(name), "c%d", *(int *)argument);
    for (int i = 0; i < 50; i++) {
        snprintf(text, sizeof(text), "%d", i);
        put(name, text);
    }
    return NULL;
}

START_TEST(many_threads_put_at_once)
{
    pthread_t threads[THREADS];
    int numbers[THREADS];
    open_box();
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, put_many, &numbers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++) {
        char name[16];
        snprintf(name, sizeof(name), "c%d", i);
        expect(name, "49");
    }
    ck_assert_int_eq(count_files(), THREADS);
    hf_outbox_close(box);
}
END_TEST

#ifdef HF_FAULTS
static void set_fault(const char *spec)
{
    setenv("HOLDFAST_FAULT", spec, 1);
}

START_TEST(a_full_disk_is_told_in_clear_words)
{
    set_fault("outbox_no_space:error:1");
    open_box();
    put("a", "1");
    ck_assert(puts_not("a", "2"));
    ck_assert_str_eq(err.code, "outbox_failed");
    ck_assert_ptr_nonnull(strstr(err.text, "no space left"));
    ck_assert(err.retryable);
    ck_assert_int_eq(count_aside(""), 4);
    expect("a", "1");
    hf_outbox_close(box);
}
END_TEST

START_TEST(a_directory_that_could_not_be_written_is_believed_nothing_more)
{
    set_fault("outbox_directory_sync:error:1");
    open_box();
    put("a", "1");
    ck_assert(puts_not("b", "1"));
    ck_assert_ptr_nonnull(strstr(err.text, "opened again"));
    ck_assert(puts_not("c", "1"));
    hf_outbox_close(box);
}
END_TEST

/* Dies in the middle of the second put. Afterwards the state is the first one or the second, and whole. Once in a test:
 * a process reads but once which faults it has. */
static void die_at(const char *point, const char *expected)
{
    pid_t child = fork();
    if (child == 0) {
        HF_AUTO(free) char *spec = hf_format("%s:exit:1", point);
        set_fault(spec);
        open_box();
        put("a", "1");
        (void)puts_not("a", "second");
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_msg(WEXITSTATUS(status) == 137, "%s was not reached", point);
    open_box();
    ck_assert_int_eq(count_aside(""), 4);
    expect("a", expected);
    hf_outbox_close(box);
}

START_TEST(dying_in_the_middle_of_a_state_leaves_the_earlier_one)
{
    die_at("outbox_midway", "1");
}
END_TEST

START_TEST(dying_before_a_state_has_its_name_leaves_the_earlier_one)
{
    die_at("outbox_before_rename", "1");
}
END_TEST

START_TEST(dying_when_a_state_has_its_name_leaves_it)
{
    die_at("outbox_after_rename", "second");
}
END_TEST

START_TEST(dying_while_the_directory_is_written_leaves_the_state)
{
    die_at("outbox_directory_sync", "second");
}
END_TEST

START_TEST(a_put_after_the_directory_could_not_be_written_changes_nothing)
{
    set_fault("outbox_directory_sync:error:1");
    open_box();
    put("a", "1");
    ck_assert(puts_not("b", "1"));
    ck_assert(puts_not("a", "2"));
    expect("a", "1");
    hf_outbox_close(box);
}
END_TEST

/* Else whoever tries again would find a directory whose name may be on no disk. */
START_TEST(a_directory_whose_name_could_not_be_made_to_last_is_not_left_behind)
{
    set_fault("outbox_parent_sync:error");
    ck_assert(!hf_outbox_open(outbox, "default", &box, &err));
    ck_assert_str_eq(err.code, "outbox_failed");
    ck_assert_int_ne(access(outbox, F_OK), 0);
    ck_assert_int_eq(mkdir(outbox, 0700), 0);
    ck_assert_msg(!hf_outbox_open(outbox, "default", &box, &err), "it was there, but is it on disk?");
    ck_assert_int_eq(access(outbox, F_OK), 0);
}
END_TEST

START_TEST(a_file_that_cannot_be_removed_is_marked_and_found_no_more)
{
    set_fault("outbox_before_remove:error:1");
    open_box();
    put("a", "1");
    put("b", "1");
    ck_assert(hf_outbox_remove(box, "c", &err));
    ck_assert(!hf_outbox_remove(box, "a", &err));
    ck_assert_str_eq(err.code, "outbox_failed");
    ck_assert_ptr_nonnull(strstr(err.text, "no process will send it"));
    ck_assert_int_eq(count_files(), 2);
    ck_assert(scan());
    ck_assert_str_eq(found, "b:1 ");
    ck_assert_int_eq(count_files(), 1);
    ck_assert_int_eq(count_aside(""), 4); /* . .. lock and b */
    hf_outbox_close(box);
}
END_TEST

START_TEST(an_outbox_with_a_file_that_cannot_be_read_for_now_is_not_opened_without_it)
{
    set_fault("outbox_read:error");
    open_box();
    put("a", "1");
    ck_assert(!scan());
    ck_assert_str_eq(err.code, "outbox_failed");
    ck_assert_str_eq(found, "");
    ck_assert_int_eq(count_files(), 1);
    struct hf_queue_state *state;
    ck_assert_int_eq(hf_outbox_read(box, "a", &state, &err), HF_OUTBOX_LATER);
    hf_outbox_close(box);
}
END_TEST

#define FAULT_TESTS                                                                                                    \
    a_full_disk_is_told_in_clear_words, a_directory_that_could_not_be_written_is_believed_nothing_more,                \
        dying_in_the_middle_of_a_state_leaves_the_earlier_one,                                                         \
        dying_before_a_state_has_its_name_leaves_the_earlier_one, dying_when_a_state_has_its_name_leaves_it,           \
        dying_while_the_directory_is_written_leaves_the_state,                                                         \
        a_put_after_the_directory_could_not_be_written_changes_nothing,                                                \
        a_directory_whose_name_could_not_be_made_to_last_is_not_left_behind,                                           \
        a_file_that_cannot_be_removed_is_marked_and_found_no_more,                                                     \
        an_outbox_with_a_file_that_cannot_be_read_for_now_is_not_opened_without_it,
#else
#define FAULT_TESTS
#endif

HF_TEST_MAIN_WITH("outbox", make_outbox_place, remove_outbox_place,
                  FAULT_TESTS what_was_put_comes_back_with_all_that_belongs_to_it,
                  an_empty_state_and_a_large_one_come_back, a_newer_state_takes_the_place_of_the_earlier_one,
                  names_that_differ_have_files_that_differ_in_more_than_capitals,
                  a_scan_finds_the_oldest_first_and_leaves_other_files_alone, no_byte_of_a_file_can_change_unnoticed,
                  lines_that_say_nothing_sensible_and_files_under_a_wrong_name_are_set_aside,
                  what_is_no_file_is_set_aside, an_altered_size_is_not_what_a_state_is_said_to_take,
                  states_of_another_system_are_not_sent_to_this_one, an_altered_system_is_damage_and_not_another_system,
                  an_outbox_is_open_once_at_a_time_and_after_a_crash_again,
                  an_outbox_whose_lock_file_was_removed_is_still_locked,
                  a_state_is_put_though_a_temporary_name_is_taken,
                  a_place_where_no_directory_can_be_is_refused_with_its_name,
                  a_state_that_does_not_fit_leaves_the_earlier_one_and_nothing_else, many_threads_put_at_once);
