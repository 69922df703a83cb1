//! The host table of the test host.

use super::{Event, Picture, Record, Shared};
use gantry_abi::{self as abi, ByteSink, FULL, Frame, GONE, INVALID, OK, Slice, Status, UNKNOWN};
use serde_json::Value;
use std::ffi::c_void;
use std::sync::Arc;

// The limits of the runtime, so that a test fails where a gateway would refuse.
const MAX_KEPT: usize = 32;
const MAX_FILTERS: usize = 64;
const MAX_NAME: usize = 256;
const MAX_PAYLOAD: usize = 64 * 1024;
const MAX_REQUEST: usize = 256 * 1024;
const MAX_LARGE_REQUEST: usize = 1 << 20;
const MAX_BLOBS: usize = 16;
const MAX_BLOB: usize = 32 << 20;

pub(super) fn of(shared: &'static Shared) -> abi::Host {
    abi::Host {
        size: size_of::<abi::Host>() as u32,
        abi_major: abi::ABI_MAJOR,
        abi_minor: abi::ABI_MINOR,
        reserved: 0,
        ctx: std::ptr::from_ref(shared).cast_mut().cast(),
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
    }
}

/// Whether an MQTT filter selects a name.
pub(super) fn matches(filter: &str, name: &str) -> bool {
    let mut names = name.split('/');
    for level in filter.split('/') {
        match (level, names.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (level, Some(name)) if level == name => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

fn is_text(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME && !text.chars().any(char::is_control)
}

fn is_name(name: &str) -> bool {
    is_text(name) && !name.contains(['+', '#'])
}

fn is_filter(filter: &str) -> bool {
    let mut levels = filter.split('/').peekable();
    let mut good = is_text(filter);
    while let Some(level) = levels.next() {
        let wild = level.contains(['+', '#']);
        good &= !wild || (level.len() == 1 && (level == "+" || levels.peek().is_none()));
    }
    good
}

/// Runs `f` on the record of a live instance.
///
/// # Safety
/// `ctx` must be that of a table made by [`of`].
unsafe fn with(ctx: *mut c_void, f: impl FnOnce(&mut Record) -> Status) -> Status {
    // SAFETY: the caller vouches for it; `Shared` is leaked.
    let shared: &'static Shared = unsafe { &*ctx.cast_const().cast::<Shared>() };
    let mut record = shared.lock();
    if record.ended { GONE } else { f(&mut record) }
}

/// The text of a slice, owned.
///
/// # Safety
/// As [`Slice::bytes`].
unsafe fn text(slice: Slice) -> Option<String> {
    // SAFETY: the caller vouches for it.
    std::str::from_utf8(unsafe { slice.bytes() }).ok().map(str::to_owned)
}

unsafe extern "C" fn log_enabled(_: *mut c_void, level: u32) -> u32 {
    u32::from((abi::LOG_ERROR..=abi::LOG_TRACE).contains(&level))
}

unsafe extern "C" fn log(ctx: *mut c_void, level: u32, message: Slice) -> Status {
    // SAFETY: the plugin's call; `ctx` is the table's and the text is borrowed for it.
    unsafe {
        let Some(line) = text(message) else { return INVALID };
        with(ctx, |record| {
            record.logs.push((level, line));
            OK
        })
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
        let Some(key) = text(key) else { return INVALID };
        with(ctx, |record| {
            json = record.state.get(&key).map(|(value, _)| value.to_string());
            if json.is_some() { OK } else { UNKNOWN }
        })
    };
    if let (Some(json), Some(sink)) = (json, sink) {
        // SAFETY: the plugin's sink with its own context, before this call returns.
        unsafe { sink(sink_ctx, Slice::new(json.as_bytes())) };
    }
    status
}

unsafe extern "C" fn state_watch(ctx: *mut c_void, filter: Slice) -> Status {
    // SAFETY: as in `log`.
    unsafe {
        let Some(filter) = text(filter) else { return INVALID };
        with(ctx, |record| {
            if !is_filter(&filter) {
                return INVALID;
            }
            if record.state_filters.contains(&filter) {
                return OK;
            }
            if record.state_filters.len() >= MAX_FILTERS {
                return FULL;
            }
            for (key, (value, revision)) in &record.state {
                if matches(&filter, key) {
                    record.events.push_back(Event::State(key.clone(), value.clone(), *revision));
                }
            }
            record.state_filters.push(filter);
            OK
        })
    }
}

unsafe extern "C" fn publish(ctx: *mut c_void, topic: Slice, payload: Slice) -> Status {
    // SAFETY: as in `log`.
    unsafe {
        let Some(topic) = text(topic) else { return INVALID };
        let payload = payload.bytes();
        if !is_name(&topic) || payload.len() > MAX_PAYLOAD {
            return INVALID;
        }
        let payload = payload.to_vec();
        with(ctx, |record| {
            record.published.push((topic, payload));
            OK
        })
    }
}

unsafe extern "C" fn subscribe(ctx: *mut c_void, filter: Slice) -> Status {
    // SAFETY: as in `log`.
    unsafe {
        let Some(filter) = text(filter) else { return INVALID };
        with(ctx, |record| {
            if !is_filter(&filter) {
                return INVALID;
            }
            if record.subscriptions.contains(&filter) {
                return OK;
            }
            if record.subscriptions.len() >= MAX_FILTERS {
                return FULL;
            }
            record.subscriptions.push(filter);
            OK
        })
    }
}

unsafe extern "C" fn unsubscribe(ctx: *mut c_void, filter: Slice) -> Status {
    // SAFETY: as in `log`.
    unsafe {
        let Some(filter) = text(filter) else { return INVALID };
        with(ctx, |record| {
            let before = record.subscriptions.len();
            record.subscriptions.retain(|f| *f != filter);
            if record.subscriptions.len() < before { OK } else { UNKNOWN }
        })
    }
}

unsafe extern "C" fn frames(ctx: *mut c_void, stream: Slice, watch: u32, max_millihertz: u32) -> Status {
    // SAFETY: as in `log`.
    unsafe {
        let Some(stream) = text(stream) else { return INVALID };
        with(ctx, |record| match watch {
            0 if record.watched.remove(&stream).is_some() => OK,
            0 => UNKNOWN,
            1 if is_name(&stream) => {
                record.watched.insert(stream, max_millihertz);
                OK
            }
            _ => INVALID,
        })
    }
}

unsafe extern "C" fn frame_retain(ctx: *mut c_void, frame: *const Frame) -> Status {
    // SAFETY: the frame is that of a running `on_frame`, its handle an `Arc<Picture>` that is alive.
    unsafe {
        let handle = (*frame).handle.cast_const().cast::<Picture>();
        with(ctx, |record| {
            if record.kept == MAX_KEPT {
                return FULL;
            }
            record.kept += 1;
            Arc::increment_strong_count(handle);
            OK
        })
    }
}

unsafe extern "C" fn frame_release(ctx: *mut c_void, frame: *const Frame) -> Status {
    // SAFETY: one release for each retain, so the count is the plugin's; also after the end of the instance.
    unsafe {
        let shared: &'static Shared = &*ctx.cast_const().cast::<Shared>();
        let mut record = shared.lock();
        // More releases than retains: the frame may be gone already.
        let Some(kept) = record.kept.checked_sub(1) else { return INVALID };
        record.kept = kept;
        drop(record);
        Arc::decrement_strong_count((*frame).handle.cast_const().cast::<Picture>());
    }
    OK
}

unsafe extern "C" fn call(ctx: *mut c_void, service: Slice, request: Slice, token: u64) -> Status {
    // SAFETY: as in `log`.
    unsafe {
        let Some(service) = text(service) else { return INVALID };
        if request.len > MAX_REQUEST {
            return INVALID;
        }
        let request = request.bytes();
        let Ok(request) = serde_json::from_slice::<Value>(request) else { return INVALID };
        with(ctx, |record| {
            record.calls.push((service.clone(), request.clone()));
            let Some(handler) = record.services.get(&service) else { return UNKNOWN };
            let reply = handler(&request);
            record.events.push_back(Event::Reply(token, reply));
            OK
        })
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
        let slices = match blob_count {
            0 => &[],
            1..=MAX_BLOBS if !blobs.is_null() && blobs.is_aligned() => {
                std::slice::from_raw_parts(blobs, blob_count)
            }
            _ => return INVALID,
        };
        if request.len > MAX_LARGE_REQUEST || slices.iter().any(|slice| slice.len > MAX_BLOB) {
            return INVALID;
        }
        let blobs: Vec<Vec<u8>> = slices.iter().map(|slice| slice.bytes().to_vec()).collect();
        let Ok(request) = serde_json::from_slice::<Value>(request.bytes()) else { return INVALID };
        with(ctx, |record| {
            record.calls.push((service.clone(), request.clone()));
            let reply = match (record.blob_services.get(&service), record.services.get(&service)) {
                (Some(handler), _) => handler(&request, &blobs),
                (None, Some(handler)) if blobs.is_empty() => handler(&request),
                _ => return UNKNOWN,
            };
            record.events.push_back(Event::Reply(token, reply));
            OK
        })
    }
}

unsafe extern "C" fn wake_after(ctx: *mut c_void, delay_ms: u64, token: u64) -> Status {
    let ask = |record: &mut Record| {
        record.wakes.push((record.now_ms.saturating_add(delay_ms), token));
        OK
    };
    // SAFETY: as in `log`.
    unsafe { with(ctx, ask) }
}

unsafe extern "C" fn metric_define(
    ctx: *mut c_void,
    name: Slice,
    kind: u32,
    _help: Slice,
    id: *mut u32,
) -> Status {
    // SAFETY: as in `log`; `id` is the plugin's to be written to.
    unsafe {
        let Some(name) = text(name) else { return INVALID };
        with(ctx, |record| {
            let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            if name.is_empty() || name.len() > 64 || !name.bytes().all(good) {
                return INVALID;
            }
            let known = record.metrics.iter().position(|(n, ..)| *n == name);
            if known.is_some_and(|known| record.metrics[known].1 != kind) {
                return INVALID;
            }
            let index = known.unwrap_or_else(|| {
                record.metrics.push((name, kind, 0.0));
                record.metrics.len() - 1
            });
            *id = index as u32;
            OK
        })
    }
}

unsafe extern "C" fn metric_record(ctx: *mut c_void, id: u32, value: f64) -> Status {
    let add = |record: &mut Record| match record.metrics.get_mut(id as usize) {
        Some((_, abi::COUNTER, sum)) => {
            *sum += value;
            OK
        }
        Some((.., last)) => {
            *last = value;
            OK
        }
        None => INVALID,
    };
    // SAFETY: as in `log`.
    unsafe { with(ctx, add) }
}

unsafe extern "C" fn health(ctx: *mut c_void, level: u32, message: Slice) -> Status {
    // SAFETY: as in `log`.
    unsafe {
        let Some(message) = text(message) else { return INVALID };
        with(ctx, |record| {
            record.health = Some((level, message));
            OK
        })
    }
}

unsafe extern "C" fn get_extension(_: *mut c_void, _: Slice) -> *const c_void {
    std::ptr::null()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call_with(table: &abi::Host, request: Slice, blobs: *const Slice, count: usize) -> Status {
        // SAFETY: `ctx` is the table's; it must see from the numbers alone what is wrong, and follow no pointer then.
        unsafe { (table.call_with)(table.ctx, Slice::new(b"any"), request, blobs, count, 1) }
    }

    #[test]
    fn slices_that_a_gateway_would_refuse_are_refused_and_not_looked_at() {
        let table = of(Box::leak(Box::new(Shared(std::sync::Mutex::default()))));
        let empty = Slice::new(b"{}");
        let endless = Slice { len: usize::MAX, ..empty };
        let blobs = [empty, empty, endless];
        assert_eq!(call_with(&table, endless, blobs.as_ptr(), 1), INVALID);
        assert_eq!(call_with(&table, empty, blobs.as_ptr(), 3), INVALID);
        assert_eq!(call_with(&table, empty, blobs.as_ptr().wrapping_byte_add(1), 1), INVALID);
        assert_eq!(call_with(&table, empty, std::ptr::null(), 1), INVALID);
        assert_eq!(
            call_with(&table, empty, blobs.as_ptr(), 2),
            UNKNOWN,
            "no such service, and nothing wrong"
        );
    }
}
