//! The C side of a Rust plugin: every entry guards against panics and wrong arguments and calls the trait.

use crate::{Error, Frame, Health, Host, Level, Plugin, config, panic};
use gantry_abi::{self as abi, ByteSink, ERROR, FindingSink, INVALID, OK, PANICKED, Slice, Status};
use serde_json::Value;
use std::ffi::c_void;

/// The token with which a worker thread that panicked asks for the end of its instance. No plugin can use it.
pub(crate) const WORKER_PANICKED: u64 = u64::MAX;

/// What an instance pointer points to.
struct Instance<P> {
    /// `None` once an entry has panicked: the value may be half changed and is only dropped.
    plugin: Option<P>,
    host: Host,
}

/// The table of a plugin, made at compile time.
#[must_use]
pub const fn table<P: Plugin>(name: &'static str, version: &'static str) -> abi::Plugin {
    abi::Plugin {
        magic: abi::MAGIC,
        size: size_of::<abi::Plugin>() as u32,
        abi_major: abi::ABI_MAJOR,
        abi_minor: abi::ABI_MINOR,
        needs_host_minor: 0,
        name: Slice::new(name.as_bytes()),
        version: Slice::new(version.as_bytes()),
        config_schema: Some(config_schema::<P>),
        validate: Some(validate::<P>),
        create: Some(create::<P>),
        start: Some(start::<P>),
        stop: Some(stop::<P>),
        destroy: Some(destroy::<P>),
        on_frame: Some(on_frame::<P>),
        on_message: Some(on_message::<P>),
        on_state: Some(on_state::<P>),
        on_reply: Some(on_reply::<P>),
        on_wake: Some(on_wake::<P>),
    }
}

unsafe extern "C" fn config_schema<P: Plugin>(sink: ByteSink, sink_ctx: *mut c_void) -> Status {
    let Some(sink) = sink else { return INVALID };
    let Ok(text) = panic::guard(|| schemars::schema_for!(P::Config).to_value().to_string()) else {
        return PANICKED;
    };
    // SAFETY: the runtime's own sink with its own context; `text` outlives the call.
    unsafe { sink(sink_ctx, Slice::new(text.as_bytes())) };
    OK
}

unsafe extern "C" fn validate<P: Plugin>(config: Slice, sink: FindingSink, sink_ctx: *mut c_void) -> Status {
    // SAFETY: the runtime borrows us the bytes for this call.
    let json = unsafe { config.bytes() };
    match panic::guard(|| config::read::<P>(json).err().unwrap_or_default()) {
        Ok(findings) => {
            for finding in &findings {
                if let Some(sink) = sink {
                    let (path, message) = (finding.path.as_bytes(), finding.message.as_bytes());
                    // SAFETY: the runtime's own sink with its own context; the texts outlive the call.
                    unsafe { sink(sink_ctx, Slice::new(path), Slice::new(message)) };
                }
            }
            if findings.is_empty() { OK } else { INVALID }
        }
        Err(text) => {
            if let Some(sink) = sink {
                let text = format!("panicked in validate: {text}: tell the author of the plugin");
                // SAFETY: as above.
                unsafe { sink(sink_ctx, Slice::EMPTY, Slice::new(text.as_bytes())) };
            }
            PANICKED
        }
    }
}

unsafe extern "C" fn create<P: Plugin>(
    host: *const abi::Host,
    id: Slice,
    config: Slice,
    instance: *mut *mut c_void,
) -> Status {
    if host.is_null() || instance.is_null() {
        return INVALID;
    }
    let _ = id; // The log already carries it; the trait gets by without.
    // SAFETY: the runtime's table is valid for the rest of the process; the bytes are borrowed for this call.
    let (host, json) = unsafe { (Host::from_raw(host), config.bytes()) };
    let made = panic::guard(|| {
        let config = config::read::<P>(json).map_err(|findings| Error::new(config::sentence(&findings)))?;
        P::create(host, config)
    });
    match made {
        Ok(Ok(plugin)) => {
            let boxed = Box::new(Instance { plugin: Some(plugin), host });
            // SAFETY: `instance` is not null and the runtime's to be written to.
            unsafe { *instance = Box::into_raw(boxed).cast() };
            OK
        }
        Ok(Err(error)) => {
            host.health(Health::Failed, &error.to_string());
            ERROR
        }
        Err(message) => panicked(host, "create", &message),
    }
}

fn panicked(host: Host, entry: &str, message: &str) -> Status {
    host.log(Level::Error, &format!("panicked in {entry}: {message}"));
    host.health(Health::Failed, &format!("panicked in {entry}: {message}"));
    PANICKED
}

