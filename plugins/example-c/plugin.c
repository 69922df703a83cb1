/* The smallest useful plugin in C: tells, on the topic `example-c/frames`, how many frames it has seen.
 *
 *     cc -Wall -Wextra -Werror -std=c11 -O2 -fPIC -shared -I runtime/abi/include \
 *        -o target/release/libgantry_example_c.so plugins/example-c/plugin.c
 */
#include "gantry_plugin.h"
#include <stdio.h>
#include <stdlib.h>

typedef struct {
  const gantry_host *host;
  unsigned long seen;
} example;

static gantry_slice slice(const char *text, size_t len) {
  gantry_slice out = {(const uint8_t *)text, len};
  return out;
}

static gantry_status config_schema(gantry_byte_sink sink, void *sink_ctx) {
  static const char schema[] = "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{}}";
  sink(sink_ctx, slice(schema, sizeof schema - 1));
  return GANTRY_OK;
}

static gantry_status create(const gantry_host *host, gantry_slice id, gantry_slice config, void **instance) {
  (void)id, (void)config;
  example *self = calloc(1, sizeof *self);
  if (!self) return GANTRY_ERROR;
  self->host = host;
  *instance = self;
  return GANTRY_OK;
}

static gantry_status start(void *instance) {
  example *self = instance;
  /* One frame a second is enough to count seconds; while nobody watches more, no more are encoded. */
  return self->host->frames(self->host->ctx, slice("main/jpeg", 9), 1, 1000);
}

static gantry_status on_frame(void *instance, const gantry_frame *frame) {
  example *self = instance;
  char text[96];
  int len = snprintf(text, sizeof text, "{\"frames\":%lu,\"bytes\":%zu}", ++self->seen, frame->data.len);
  return self->host->publish(self->host->ctx, slice("example-c/frames", 16), slice(text, (size_t)len));
}

static void destroy(void *instance) { free(instance); }

GANTRY_EXPORT const gantry_plugin gantry_plugin_v1 = {
    GANTRY_TABLE_HEAD,
    .name = GANTRY_STR("example-c"),
    .version = GANTRY_STR("0.1.0"),
    .config_schema = config_schema,
    .create = create,
    .start = start,
    .destroy = destroy,
    .on_frame = on_frame,
};
