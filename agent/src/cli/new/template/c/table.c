/* Soft interrupts by kind, from /proc/softirqs (proc(5)). */
#include "perfwatch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct softirqs {
    FILE *file;
    char *line; /* of getline(3), kept */
    size_t size;
    uint64_t at_least;
    uint64_t kinds, count, busiest_percent;
};

static void destroy(void *this)
{
    struct softirqs *self = this;
    fclose(self->file);
    free(self->line);
    free(self);
}

/* Once: opens files, reads options, and looks up the table and its columns of plugin.toml by name. */
static void *create(const perfwatch_host *host)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/softirqs", host->proc);
    FILE *file = fopen(path, "re");
    struct softirqs *self = file ? calloc(1, sizeof *self) : NULL;
    if (!self) {
        /* Nothing to measure is no failure. Any other error is one. */
        if (errno == ENOENT)
            host->fail(host, PERFWATCH_UNAVAILABLE, "this machine has no /proc/softirqs");
        else
            perfwatch_fail(host, PERFWATCH_FAILED, "could not open %s: %s", path, strerror(errno));
        if (file)
            fclose(file);
        return NULL;
    }
    self->file = file;
    self->at_least = (uint64_t)host->option_int(host, "at_least");
    self->kinds = host->table(host, "kinds");
    self->count = host->column(host, self->kinds, "count");
    self->busiest_percent = host->column(host, self->kinds, "busiest_percent");
    return self;
}

/* At each interval: a row for each line. The agent derives the rate, so that nothing is remembered here. */
static int collect(void *this, const perfwatch_host *host)
{
    struct softirqs *self = this;
    fflush(self->file); /* else what stdio holds of a reading that failed half way would be read again */
    rewind(self->file);
    /* A line of titles, then "TIMER:  24388  28159", a number for each processor. */
    for (int line = 1; getline(&self->line, &self->size, self->file) > 0; line++) {
        char *rest, *kind = strtok_r(self->line, ": \n", &rest);
        if (line == 1 || !kind)
            continue;
        uint64_t count = 0, most = 0;
        for (char *field; (field = strtok_r(NULL, ": \n", &rest));) {
            char *end;
            uint64_t one = strtoull(field, &end, 10);
            if (*end)
                return perfwatch_fail(host, PERFWATCH_FAILED, "no number in line %d of /proc/softirqs: %s", line, field);
            count += one;
            most = one > most ? one : most;
        }
        if (count < self->at_least)
            continue;
        perfwatch_row(host, self->kinds, kind);
        host->set_u64(host, self->count, count);
        if (count > 0) /* what is not set is null: unknown, and never 0 */
            host->set_f64(host, self->busiest_percent, 100.0 * (double)most / (double)count);
    }
    if (ferror(self->file))
        return perfwatch_fail(host, PERFWATCH_FAILED, "could not read /proc/softirqs: %s", strerror(errno));
    return 0;
}

PERFWATCH_PLUGIN(create, collect, destroy);
