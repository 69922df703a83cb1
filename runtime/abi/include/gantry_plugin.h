/* The Gantry plugin border. Generated from runtime/abi by `make header`: do not edit.
 *
 * A plugin is a shared library that defines
 *
 *     GANTRY_EXPORT const gantry_plugin gantry_plugin_v1 = { GANTRY_TABLE_HEAD, .name = GANTRY_STR("door"), ... };
 *
 * and is built with `cc -shared -fPIC`. See plugins/example-c.
 *
 * Threads: the runtime calls all entries of an instance on one thread, one at a time. Host functions may be called from
 * any thread, never block and never call back later than they return. Ownership: slices are borrowed for the call that
 * carries them; nobody frees what the other side allocated; frames are kept by frame_retain and given back by
 * frame_release. Text is UTF-8 without a terminating zero; values are JSON. */

#ifndef GANTRY_PLUGIN_H
#define GANTRY_PLUGIN_H

#include <stddef.h>
#include <stdint.h>
#define GANTRY_EXPORT __attribute__((visibility("default")))
/* A slice of a string literal, also in static initialisers. */
#define GANTRY_STR(literal) { (const uint8_t *)(literal), sizeof(literal) - 1 }
/* The first fields of a plugin's table. */
#define GANTRY_TABLE_HEAD \
  .magic = GANTRY_MAGIC, .size = sizeof(gantry_plugin), .abi_major = GANTRY_ABI_MAJOR, .abi_minor = GANTRY_ABI_MINOR, \
  .needs_host_minor = 0
#define GANTRY_MAGIC { 'G', 'A', 'N', 'T', 'R', 'Y', 'P', 'L' }


// Logged when an operator has to act.
#define GANTRY_LOG_ERROR 1

// Logged when something is wrong that the plugin deals with itself.
#define GANTRY_LOG_WARN 2

// Logged when something happened that an operator wants to know.
#define GANTRY_LOG_INFO 3

// For the author of the plugin.
#define GANTRY_LOG_DEBUG 4

// For the author of the plugin, per frame or message.
#define GANTRY_LOG_TRACE 5

// The instance does its work.
#define GANTRY_HEALTH_OK 0

// The instance works, but not as it should; the message says what is missing.
#define GANTRY_HEALTH_DEGRADED 1

// The instance does not do its work; the message says why.
#define GANTRY_HEALTH_FAILED 2

// A metric that only grows: recording adds the value, which must not be negative. It counts whole things: a fraction is
// cut off.
#define GANTRY_COUNTER 1

// A metric that goes up and down: recording sets it.
#define GANTRY_GAUGE 2

// A distribution: recording adds one sample.
#define GANTRY_HISTOGRAM 3

// One complete JPEG picture.
#define GANTRY_FORMAT_JPEG 1

// One byte of luminance per pixel, rows of `stride` bytes.
#define GANTRY_FORMAT_GRAY8 2

// Planar YUV 4:2:0: `height` rows of `stride` bytes of Y, then U, then V without a gap, each with half as many rows of half
// as many bytes. Width and height are even.
#define GANTRY_FORMAT_I420 3

// The major version of this contract. Another major is another symbol and never loads.
#define GANTRY_ABI_MAJOR 1

// The minor version of this contract: it grows with every appended field.
#define GANTRY_ABI_MINOR 1

// How a call went: `OK`, or one of the negative numbers below. Any other negative number is an `ERROR`.
typedef int32_t gantry_status;

// Borrowed bytes, valid for the length of the call that carries them.
//
// `ptr` may be null when `len` is 0.
typedef struct gantry_slice {
  // The first byte.
  const uint8_t *ptr;
  // How many bytes.
  uintptr_t len;
} gantry_slice;

// Takes bytes that a function gives out. Called at most once, on the calling thread, before the function
// returns; the bytes are borrowed for the length of the call to the sink. `ctx` is what was passed beside it.
typedef void (*gantry_byte_sink)(void *ctx, struct gantry_slice bytes);

