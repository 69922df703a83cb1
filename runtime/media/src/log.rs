//! What GLib and GStreamer would write to standard error goes to the log of the gateway.

use gstreamer::glib;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// After this many, complaints are for those who debug: some come with every frame.
const LOUD: u32 = 20;

/// Takes over GLib's messages of this process.
pub(crate) fn adopt() {
    static ADOPTED: Once = Once::new();
    ADOPTED.call_once(|| {
        let complaints = AtomicU32::new(0);
        glib::log_set_default_handler(move |domain, level, message| {
            let library = domain.unwrap_or("glib");
            match level {
                glib::LogLevel::Error | glib::LogLevel::Critical | glib::LogLevel::Warning
                    if complaints.fetch_add(1, Ordering::Relaxed) < LOUD =>
                {
                    tracing::warn!(library, "{message}");
                }
                glib::LogLevel::Debug => tracing::trace!(library, "{message}"),
                _ => tracing::debug!(library, "{message}"),
            }
        });
    });
}
