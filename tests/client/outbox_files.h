/* Looking at, and damaging, the files of an outbox; for test programs. */
#ifndef HF_TESTS_CLIENT_OUTBOX_FILES_H
#define HF_TESTS_CLIENT_OUTBOX_FILES_H

#include "core/auto.h"
#include "tests/support/temp.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char outbox[256]; /* a directory that is not there yet */
static char *outbox_parent;

static inline void make_outbox_place(void)
{
    outbox_parent = hf_test_temp_directory();
    snprintf(outbox, sizeof(outbox), "%s/outbox", outbox_parent);
}

static inline void remove_outbox_place(void)
{
    hf_test_remove_tree(outbox_parent);
    free(outbox_parent);
}

static inline bool ends_with(const char *text, const char *end)
{
    size_t bytes = strlen(text), end_bytes = strlen(end);
    return bytes >= end_bytes && strcmp(text + bytes - end_bytes, end) == 0;
}

/* How many files end so. */
static inline int count_aside(const char *suffix)
{
    int count = 0;
    DIR *directory = opendir(outbox);
    ck_assert_ptr_nonnull(directory);
    for (struct dirent *entry; (entry = readdir(directory));)
        count += ends_with(entry->d_name, suffix);
    closedir(directory);
    return count;
}

static inline int count_files(void)
{
    return count_aside(".state");
}

/* The path of the file whose name begins so. Owns: free(). */
static inline char *path_of(const char *prefix)
{
    char *path = NULL;
    DIR *directory = opendir(outbox);
    ck_assert_ptr_nonnull(directory);
    for (struct dirent *entry; (entry = readdir(directory));)
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 && ends_with(entry->d_name, ".state"))
            path = hf_format("%s/%s", outbox, entry->d_name);
    closedir(directory);
    ck_assert_ptr_nonnull(path);
    return path;
}

/* Alters one byte; below 0: counted from the end. */
static inline void damage_file(const char *prefix, int offset)
{
    HF_AUTO(free) char *path = path_of(prefix);
    HF_AUTO(close) int fd = open(path, O_RDWR);
    unsigned char byte;
    off_t at = lseek(fd, offset, offset < 0 ? SEEK_END : SEEK_SET);
    ck_assert(at >= 0 && pread(fd, &byte, 1, at) == 1);
    byte ^= 1;
    ck_assert(pwrite(fd, &byte, 1, at) == 1);
}

#endif
