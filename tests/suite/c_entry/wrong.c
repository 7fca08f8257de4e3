/* Makes the mistake that its option `does` names. The loader's are made by the compiler's -D: see c_entry.rs. */
#include "perfwatch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct wrong {
    const perfwatch_host *host;
    perfwatch_host copy;
    const char *does;
    uint64_t count, is_signed, ratio, is_on, name, rows, value, pairs, note;
};

static int is(const struct wrong *self, const char *does)
{
    return strcmp(self->does, does) == 0;
}

/* Whether each option is what the test gives. */
static int has_its_options(const perfwatch_host *host)
{
    return host->option_int(host, "pause") == 1500000000 && host->option_float(host, "share") == 0.5 &&
           strcmp(host->option_text(host, "share"), "0.5") == 0 && strcmp(host->option_item(host, "only", 0), "a") == 0 &&
           strcmp(host->option_item(host, "only", 1), "b") == 0 && !host->option_item(host, "only", 2) &&
           !host->option_text(host, "rotate.size") && host->option_int(host, "rotate.size") == 0 &&
           strcmp(host->option_text(host, "labels.region"), "eu") == 0 && !host->option_text(host, "labels.zone") &&
           strstr(host->options, "\"pause\":1500000000");
}

static void *create(const perfwatch_host *host)
{
    struct wrong *self = calloc(1, sizeof *self);
    self->host = host;
    self->copy = *host;
    self->does = host->option_text(host, "does");
    self->count = host->metric(host, "count");
    self->is_signed = host->metric(host, "signed");
    self->ratio = host->metric(host, "ratio");
    self->is_on = host->metric(host, "is_on");
    self->name = host->metric(host, "name");
    self->rows = host->table(host, "rows");
    self->value = host->column(host, self->rows, "value");
    self->pairs = host->table(host, "pairs");
    self->note = host->column(host, self->pairs, "note");
    if (is(self, "misspell a metric")) host->metric(host, "cuont");
    if (is(self, "misspell a table")) host->table(host, "row");
    if (is(self, "misspell a column")) host->column(host, self->rows, "vaule");
    if (is(self, "misspell an option")) host->option_text(host, "puase");
    if (is(self, "set what is derived")) host->metric(host, "count_per_sec");
    if (is(self, "ask a metric for a column")) host->column(host, self->count, "value");
    if (is(self, "ask a text for a number")) host->option_int(host, "does");
    if (is(self, "ask for NULL")) host->metric(host, NULL);
    if (is(self, "ask in bytes")) host->metric(host, "c\xffunt");
    if (is(self, "set too early")) host->set_u64(host, self->count, 1);
    if (is(self, "make nothing")) { free(self); return NULL; }
    if (is(self, "have no device")) { host->fail(host, PERFWATCH_UNAVAILABLE, "no such device"); free(self); return NULL; }
    return self;
}

static int work_well(struct wrong *self, const perfwatch_host *host)
{
    struct perfwatch_space space = {0};
    const perfwatch_host *copy = &self->copy;
    if (self->host != host || !has_its_options(host) || host->size < sizeof *host)
        return perfwatch_fail(host, PERFWATCH_FAILED, "%s", "it has other options, or another host");
    if (!host->time_left(host) || host->page_size < 4096 || host->clock_ticks == 0 || strcmp(host->proc, "/proc"))
        return perfwatch_fail(host, PERFWATCH_FAILED, "%s", "it has no time, or other constants");
    if (host->space(host, host->root, &space) || !space.total_bytes || host->space(host, "/nowhere/at/all", &space) != ENOENT)
        return perfwatch_fail(host, PERFWATCH_FAILED, "%s", "it has no space");
    host->log(host, PERFWATCH_INFO, "well");
    host->log(host, 4711, "of a level that nobody knows");
    host->set_u64(host, self->count, UINT64_MAX);
    copy->set_i64(copy, self->is_signed, -1);
    host->set_f64(host, self->ratio, 0.25);
    host->set_bool(host, self->is_on, 2);
    host->set_text(host, self->name, "a\xff" "b");
    perfwatch_row(host, self->rows, "one");
    host->set_u64(host, self->value, 1);
    perfwatch_row(host, self->rows, "two");
    host->row_failed(host, "no answer");
    perfwatch_row(host, self->pairs, "x", "y");
    host->set_text(host, self->note, "");
    host->part_failed(host, "rest", "no luck");
    return 0;
}

