/* The fault points of test builds. A release has neither this code nor the calls. */
#include "core/fault.h"

#ifdef HF_FAULTS

#include "core/error.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NUMBER_MAX      1000000000L
#define KILLED_STATUS   137 /* what a shell reports for kill -9 */
#define BAD_SPEC_STATUS 2

static const char *const fault_names[] = {
    "commit_before",
    "commit_after",
    "snapshot_write",
    "snapshot_before_rename",
    "snapshot_after_rename",
    "snapshot_before_row",
    "recovery_before_commit",
    "recovery_after_commit",
    "rebuild_midway",
    "shutdown_before_snapshot",
    "system_delete_begun",
    "system_delete_after_commit",
    "repair_before_write",
    "repair_before_exchange",
    "repair_after_exchange",
    "copy_before_rename",
    "recovery_read_io",
    "retention_midway",
    "hydration_before_commit",
    "patch_before_save",
    "recovery_planned",
    "recovery_midway",
    "recovery_before_row",
    "recovery_before_publish",
    "recovery_before_snapshot",
    "recovery_recorded",
    "drill_no_space",
    "drill_midway",
    "fork_midway",
    "heal_turn",
    "events_after_commit",
    "validation_slow",
    "outline_before_rename",
    "storage_look",
    "storage_low",
    "storage_thread",
    "outbox_parent_sync",
    "outbox_read",
    "outbox_no_space",
    "outbox_midway",
    "outbox_before_rename",
    "outbox_after_rename",
    "outbox_before_remove",
    "outbox_directory_sync",
};
#define FAULT_COUNT (sizeof(fault_names) / sizeof(fault_names[0]))

enum fault_action { ACTION_NONE, ACTION_ERROR, ACTION_EXIT, ACTION_SLEEP };

/* Written once by read_environment, then only skip_left changes. */
struct fault_point {
    enum fault_action action;
    long sleep_ms;
    _Atomic long skip_left;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct fault_point points[FAULT_COUNT];

static void read_environment(void);
static void read_spec(char *spec);
static struct fault_point *point_of(const char *name);
static long number_of(const char *text, const char *spec);
static _Noreturn void refuse(const char *spec, const char *what);
static void sleep_for(long ms);

bool hf_fault(const char *name)
{
    pthread_once(&once, read_environment);
    struct fault_point *point = point_of(name);
    HF_ASSERT(point != NULL);
    if (point->action == ACTION_NONE)
        return false;
    if (atomic_load(&point->skip_left) > 0 && atomic_fetch_sub(&point->skip_left, 1) > 0)
        return false;
    if (point->action == ACTION_EXIT)
        _exit(KILLED_STATUS);
    if (point->action == ACTION_SLEEP)
        sleep_for(point->sleep_ms);
    return point->action == ACTION_ERROR;
}

static void read_environment(void)
{
    const char *value = getenv("HOLDFAST_FAULT");
    if (!value || !*value)
        return;
    char *copy = strdup(value);
    HF_ASSERT(copy != NULL);
    char *rest = copy;
    for (char *spec = strsep(&rest, ","); spec; spec = strsep(&rest, ","))
        read_spec(spec);
    free(copy);
}

/* name:action[:skip] */
static void read_spec(char *spec)
{
    char whole[128];
    snprintf(whole, sizeof(whole), "%s", spec);
    char *name = strsep(&spec, ":");
    char *action = strsep(&spec, ":");
    struct fault_point *point = point_of(name);
    if (!point)
        refuse(whole, "there is no fault point of this name");
    if (!action)
        refuse(whole, "the action is missing: error, exit or sleep=MS");
    if (strcmp(action, "error") == 0) {
        point->action = ACTION_ERROR;
    } else if (strcmp(action, "exit") == 0) {
        point->action = ACTION_EXIT;
    } else if (strncmp(action, "sleep=", 6) == 0) {
        point->action = ACTION_SLEEP;
        point->sleep_ms = number_of(action + 6, whole);
    } else {
        refuse(whole, "the action must be error, exit or sleep=MS");
    }
    atomic_store(&point->skip_left, spec ? number_of(spec, whole) : 0);
}

static struct fault_point *point_of(const char *name)
{
    for (size_t i = 0; i < FAULT_COUNT; i++)
        if (strcmp(name, fault_names[i]) == 0)
            return &points[i];
    return NULL;
}

static long number_of(const char *text, const char *spec)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 10 || text[digits] != '\0' || strtol(text, NULL, 10) > NUMBER_MAX)
        refuse(spec, "a whole number is expected at its end");
    return strtol(text, NULL, 10);
}

static void refuse(const char *spec, const char *what)
{
    fprintf(stderr, "HOLDFAST_FAULT: \"%s\" is not allowed: %s. Fault points:", spec, what);
    for (size_t i = 0; i < FAULT_COUNT; i++)
        fprintf(stderr, " %s", fault_names[i]);
    fprintf(stderr, "\n");
    _exit(BAD_SPEC_STATUS);
}

static void sleep_for(long ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0)
        ;
}

#endif
