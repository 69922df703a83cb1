//! ESP32-CAMs of both generations, a bad network, power cuts on either side, and hostile senders, through the built gateway.

use gantry_tests::espcam::{Address, Device, Firmware, NEWER, Network, OLD, picture, stored};
use gantry_tests::gateway::{Gateway, Setup};
use gantry_tests::until;
use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

const CONFIG: &str =
    "[cameras.main]\nsource = \"demo:?people=0\"\n[plugins.espcam]\nbind = \"127.0.0.1:0\"\n";

fn gateway() -> (Gateway, Address) {
    let gateway = Setup::with_config(CONFIG).start_ready();
    let address = Address::of(&gateway);
    (gateway, address)
}

/// Every kind of firmware, and the bytes of its picture: exact multiples, some more, 255 packets.
fn kinds() -> Vec<(Firmware, usize)> {
    let mut kinds = Vec::new();
    for newer in [false, true] {
        for (one_too_many, tells_size) in [(false, false), (true, false), (false, true), (true, true)] {
            let firmware = Firmware { newer, one_too_many, tells_size, ..OLD };
            kinds.push((firmware, 12 * firmware.payload()));
            kinds.push((firmware, 9 * firmware.payload() + 77));
        }
        let small = Firmware { newer, largest: 208, ..OLD };
        kinds.push((small, 255 * small.payload()));
        kinds.push((Firmware { tells_size: true, ..small }, 255 * small.payload() - 1));
    }
    kinds
}

/// All of them at once on such a network. What they sent.
fn upload_all(address: &Address, network: Network) -> BTreeSet<Vec<u8>> {
    let all: Vec<_> = (0..)
        .zip(kinds())
        .map(|(id, (firmware, bytes))| {
            let device = Device::new(address, id, firmware).through(network);
            (device, picture(bytes, id.into()))
        })
        .collect();
    let sent = all.iter().map(|(_, picture)| picture.clone()).collect();
    std::thread::scope(|scope| {
        for (mut device, picture) in all {
            scope.spawn(move || device.upload(&picture));
        }
    });
    sent
}

#[test]
fn all_kinds_of_firmware_at_once_have_their_pictures_stored_exactly_once_whatever_gets_lost() {
    let (gateway, address) = gateway();
    let sent = upload_all(&address, Network { lost: 8, ..Network::default() });
    let kept = stored(&gateway);
    assert_eq!((kept.len(), kept.into_iter().collect::<BTreeSet<_>>()), (sent.len(), sent));
}

#[test]
fn nothing_is_lost_or_mixed_when_datagrams_are_lost_repeated_and_overtake_each_other() {
    let (gateway, address) = gateway();
    let sent = upload_all(&address, Network { lost: 10, repeated: 10, late: 10 });
    // A repeated request is another one, so that a picture may be there twice; never another than was sent.
    let kept: BTreeSet<_> = stored(&gateway).into_iter().collect();
    assert!(kept == sent, "{} pictures of {}", kept.len(), sent.len());
}

#[test]
fn a_device_that_loses_power_in_the_middle_sends_its_next_picture_and_nothing_is_mixed() {
    let (gateway, address) = gateway();
    for (id, firmware) in [(1, OLD), (2, NEWER)] {
        let mut device = Device::new(&address, id, firmware);
        let (before, after) = (picture(20 * 1016, 1), picture(20 * 1016, 2));
        device.send(&device.request(&before));
        for index in 0..15 {
            device.send(&device.packet(&before, index));
        }
        // It is there again, with the same address.
        device.upload(&after);
        assert_eq!(stored(&gateway).last(), Some(&after), "{firmware:?}");
    }
    assert_eq!(stored(&gateway).len(), 2);
}

