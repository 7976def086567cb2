#include "core/nearest.h"

#include <ctype.h>
#include <string.h>

#define WORD_BYTES_MAX 64

static bool same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Row i holds the distances of the first i characters of a from each beginning of b; three rows are kept. */
int hf_edit_distance(const char *a, const char *b)
{
    int rows[3][WORD_BYTES_MAX];
    int a_length = (int)strnlen(a, WORD_BYTES_MAX - 1), b_length = (int)strnlen(b, WORD_BYTES_MAX - 1);
    for (int i = 0; i <= a_length; i++) {
        int *row = rows[i % 3], *above = rows[(i + 2) % 3], *above_that = rows[(i + 1) % 3];
        row[0] = i;
        for (int j = 1; j <= b_length; j++) {
            if (i == 0) {
                row[j] = j;
                continue;
            }
            row[j] = above[j - 1] + !same(a[i - 1], b[j - 1]);
            if (above[j] + 1 < row[j])
                row[j] = above[j] + 1;
            if (row[j - 1] + 1 < row[j])
                row[j] = row[j - 1] + 1;
            bool swapped = i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]);
            if (swapped && above_that[j - 2] + 1 < row[j])
                row[j] = above_that[j - 2] + 1;
        }
    }
    return rows[a_length % 3][b_length];
}

bool hf_is_near(const char *given, int distance)
{
    return distance * 3 <= (int)strnlen(given, WORD_BYTES_MAX);
}
