#include "screen.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void screen_start(void)
{
    printf("Step 1: Initializing Connection Pool and Shared Memory...\n"
           "Step 2: Initializing Market Feed and Event Queue...\n"
           "Step 3: Initializing World Model...\n"
           "Step 4: Initializing Learning Ecosystem...\n"
           "Step 5: Initializing Trading Agents...\n"
           "Step 6: Initializing Central Nervous System...\n"
           "Step 7: Initializing Master Orchestrator...\n"
           "Step 8: Initializing State Persistence System...\n"
           "Attempting system state recovery...\n");
}

void screen_homecoming(const struct homecoming *home)
{
    char lost[24];
    screen_duration(home->lost_ms, lost, sizeof(lost));
    if (home->kind == HOME_WHOLE)
        printf("[x] System state recovered successfully!\n"
               "Data loss: %s\n"
               "Components restored: %" PRId64 "\n",
               lost, home->components);
    else
        printf("No earlier state was found: starting fresh.\n");
}

void screen_operational(int64_t backup_interval_ms)
{
    char interval[24];
    screen_duration(backup_interval_ms, interval, sizeof(interval));
    if (backup_interval_ms == 3600000)
        printf("[x] State Persistence System operational with hourly backups\n");
    else if (backup_interval_ms > 0)
        printf("[x] State Persistence System operational with backups every %s\n", interval);
    else
        printf("[x] State Persistence System operational\n");
}

/* 1,247 */
static const char *grouped(int64_t value, char out[32])
{
    char digits[24];
    int length = snprintf(digits, sizeof(digits), "%" PRId64, value), at = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0 && digits[i - 1] != '-')
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

void screen_status(const struct syndicate *syndicate, const struct keeper_status *status, int64_t uptime_seconds)
{
    char text[32], next[24] = "not planned";
    const struct orchestrator *orchestrator = &syndicate->orchestrator;
    bool judges = syndicate->judge.part.step == orchestrator->steps;
    if (status && status->next_backup_ms >= 0)
        screen_duration(status->next_backup_ms, next, sizeof(next));
    printf("\n SYSTEM STATUS:\n");
    printf("    Active Agents: %" PRId64 "\n", status ? status->active_agents : orchestrator->active_agents);
    printf("    Total Judgments: %s\n", grouped(syndicate->judge.total_judgments, text));
    printf("    Learning Events: %s\n", grouped(orchestrator->learning_events, text));
    printf("    Uptime: %ss\n", grouped(uptime_seconds, text));
    printf("    Central Nervous System: %s\n", judges ? "[x] OPERATIONAL" : "[ ] SILENT");
    printf("    Next Backup: %s\n", status ? next : "unknown, the service is away");
    printf("    System Health: %.1f%%\n", 100 * (status ? status->health : orchestrator->health));
    printf("    Step: %s, %s market at %.2f, profit of all agents %.1f%%\n\n", grouped(orchestrator->steps, text),
           market_regime(&syndicate->market), syndicate->market.price, orchestrator->profit);
}

void screen_duration(int64_t ms, char *out, size_t size)
{
    static const struct {
        int64_t ms;
        const char *name;
    } units[] = {{86400000, "day"}, {3600000, "hour"}, {60000, "minute"}, {1000, "second"}};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        int64_t count = ms / units[i].ms;
        if (count == 0 && units[i].ms > 1000)
            continue;
        snprintf(out, size, "%" PRId64 " %s%s", count, units[i].name, count == 1 ? "" : "s");
        return;
    }
}
