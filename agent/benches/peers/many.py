"""Many collectors in one agent: many.py FOLDER [N [INTERVAL]] makes a plugin in C with one metric, and a config of N collectors of it.

    python3 many.py /tmp/many 1000 1s && $BIN run -c /tmp/many/perfwatch.toml
"""
import os
import subprocess
import sys

MANIFEST = """contract = "1.0"
[plugin]
name = "tick"
version = "1.0.0"
description = "counts its own calls: what a collector costs beside what it reads"

[metrics.calls]
type = "u64"
kind = "counter"
unit = "{call}"
rate = "calls_per_sec"
description = "calls of this collector"
"""

CODE = """#include <stdlib.h>
#include "perfwatch.h"

struct self { uint64_t id, calls; };

static void *create(const perfwatch_host *host)
{
    struct self *self = calloc(1, sizeof *self);
    self->id = host->metric(host, "calls");
    return self;
}

static int collect(void *given, const perfwatch_host *host)
{
    struct self *self = given;
    host->set_u64(host, self->id, ++self->calls);
    return 0;
}

PERFWATCH_PLUGIN(create, collect, free);
"""

HERE = os.path.dirname(os.path.abspath(__file__))


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def main():
    folder, count = os.path.abspath(sys.argv[1]), int((sys.argv[2:] or ["1000"])[0])
    interval = (sys.argv[3:] or ["1s"])[0]
    plugins = os.path.join(folder, "plugins")
    os.makedirs(plugins, exist_ok=True)
    write(os.path.join(folder, "plugin.toml"), MANIFEST)
    write(os.path.join(folder, "tick.c"), CODE)
    include = os.path.join(HERE, "../../../plugin-api/include")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-I", include, "-o", os.path.join(plugins, "libperfwatch_tick.so"), "tick.c"], cwd=folder, check=True)
    config = ['[agent]', 'interval = "%s"' % interval, 'collect = "named"', 'plugin_dirs = ["%s"]' % plugins,
              'state_dir = "%s/state"' % folder, 'runtime_dir = "%s/run"' % folder, '[sinks.stdout]', 'type = "stdout"', 'format = "json"']
    for n in range(count):
        config += ['[collectors.c%04d]' % n, 'plugin = "tick"', 'isolation = "none"']
    write(os.path.join(folder, "perfwatch.toml"), "\n".join(config) + "\n")


if __name__ == "__main__":
    main()