// Takes one finding about a configuration: `path` names the key (`limits.rate`, empty for the whole), `message`
// is a sentence that ends in the next step. Called once per finding, on the calling thread, before the function
// returns.
typedef void (*gantry_finding_sink)(void *ctx, struct gantry_slice path, struct gantry_slice message);

// A frame of a stream.
//
// The struct itself is borrowed for the length of `on_frame`. `data` and `stream` point into memory that lives until
// the last `Host::frame_release`: copy the struct, retain it, and both stay valid.
// Nobody writes to them.
typedef struct gantry_frame {
  // `sizeof` this struct as the runtime knows it.
  uint32_t size;
  // One of the `FORMAT_…` numbers.
  uint32_t format;
  // Width in pixels.
  uint32_t width;
  // Height in pixels.
  uint32_t height;
  // Bytes from one row to the next; 0 for compressed formats.
  uint32_t stride;
  // Always 0.
  uint32_t reserved;
  // Counts the frames of this stream from 1; a gap is a frame that was dropped.
  uint64_t sequence;
  // When the picture was captured, in nanoseconds since the Unix epoch.
  uint64_t captured_unix_ns;
  // When the picture was captured, on CLOCK_MONOTONIC, in nanoseconds.
  uint64_t captured_monotonic_ns;
  // The stream's name, `CAMERA/STREAM`, such as `main/jpeg`.
  struct gantry_slice stream;
  // The picture.
  struct gantry_slice data;
  // What `frame_retain` and `frame_release` know the frame by: opaque, no address, never used for another frame of the
  // same instance.
  void *handle;
} gantry_frame;

