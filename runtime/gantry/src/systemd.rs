//! Talking to systemd. Without it (no `NOTIFY_SOCKET`) every call does nothing.

use sd_notify::NotifyState;
use std::time::Duration;

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd does not listen");
    }
}

/// The gateway does its work.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// One line for `systemctl status`.
pub(crate) fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// A reload begins; [`ready`] ends it.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "no monotonic clock"),
    }
}

/// The gateway is on its way out.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// The gateway makes progress.
pub(crate) fn feed() {
    tell(&[NotifyState::Watchdog]);
}

/// How often the watchdog is to be fed: twice as often as it looks.
pub(crate) fn feed_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|looks_after| looks_after / 2)
}
