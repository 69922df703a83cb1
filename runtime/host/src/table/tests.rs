use super::*;
use crate::lock;
use gantry_core::Runtime;
use serde_json::json;
use std::sync::{Arc, Mutex};

/// A table of a live instance, and the answers that its calls of `keep` still want.
fn table() -> (&'static abi::Host, Arc<Mutex<Vec<gantry_core::services::Reply>>>) {
    let runtime = Runtime::default();
    let replies = Arc::new(Mutex::new(Vec::new()));
    let kept = replies.clone();
    let keep = move |_: &_, _, _: Vec<_>, reply| lock(&kept).push(reply);
    runtime.services.offer_with_blobs("keep", Arc::new(keep));
    (leak(Context::leak(Link::new("border".into(), runtime))), replies)
}

fn call_with_at(table: &abi::Host, request: Slice, blobs: *const Slice, count: usize) -> Status {
    // SAFETY: the table is live. What the slices tell of themselves is what these tests are about: the functions must see
    // from that alone, without following a pointer, that they are wrong.
    unsafe { (table.call_with)(table.ctx, Slice::new(b"keep"), request, blobs, count, 1) }
}

fn call_with(table: &abi::Host, request: Slice, blobs: &[Slice]) -> Status {
    call_with_at(table, request, blobs.as_ptr(), blobs.len())
}

fn call(table: &abi::Host, request: Slice) -> Status {
    // SAFETY: as above.
    unsafe { (table.call)(table.ctx, Slice::new(b"keep"), request, 1) }
}

/// More than any memory has, and a little more than what is allowed.
fn too_long(max: usize) -> [Slice; 2] {
    [usize::MAX, max + 1].map(|len| Slice { ptr: b"x".as_ptr(), len })
}

#[test]
fn what_says_it_is_too_long_is_refused_and_not_looked_at() {
    let (table, replies) = table();
    let empty = Slice::new(b"{}");
    for blob in too_long(MAX_BLOB) {
        assert_eq!(call_with(table, empty, &[empty, blob]), INVALID);
    }
    for request in too_long(MAX_LARGE_REQUEST) {
        assert_eq!(call_with(table, request, &[]), INVALID);
    }
    for request in too_long(MAX_REQUEST) {
        assert_eq!(call(table, request), INVALID);
    }
    // SAFETY: as above.
    let published = unsafe { (table.publish)(table.ctx, Slice::new(b"topic"), too_long(0)[0]) };
    assert_eq!(published, INVALID);
    // SAFETY: as above.
    assert_eq!(unsafe { (table.log)(table.ctx, abi::LOG_INFO, too_long(0)[0]) }, INVALID);
    assert!(lock(&replies).is_empty());
}

#[test]
fn blobs_that_are_nowhere_or_between_two_places_are_refused() {
    let (table, replies) = table();
    let empty = Slice::new(b"{}");
    let blobs = [Slice::new(b"blob"); MAX_BLOBS + 1];
    assert_eq!(call_with_at(table, empty, std::ptr::null(), 1), INVALID);
    assert_eq!(call_with_at(table, empty, blobs.as_ptr().wrapping_byte_add(1), 2), INVALID);
    assert_eq!(call_with(table, empty, &blobs), INVALID);
    assert_eq!(call_with_at(table, empty, std::ptr::null(), 0), OK);
    assert_eq!(call_with(table, empty, &blobs[..MAX_BLOBS]), OK);
    assert_eq!(lock(&replies).len(), 2);
}

#[test]
fn requests_are_bounded_until_they_are_answered_as_blobs_are() {
    let (table, replies) = table();
    let request = json!("x".repeat(MAX_LARGE_REQUEST - 2)).to_string();
    let request = Slice::new(request.as_bytes());
    assert_eq!(request.len, MAX_LARGE_REQUEST);
    assert!((0..64).all(|_| call_with(table, request, &[]) == OK));
    assert_eq!(call_with(table, request, &[]), FULL);
    assert_eq!(call(table, Slice::new(b"{}")), FULL);
    let reply = lock(&replies).remove(0);
    reply(Ok(json!(null)));
    assert_eq!(call(table, Slice::new(b"{}")), OK);
    assert_eq!(call_with(table, request, &[]), FULL, "the last byte counts");
    lock(&replies).clear();
    assert_eq!(call(table, Slice::new(b"{")), INVALID);
    assert_eq!(call_with(table, Slice::new(b"{"), &[Slice::new(b"blob")]), INVALID);
    assert!(
        (0..64).all(|_| call_with(table, request, &[]) == OK),
        "what is lost or no JSON gives its room back"
    );
}
