/* The load of this machine, from /proc/loadavg (proc(5)). */
#include "perfwatch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct load {
    int file;
    int field; /* which of the three averages in the file */
    uint64_t load;
};

static void destroy(void *this)
{
    struct load *self = this;
    close(self->file);
    free(self);
}

/* Once: opens files, reads options, and looks up the metrics of plugin.toml by name. */
static void *create(const perfwatch_host *host)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/loadavg", host->proc);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    struct load *self = file < 0 ? NULL : calloc(1, sizeof *self);
    if (!self) {
        /* Nothing to measure is no failure. Any other error is one. */
        if (errno == ENOENT)
            host->fail(host, PERFWATCH_UNAVAILABLE, "this machine has no /proc/loadavg");
        else
            perfwatch_fail(host, PERFWATCH_FAILED, "could not open %s: %s", path, strerror(errno));
        if (file >= 0)
            close(file);
        return NULL;
    }
    int64_t minutes = host->option_int(host, "minutes");
    self->file = file;
    self->field = minutes <= 1 ? 0 : minutes <= 5 ? 1 : 2;
    self->load = host->metric(host, "load");
    return self;
}

/* At each interval: reads, and sets what was read. What is not set is null: unknown, and never 0. */
static int collect(void *this, const perfwatch_host *host)
{
    struct load *self = this;
    char text[256]; /* 0.52 0.58 0.59 3/602 29383 */
    ssize_t size = pread(self->file, text, sizeof text - 1, 0);
    if (size < 0)
        return perfwatch_fail(host, PERFWATCH_FAILED, "could not read /proc/loadavg: %s", strerror(errno));
    text[size] = 0;
    double average[3];
    if (sscanf(text, "%lf %lf %lf", &average[0], &average[1], &average[2]) != 3)
        return host->fail(host, PERFWATCH_FAILED, "no load in /proc/loadavg");
    host->set_f64(host, self->load, average[self->field]);
    return 0;
}

PERFWATCH_PLUGIN(create, collect, destroy);
