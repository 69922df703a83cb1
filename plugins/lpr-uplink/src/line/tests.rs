use super::{Head, Line, Mode, Settings, Step, Way};
use crate::answer::Verdict;
use proptest::prelude::*;
use std::time::Duration;

const SETTINGS: Settings = Settings {
    retry_interval: Duration::from_secs(60),
    max_retries: 5,
    return_interval: Duration::from_secs(120),
    jitter: 0.0,
};

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn head(id: &str) -> Option<Head<'_>> {
    Some(Head { id, camera: "7", bytes: 100, unfit: None })
}

fn line() -> Line {
    Line::new(SETTINGS)
}

fn failed() -> Verdict {
    Verdict::Failed("down".to_owned())
}

fn refused() -> Verdict {
    Verdict::Refused("bad".to_owned())
}

fn absent() -> Verdict {
    Verdict::Absent("404".to_owned())
}

/// A line whose Socket.IO is open, and whose camera is registered.
fn open(now: u64) -> Line {
    let mut line = line();
    assert_eq!(line.next(s(now), None), Step::Connect);
    line.opened(s(now), Some(1000));
    assert_eq!(line.next(s(now), head("0")), Step::Register(Way::SocketIo));
    line.registered(s(now), Verdict::Taken);
    line
}

/// A line that uses REST, and whose camera is registered.
fn rest(now: u64) -> Line {
    let mut line = line();
    assert_eq!(line.next(s(now), None), Step::Connect);
    line.lost(s(now), "refused".to_owned());
    assert_eq!(line.next(s(now), None), Step::Test);
    line.tested(s(now), Verdict::Taken);
    assert_eq!(line.next(s(now), head("0")), Step::Register(Way::Rest));
    line.registered(s(now), Verdict::Taken);
    line
}

/// One try that fails; when the next one is due.
fn fail(line: &mut Line, now: Duration) -> Duration {
    assert_eq!(line.next(now, head("0")), Step::Connect, "{now:?}");
    assert_eq!(line.next(now, head("0")), Step::Wait(None));
    line.lost(now, "no route".to_owned());
    assert_eq!(line.next(now, head("0")), Step::Test);
    assert_eq!(line.next(now, head("0")), Step::Wait(None));
    line.tested(now, failed());
    let Step::Wait(Some(next)) = line.next(now, head("0")) else { panic!() };
    next
}

#[test]
fn socket_io_comes_first_and_a_camera_registers_before_its_first_record() {
    let mut line = line();
    assert_eq!(line.mode(), Mode::Offline);
    assert_eq!(line.next(s(0), head("1")), Step::Connect);
    assert_eq!(line.next(s(0), head("1")), Step::Wait(None), "once");
    line.opened(s(1), None);
    assert_eq!(line.mode(), Mode::SocketIo);
    assert_eq!(line.next(s(1), head("1")), Step::Register(Way::SocketIo));
    assert_eq!(line.next(s(1), head("1")), Step::Wait(None));
    line.registered(s(1), refused());
    assert_eq!(
        line.next(s(1), head("1")),
        Step::Send(Way::SocketIo),
        "what it sends may be wanted all the same"
    );
    assert_eq!(line.next(s(1), head("1")), Step::Wait(None), "one after the other");
    assert!(line.answered(s(2), Verdict::Taken));
    assert_eq!(line.next(s(2), head("2")), Step::Send(Way::SocketIo));
    assert!(line.answered(s(2), Verdict::Taken));
    let other = Head { id: "3", camera: "8", bytes: 1, unfit: None };
    assert_eq!(line.next(s(2), Some(other)), Step::Register(Way::SocketIo));
}

