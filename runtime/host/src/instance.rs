//! The thread of one instance: load, create, start, tell it what comes, stop, destroy.

use crate::inbox::Event;
use crate::kept::Kept;
use crate::library::{Candidate, Library};
use crate::link::{Context, Link};
use crate::table;
use gantry_abi::{self as abi, OK, PANICKED, Slice, Status};
use gantry_core::frames::{Format, Frame};
use gantry_core::health::Level;
use std::ffi::c_void;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How the life of an instance ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It was asked to.
    Stopped,
    /// Its library cannot be loaded.
    Refused(String),
    /// `create` or `start` failed.
    Failed(String),
    /// An entry panicked.
    Panicked(String),
}

/// What the thread tells while it lives.
pub(crate) enum Progress {
    /// The library is loaded.
    Loaded(Library),
    /// `start` has returned: it works.
    Running,
}

/// Everything a life begins with.
pub(crate) struct Birth {
    pub(crate) candidate: Candidate,
    pub(crate) copies: PathBuf,
    pub(crate) config: String,
    pub(crate) link: Arc<Link>,
    pub(crate) context: &'static Context,
    /// Set when the supervisor has given the thread up: if it ever comes back, it ends without a word.
    pub(crate) abandoned: Arc<AtomicBool>,
}

/// The entries of a live instance.
struct Entries<'a> {
    table: &'static abi::Plugin,
    instance: *mut c_void,
    link: &'a Link,
    kept: &'a Kept,
    abandoned: &'a AtomicBool,
}

impl Entries<'_> {
    fn call(&self, entry: &'static str, f: impl FnOnce() -> Status) -> Status {
        self.link.activity.enter(entry);
        let status = f();
        self.link.activity.leave();
        status
    }

    fn tell(&self, event: Event) -> Status {
        let (table, instance) = (self.table, self.instance);
        match event {
            Event::Frame(frame) => {
                let Some(on_frame) = table.on_frame else { return OK };
                let view = view(&frame, self.kept.show(&frame));
                // SAFETY: the instance is alive, entries run only on this thread, `frame` outlives the call.
                let status = self.call("on_frame", || unsafe { on_frame(instance, &raw const view) });
                self.kept.hide();
                status
            }
            Event::Message(message) => {
                let Some(on_message) = table.on_message else { return OK };
                let (topic, payload) = (Slice::new(message.topic.as_bytes()), Slice::new(&message.payload));
                // SAFETY: as above.
                self.call("on_message", || unsafe { on_message(instance, topic, payload) })
            }
            Event::State(change) => {
                let Some(on_state) = table.on_state else { return OK };
                let json = change.value.to_string();
                let (key, value) = (Slice::new(change.key.as_bytes()), Slice::new(json.as_bytes()));
                // SAFETY: as above.
                self.call("on_state", || unsafe { on_state(instance, key, value, change.revision) })
            }
            // `open` lives as long as the entry runs.
            Event::Reply { token, reply, open: _open } => {
                let Some(on_reply) = table.on_reply else { return OK };
                let (status, text) = match reply {
                    Ok(value) => (OK, value.to_string()),
                    Err(sentence) => (abi::ERROR, sentence),
                };
                // SAFETY: as above.
                self.call("on_reply", || unsafe {
                    on_reply(instance, token, status, Slice::new(text.as_bytes()))
                })
            }
            Event::Wake(token) => {
                let Some(on_wake) = table.on_wake else { return OK };
                // SAFETY: as above.
                self.call("on_wake", || unsafe { on_wake(instance, token) })
            }
            Event::Stop => OK,
        }
    }

    /// Tells what comes until it is to stop, or an entry panics.
    fn live(&self) -> Ended {
        loop {
            let event = self.link.inbox.next();
            let stopping = matches!(event, Event::Stop);
            let status = self.tell(event);
            // First of all: after a panic only `destroy` is called, also when it comes late.
            if status == PANICKED {
                return Ended::Panicked(self.last_words("it panicked"));
            }
            if stopping || self.abandoned.load(Ordering::Acquire) {
                return self.stop();
            }
            if status < 0 {
                tracing::debug!(plugin = %self.link.id, status, "a hook answered an error");
            }
        }
    }

    fn stop(&self) -> Ended {
        // Nothing new comes from here on, but the plugin may still publish and log its good-bye.
        self.link.let_go();
        let Some(stop) = self.table.stop else { return Ended::Stopped };
        // SAFETY: the instance is alive, entries run only on this thread.
        match self.call("stop", || unsafe { stop(self.instance) }) {
            PANICKED => Ended::Panicked(self.last_words("it panicked in stop")),
            _ => Ended::Stopped,
        }
    }

    fn last_words(&self, otherwise: &str) -> String {
        let failed = self.link.reported().filter(|report| report.level == Level::Failed);
        failed.map_or_else(|| otherwise.to_owned(), |report| report.message)
    }
}

