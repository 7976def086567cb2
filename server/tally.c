#include "server/tally.h"

#include "core/auto.h"
#include "core/metrics.h"

#include <stdio.h>

#define DIRTY_MAX   32
#define LABEL_BYTES 64
#define NO_ROUTE    "none"

/* Statuses that the service gives; any other shares the last slot. */
static const int statuses[] = {200, 201, 202, 204, 206, 304, 400, 401, 403, 404, 405, 406,
                               409, 412, 413, 414, 415, 416, 422, 500, 501, 503, 507, 0};
#define STATUS_COUNT ((int)(sizeof(statuses) / sizeof(statuses[0])))

struct cell {
    int64_t count;           /* since the last flush */
    char label[LABEL_BYTES]; /* made when first counted */
};

struct hf_tally {
    struct hf_route_table routes;
    int dirty_count;
    int dirty[DIRTY_MAX]; /* cells with a count */
    struct cell cells[];  /* (route count + 1) * STATUS_COUNT; the last row is for no route */
};

static void name_cell(struct cell *cell, const char *route_label, int status);
static int status_slot(int status);

struct hf_tally *hf_tally_new(const struct hf_route_table *routes)
{
    size_t cells = (size_t)(routes->count + 1) * STATUS_COUNT;
    struct hf_tally *tally = hf_alloc(sizeof(*tally) + cells * sizeof(struct cell));
    tally->routes = *routes;
    return tally;
}

void hf_tally_free(struct hf_tally *tally)
{
    free(tally);
}

void hf_tally_add(struct hf_tally *tally, const struct hf_route *route, int status)
{
    int row = route ? (int)(route - tally->routes.rows) : tally->routes.count;
    int index = row * STATUS_COUNT + status_slot(status);
    struct cell *cell = &tally->cells[index];
    if (cell->count == 0) {
        if (tally->dirty_count == DIRTY_MAX)
            hf_tally_flush(tally);
        tally->dirty[tally->dirty_count++] = index;
        if (!*cell->label)
            name_cell(cell, route ? route->label : NO_ROUTE, status);
    }
    cell->count++;
}

void hf_tally_flush(struct hf_tally *tally)
{
    for (int i = 0; i < tally->dirty_count; i++) {
        struct cell *cell = &tally->cells[tally->dirty[i]];
        hf_metric_add_labelled(HF_M_REQUESTS, cell->label, cell->count);
        cell->count = 0;
    }
    tally->dirty_count = 0;
}

static void name_cell(struct cell *cell, const char *route_label, int status)
{
    if (status_slot(status) < STATUS_COUNT - 1)
        snprintf(cell->label, sizeof(cell->label), "%s|%d", route_label, status);
    else
        snprintf(cell->label, sizeof(cell->label), "%s|other", route_label);
}

static int status_slot(int status)
{
    int slot = 0;
    while (slot < STATUS_COUNT - 1 && statuses[slot] != status)
        slot++;
    return slot;
}