#[test]
fn rest_is_used_when_socket_io_is_not_there_and_left_when_it_is_there_again() {
    let mut line = rest(0);
    assert_eq!(line.mode(), Mode::Rest);
    assert_eq!(line.next(s(1), head("0")), Step::Send(Way::Rest));
    // While a record is on its way Socket.IO is tried.
    assert_eq!(line.next(s(119), head("0")), Step::Wait(Some(s(120))));
    assert_eq!(line.next(s(120), head("0")), Step::Connect);
    assert_eq!(line.next(s(120), head("0")), Step::Wait(None));
    assert!(line.answered(s(121), Verdict::Taken));
    assert_eq!(line.next(s(121), head("1")), Step::Send(Way::Rest), "while it is being tried");
    line.opened(s(122), None);
    assert_eq!(line.mode(), Mode::SocketIo);
    assert_eq!(line.next(s(122), head("1")), Step::Wait(None), "that one is still on its way");
    assert!(line.answered(s(123), Verdict::Taken));
    assert_eq!(
        line.next(s(123), head("2")),
        Step::Register(Way::SocketIo),
        "the new connection knows nobody"
    );
}

#[test]
fn rest_goes_on_as_long_as_it_takes_something_or_answers() {
    let mut line = rest(0);
    assert_eq!(line.next(s(0), head("0")), Step::Send(Way::Rest));
    assert!(line.answered(s(0), Verdict::Taken));
    assert_eq!(line.next(s(120), None), Step::Connect);
    line.lost(s(121), "refused".to_owned());
    assert_eq!(line.next(s(121), None), Step::Wait(Some(s(241))), "it took something: no test");
    assert_eq!(line.next(s(241), None), Step::Connect);
    line.lost(s(241), "refused".to_owned());
    assert_eq!(line.next(s(241), None), Step::Test);
    line.tested(s(241), failed());
    assert_eq!(line.mode(), Mode::Offline);
}

#[test]
fn tries_of_a_round_come_at_growing_pauses_and_rounds_at_the_interval() {
    let mut line = line();
    let mut now = s(0);
    for round in 0..3 {
        for pause in [1, 2, 4, 8, 16, 60] {
            assert_eq!(line.is_degraded(), round > 0, "{now:?}");
            let next = fail(&mut line, now);
            assert_eq!(next - now, s(pause), "round {round}");
            now = next;
        }
    }
    assert_eq!(line.error(), Some("Socket.IO: no route; REST: down"));
    assert_eq!((line.mode(), line.tries()), (Mode::Offline, 18));
    assert_eq!(line.next(now, head("0")), Step::Connect);
    line.opened(now, None);
    assert!(line.is_degraded(), "it has not taken anything yet");
    line.next(now, head("0"));
    line.registered(now, Verdict::Taken);
    assert_eq!(line.next(now, head("0")), Step::Send(Way::SocketIo));
    assert!(line.answered(now, Verdict::Taken));
    assert!(!line.is_degraded() && line.error().is_none());
}

#[test]
fn pauses_are_never_longer_than_the_interval_and_a_tenth() {
    let settings = Settings { retry_interval: s(3), max_retries: 40, jitter: 1.0, ..SETTINGS };
    let mut line = Line::new(settings);
    let mut now = s(0);
    for _ in 0..100 {
        let next = fail(&mut line, now);
        assert!(next - now <= Duration::from_millis(3300) && next > now);
        now = next;
    }
    let mut line = Line::new(Settings { max_retries: 0, ..SETTINGS });
    assert_eq!(fail(&mut line, s(0)), s(60));
    assert!(line.is_degraded());
}

#[test]
fn a_connection_that_took_something_is_opened_again_at_once() {
    let mut line = open(0);
    line.next(s(0), head("0"));
    assert!(line.answered(s(0), Verdict::Taken));
    line.next(s(1), head("1"));
    line.lost(s(1), "reset".to_owned());
    assert_eq!((line.next(s(1), head("1")), line.error()), (Step::Connect, Some("reset")));
    // One that took nothing is not.
    line.opened(s(1), None);
    line.lost(s(2), "reset".to_owned());
    assert_eq!(line.next(s(2), head("1")), Step::Wait(Some(s(3))));
    // One that was there for long without anything to do is.
    assert_eq!(line.next(s(3), None), Step::Connect);
    line.opened(s(3), None);
    assert_eq!(line.next(s(4), None), Step::Wait(Some(s(13))));
    assert_eq!(line.tries(), 1);
    assert_eq!(line.next(s(13), None), Step::Wait(None));
    assert_eq!(line.tries(), 0);
    line.lost(s(20), "restart".to_owned());
    assert_eq!(line.next(s(20), None), Step::Connect);
}

