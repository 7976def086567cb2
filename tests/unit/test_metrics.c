#include "core/metrics.h"

#include "core/auto.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/check_main.h"

/* The exposition as text; the caller frees it. */
static char *exposition(void)
{
    struct hf_buf buf;
    hf_buf_init(&buf, 1024 * 1024);
    hf_metrics_write(&buf);
    ck_assert(!buf.failed);
    return hf_buf_take(&buf, NULL);
}

static void check_has_line(const char *line)
{
    HF_AUTO(free) char *text = exposition();
    HF_AUTO(free) char *wanted = hf_format("\n%s\n", line);
    ck_assert_msg(strstr(text, wanted) != NULL, "no line \"%s\" in:\n%s", line, text);
}

START_TEST(counters_add_up)
{
    hf_metric_add(HF_M_SAVES, 3);
    hf_metric_add(HF_M_SAVES, 4);
    ck_assert_double_eq(hf_metric_get(HF_M_SAVES), 7);
    ck_assert_double_eq(hf_metric_get(HF_M_COMMITS), 0);
    check_has_line("# TYPE holdfast_saves_total counter");
    check_has_line("holdfast_saves_total 7");
    check_has_line("holdfast_commits_total 0");
}
END_TEST

START_TEST(gauges_are_set_and_moved)
{
    hf_metric_set(HF_M_EXPOSURE_SECONDS, 12.5);
    ck_assert_double_eq(hf_metric_get(HF_M_EXPOSURE_SECONDS), 12.5);
    hf_metric_add(HF_M_INFLIGHT_BYTES, 100);
    hf_metric_add(HF_M_INFLIGHT_BYTES, -40);
    ck_assert_double_eq(hf_metric_get(HF_M_INFLIGHT_BYTES), 60);
    hf_metric_set(HF_M_START_TIME, 1795397400.123);
    check_has_line("# TYPE holdfast_exposure_seconds gauge");
    check_has_line("holdfast_exposure_seconds 12.5");
    check_has_line("holdfast_inflight_bytes 60");
    check_has_line("holdfast_start_timestamp_seconds 1795397400.123");
    hf_metric_set(HF_M_EXPOSURE_SECONDS, (double)NAN);
    check_has_line("holdfast_exposure_seconds NaN");
}
END_TEST

START_TEST(histograms_have_cumulative_buckets_a_sum_and_a_count)
{
    hf_metric_observe(HF_M_COMMIT_SECONDS, 0.0005);
    hf_metric_observe(HF_M_COMMIT_SECONDS, 0.002);
    hf_metric_observe(HF_M_COMMIT_SECONDS, 10);
    hf_metric_observe(HF_M_COMMIT_SECONDS, 100);
    check_has_line("# TYPE holdfast_commit_seconds histogram");
    check_has_line("holdfast_commit_seconds_bucket{le=\"0.0005\"} 1");
    check_has_line("holdfast_commit_seconds_bucket{le=\"0.001\"} 1");
    check_has_line("holdfast_commit_seconds_bucket{le=\"0.0025\"} 2");
    check_has_line("holdfast_commit_seconds_bucket{le=\"10\"} 3");
    check_has_line("holdfast_commit_seconds_bucket{le=\"+Inf\"} 4");
    check_has_line("holdfast_commit_seconds_sum 110.0025");
    check_has_line("holdfast_commit_seconds_count 4");
}
END_TEST

START_TEST(an_observation_that_is_no_duration_counts_as_zero)
{
    hf_metric_observe(HF_M_COMMIT_SECONDS, -1);
    hf_metric_observe(HF_M_COMMIT_SECONDS, (double)NAN);
    check_has_line("holdfast_commit_seconds_bucket{le=\"0.0005\"} 2");
    check_has_line("holdfast_commit_seconds_sum 0");
    hf_metric_observe(HF_M_COMMIT_SECONDS, (double)INFINITY);
    check_has_line("holdfast_commit_seconds_bucket{le=\"10\"} 2");
    check_has_line("holdfast_commit_seconds_count 3");
}
END_TEST

