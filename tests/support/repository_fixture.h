/* The checked fixture of programs whose every test has a repository of its own, in a temporary directory. Include it in
 * a test_*.c. */
#ifndef HF_TESTS_REPOSITORY_FIXTURE_H
#define HF_TESTS_REPOSITORY_FIXTURE_H

#include "tests/support/snapshots.h"
#include "tests/support/temp.h"

#include <stdlib.h>

static char *directory;
static struct hf_repository *repository;

static void setup(void)
{
    directory = hf_test_temp_directory();
    repository = hf_test_repository(directory);
}

static void teardown(void)
{
    hf_repository_close(repository);
    hf_test_remove_tree(directory);
    free(directory);
}

#endif