#[test]
fn a_record_that_ends_connections_goes_over_rest_and_then_again_over_socket_io() {
    let mut line = open(0);
    line.next(s(0), head("0"));
    line.lost(s(0), "reset".to_owned());
    assert_eq!(line.next(s(1), head("0")), Step::Connect);
    line.opened(s(1), None);
    assert_eq!(line.next(s(1), head("0")), Step::Register(Way::SocketIo));
    line.registered(s(1), Verdict::Taken);
    assert_eq!(line.next(s(1), head("0")), Step::Send(Way::SocketIo));
    line.lost(s(1), "reset".to_owned());
    assert_eq!(line.next(s(3), head("0")), Step::Connect);
    line.opened(s(3), None);
    assert_eq!(line.next(s(3), head("0")), Step::Send(Way::Rest));
    assert!(!line.answered(s(3), failed()));
    assert_eq!(line.next(s(100), head("0")), Step::Register(Way::SocketIo), "neither: begin again");
    line.registered(s(100), Verdict::Taken);
    assert_eq!(line.next(s(100), head("0")), Step::Send(Way::SocketIo));
    assert!(line.answered(s(100), Verdict::Taken));
    assert_eq!(line.next(s(100), head("1")), Step::Send(Way::SocketIo), "that was of this record only");
}

#[test]
fn what_is_too_large_for_socket_io_goes_over_rest() {
    let mut line = open(0);
    let large = Some(Head { id: "1", camera: "7", bytes: 937, unfit: None });
    assert_eq!(line.next(s(0), large), Step::Send(Way::Rest));
    assert!(line.answered(s(0), Verdict::Taken));
    let fits = Some(Head { id: "2", camera: "7", bytes: 936, unfit: None });
    assert_eq!(line.next(s(0), fits), Step::Send(Way::SocketIo));
    assert!(line.answered(s(0), Verdict::Taken));
    // Where there is no REST, nobody takes it.
    let mut now = s(0);
    for _ in 0..6 {
        assert_eq!(line.next(now, large), Step::Send(Way::Rest));
        assert!(!line.answered(now, absent()));
        now += s(60);
    }
    let Step::SetAside(reason) = line.next(now, large) else { panic!() };
    assert_eq!(reason, "it is more than the upstream takes over Socket.IO, and 404");
}

#[test]
fn a_refusal_gets_a_second_opinion_and_is_believed_after_a_round() {
    let mut line = open(0);
    assert_eq!(line.next(s(0), head("0")), Step::Send(Way::SocketIo));
    assert!(!line.answered(s(0), refused()));
    let mut now = s(1);
    for _ in 0..4 {
        assert_eq!(line.next(now, head("0")), Step::Send(Way::Rest), "{now:?}");
        assert!(!line.answered(now, refused()));
        assert!(matches!(line.next(now, head("0")), Step::Wait(Some(_))));
        now += s(20);
    }
    // Not to be had now is no refusal, and nothing is said by who is not there.
    assert_eq!(line.next(now, head("0")), Step::Send(Way::Rest));
    assert!(!line.answered(now, failed()));
    now += s(60);
    assert_eq!(line.next(now, head("0")), Step::Send(Way::Rest));
    assert!(!line.answered(now, absent()), "as the first one said");
    now += s(60);
    assert_eq!(line.next(now, head("0")), Step::SetAside("bad".to_owned()));
    assert_eq!(line.next(now, head("0")), Step::Wait(None));
    assert!(!line.set_aside(now, Err("full".to_owned())));
    assert_eq!(line.next(now, head("0")), Step::Wait(Some(now + s(10))));
    now += s(10);
    assert_eq!(line.next(now, head("0")), Step::SetAside("bad".to_owned()));
    assert!(line.set_aside(now, Ok(())));
    assert_eq!(line.next(now, head("1")), Step::Send(Way::SocketIo), "what is behind it goes on");
}

#[test]
fn a_refusal_that_the_second_opinion_does_not_share_is_forgotten() {
    let mut line = open(0);
    line.next(s(0), head("0"));
    line.answered(s(0), refused());
    assert_eq!(line.next(s(1), head("0")), Step::Send(Way::Rest));
    assert!(line.answered(s(1), Verdict::Taken));
    assert_eq!((line.next(s(1), head("1")), line.error()), (Step::Send(Way::SocketIo), None));
}

