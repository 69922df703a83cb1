//! Panics end here and not at the border.

use crate::{Host, Level};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// `Some` while this thread is inside [`guard`]; holds where the panic was once there is one.
    static WHERE: RefCell<Option<String>> = const { RefCell::new(None) };
    /// Whom to tell of every panic of this thread at once.
    static TELL: Cell<Option<Host>> = const { Cell::new(None) };
}

/// Reports every panic of this thread to the host, also those that never reach the guard.
#[cfg(feature = "tokio")]
pub(crate) fn tell(host: Host) {
    TELL.set(Some(host));
}

/// Runs `f`; a panic becomes its message with its place in the source.
pub(crate) fn guard<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let at = info.location().map(ToString::to_string).unwrap_or_default();
            // Neither of the two may panic itself, such as on a thread that is ending: that would be an abort.
            let mark = |place: &RefCell<Option<String>>| match place.try_borrow_mut().as_deref_mut() {
                Ok(Some(place)) => {
                    place.clone_from(&at);
                    true
                }
                _ => false,
            };
            let guarded = WHERE.try_with(mark).unwrap_or(false);
            // What catches panics before the guard does (tokio around each task) would leave no trace of them.
            if let Ok(Some(host)) = TELL.try_with(Cell::get) {
                let text = message(info.payload());
                host.log(Level::Error, &format!("panicked on a worker thread: {text} ({at})"));
            } else if !guarded {
                // A panic under guard is reported through the host; any other thread's goes where it always went.
                default(info);
            }
        }));
    });
    let before = WHERE.replace(Some(String::new()));
    // The value behind a panic is never used again: the instance is poisoned and only destroyed.
    let result = catch_unwind(AssertUnwindSafe(f));
    let place = WHERE.replace(before).unwrap_or_default();
    result.map_err(|payload| {
        let message = message(&*payload);
        // A payload's own drop may panic, too.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            // And so may the drop of that one; a leak is the lesser evil.
            std::mem::forget(again);
        }
        if place.is_empty() { message } else { format!("{message} ({place})") }
    })
}

fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "panicked with a value that is no text".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::guard;

    #[test]
    fn a_panic_becomes_its_message_and_place() {
        let text = guard(|| panic!("no {}", "lamp")).expect_err("it panics");
        assert!(text.starts_with("no lamp (") && text.contains("panic.rs:"), "{text}");
        assert_eq!(guard(|| 7), Ok(7));
    }

    #[test]
    fn a_payload_that_panics_when_dropped_is_survived() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                std::panic::panic_any(Self);
            }
        }
        let text = guard(|| std::panic::panic_any(Bomb)).expect_err("it panics");
        assert!(text.starts_with("panicked with a value"), "{text}");
    }
}