// What an instance can ask of the runtime.
//
// Valid from `create` to the end of the process; after `destroy` every function but `frame_release` answers
// `GONE` (or 0, or null).
// All functions may be called from any thread, do not block and do not call back later than they return. The first
// argument is always `Host::ctx`. Reading only the first `size` bytes is the plugin's duty when it was built for a
// newer minor version than `abi_minor`.
typedef struct gantry_host {
  // `sizeof` this struct as the runtime knows it.
  uint32_t size;
  // `ABI_MAJOR` of the runtime.
  uint32_t abi_major;
  // `ABI_MINOR` of the runtime.
  uint32_t abi_minor;
  // Always 0.
  uint32_t reserved;
  // What every function takes first. Opaque.
  void *ctx;
  // 1 when a line of that level would be written, else 0. Ask before formatting what is costly.
  uint32_t (*log_enabled)(void *ctx, uint32_t level);
  // Writes one line to the gateway's log, at most 4096 bytes of it. `INVALID` when the level is none of the five or the
  // text is not UTF-8, `FULL` when the instance logs more than 20 lines a second for long: the line is counted only.
  gantry_status (*log)(void *ctx, uint32_t level, struct gantry_slice message);
  // Gives the value of a state key (JSON) to `sink`. `UNKNOWN` when there is no such key.
  gantry_status (*state_get)(void *ctx, struct gantry_slice key, gantry_byte_sink sink, void *sink_ctx);
  // Asks for `on_state` for every key that matches `filter` (MQTT form: `cameras/+/connected`, `robot/#`): once for
  // each key that has a value now, then at every change. `FULL` beyond 64 filters.
  gantry_status (*state_watch)(void *ctx, struct gantry_slice filter);
  // Puts a message on a topic. At most 64 KiB. Delivery is to whoever listens now; what must not be lost goes
  // through a service.
  gantry_status (*publish)(void *ctx, struct gantry_slice topic, struct gantry_slice payload);
  // Asks for `on_message` for every topic that matches `filter` (MQTT form). An instance does not get its own
  // messages. Filters that overlap give a message once each. `FULL` beyond 64 filters. 256 messages are kept for an instance that is slow; what comes then is dropped and counted.
  gantry_status (*subscribe)(void *ctx, struct gantry_slice filter);
  // Ends a subscription. `UNKNOWN` when there is none with exactly this filter.
  gantry_status (*unsubscribe)(void *ctx, struct gantry_slice filter);
  // Watches a stream (`CAMERA/STREAM`, such as `main/jpeg`) when `watch` is 1, ends that when it is 0. While nobody
  // watches a stream it is not encoded, so watch only while somebody looks. At most `max_millihertz` frames per 1000
  // seconds are given, 0 for all. Watching again changes the rate. A stream that does not exist (yet) is no error:
  // frames come when it does. Ending it answers `UNKNOWN` when it was not watched; a frame that is on its way then may
  // still come. `FULL` beyond 64 streams.
  gantry_status (*frames)(void *ctx, struct gantry_slice stream, uint32_t watch, uint32_t max_millihertz);
  // Keeps a frame's memory beyond `on_frame`. Every retain needs one release. `FULL` beyond 32 at once, `INVALID` when
  // the frame is neither that of the running `on_frame` nor one that is kept.
  gantry_status (*frame_retain)(void *ctx, const struct gantry_frame *frame);
  // Gives back what `frame_retain` took, from any thread, also after `destroy`. `INVALID` when it is not kept.
  gantry_status (*frame_release)(void *ctx, const struct gantry_frame *frame);
  // Asks a service of the runtime (`service`, such as `state.write`) with a JSON request. The answer comes to
  // `on_reply` with the same `token`; a call is open until that has returned. `UNKNOWN` when there is no such service,
  // `FULL` beyond 1024 open calls, or when the requests and blobs of those that the service has not answered would have
  // more than 64 MiB: try again when one of them has been. `INVALID` when the request has more than 256 KiB.
  gantry_status (*call)(void *ctx, struct gantry_slice service, struct gantry_slice request, uint64_t token);
  // Asks for one `on_wake` with this `token` after `delay_ms` milliseconds. `FULL` beyond 1024 open wakes.
  gantry_status (*wake_after)(void *ctx, uint64_t delay_ms, uint64_t token);
  // Defines a metric of this instance (`COUNTER`, `GAUGE`, `HISTOGRAM`) and writes its number to `id`. The name
  // (`a-z`, `0-9`, `_`) appears as `gantry_plugin_<name>`, that of a counter as `gantry_plugin_<name>_total` unless it
  // ends so already. The same name again gives the same number. `FULL` beyond 64, `INVALID` when the name has another
  // kind already, in this plugin or another.
  gantry_status (*metric_define)(void *ctx,
                                 struct gantry_slice name,
                                 uint32_t kind,
                                 struct gantry_slice help,
                                 uint32_t *id);
  // Records a value: adds to a counter, sets a gauge, samples a histogram.
  gantry_status (*metric_record)(void *ctx, uint32_t id, double value);
  // Reports how the instance does (`HEALTH_…`) with a sentence, of which 1024 bytes are kept. The last report is shown by `gantry plugins`
  // and decides `/readyz`.
  gantry_status (*health)(void *ctx, uint32_t level, struct gantry_slice message);
  // A table of functions beyond this one, by name, or null. None exists in 1.0 and 1.1.
  const void *(*get_extension)(void *ctx, struct gantry_slice name);
  // Since 1.1. `call` with bytes beside the JSON, such as pictures, so that they need not be base64: `blobs` points to
  // `blob_count` slices, which the runtime copies before this returns. `UNKNOWN` also when the service takes no blobs,
  // `INVALID` when there are more than 16, one has more than 32 MiB, or the request more than 1 MiB, or when `blobs` is
  // null or misaligned; `FULL` as of `call`.
  gantry_status (*call_with)(void *ctx,
                             struct gantry_slice service,
                             struct gantry_slice request,
                             const struct gantry_slice *blobs,
                             uintptr_t blob_count,
                             uint64_t token);
} gantry_host;