#[test]
fn what_cannot_be_sent_at_all_is_set_aside_without_asking_anybody() {
    let mut line = line();
    let unfit = Some(Head { id: "1", camera: "", bytes: 0, unfit: Some("no object") });
    assert_eq!(line.next(s(0), unfit), Step::SetAside("no object".to_owned()));
    assert!(line.set_aside(s(0), Ok(())));
}

#[test]
fn a_rest_that_cannot_take_it_now_is_tried_from_the_beginning() {
    for verdict in [failed(), absent()] {
        let mut line = rest(0);
        assert_eq!(line.next(s(0), head("0")), Step::Send(Way::Rest));
        assert!(!line.answered(s(0), verdict));
        assert_eq!(line.mode(), Mode::Offline);
        assert_eq!(line.next(s(0), head("0")), Step::Wait(Some(s(1))));
        assert_eq!(line.next(s(1), head("0")), Step::Connect);
        line.lost(s(1), "refused".to_owned());
        line.next(s(1), head("0"));
        line.tested(s(1), Verdict::Taken);
        assert_eq!(line.tries(), 1, "a test that goes well is no success while something waits");
    }
}

/// An upstream that is anything from one moment to the next, and is well in the end.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Weather {
    Well,
    Down,
    RestOnly,
    Resets,
    Errors,
    NoRest,
}

fn weather() -> impl Strategy<Value = Weather> {
    use Weather::{Down, Errors, NoRest, Resets, RestOnly, Well};
    prop::sample::select(vec![Well, Down, RestOnly, Resets, Errors, NoRest])
}