/// Calls into a live plugin; a panic poisons it.
///
/// # Safety
/// `instance` must come from `create::<P>` and not have been destroyed; no other entry runs at the same time.
unsafe fn enter<P: Plugin>(
    instance: *mut c_void,
    entry: &str,
    f: impl FnOnce(&mut P, Host) -> Result<(), Error>,
) -> Status {
    if instance.is_null() {
        return INVALID;
    }
    // SAFETY: the caller vouches for it; entries come one at a time, so nobody else holds a reference.
    let instance = unsafe { &mut *instance.cast::<Instance<P>>() };
    let host = instance.host;
    let Some(plugin) = instance.plugin.as_mut() else { return PANICKED };
    match panic::guard(|| f(plugin, host)) {
        Ok(Ok(())) => OK,
        Ok(Err(error)) => {
            host.health(Health::Failed, &error.to_string());
            ERROR
        }
        Err(message) => {
            let poisoned = instance.plugin.take();
            // Its drop may panic as well; either way it is gone.
            let _ = panic::guard(|| drop(poisoned));
            panicked(host, entry, &message)
        }
    }
}

unsafe extern "C" fn start<P: Plugin>(instance: *mut c_void) -> Status {
    // SAFETY: as the contract of the table says.
    unsafe { enter::<P>(instance, "start", |plugin, _| plugin.start()) }
}

unsafe extern "C" fn stop<P: Plugin>(instance: *mut c_void) -> Status {
    let stop = |plugin: &mut P, _| {
        plugin.stop();
        Ok(())
    };
    // SAFETY: as the contract of the table says.
    unsafe { enter::<P>(instance, "stop", stop) }
}

unsafe extern "C" fn destroy<P: Plugin>(instance: *mut c_void) {
    if instance.is_null() {
        return;
    }
    // SAFETY: made by `create` with `Box::into_raw`, and this is the one `destroy`.
    let boxed = unsafe { Box::from_raw(instance.cast::<Instance<P>>()) };
    let host = boxed.host;
    if let Err(message) = panic::guard(|| drop(boxed)) {
        panicked(host, "drop", &message);
    }
}

unsafe extern "C" fn on_frame<P: Plugin>(instance: *mut c_void, frame: *const abi::Frame) -> Status {
    if frame.is_null() {
        return INVALID;
    }
    let take = |plugin: &mut P, host| {
        // SAFETY: the runtime borrows us the frame for this call.
        if let Some(frame) = unsafe { Frame::retain(host, &*frame) } {
            plugin.on_frame(frame);
        }
        Ok(())
    };
    // SAFETY: as the contract of the table says.
    unsafe { enter::<P>(instance, "on_frame", take) }
}

unsafe extern "C" fn on_message<P: Plugin>(instance: *mut c_void, topic: Slice, payload: Slice) -> Status {
    // SAFETY: the runtime borrows us both for this call.
    let (topic, payload) = unsafe { (topic.bytes(), payload.bytes()) };
    let Ok(topic) = std::str::from_utf8(topic) else { return INVALID };
    let take = |plugin: &mut P, _| {
        plugin.on_message(topic, payload);
        Ok(())
    };
    // SAFETY: as the contract of the table says.
    unsafe { enter::<P>(instance, "on_message", take) }
}

unsafe extern "C" fn on_state<P: Plugin>(
    instance: *mut c_void,
    key: Slice,
    value: Slice,
    revision: u64,
) -> Status {
    // SAFETY: the runtime borrows us both for this call.
    let (key, value) = unsafe { (key.bytes(), value.bytes()) };
    let (Ok(key), Ok(value)) = (std::str::from_utf8(key), serde_json::from_slice::<Value>(value)) else {
        return INVALID;
    };
    let take = |plugin: &mut P, _| {
        plugin.on_state(key, value, revision);
        Ok(())
    };
    // SAFETY: as the contract of the table says.
    unsafe { enter::<P>(instance, "on_state", take) }
}

unsafe extern "C" fn on_reply<P: Plugin>(
    instance: *mut c_void,
    token: u64,
    status: Status,
    payload: Slice,
) -> Status {
    // SAFETY: the runtime borrows us the bytes for this call.
    let payload = unsafe { payload.bytes() };
    let reply = if status == OK {
        match serde_json::from_slice(payload) {
            Ok(value) => Ok(value),
            Err(_) => return INVALID,
        }
    } else {
        Err(Error::new(String::from_utf8_lossy(payload)))
    };
    let take = |plugin: &mut P, _| {
        plugin.on_reply(token, reply);
        Ok(())
    };
    // SAFETY: as the contract of the table says.
    unsafe { enter::<P>(instance, "on_reply", take) }
}

unsafe extern "C" fn on_wake<P: Plugin>(instance: *mut c_void, token: u64) -> Status {
    let take = |plugin: &mut P, _| {
        if token == WORKER_PANICKED {
            // The worker has told the log why; unwinding here poisons the instance on its own thread.
            panic!("its worker thread panicked");
        }
        plugin.on_wake(token);
        Ok(())
    };
    // SAFETY: as the contract of the table says.
    unsafe { enter::<P>(instance, "on_wake", take) }
}