// What a plugin is: exported as the static `SYMBOL`.
//
// Every entry may be null. The runtime calls them in this order: `validate` (any time, without an instance), `create`,
// `start`, then the `on_…` hooks, `stop`, `destroy`. After an entry returned `PANICKED` only
// `destroy` is called; after a `create` that failed or panicked, nothing. All calls of one instance come from one thread; `validate` may come from any.
typedef struct gantry_plugin {
  // `MAGIC`.
  uint8_t magic[8];
  // `sizeof` this struct as the plugin knows it.
  uint32_t size;
  // `ABI_MAJOR` that the plugin was built for.
  uint32_t abi_major;
  // `ABI_MINOR` that the plugin was built for.
  uint32_t abi_minor;
  // The lowest minor version of the runtime that this plugin works with.
  uint32_t needs_host_minor;
  // The plugin's name: `a-z`, `0-9`, `-`; not empty. Static.
  struct gantry_slice name;
  // The plugin's own version. Static.
  struct gantry_slice version;
  // Gives a JSON Schema of the plugin's configuration to `sink`, from any thread.
  gantry_status (*config_schema)(gantry_byte_sink sink, void *sink_ctx);
  // Looks at a configuration (a JSON object) without side effects and gives every finding to `sink`.
  // Answers `OK` when there is none, `INVALID` when there are.
  gantry_status (*validate)(struct gantry_slice config, gantry_finding_sink sink, void *sink_ctx);
  // Makes an instance and writes it to `instance` (left null is allowed). `host` is valid for the rest of the
  // process, also after `destroy`; `id` is the instance's name in the configuration. Opens nothing yet. On a
  // failure the plugin frees what it made and reports the reason by `host->health`.
  gantry_status (*create)(const struct gantry_host *host,
                          struct gantry_slice id,
                          struct gantry_slice config,
                          void **instance);
  // Begins to work: binds sockets, starts threads, subscribes. After a failure `destroy` follows, without `stop`. Left out
  // when the instance is not wanted any more by then.
  gantry_status (*start)(void *instance);
  // Ends to work: says good-bye to clients, joins threads. Must return within 4 seconds. No event comes from here on, and
  // asking for more answers `GONE`; publishing and logging still work.
  gantry_status (*stop)(void *instance);
  // Frees the instance. No thread of the instance may run afterwards.
  void (*destroy)(void *instance);
  // The newest frame of a watched stream. Older frames that were not taken in time are dropped.
  gantry_status (*on_frame)(void *instance, const struct gantry_frame *frame);
  // A message on a subscribed topic.
  gantry_status (*on_message)(void *instance, struct gantry_slice topic, struct gantry_slice payload);
  // A watched state key has a new value (JSON). Changes that were not taken in time are merged: the newest is seen.
  // `revision` grows with every change of any key.
  gantry_status (*on_state)(void *instance, struct gantry_slice key, struct gantry_slice value, uint64_t revision);
  // The answer to a `call`. With `status` `OK` the payload is the service's JSON, otherwise a sentence.
  gantry_status (*on_reply)(void *instance, uint64_t token, gantry_status status, struct gantry_slice payload);
  // The time asked for by `wake_after` has passed.
  gantry_status (*on_wake)(void *instance, uint64_t token);
} gantry_plugin;

// It worked.
#define GANTRY_OK 0

// It did not work; the reason was logged or given to a sink.
#define GANTRY_ERROR -1

// An argument was wrong: null, not UTF-8, not JSON, out of range. Nothing happened.
#define GANTRY_INVALID -2

// A limit is reached (a queue, the retained frames, the watches). Nothing was taken; try again later or drop it.
#define GANTRY_FULL -3

// The instance that this host table was made for has ended. Nothing happened.
#define GANTRY_GONE -4

// There is nothing of that name: a state key, a service, a watch.
#define GANTRY_UNKNOWN -5

// A panic was caught at the border. The instance is poisoned: the host destroys it and starts a new one.
#define GANTRY_PANICKED -6

#endif  /* GANTRY_PLUGIN_H */
