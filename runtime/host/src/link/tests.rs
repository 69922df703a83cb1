use super::*;
use crate::inbox::Event;
use gantry_core::services::Reply;
use serde_json::json;

fn link() -> (Runtime, Arc<Link>, &'static Context) {
    let runtime = Runtime::default();
    let link = Link::new("door".into(), runtime.clone());
    let context = Context::leak(link.clone());
    (runtime, link, context)
}

fn call(link: &Link, service: &str, request: Value, blobs: &[&[u8]], token: u64) -> Status {
    link.call(service, request.to_string().as_bytes(), blobs, token)
}

#[test]
fn answers_that_nobody_takes_are_bounded_also_when_they_come_at_once() {
    let (runtime, link, _) = link();
    runtime.services.offer_sync("echo", |_, request| Ok(request));
    assert!((0..1024).all(|n| call(&link, "echo", json!(n), &[], n) == OK));
    assert_eq!(call(&link, "echo", json!(0), &[], 0), FULL);
    assert_eq!(call(&link, "endpoints.announce", json!({ "endpoints": [] }), &[], 0), FULL);
    assert!(matches!(link.inbox.next(), Event::Reply { token: 0, .. }));
    assert_eq!(call(&link, "echo", json!(0), &[], 0), OK);
}

#[test]
fn a_call_is_answered_also_when_the_service_loses_it_or_panics() {
    let (runtime, link, _) = link();
    runtime.services.offer("loses", Arc::new(|_, _, reply: Reply| drop(reply)));
    runtime.services.offer("panics", Arc::new(|_, _, _| panic!("told to")));
    for (token, service) in [(1, "loses"), (2, "panics")] {
        assert_eq!(call(&link, service, json!({}), &[], token), OK);
        let Event::Reply { token: told, reply: Err(why), .. } = link.inbox.next() else {
            panic!("no error for {service}")
        };
        assert_eq!(told, token);
        assert!(why.starts_with("the service gave no answer"), "{why}");
    }
}

#[test]
fn what_an_ended_instance_says_of_itself_changes_nothing() {
    let (runtime, link, context) = link();
    assert_eq!(link.health(abi::HEALTH_FAILED, "no\nlamp"), OK);
    assert_eq!(runtime.health.all()["plugin/door"].message, "no\\nlamp");
    context.close();
    runtime.health.forget("plugin/door");
    // A thread that got hold of the link just before the end.
    assert_eq!(link.health(abi::HEALTH_OK, "all is well"), GONE);
    assert!(runtime.health.all().is_empty());
    assert!(context.link().is_none());
}

#[test]
fn a_metric_has_one_kind() {
    let (_, link, _) = link();
    let id = link.metric_define("link_test_doors", abi::COUNTER, "Doors");
    assert_eq!(link.metric_define("link_test_doors", abi::COUNTER, ""), id);
    assert_eq!(
        link.metric_define("link_test_doors_total", abi::COUNTER, ""),
        id,
        "it is shown under this name"
    );
    assert_eq!(link.metric_define("link_test_doors_total", abi::GAUGE, ""), Err(INVALID));
    assert!(link.metric_define("link_test_doors", abi::GAUGE, "").is_ok_and(|gauge| Ok(gauge) != id));
    assert_eq!(link.metric_define("restarts_total", abi::COUNTER, ""), Err(INVALID));
    assert_eq!(link.metric_define("restarts", abi::COUNTER, ""), Err(INVALID));
}

#[test]
fn addresses_that_would_steer_a_terminal_are_refused() {
    let (_, link, _) = link();
    let announce = |url: &str| {
        let request = json!({ "endpoints": [{ "url": url, "protocol": "x" }] });
        assert_eq!(call(&link, "endpoints.announce", request, &[], 1), OK);
        let Event::Reply { reply, .. } = link.inbox.next() else { panic!("no reply") };
        reply
    };
    assert!(announce("http://127.0.0.1:1/").is_ok());
    assert!(announce("\x1b[2J").is_err());
    assert_eq!(link.endpoints().len(), 1);
}

#[test]
fn a_stream_that_is_watched_no_more_tells_nothing_of_what_waited() {
    let (runtime, link, _) = link();
    assert_eq!(link.watch_frames("main/jpeg", 0), OK);
    let stream = runtime.frames.stream("main/jpeg");
    let frame = Arc::new(frames::Frame {
        stream: stream.name(),
        format: frames::Format::Jpeg,
        width: 1,
        height: 1,
        sequence: 1,
        captured_unix_ns: 0,
        captured_monotonic_ns: 0,
        data: Bytes::new(),
    });
    stream.publish(&frame);
    assert_eq!(Arc::strong_count(&frame), 2);
    assert_eq!(link.unwatch_frames("main/jpeg"), OK);
    assert_eq!(Arc::strong_count(&frame), 1);
    assert_eq!((link.unwatch_frames("main/jpeg"), stream.demand().watchers), (UNKNOWN, 0));
}

#[test]
fn a_plugin_cannot_speak_for_the_runtime() {
    let (_, link, _) = link();
    assert_eq!(link.publish("mappings/cpro/changed", b"{}"), INVALID);
    assert_eq!(link.publish("access/changed", b"{}"), INVALID);
    assert_eq!(link.publish("mapping", b"{}"), OK);
}

#[test]
fn blobs_go_to_services_that_take_them_and_are_bounded_until_they_are_answered() {
    let (runtime, link, _) = link();
    let waiting = Arc::new(Mutex::new(Vec::new()));
    let kept = waiting.clone();
    runtime
        .services
        .offer_with_blobs("keep", Arc::new(move |_, _, blobs, reply| lock(&kept).push((blobs, reply))));
    runtime.services.offer_sync("plain", |_, request| Ok(request));
    let large = vec![7; 30 << 20];
    assert_eq!(call(&link, "keep", json!({}), &[&large, b"small"], 1), OK);
    assert_eq!(call(&link, "keep", json!({}), &[&large], 2), OK);
    assert_eq!(call(&link, "keep", json!({}), &[&large], 3), FULL);
    assert_eq!(call(&link, "keep", json!({}), &[], 4), OK);
    assert_eq!(call(&link, "plain", json!({}), &[b"picture"], 5), UNKNOWN);
    assert_eq!(call(&link, "endpoints.announce", json!({}), &[b"picture"], 6), UNKNOWN);
    let (blobs, reply) = lock(&waiting).remove(0);
    assert_eq!(blobs.iter().map(Bytes::len).collect::<Vec<_>>(), [30 << 20, 5]);
    reply(Ok(json!(null)));
    assert_eq!(call(&link, "keep", json!({}), &[&large], 7), OK);
    // One that is lost gives its room back, too.
    lock(&waiting).clear();
    assert_eq!(call(&link, "keep", json!({}), &[&large, &large], 8), OK);
}
