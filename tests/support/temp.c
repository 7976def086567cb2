#include "tests/support/temp.h"

#include "core/auto.h"
#include "core/error.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define OPEN_DIRECTORIES_MAX 16

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where);

char *hf_test_temp_directory(void)
{
    const char *base = getenv("TMPDIR");
    char *path = hf_format("%s/holdfast-test-XXXXXX", base && *base ? base : "/tmp");
    HF_ASSERT(mkdtemp(path));
    return path;
}

void hf_test_remove_tree(const char *path)
{
    nftw(path, remove_one, OPEN_DIRECTORIES_MAX, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status, (void)type, (void)where;
    return remove(path);
}