#[test]
fn a_gateway_that_is_killed_again_and_again_has_every_picture_that_it_acknowledged() {
    const ROUNDS: usize = 10;
    let (mut gateway, address) = gateway();
    let (acknowledged, rounds) = (Mutex::new(Vec::<Vec<u8>>::new()), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for id in 0..6_u8 {
            let (address, acknowledged, rounds) = (address.clone(), &acknowledged, &rounds);
            scope.spawn(move || {
                let firmware = if id.is_multiple_of(2) { OLD } else { NEWER };
                let mut device =
                    Device::new(&address, id, firmware).through(Network { lost: 2, ..Network::default() });
                for n in 0_u64.. {
                    if rounds.load(SeqCst) == ROUNDS {
                        return;
                    }
                    let picture = picture(6 * 1016 + usize::from(id), u64::from(id) << 32 | n);
                    device.upload(&picture);
                    acknowledged.lock().expect("no panic").push(picture);
                }
            });
        }
        for round in 0..ROUNDS {
            // At any moment of what they send: some pictures more are through, and others in the middle.
            let before = acknowledged.lock().expect("no panic").len();
            until("some pictures more", || {
                (acknowledged.lock().ok()?.len() > before + round % 4).then_some(())
            });
            gateway.restart();
            address.moved(&gateway);
        }
        rounds.store(ROUNDS, SeqCst);
    });
    let kept = stored(&gateway);
    let acknowledged = acknowledged.into_inner().expect("no panic");
    let missing = acknowledged.iter().filter(|picture| !kept.contains(picture)).count();
    assert_eq!(missing, 0, "of {}", acknowledged.len());
    // What was on the disk when the power went, and not yet acknowledged, comes once more.
    let different: BTreeSet<_> = kept.iter().collect();
    assert_eq!(different.len(), acknowledged.len());
    assert!(kept.len() - different.len() <= 6 * ROUNDS, "{} of {}", kept.len(), different.len());
}

#[test]
fn ten_thousand_requests_from_invented_addresses_take_no_memory_and_keep_nobody_out() {
    let (gateway, address) = gateway();
    let before = gateway.resident();
    let good = picture(30_000, 7);
    std::thread::scope(|scope| {
        let flood = address.clone();
        scope.spawn(move || {
            let packet = [&[1, 0, 2, 0][..], &1452_u32.to_be_bytes(), &[7; 1452]].concat();
            for n in 0..10_000_u32 {
                let [_, a, b, c] = n.to_be_bytes();
                let source = SocketAddr::from(([127, a + 1, b, c.max(1)], 0));
                let socket = UdpSocket::bind(source).expect("all of 127.0.0.0/8 is here");
                let (mut request, mut packet) =
                    ([&[1, c, 1, 255][..], &1460_u32.to_be_bytes()].concat(), packet.clone());
                (request[1], packet[1]) = (c, c);
                for datagram in [&request, &packet] {
                    let _ = socket.send_to(datagram, flood.now());
                }
            }
        });
        scope.spawn(|| Device::new(&address, 200, OLD).upload(&good));
    });
    // It is through in the middle of it, or after: in any case it is there, and alone.
    assert_eq!(stored(&gateway), std::slice::from_ref(&good));
    let grown = gateway.resident().saturating_sub(before);
    assert!(grown < 24 << 20, "{grown} bytes more");
    until("transfers to be limited", || {
        (gateway.exported("gantry_plugin_open_transfers", "")? <= 1024.0).then_some(())
    });
    let good = picture(30_000, 8);
    Device::new(&address, 201, NEWER).upload(&good);
    assert_eq!(stored(&gateway).last(), Some(&good));
}

#[test]
fn a_burst_of_255_packets_of_each_of_eight_devices_finds_room_where_a_socket_has_little() {
    // As where net.core.rmem_max is what it is by default: a socket has room for less than 200 of them.
    let config = format!("{CONFIG}receive_sockets = 20\nreceive_buffer = 4259840\n");
    let gateway = Setup::with_config(&config).start_ready();
    let address = Address::of(&gateway);
    let firmware = Firmware { largest: 1460, ..NEWER };
    let pictures: Vec<_> = (0..8_u8).map(|id| (id, picture(255 * 1452, id.into()))).collect();
    std::thread::scope(|scope| {
        for (id, picture) in &pictures {
            let address = &address;
            scope.spawn(move || Device::new(address, *id, firmware).upload(picture));
        }
    });
    let (kept, sent): (BTreeSet<_>, BTreeSet<_>) =
        (stored(&gateway).into_iter().collect(), pictures.into_iter().map(|(_, picture)| picture).collect());
    assert!(kept == sent);
    let figure = |name: &str| gateway.exported(&format!("gantry_plugin_{name}_total"), "");
    until("the figures", || (figure("datagrams")? >= 8.0 * 257.0).then_some(()));
    assert_eq!((figure("lost_datagrams"), figure("dropped_datagrams")), (Some(0.0), Some(0.0)));
}
