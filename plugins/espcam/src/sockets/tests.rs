//! Real sockets on the loopback.

use super::{MOST, Sockets};
use crate::config::Config;
use crate::inbox::{Batch, Inbox};
use std::io;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(20);

fn config(receive_sockets: usize, receive_buffer: usize) -> Config {
    let bind = "127.0.0.1:0".parse().unwrap();
    Config { bind, receive_sockets, receive_buffer, ..Config::default() }
}

fn open(receive_sockets: usize, receive_buffer: usize) -> Sockets {
    Sockets::open(&config(receive_sockets, receive_buffer)).unwrap()
}

/// Everything that comes, until it is so many that all is there, and nothing more that would have come with it.
fn read(sockets: Sockets, is_all: impl Fn(usize) -> bool) -> Vec<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut reading, inbox) = (sockets.reading().unwrap(), Inbox::new(64 << 20));
        let (mut all, mut batch, begun) = (Vec::new(), Batch::default(), Instant::now());
        reading.ready().await.unwrap();
        let mut rounds = 0;
        // Once to learn from the kernel that there is something, and until there is nothing.
        while rounds < 100 || !is_all(all.len()) {
            assert!(begun.elapsed() < PATIENCE, "{} have come", all.len());
            tokio::task::yield_now().await;
            reading.empty(&inbox).unwrap();
            inbox.put("1.1.1.1:1".parse().unwrap(), b"the last");
            inbox.fill(&mut batch).await;
            while let Some((_, datagram)) = batch.next() {
                all.push(datagram.to_vec());
            }
            assert_eq!(all.pop().unwrap(), b"the last");
            rounds += 1;
        }
        all
    })
}

#[test]
fn one_socket_is_enough_where_the_system_gives_what_is_wanted() {
    let sockets = open(0, 65_536);
    assert_eq!((sockets.count(), sockets.room()), (1, 65_536));
}

#[test]
fn a_burst_that_one_socket_has_no_room_for_finds_room_in_several() {
    let packets = |count| (0..count).map(|n: u32| [&[1, 7, 2, n as u8][..], &[0; 1452]].concat());
    for (count, least, most) in [(1, 0, 200), (20, 2000, 2000)] {
        let sockets = open(count, count * 212_992);
        assert_eq!(sockets.count(), count);
        let device = UdpSocket::bind("127.0.0.1:0").unwrap();
        device.connect(sockets.address().unwrap()).unwrap();
        for packet in packets(2000) {
            device.send(&packet).unwrap();
        }
        let lost = sockets.share().unwrap();
        let came = read(sockets, |came| came as u64 + lost.lost() >= 2000).len();
        assert!((least..=most).contains(&came), "{came} with {count} sockets");
        assert_eq!(lost.lost(), 2000 - came as u64);
    }
}

#[test]
fn nothing_overtakes_the_data_that_was_sent_before_it() {
    let sockets = open(3, 3 << 20);
    let device = UdpSocket::bind("127.0.0.1:0").unwrap();
    device.connect(sockets.address().unwrap()).unwrap();
    let mut sent: Vec<Vec<u8>> = (0..800_u32).map(|index| vec![1, 7, 2, index as u8, 0]).collect();
    for datagram in &sent {
        device.send(datagram).unwrap();
    }
    for short in [&b""[..], &[1], &[1, 7, 2], &[1, 7, 3, 40]] {
        device.send(short).unwrap();
    }
    let mut came = read(sockets, |came| came >= 804);
    assert_eq!(came.split_off(800), [&b""[..], &[1], &[1, 7, 2], &[1, 7, 3, 40]]);
    came.sort();
    sent.sort();
    assert_eq!(came, sent);
}

#[test]
fn a_broadcast_is_heard_once_however_many_sockets_there_are() {
    let bind = "0.0.0.0:0".parse().unwrap();
    let sockets = Sockets::open(&Config { bind, ..config(5, 5 << 20) }).unwrap();
    let device = UdpSocket::bind("127.0.0.1:0").unwrap();
    device.set_broadcast(true).unwrap();
    let to = ("127.255.255.255", sockets.address().unwrap().port());
    let mut sent: Vec<Vec<u8>> = (0..=255_u8).map(|index| vec![1, 7, 2, index, 0]).collect();
    sent.extend([vec![], vec![1, 7, 2], vec![1, 7, 1, 4, 0, 0], vec![1, 7, 3, 4]]);
    for datagram in &sent {
        device.send_to(datagram, to).unwrap();
    }
    let mut came = read(sockets, |came| came >= sent.len());
    came.sort();
    sent.sort();
    assert_eq!(came, sent);
}

#[test]
fn one_turn_is_enough_for_all_that_a_full_socket_holds_and_for_not_much_more() {
    let sockets = open(2, 2 * 65_536);
    let device = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut sent = 0;
    while sockets.lost() == 0 {
        for _ in 0..20 {
            device.send_to(&[1, 7, 2, 0], sockets.address().unwrap()).unwrap();
            sent += 1;
        }
    }
    let held = sent - sockets.lost();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let most = runtime.block_on(async { sockets.reading().unwrap().most });
    assert!(held > 0 && held <= most as u64 && most < 1000, "{held} are held, {most} are taken");
}

#[test]
fn where_several_sockets_cannot_be_had_one_has_to_do_unless_they_were_asked_for() {
    let none = |_, _, _| Err(io::ErrorKind::Unsupported.into());
    // More than any system lets a socket have.
    let automatic = Sockets::open_with(&config(0, 1 << 30), none).unwrap();
    assert_eq!(automatic.count(), 1);
    assert!(automatic.trouble().unwrap().ends_with("one has to do"), "{:?}", automatic.trouble());
    assert_eq!(automatic.remedy(), "raise net.core.rmem_max");
    let error = Sockets::open_with(&config(4, 1 << 20), none).err().unwrap();
    assert!(
        error.starts_with("cannot listen on 127.0.0.1:0 (UDP) with 4 sockets: ")
            && error.ends_with("set `receive_sockets = 1`"),
        "{error}"
    );
}

#[test]
fn who_wants_more_room_is_told_what_helps() {
    for (count, buffer, remedy) in [
        (1, 65_536, "raise `receive_buffer`"),
        (0, 65_536, "raise `receive_buffer`"),
        (2, 1 << 30, "raise net.core.rmem_max, or `receive_sockets`"),
        (0, 1 << 30, "raise net.core.rmem_max"),
        (MOST, 1 << 20, "raise net.core.rmem_max"),
    ] {
        assert_eq!(open(count, buffer).remedy(), remedy, "{count} sockets, {buffer} bytes");
    }
}

#[test]
fn an_address_that_is_in_use_is_not_shared_with_who_has_it() {
    let first = open(4, 1 << 20);
    let bind = first.address().unwrap();
    for receive_sockets in [0, 1, 4] {
        let again = Sockets::open(&Config { bind, receive_sockets, ..Config::default() });
        let error = again.err().unwrap();
        assert!(error.ends_with("stop what uses it, or change `bind`"), "{error}");
    }
}