START_TEST(labelled_counters_have_a_line_for_each_value)
{
    hf_metric_add_labelled(HF_M_SNAPSHOTS, "full", 1);
    hf_metric_add_labelled(HF_M_SNAPSHOTS, "incremental", 2);
    hf_metric_add_labelled(HF_M_SNAPSHOTS, "full", 4);
    hf_metric_add_labelled(HF_M_REQUESTS, "state_put|201", 9);
    hf_metric_add_labelled(HF_M_EVENTS, "a\"b\\c\nd", 1);
    check_has_line("holdfast_snapshots_total{kind=\"full\"} 5");
    check_has_line("holdfast_snapshots_total{kind=\"incremental\"} 2");
    check_has_line("holdfast_http_requests_total{route=\"state_put\",status=\"201\"} 9");
    check_has_line("holdfast_events_total{severity=\"a\\\"b\\\\c\\nd\"} 1");
}
END_TEST

START_TEST(a_labelled_gauge_has_no_line_while_it_is_not_known)
{
    hf_metric_set_labelled(HF_M_STORAGE_FREE, "data", 7);
    hf_metric_set_labelled(HF_M_STORAGE_FREE, "backup", 0);
    check_has_line("# TYPE holdfast_storage_free_bytes gauge");
    check_has_line("holdfast_storage_free_bytes{place=\"data\"} 7");
    check_has_line("holdfast_storage_free_bytes{place=\"backup\"} 0");
    hf_metric_set_labelled(HF_M_STORAGE_FREE, "data", -1);
    HF_AUTO(buf) struct hf_buf out;
    hf_buf_init(&out, 1 << 20);
    hf_metrics_write(&out);
    ck_assert_ptr_null(strstr(out.data, "holdfast_storage_free_bytes{place=\"data\"}"));
    ck_assert_ptr_null(strstr(out.data, "holdfast_storage_size_bytes{"));
}
END_TEST

START_TEST(known_label_values_are_there_before_their_first_count)
{
    check_has_line("holdfast_events_total{severity=\"error\"} 0");
    check_has_line("holdfast_snapshots_total{kind=\"incremental\"} 0");
    check_has_line("holdfast_recoveries_total{status=\"failed\"} 0");
    check_has_line("holdfast_recoveries_total{status=\"completed\"} 0");
    check_has_line("holdfast_validations_total{status=\"damaged\"} 0");
    hf_metric_add_labelled(HF_M_EVENTS, "error", 1);
    check_has_line("holdfast_events_total{severity=\"error\"} 1");
}
END_TEST

START_TEST(label_values_past_the_bound_are_counted_as_other)
{
    for (int i = 0; i < 300; i++) {
        char value[32];
        snprintf(value, sizeof(value), "route%d|200", i);
        hf_metric_add_labelled(HF_M_REQUESTS, value, 1);
    }
    hf_metric_add_labelled(HF_M_REQUESTS, "route255|200", 1);
    check_has_line("holdfast_http_requests_total{route=\"route0\",status=\"200\"} 1");
    check_has_line("holdfast_http_requests_total{route=\"route255\",status=\"200\"} 2");
    check_has_line("holdfast_http_requests_total{route=\"other\",status=\"other\"} 44");
    HF_AUTO(free) char *text = exposition();
    ck_assert_ptr_null(strstr(text, "route256"));
}
END_TEST

START_TEST(every_row_is_described)
{
    HF_AUTO(free) char *text = exposition();
    int helps = 0, types = 0;
    for (const char *at = text; (at = strstr(at, "# HELP holdfast_")) != NULL; at++)
        helps++;
    for (const char *at = text; (at = strstr(at, "# TYPE holdfast_")) != NULL; at++)
        types++;
    ck_assert_int_eq(helps, HF_METRIC_COUNT);
    ck_assert_int_eq(types, HF_METRIC_COUNT);
    ck_assert_int_eq(text[strlen(text) - 1], '\n');
}
END_TEST