static int collect(void *this, const perfwatch_host *host)
{
    struct wrong *self = this;
    const char *keys[] = {"one", NULL};
    host->set_u64(host, self->count, 7);
    if (is(self, "well")) return work_well(self, host);
    if (is(self, "forget an id")) host->set_u64(host, 0, 1);
    if (is(self, "make up an id")) host->set_u64(host, UINT64_MAX, 1);
    if (is(self, "make up a place")) host->set_u64(host, self->count | UINT32_MAX, 1);
    if (is(self, "make up a column")) { perfwatch_row(host, self->rows, "one"); host->set_u64(host, self->value | UINT32_MAX, 1); }
    if (is(self, "make up a table")) host->row(host, self->rows | 0xffffffull << 32, keys, 1);
    if (is(self, "set a table")) host->set_u64(host, self->rows, 1);
    if (is(self, "begin no row")) host->set_u64(host, self->value, 1);
    if (is(self, "fail no row")) host->row_failed(host, "no answer");
    if (is(self, "begin another's row")) { perfwatch_row(host, self->pairs, "x", "y"); host->set_u64(host, self->value, 1); }
    if (is(self, "give a key too few")) perfwatch_row(host, self->pairs, "x");
    if (is(self, "give 2^32 keys")) host->row(host, self->rows, keys, UINT32_MAX);
    if (is(self, "give no keys")) host->row(host, self->rows, NULL, 1);
    if (is(self, "give NULL as a key")) host->row(host, self->rows, keys + 1, 1);
    if (is(self, "give NULL as a text")) host->set_text(host, self->name, NULL);
    if (is(self, "give NULL as a place")) host->space(host, "/", NULL);
    if (is(self, "call without a host")) {
        host->set_u64(NULL, self->count, 1);
        perfwatch_host empty = {0};
        if (host->metric(&empty, "count") || host->option_text(NULL, "does") || host->fail(NULL, 3, NULL) != 3) return 1;
    }
    if (is(self, "return 9")) return 9;
    if (is(self, "fail twice")) { host->fail(host, PERFWATCH_UNAVAILABLE, "first"); return perfwatch_fail(host, PERFWATCH_FAILED, "second"); }
    if (is(self, "fail and return 0")) perfwatch_fail(host, PERFWATCH_DENIED, "needs cap_%s", "perfmon");
    if (is(self, "fail without words")) return host->fail(host, PERFWATCH_FAILED, NULL);
    if (is(self, "fail by no kind")) return host->fail(host, -5, "of no kind");
    if (is(self, "set another type")) host->set_f64(host, self->count, 1.5);
    if (is(self, "set a huge text")) {
        char *text = malloc(16 << 20);
        memset(text, 'x', 16 << 20);
        text[(16 << 20) - 1] = 0;
        host->set_text(host, self->name, text);
        free(text);
    }
    if (is(self, "begin too many rows"))
        for (int i = 0; i < 20000; i++) {
            char key[16];
            snprintf(key, sizeof key, "%d", i);
            perfwatch_row(host, self->rows, key);
            host->set_u64(host, self->value, 1);
        }
    if (is(self, "read past its memory")) {
        volatile char *memory = malloc(8);
        if (memory[8] == 'x') host->log(host, PERFWATCH_INFO, "never");
        free((char *)memory);
    }
    return 0;
}

static void destroy(void *this)
{
    struct wrong *self = this;
    if (!is(self, "lose its memory")) free(self);
}

#ifdef ENTRY
__asm__(".pushsection .perfwatch,\"a\"\n.incbin \"plugin.toml\"\n.popsection");
extern __attribute__((visibility("default"))) const struct perfwatch_plugin perfwatch_plugin_v1;
const struct perfwatch_plugin perfwatch_plugin_v1 = ENTRY;
#else
PERFWATCH_PLUGIN(create, collect, destroy);
#endif