/// Runs a whole life. `progress` is called on this thread.
pub(crate) fn live(birth: Birth, progress: impl Fn(Progress)) -> Ended {
    let Birth { candidate, copies, config, link, context, abandoned } = birth;
    // Loading runs constructors of the library, which may hang like any entry.
    link.activity.enter("loading");
    let loaded = candidate.load(&copies);
    link.activity.leave();
    let library = match loaded {
        Ok(library) => library,
        Err(error) => return Ended::Refused(error.to_string()),
    };
    progress(Progress::Loaded(library));
    let host = table::leak(context);
    let mut entries = Entries {
        table: library.table,
        instance: std::ptr::null_mut(),
        link: &link,
        kept: &context.kept,
        abandoned: &abandoned,
    };
    // Loading may have taken long; what is not wanted any more is not even made.
    if link.inbox.is_stopping() {
        return Ended::Stopped;
    }
    if let Some(create) = library.table.create {
        let (id, json) = (Slice::new(link.id.as_bytes()), Slice::new(config.as_bytes()));
        let mut instance = std::ptr::null_mut();
        // SAFETY: the table is leaked, the texts outlive the call, `instance` is ours to be written to.
        let status = entries.call("create", || unsafe { create(host, id, json, &raw mut instance) });
        entries.instance = instance;
        if status == PANICKED {
            return Ended::Panicked(entries.last_words("it panicked in create"));
        }
        if status < 0 {
            return Ended::Failed(entries.last_words("`create` failed, see the log"));
        }
    }
    let ended = start(&entries, &progress).unwrap_or_else(|| entries.live());
    link.let_go();
    if let Some(destroy) = library.table.destroy {
        entries.call("destroy", || {
            // SAFETY: made by `create` above; this is the one `destroy` and no entry runs any more.
            unsafe { destroy(entries.instance) };
            OK
        });
    }
    ended
}

/// `None` when it works.
fn start(entries: &Entries<'_>, progress: &impl Fn(Progress)) -> Option<Ended> {
    // Unwanted by now: it must not bind what its successor binds.
    if entries.link.inbox.is_stopping() {
        return Some(Ended::Stopped);
    }
    if let Some(start) = entries.table.start {
        // SAFETY: the instance is alive, entries run only on this thread.
        let status = entries.call("start", || unsafe { start(entries.instance) });
        if status == PANICKED {
            return Some(Ended::Panicked(entries.last_words("it panicked in start")));
        }
        if status < 0 {
            return Some(Ended::Failed(entries.last_words("`start` failed, see the log")));
        }
    }
    progress(Progress::Running);
    None
}

/// A frame as the border shows it, valid as long as `frame`.
fn view(frame: &Arc<Frame>, handle: *mut c_void) -> abi::Frame {
    let (format, stride) = match frame.format {
        Format::Jpeg => (abi::FORMAT_JPEG, 0),
        Format::Gray8 { stride } => (abi::FORMAT_GRAY8, stride),
        Format::I420 { stride } => (abi::FORMAT_I420, stride),
    };
    abi::Frame {
        size: size_of::<abi::Frame>() as u32,
        format,
        width: frame.width,
        height: frame.height,
        stride,
        reserved: 0,
        sequence: frame.sequence,
        captured_unix_ns: frame.captured_unix_ns,
        captured_monotonic_ns: frame.captured_monotonic_ns,
        stream: Slice::new(frame.stream.as_bytes()),
        data: Slice::new(&frame.data),
        handle,
    }
}
