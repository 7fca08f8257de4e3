/* A collector plugin of PerfWatch in C: a shared library with `plugin.toml` inside. C99, gcc or clang; C++ takes it too.
 *
 *     cc -O2 -Wall -shared -fPIC -I include -o libperfwatch_NAME.so NAME.c          # beside plugin.toml
 *
 * `plugin.toml` declares the options, metrics and tables; the code fills them by ids that it looks up once, in `create`. A mistake
 * (a name that is not declared, an id of something else, NULL for a text, a row with too few keys) is never fatal: the agent puts it
 * into words, and refuses the collector or the reading. So nothing that is looked up has to be tested.
 *
 * Texts are UTF-8 and end with NUL (what is not UTF-8 becomes U+FFFD). Those that the agent gives are its own and stay until `destroy`
 * has returned; those that it is given are copied. Values are in the unit that plugin.toml declares: nothing is converted.
 * A metric that is not set is null: unknown, which is not 0. Text past the budget of a reading is cut, counted and said. */
#ifndef PERFWATCH_H
#define PERFWATCH_H
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PERFWATCH_CONTRACT 0x10000u /* 1.0 */

/* Kinds of failure. UNAVAILABLE is "nothing here, and that is fine": no such device, a kernel without it. No failure is counted. */
enum { PERFWATCH_FAILED = 1, PERFWATCH_UNAVAILABLE = 2, PERFWATCH_DENIED = 3 };
enum { PERFWATCH_ERROR, PERFWATCH_WARN, PERFWATCH_INFO, PERFWATCH_DEBUG }; /* levels of the log */

/* Space of a mounted file system; inodes are 0 where it makes them as it needs them. */
struct perfwatch_space { uint64_t total_bytes, free_bytes, available_bytes, inodes_total, inodes_free; };

typedef struct perfwatch_host perfwatch_host;

/* The agent, as one collector sees it. The pointer stays until `destroy` has returned, and holds for every thread of the plugin. */
struct perfwatch_host {
    size_t size;                        /* bytes of this struct: a later 1.x appends to it */
    void *agent;                        /* the agent's own */
    const char *options;                /* all options as JSON, defaults filled in; `option_…` below reads one */
    const char *root, *proc, *sys, *net; /* folders of the measured host: never spell /proc yourself; net is that of /proc/net */
    uint64_t page_size, clock_ticks;    /* bytes of a page; units of /proc/stat in a second */
    uint64_t is_foreign;                /* not 0: another host than this process's, of which only files can be read */

    /* Ids, which are never 0: of a metric outside tables, of a table, of a column. What is misspelt fails `create`. */
    uint64_t (*metric)(const perfwatch_host *, const char *name);
    uint64_t (*table)(const perfwatch_host *, const char *name);
    uint64_t (*column)(const perfwatch_host *, uint64_t table, const char *name);

    /* Options by name; one without a value is 0 or NULL. Integers, bools, durations in ns, sizes in bytes; floats; any as text; an
     * entry of a list as text, NULL past the last. An entry of a map has its own name: "labels.region". */
    int64_t (*option_int)(const perfwatch_host *, const char *name);
    double (*option_float)(const perfwatch_host *, const char *name);
    const char *(*option_text)(const perfwatch_host *, const char *name);
    const char *(*option_item)(const perfwatch_host *, const char *name, uint32_t at);

    /* Only during `collect`. A value of a type that plugin.toml does not declare is refused, counted and null; an integer fits f64.
     * `row` begins a row, with as many keys as its table declares; columns that are set afterwards are that row's. */
    void (*set_u64)(const perfwatch_host *, uint64_t id, uint64_t value);
    void (*set_i64)(const perfwatch_host *, uint64_t id, int64_t value);
    void (*set_f64)(const perfwatch_host *, uint64_t id, double value);
    void (*set_bool)(const perfwatch_host *, uint64_t id, int value);
    void (*set_text)(const perfwatch_host *, uint64_t id, const char *value);
    void (*row)(const perfwatch_host *, uint64_t table, const char *const *keys, uint32_t count);
    void (*row_failed)(const perfwatch_host *, const char *message);                  /* the row begun last */
    void (*part_failed)(const perfwatch_host *, const char *part, const char *message); /* what was set stands */
    uint64_t (*time_left)(const perfwatch_host *);                                    /* ns until the reading is late */

    /* Fails `create` or `collect`: the first message counts. Returns the kind, for `return host->fail(…)`. */
    int (*fail)(const perfwatch_host *, int kind, const char *message);
    /* The space of the mount at a path of the measured host; 0, or an errno. Never returns for the mount of a dead server. */
    int (*space)(const perfwatch_host *, const char *path, struct perfwatch_space *into);
    /* The agent's log, under the collector's name, at any time: for what an operator needs to know once. */
    void (*log)(const perfwatch_host *, int level, const char *message);
};

/* What a plugin gives. `create` makes what the other two are given, or fails and returns NULL. `collect` takes one reading and
 * returns 0, or what `fail` returned; it is called by one thread at a time, not always the same. `destroy` is called once. */
struct perfwatch_plugin {
    size_t size;
    uint32_t contract;
    const char *manifest;
    void *(*create)(const perfwatch_host *host);
    int (*collect)(void *self, const perfwatch_host *host);
    void (*destroy)(void *self);
};

/* `fail` in the words of printf(3): return perfwatch_fail(host, PERFWATCH_FAILED, "could not open %s: %s", path, strerror(errno)); */
__attribute__((unused, format(printf, 3, 4))) static int perfwatch_fail(const perfwatch_host *host, int kind, const char *format, ...)
{
    char message[512]; /* what is longer is cut */
    va_list values;
    va_start(values, format);
    vsnprintf(message, sizeof message, format, values);
    va_end(values);
    return host->fail(host, kind, message);
}

/* A row by its keys: perfwatch_row(host, self->disks, "sda"). C only: in C++ the keys are an array of yours. */
#define perfwatch_row(host, table, ...) \
    (host)->row((host), (table), (const char *[]){__VA_ARGS__}, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *))

/* Once a library: PERFWATCH_PLUGIN(create, collect, destroy). Embeds the plugin.toml of the folder that the compiler runs in, or what
 * -DPERFWATCH_MANIFEST='"path"' names, in a section that the agent reads without running anything. */
#ifndef PERFWATCH_MANIFEST
#define PERFWATCH_MANIFEST "plugin.toml"
#endif
#ifdef __cplusplus
#define PERFWATCH_C extern "C"
#else
#define PERFWATCH_C extern
#endif
#define PERFWATCH_PLUGIN(create, collect, destroy)                                                                     \
    __asm__(".pushsection .perfwatch,\"a\",%progbits\n.globl perfwatch_manifest\n.hidden perfwatch_manifest\n"         \
            "perfwatch_manifest: .incbin \"" PERFWATCH_MANIFEST "\"\n.popsection\n");                                  \
    PERFWATCH_C __attribute__((visibility("hidden"))) const char perfwatch_manifest[];                                 \
    PERFWATCH_C __attribute__((visibility("default"))) const struct perfwatch_plugin perfwatch_plugin_v1;              \
    const struct perfwatch_plugin perfwatch_plugin_v1 = {sizeof(struct perfwatch_plugin), PERFWATCH_CONTRACT,          \
                                                         perfwatch_manifest, create, collect, destroy}

#endif
