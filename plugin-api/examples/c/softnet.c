/* /proc/net/softnet_stat (net/core/net-procfs.c): a line for each CPU that is online, of numbers in hex. The first three are packets
 * processed, dropped, and times squeezed; the 13th, from Linux 5.10 on, is the CPU. */
#include "perfwatch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct counters { uint64_t processed, dropped, squeezed; }; /* ids */

struct softnet {
    char path[4096];
    int by_cpu;
    struct counters all, one;
    uint64_t cpus;
};

static void *create(const perfwatch_host *host)
{
    struct softnet *self = calloc(1, sizeof *self);
    if (!self) {
        host->fail(host, PERFWATCH_FAILED, "no memory");
        return NULL;
    }
    snprintf(self->path, sizeof self->path, "%s/softnet_stat", host->net);
    self->by_cpu = host->option_int(host, "cpus") != 0;
    self->all.processed = host->metric(host, "processed");
    self->all.dropped = host->metric(host, "dropped");
    self->all.squeezed = host->metric(host, "squeezed");
    self->cpus = host->table(host, "cpus");
    self->one.processed = host->column(host, self->cpus, "processed");
    self->one.dropped = host->column(host, self->cpus, "dropped");
    self->one.squeezed = host->column(host, self->cpus, "squeezed");
    return self;
}

static void set(const perfwatch_host *host, struct counters id, const unsigned long long *value)
{
    host->set_u64(host, id.processed, value[0]);
    host->set_u64(host, id.dropped, value[1]);
    host->set_u64(host, id.squeezed, value[2]);
}

static int collect(void *this, const perfwatch_host *host)
{
    struct softnet *self = this;
    FILE *file = fopen(self->path, "re");
    if (!file && errno == ENOENT)
        return perfwatch_fail(host, PERFWATCH_UNAVAILABLE, "%s is not there: this kernel has no network", self->path);
    if (!file)
        return perfwatch_fail(host, errno == EACCES ? PERFWATCH_DENIED : PERFWATCH_FAILED, "could not open %s: %s", self->path,
                              strerror(errno));
    unsigned long long sum[3] = {0};
    char line[512];
    unsigned number = 0;
    int failed = 0;
    for (; !failed && fgets(line, sizeof line, file); number++) {
        unsigned long long value[3];
        unsigned cpu = number;
        if (sscanf(line, "%llx %llx %llx", &value[0], &value[1], &value[2]) != 3) {
            failed = perfwatch_fail(host, PERFWATCH_FAILED, "line %u of %s is not understood", number + 1, self->path);
            break;
        }
        sscanf(line, "%*x %*x %*x %*x %*x %*x %*x %*x %*x %*x %*x %*x %x", &cpu);
        for (int i = 0; i < 3; i++)
            sum[i] += value[i];
        if (self->by_cpu) {
            char key[16];
            snprintf(key, sizeof key, "%u", cpu);
            perfwatch_row(host, self->cpus, key);
            set(host, self->one, value);
        }
    }
    if (!failed && ferror(file))
        failed = perfwatch_fail(host, PERFWATCH_FAILED, "could not read %s: %s", self->path, strerror(errno));
    if (!failed && number == 0)
        failed = perfwatch_fail(host, PERFWATCH_FAILED, "%s is empty", self->path);
    fclose(file);
    if (!failed)
        set(host, self->all, sum);
    return failed;
}

PERFWATCH_PLUGIN(create, collect, free);