static void *count_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5000; i++) {
        char value[32];
        snprintf(value, sizeof(value), "r%d|200", i % 50);
        hf_metric_add(HF_M_SAVES, 1);
        hf_metric_add(HF_M_QUEUE_JOBS, 1);
        hf_metric_observe(HF_M_REQUEST_SECONDS, 0.001);
        hf_metric_add_labelled(HF_M_REQUESTS, value, 1);
    }
    return NULL;
}

START_TEST(nothing_is_lost_between_threads)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, count_often, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert_double_eq(hf_metric_get(HF_M_SAVES), 20000);
    ck_assert_double_eq(hf_metric_get(HF_M_QUEUE_JOBS), 20000);
    check_has_line("holdfast_http_request_seconds_count 20000");
    check_has_line("holdfast_http_requests_total{route=\"r0\",status=\"200\"} 400");
    check_has_line("holdfast_http_requests_total{route=\"r49\",status=\"200\"} 400");
}
END_TEST

#define PAIRS  128
#define ROUNDS 60

static char pairs[PAIRS][2][32];
static atomic_int next_pair[2];

/* Two values that metrics.c keeps in the same slot (FNV-1a, 512 slots). */
static void find_pair(uint32_t slot, char pair[2][32])
{
    int found = 0;
    for (int i = 0; found < 2; i++) {
        snprintf(pair[found], sizeof(pair[found]), "r%d|200", i);
        uint32_t hash = UINT32_C(2166136261);
        for (const char *c = pair[found]; *c; c++)
            hash = (hash ^ (unsigned char)*c) * UINT32_C(16777619);
        found += hash % 512 == slot;
    }
}

static void *count_own_half(void *arg)
{
    int self = *(int *)arg;
    for (int i = 0; i < PAIRS; i++) {
        atomic_fetch_add(&next_pair[self], 1);
        while (atomic_load(&next_pair[!self]) <= i)
            sched_yield();
        hf_metric_add_labelled(HF_M_REQUESTS, pairs[i][self], 1);
    }
    return NULL;
}

/* In a process of its own, because a value is new only once. Exits with 0 when each value was counted once. */
static void count_pairs_and_exit(void)
{
    pthread_t threads[2];
    int selves[2] = {0, 1};
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, count_own_half, &selves[i]) != 0)
            _exit(2);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    int ones = 0;
    char *text = exposition();
    for (const char *at = text; (at = strstr(at, "holdfast_http_requests_total{")) != NULL; at++)
        ones += strncmp(strchr(at, '}'), "} 1\n", 4) == 0;
    _exit(ones == 2 * PAIRS ? 0 : 1);
}

/* Rounds, because the threads have to meet in the few instructions between finding a slot free and using it. */
START_TEST(values_that_are_new_at_the_same_time_are_told_apart)
{
    for (int i = 0; i < PAIRS; i++)
        find_pair((uint32_t)i * 4, pairs[i]);
    for (int i = 0; i < ROUNDS; i++) {
        pid_t pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0)
            count_pairs_and_exit();
        int status;
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_msg(status == 0, "round %d ended with status %d", i, status);
    }
}
END_TEST

HF_TEST_MAIN("metrics", counters_add_up, gauges_are_set_and_moved, histograms_have_cumulative_buckets_a_sum_and_a_count,
             an_observation_that_is_no_duration_counts_as_zero, labelled_counters_have_a_line_for_each_value,
             a_labelled_gauge_has_no_line_while_it_is_not_known, known_label_values_are_there_before_their_first_count,
             label_values_past_the_bound_are_counted_as_other, every_row_is_described, nothing_is_lost_between_threads,
             values_that_are_new_at_the_same_time_are_told_apart);
