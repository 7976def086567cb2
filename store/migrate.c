/* Brings a database to the schema of this binary. Migrations are files of migrations/, compiled in; what was applied is
 * remembered with its checksum, so that a database made by other files is noticed and refused, never guessed at. */
#include "core/clock.h"
#include "core/log.h"
#include "store/engine.h"

#include <string.h>

struct migration {
    const char *engine;
    int64_t number;
    const char *name;
    const char *checksum;
    const char *sql;
};

static const struct migration migrations[] = {
#include "migrations.inc"
};
#define MIGRATION_COUNT (int)(sizeof(migrations) / sizeof(migrations[0]))

/* What schema_migrations says, compared while it is read. */
struct comparison {
    const char *engine_name;
    int64_t last_number;
    struct hf_error *err;
    bool refused;
};

static void compare_applied(void *context, int64_t number, const char *checksum);
static const struct migration *find_migration(const char *engine_name, int64_t number);
static bool apply(const struct hf_migrator *migrator, const struct migration *migration, struct hf_error *err);

bool hf_migrate(const struct hf_migrator *migrator, const char *engine_name, struct hf_error *err)
{
    if (!migrator->run(migrator->connection,
                       "CREATE TABLE IF NOT EXISTS schema_migrations (number BIGINT PRIMARY KEY, name TEXT NOT NULL,"
                       " checksum TEXT NOT NULL, applied_at_ms BIGINT NOT NULL)",
                       err))
        return hf_error_wrap(err, "creating schema_migrations");

    struct comparison comparison = {.engine_name = engine_name, .err = err};
    if (!migrator->applied(migrator->connection, compare_applied, &comparison, err))
        return comparison.refused ? false : hf_error_wrap(err, "reading schema_migrations");
    if (comparison.refused)
        return false;

    for (int64_t number = comparison.last_number + 1;; number++) {
        const struct migration *migration = find_migration(engine_name, number);
        if (!migration)
            return true;
        if (!apply(migrator, migration, err))
            return false;
    }
}

static void compare_applied(void *context, int64_t number, const char *checksum)
{
    struct comparison *comparison = context;
    if (comparison->refused)
        return;
    const struct migration *known = find_migration(comparison->engine_name, number);
    if (!known) {
        hf_error_set(comparison->err, HF_CONFIG,
                     "the database has schema %lld, which this version of holdfast does not know; run the version that "
                     "made it, or a newer one",
                     (long long)number);
        comparison->refused = true;
    } else if (strcmp(known->checksum, checksum) != 0) {
        hf_error_set(comparison->err, HF_CONFIG,
                     "schema migration %lld (%s) of the database differs from the one in this version of holdfast; run "
                     "the version that made the database",
                     (long long)number, known->name);
        comparison->refused = true;
    } else if (number != comparison->last_number + 1) {
        hf_error_set(comparison->err, HF_CONFIG, "schema migration %lld is missing in the database",
                     (long long)comparison->last_number + 1);
        comparison->refused = true;
    }
    comparison->last_number = number;
}

static const struct migration *find_migration(const char *engine_name, int64_t number)
{
    for (int i = 0; i < MIGRATION_COUNT; i++)
        if (migrations[i].number == number && strcmp(migrations[i].engine, engine_name) == 0)
            return &migrations[i];
    return NULL;
}

static bool apply(const struct hf_migrator *migrator, const struct migration *migration, struct hf_error *err)
{
    if (!migrator->run(migrator->connection, migration->sql, err) ||
        !migrator->record(migrator->connection, migration->number, migration->name, migration->checksum,
                          hf_clock_now_ms(), err))
        return hf_error_wrap(err, "schema migration %lld (%s)", (long long)migration->number, migration->name);
    hf_log(HF_LOG_INFO, "schema_migrated", "the database schema was brought up to date",
           HF_LOG_TEXT("engine", migration->engine), HF_LOG_NUMBER("migration", migration->number),
           HF_LOG_TEXT("name", migration->name));
    return true;
}
