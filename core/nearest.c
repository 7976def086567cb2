#include "core/nearest.h"

#include <ctype.h>
#include <string.h>

#define WORD_BYTES_MAX 64

int hf_edit_distance(const char *a, const char *b)
{
    int row[WORD_BYTES_MAX];
    int b_length = (int)strnlen(b, WORD_BYTES_MAX - 1);
    for (int j = 0; j <= b_length; j++)
        row[j] = j;
    for (int i = 0; a[i] && i < WORD_BYTES_MAX - 1; i++) {
        int diagonal = row[0];
        row[0] = i + 1;
        for (int j = 0; j < b_length; j++) {
            int replace = diagonal + (tolower((unsigned char)a[i]) != tolower((unsigned char)b[j]));
            int skip = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;
            diagonal = row[j + 1];
            row[j + 1] = replace < skip ? replace : skip;
        }
    }
    return row[b_length];
}

bool hf_is_near(const char *given, int distance)
{
    return distance * 3 <= (int)strnlen(given, WORD_BYTES_MAX);
}
