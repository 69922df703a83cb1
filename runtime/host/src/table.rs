//! The host table: C functions that check their arguments and pass them to the instance's [`Link`].

use crate::kept::Retained;
use crate::link::{Context, Link};
use crate::logging;
use gantry_abi::{self as abi, ByteSink, ERROR, FULL, Frame, GONE, INVALID, OK, Slice, Status, UNKNOWN};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// No text can be longer, in bytes: lines of the log are cut, everything else has limits of its own.
const MAX_TEXT: usize = isize::MAX as usize;
/// The largest request of a call, in bytes: 1024 of them can be open.
const MAX_REQUEST: usize = 256 * 1024;
/// The same for a call with blobs, of which there may be so many, each with so many bytes.
const MAX_LARGE_REQUEST: usize = 1 << 20;
const MAX_BLOBS: usize = 16;
const MAX_BLOB: usize = 32 << 20;

/// A table for one instance, valid for the rest of the process.
pub(crate) fn leak(context: &'static Context) -> &'static abi::Host {
    Box::leak(Box::new(abi::Host {
        size: size_of::<abi::Host>() as u32,
        abi_major: abi::ABI_MAJOR,
        abi_minor: abi::ABI_MINOR,
        reserved: 0,
        ctx: std::ptr::from_ref(context).cast_mut().cast(),
        log_enabled,
        log,
        state_get,
        state_watch,
        publish,
        subscribe,
        unsubscribe,
        frames,
        frame_retain,
        frame_release,
        call,
        wake_after,
        metric_define,
        metric_record,
        health,
        get_extension,
        call_with,
    }))
}

/// Runs `f` on the link of a live instance. A panic of ours becomes an error: it must not unwind into the plugin.
///
/// # Safety
/// `ctx` must be null or that of a table made by [`leak`].
unsafe fn with(ctx: *mut c_void, f: impl FnOnce(&Link) -> Status) -> Status {
    // SAFETY: the caller vouches for it.
    let Some(context) = (unsafe { context(ctx) }) else { return INVALID };
    let run = || {
        // The link may be gone meanwhile and end here, so that its drop is guarded, too.
        let Some(link) = context.link() else { return GONE };
        f(&link)
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(ERROR)
}

/// What `ctx` points to.
///
/// # Safety
/// `ctx` must be null or that of a table made by [`leak`].
unsafe fn context(ctx: *mut c_void) -> Option<&'static Context> {
    // SAFETY: the caller vouches for it; contexts are leaked.
    unsafe { ctx.cast_const().cast::<Context>().as_ref() }
}

/// The bytes of a slice that says it has `max` at most. What has more is not looked at: its pointer may well be as wrong.
///
/// # Safety
/// As [`Slice::bytes`]; the bytes must not be used after the call that carries the slice.
unsafe fn bytes<'a>(slice: Slice, max: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller vouches for it.
    (slice.len <= max).then(|| unsafe { slice.bytes() })
}

/// The text of a slice.
///
/// # Safety
/// As [`Slice::bytes`]; the text must not be used after the call that carries the slice.
unsafe fn text<'a>(slice: Slice) -> Option<&'a str> {
    // SAFETY: the caller vouches for it.
    std::str::from_utf8(unsafe { bytes(slice, MAX_TEXT)? }).ok()
}

unsafe extern "C" fn log_enabled(ctx: *mut c_void, level: u32) -> u32 {
    // SAFETY: the plugin's call: `ctx` is the table's.
    let context = unsafe { context(ctx) };
    let enabled = || logging::enabled(level) && context.is_some_and(|context| context.link().is_some());
    u32::from(catch_unwind(AssertUnwindSafe(enabled)).unwrap_or(false))
}

unsafe extern "C" fn log(ctx: *mut c_void, level: u32, message: Slice) -> Status {
    // SAFETY: the plugin's call: `ctx` is the table's, the text is borrowed for it.
    unsafe {
        let Some(message) = text(message) else { return INVALID };
        with(ctx, |link| link.log(level, message))
    }
}

unsafe extern "C" fn state_get(
    ctx: *mut c_void,
    key: Slice,
    sink: ByteSink,
    sink_ctx: *mut c_void,
) -> Status {
    let mut json = None;
    // SAFETY: as in `log`.
    let status = unsafe {
        let (Some(key), Some(_)) = (text(key), sink) else { return INVALID };
        with(ctx, |link| {
            json = link.state_get(key);
            if json.is_some() { OK } else { UNKNOWN }
        })
    };
    if let (Some(json), Some(sink)) = (json, sink) {
        // SAFETY: the plugin's sink with its own context, before this call returns and outside of any lock.
        unsafe { sink(sink_ctx, Slice::new(json.as_bytes())) };
    }
    status
}

unsafe extern "C" fn state_watch(ctx: *mut c_void, filter: Slice) -> Status {
    // SAFETY: as in `log`.
    unsafe {
        let Some(filter) = text(filter) else { return INVALID };
        with(ctx, |link| link.state_watch(filter))
    }
}

unsafe extern "C" fn publish(ctx: *mut c_void, topic: Slice, payload: Slice) -> Status {
    // SAFETY: as in `log`.
    unsafe {
        let Some(topic) = text(topic) else { return INVALID };
        let Some(payload) = bytes(payload, MAX_TEXT) else { return INVALID };
        with(ctx, |link| link.publish(topic, payload))
    }
}