proptest! {
    /// Through any weather: records go in order, one at a time, each taken once by the line's own account, none is set
    /// aside that nobody refused, and when all is well again everything is sent within two intervals.
    #[test]
    fn everything_is_sent_in_order_once_the_upstream_is_well(
        times in prop::collection::vec((weather(), 1u64..200), 0..12),
        retries in 0u32..7,
        jitter in 0.0f64..1.0,
    ) {
        let settings = Settings { max_retries: retries, jitter, ..SETTINGS };
        let mut line = Line::new(settings);
        let ids: Vec<String> = (0..40).map(|n| format!("{n:04}")).collect();
        let mut sent = Vec::new();
        let mut now = s(0);
        let end: u64 = times.iter().map(|(_, seconds)| seconds).sum();
        let at = |now: Duration| {
            let mut left = now.as_secs();
            for (weather, seconds) in &times {
                if left < *seconds {
                    return *weather;
                }
                left -= seconds;
            }
            Weather::Well
        };
        let mut open = false;
        for _ in 0..20_000 {
            let weather = at(now);
            if open && matches!(weather, Weather::Down | Weather::RestOnly) {
                open = false;
                line.lost(now, "gone".to_owned());
            }
            let head = ids.get(sent.len()).map(|id| Head { id, camera: "7", bytes: 10, unfit: None });
            if head.is_none() && line.mode() == Mode::SocketIo {
                break;
            }
            match line.next(now, head) {
                Step::Connect => {
                    prop_assert!(!open);
                    match weather {
                        Weather::Down | Weather::RestOnly => line.lost(now, "refused".to_owned()),
                        _ => {
                            open = true;
                            line.opened(now, Some(1000));
                        }
                    }
                }
                Step::Test => match weather {
                    Weather::Down | Weather::Resets => line.tested(now, failed()),
                    Weather::NoRest => line.tested(now, absent()),
                    _ => line.tested(now, Verdict::Taken),
                },
                Step::Register(way) | Step::Send(way) if way == Way::SocketIo => {
                    prop_assert!(open, "nothing is said where nobody is");
                    let sending = line.is_sending();
                    match weather {
                        Weather::Resets => {
                            open = false;
                            line.lost(now, "reset".to_owned());
                        }
                        _ if sending => {
                            prop_assert!(line.answered(now, Verdict::Taken));
                            sent.push(ids[sent.len()].clone());
                        }
                        _ => line.registered(now, Verdict::Taken),
                    }
                }
                Step::Register(_) | Step::Send(_) => {
                    let verdict = match weather {
                        Weather::Well | Weather::RestOnly => Verdict::Taken,
                        Weather::NoRest => absent(),
                        _ => failed(),
                    };
                    let taken = verdict == Verdict::Taken;
                    if line.is_sending() {
                        prop_assert_eq!(line.answered(now, verdict), taken);
                        if taken {
                            sent.push(ids[sent.len()].clone());
                        }
                    } else {
                        line.registered(now, verdict);
                    }
                }
                Step::SetAside(reason) => prop_assert!(false, "set aside: {}", reason),
                Step::Wait(until) => {
                    let until = until.expect("it goes on by itself");
                    prop_assert!(until > now, "it does not turn in circles");
                    prop_assert!(until - now <= s(132), "it looks again soon");
                    // The weather changes in between.
                    now = until.min(now + s(1));
                }
            }
            now += Duration::from_millis(1);
        }
        prop_assert_eq!(&sent, &ids);
        prop_assert!(now <= s(end) + s(2 * 66 + 5), "{:?} after {}", now, end);
    }

    /// Whatever it is told in whatever order: no panic, one thing at a time, and never for good without a deadline while
    /// nothing is under way.
    #[test]
    fn nothing_that_happens_stops_it(steps in prop::collection::vec((0u8..12, 0u64..50), 0..200)) {
        let mut line = Line::new(Settings { max_retries: 2, ..SETTINGS });
        let (mut now, mut dialing, mut busy, mut id) = (s(0), false, false, 0u32);
        for (what, later) in steps {
            now += s(later);
            let name = format!("{id:09}");
            match what {
                0 if dialing => { line.opened(now, Some(50)); dialing = false; }
                1 => {
                    // It may be the open one or the one that is dialed.
                    let sends_over_it = line.mode() == Mode::SocketIo;
                    line.lost(now, "x".to_owned());
                    dialing = false;
                    if sends_over_it && busy { busy = line.busy.is_some(); }
                }
                2..=7 if busy => {
                    let verdict = match what {
                        2 | 3 => Verdict::Taken,
                        4 => refused(),
                        5 => failed(),
                        _ => absent(),
                    };
                    busy = false;
                    match line.busy {
                        Some(super::Busy::Test) => line.tested(now, verdict),
                        Some(super::Busy::Register(_)) => line.registered(now, verdict),
                        Some(super::Busy::Send(_)) => id += u32::from(line.answered(now, verdict)),
                        Some(super::Busy::Aside) => id += u32::from(line.set_aside(now, Ok(()))),
                        None => {}
                    }
                }
                _ => match line.next(now, (what % 2 == 0).then_some(Head { id: &name, camera: "7", bytes: 1, unfit: None })) {
                    Step::Connect => { prop_assert!(!dialing); dialing = true; }
                    Step::Wait(None) => prop_assert!(busy || dialing || line.mode() == Mode::SocketIo),
                    Step::Wait(Some(at)) => prop_assert!(at > now),
                    _ => { prop_assert!(!busy); busy = true; }
                },
            }
        }
    }
}

#[test]
fn a_record_at_which_the_upstream_always_fails_is_named_and_one_that_is_gone_names_nobody() {
    let mut line = rest(0);
    let mut now = s(0);
    for failure in 1..=18 {
        assert_eq!(line.holds_up(), None, "{failure}");
        while line.next(now, head("0")) != Step::Send(Way::Rest) {
            match line.busy {
                Some(super::Busy::Test) => line.tested(now, Verdict::Taken),
                Some(super::Busy::Register(_)) => line.registered(now, Verdict::Taken),
                _ if line.socket == super::Socket::Dialing => line.lost(now, "refused".to_owned()),
                _ => now += s(1),
            }
        }
        assert!(!line.answered(now, failed()));
    }
    assert_eq!(line.holds_up(), Some("0"));
    assert!(line.is_degraded());
    line.next(now, head("1"));
    assert_eq!(line.holds_up(), None, "another one's turn has come");
    // Nothing was sent: it is not the record.
    let (mut line, mut now) = (self::line(), s(0));
    for _ in 0..40 {
        now = fail(&mut line, now);
    }
    assert_eq!(line.holds_up(), None);
}
