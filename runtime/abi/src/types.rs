//! The small types and numbers that both tables use.

use core::ffi::c_void;

/// Borrowed bytes, valid for the length of the call that carries them.
///
/// `ptr` may be null when `len` is 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Slice {
    /// The first byte.
    pub ptr: *const u8,
    /// How many bytes.
    pub len: usize,
}

impl Slice {
    /// No bytes.
    pub const EMPTY: Self = Self { ptr: core::ptr::null(), len: 0 };

    /// Borrows `bytes`. The slice must not be used after `bytes` is gone; that is the caller's to see to.
    pub const fn new(bytes: &[u8]) -> Self {
        Self { ptr: bytes.as_ptr(), len: bytes.len() }
    }

    /// The bytes behind this slice.
    ///
    /// # Safety
    /// `ptr` must point to `len` readable bytes that nobody writes to while `'a` lasts, or `len` must be 0.
    pub const unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.len == 0 || self.ptr.is_null() {
            return &[];
        }
        // SAFETY: the caller vouches for `ptr` and `len`; null was looked at above.
        unsafe { core::slice::from_raw_parts(self.ptr, self.len) }
    }
}

/// How a call went: [`OK`], or one of the negative numbers below. Any other negative number is an [`ERROR`].
pub type Status = i32;

/// It worked.
pub const OK: Status = 0;
/// It did not work; the reason was logged or given to a sink.
pub const ERROR: Status = -1;
/// An argument was wrong: null, not UTF-8, not JSON, out of range. Nothing happened.
pub const INVALID: Status = -2;
/// A limit is reached (a queue, the retained frames, the watches). Nothing was taken; try again later or drop it.
pub const FULL: Status = -3;
/// The instance that this host table was made for has ended. Nothing happened.
pub const GONE: Status = -4;
/// There is nothing of that name: a state key, a service, a watch.
pub const UNKNOWN: Status = -5;
/// A panic was caught at the border. The instance is poisoned: the host destroys it and starts a new one.
pub const PANICKED: Status = -6;

/// Logged when an operator has to act.
pub const LOG_ERROR: u32 = 1;
/// Logged when something is wrong that the plugin deals with itself.
pub const LOG_WARN: u32 = 2;
/// Logged when something happened that an operator wants to know.
pub const LOG_INFO: u32 = 3;
/// For the author of the plugin.
pub const LOG_DEBUG: u32 = 4;
/// For the author of the plugin, per frame or message.
pub const LOG_TRACE: u32 = 5;

/// The instance does its work.
pub const HEALTH_OK: u32 = 0;
/// The instance works, but not as it should; the message says what is missing.
pub const HEALTH_DEGRADED: u32 = 1;
/// The instance does not do its work; the message says why.
pub const HEALTH_FAILED: u32 = 2;

/// A metric that only grows: recording adds the value, which must not be negative. It counts whole things: a fraction is
/// cut off.
pub const COUNTER: u32 = 1;
/// A metric that goes up and down: recording sets it.
pub const GAUGE: u32 = 2;
/// A distribution: recording adds one sample.
pub const HISTOGRAM: u32 = 3;

/// Takes bytes that a function gives out. Called at most once, on the calling thread, before the function
/// returns; the bytes are borrowed for the length of the call to the sink. `ctx` is what was passed beside it.
pub type ByteSink = Option<unsafe extern "C" fn(ctx: *mut c_void, bytes: Slice)>;

/// Takes one finding about a configuration: `path` names the key (`limits.rate`, empty for the whole), `message`
/// is a sentence that ends in the next step. Called once per finding, on the calling thread, before the function
/// returns.
pub type FindingSink = Option<unsafe extern "C" fn(ctx: *mut c_void, path: Slice, message: Slice)>;
