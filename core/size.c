#include "core/size.h"

#include <inttypes.h>
#include <stdio.h>

void hf_size_format(int64_t bytes, char out[HF_SIZE_BYTES])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) {
        snprintf(out, HF_SIZE_BYTES, "%" PRId64 " B", bytes);
        return;
    }
    double value = (double)bytes / 1024;
    size_t unit = 0;
    for (; value >= 1023.95 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
        value /= 1024;
    snprintf(out, HF_SIZE_BYTES, "%.1f %s", value, units[unit]);
}