unsafe extern "C" fn subscribe(ctx: *mut c_void, filter: Slice) -> Status {
    // SAFETY: as in `log`.
    unsafe {
        let Some(filter) = text(filter) else { return INVALID };
        with(ctx, |link| link.subscribe(filter))
    }
}

unsafe extern "C" fn unsubscribe(ctx: *mut c_void, filter: Slice) -> Status {
    // SAFETY: as in `log`.
    unsafe {
        let Some(filter) = text(filter) else { return INVALID };
        with(ctx, |link| link.unsubscribe(filter))
    }
}

unsafe extern "C" fn frames(ctx: *mut c_void, stream: Slice, watch: u32, max_millihertz: u32) -> Status {
    // SAFETY: as in `log`.
    unsafe {
        let Some(stream) = text(stream) else { return INVALID };
        with(ctx, |link| match watch {
            0 => link.unwatch_frames(stream),
            1 => link.watch_frames(stream, max_millihertz),
            _ => INVALID,
        })
    }
}

unsafe extern "C" fn frame_retain(ctx: *mut c_void, frame: *const Frame) -> Status {
    // SAFETY: the plugin's call: `ctx` is the table's, `frame` is null or a frame's struct.
    unsafe {
        let (Some(frame), Some(context)) = (frame.as_ref(), context(ctx)) else { return INVALID };
        with(ctx, |link| match context.kept.retain(frame.handle) {
            Retained::Kept => OK,
            Retained::Full => {
                link.inbox.skipped_frame();
                FULL
            }
            Retained::NotOurs => INVALID,
        })
    }
}

unsafe extern "C" fn frame_release(ctx: *mut c_void, frame: *const Frame) -> Status {
    // SAFETY: as above. Also allowed after the end of the instance, so the link is not asked.
    let (frame, context) = unsafe { (frame.as_ref(), context(ctx)) };
    let (Some(frame), Some(context)) = (frame, context) else { return INVALID };
    // The last release gives the memory back to the camera, which is code of others.
    let release = || if context.kept.release(frame.handle) { OK } else { INVALID };
    catch_unwind(AssertUnwindSafe(release)).unwrap_or(ERROR)
}

unsafe extern "C" fn call(ctx: *mut c_void, service: Slice, request: Slice, token: u64) -> Status {
    // SAFETY: as in `log`.
    unsafe {
        let Some(service) = text(service) else { return INVALID };
        let Some(request) = bytes(request, MAX_REQUEST) else { return INVALID };
        with(ctx, |link| link.call(service, request, &[], token))
    }
}

unsafe extern "C" fn call_with(
    ctx: *mut c_void,
    service: Slice,
    request: Slice,
    blobs: *const Slice,
    blob_count: usize,
    token: u64,
) -> Status {
    // SAFETY: as in `log`; `blobs` points to `blob_count` slices, or is null when there are none.
    unsafe {
        let Some(service) = text(service) else { return INVALID };
        let Some(request) = bytes(request, MAX_LARGE_REQUEST) else { return INVALID };
        let slices = match blob_count {
            0 => &[],
            1..=MAX_BLOBS if !blobs.is_null() && blobs.is_aligned() => {
                std::slice::from_raw_parts(blobs, blob_count)
            }
            _ => return INVALID,
        };
        let blobs: Option<Vec<&[u8]>> = slices.iter().map(|slice| bytes(*slice, MAX_BLOB)).collect();
        let Some(blobs) = blobs else { return INVALID };
        with(ctx, |link| link.call(service, request, &blobs, token))
    }
}

unsafe extern "C" fn wake_after(ctx: *mut c_void, delay_ms: u64, token: u64) -> Status {
    // SAFETY: as in `log`.
    unsafe { with(ctx, |link| link.wake_after(Duration::from_millis(delay_ms), token)) }
}

unsafe extern "C" fn metric_define(
    ctx: *mut c_void,
    name: Slice,
    kind: u32,
    help: Slice,
    id: *mut u32,
) -> Status {
    // SAFETY: as in `log`; `id` is the plugin's to be written to.
    unsafe {
        let (Some(name), Some(help), Some(id)) = (text(name), text(help), id.as_mut()) else {
            return INVALID;
        };
        with(ctx, |link| match link.metric_define(name, kind, help) {
            Ok(number) => {
                *id = number;
                OK
            }
            Err(status) => status,
        })
    }
}

unsafe extern "C" fn metric_record(ctx: *mut c_void, id: u32, value: f64) -> Status {
    // SAFETY: as in `log`.
    unsafe { with(ctx, |link| link.metric_record(id, value)) }
}

unsafe extern "C" fn health(ctx: *mut c_void, level: u32, message: Slice) -> Status {
    // SAFETY: as in `log`.
    unsafe {
        let Some(message) = text(message) else { return INVALID };
        with(ctx, |link| link.health(level, message))
    }
}

unsafe extern "C" fn get_extension(_: *mut c_void, _: Slice) -> *const c_void {
    std::ptr::null()
}

#[cfg(test)]
mod tests;
