//! ESP32-CAMs of both firmware generations through the built gateway.

use gantry_tests::gateway::{Gateway, Setup};
use gantry_tests::until;
use serde_json::{Value, json};
use std::net::UdpSocket;
use std::time::Duration;

const CONFIG: &str =
    "[cameras.main]\nsource = \"demo:?people=0\"\n[plugins.espcam]\nbind = \"127.0.0.1:0\"\n";
/// The largest datagram of these devices, header included.
const LARGEST: usize = 1024;
const HEADER: usize = 8;

/// A device. What is lost it sends again.
struct Device {
    socket: UdpSocket,
    id: u8,
}

impl Device {
    fn new(gateway: &Gateway, id: u8) -> Self {
        let url = gateway.url("espcam");
        let address = url.rsplit('/').next().expect("an address").to_owned();
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.connect(address).expect("connected");
        socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
        Self { socket, id }
    }

    /// Sends until a reply of that type and index has come.
    fn ask(&self, message: &[u8], is_reply: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        until("a reply to a datagram", || {
            self.socket.send(message).expect("sent");
            let mut buffer = [0; 64];
            // Late replies to what was sent before come first.
            while let Ok(length) = self.socket.recv(&mut buffer) {
                if buffer[1] == self.id && is_reply(&buffer[..length]) {
                    return Some(buffer[..length].to_vec());
                }
            }
            None
        })
    }

    fn request(&self, picture: &[u8]) -> usize {
        let packets = picture.len().div_ceil(LARGEST - HEADER);
        let mut request = vec![1, self.id, 1, u8::try_from(packets).expect("few packets")];
        request.extend(u32::try_from(LARGEST).expect("small").to_be_bytes());
        let reply = self.ask(&request, |reply| reply[2] == 1);
        assert_eq!(reply[3], 0, "the request is accepted");
        packets
    }

    fn packet(&self, picture: &[u8], index: usize) -> Vec<u8> {
        let part = &picture[index * (LARGEST - HEADER)..picture.len().min((index + 1) * (LARGEST - HEADER))];
        let mut packet = vec![1, self.id, 2, u8::try_from(index).expect("few packets")];
        packet.extend(u32::try_from(part.len()).expect("small").to_be_bytes());
        packet.extend(part);
        packet
    }

    /// As older firmware does: each packet waits for its reply.
    fn upload_one_by_one(&self, picture: &[u8]) {
        for index in 0..self.request(picture) {
            let packet = self.packet(picture, index);
            let reply = self.ask(&packet, |reply| reply[2] == 2 && usize::from(reply[3]) == index);
            assert_eq!(reply[4], 0, "packet {index} is acknowledged");
        }
    }

    /// As newer firmware does: all packets, then what is missing until nothing is.
    fn upload_at_once(&self, picture: &[u8]) {
        let packets = self.request(picture);
        // The second one is lost, and the others come from the last to the first.
        for index in (0..packets).rev().filter(|index| *index != 1) {
            self.socket.send(&self.packet(picture, index)).expect("sent");
        }
        let end = [1, self.id, 3, u8::try_from(packets).expect("few packets")];
        until("the picture to be complete", || {
            let reply = self.ask(&end, |reply| reply[2] == 3);
            if reply[3] == 0 {
                return Some(());
            }
            for index in &reply[4..4 + usize::from(reply[3])] {
                self.socket.send(&self.packet(picture, usize::from(*index))).expect("sent");
            }
            None
        });
    }
}

fn picture(seed: u8, length: usize) -> Vec<u8> {
    let mut picture = vec![0xff, 0xd8];
    picture.extend((0..length).map(|n| (n as u8).wrapping_mul(31).wrapping_add(seed) & 0x7f));
    picture.extend([0xff, 0xd9]);
    picture
}

fn stored(gateway: &Gateway) -> Vec<Vec<u8>> {
    let request = json!({ "collection": "pictures", "blobs": true, "order": "oldest" });
    let done = gateway.run(&["call", "records.query", &request.to_string()]);
    let found: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    let records = found["records"].as_array().expect("records");
    records.iter().map(|r| gantry_tests::base64(r["blobs"][0]["data"].as_str().expect("a blob"))).collect()
}

#[test]
fn pictures_of_both_generations_are_stored_once_and_survive_a_kill() {
    let mut gateway = Setup::with_config(CONFIG).start_ready();
    // A multiple of what a packet carries is one of them.
    let pictures =
        [picture(1, 5000), picture(2, 3 * (LARGEST - HEADER) - 4), picture(3, 200), picture(4, 20_000)];
    Device::new(&gateway, 7).upload_one_by_one(&pictures[0]);
    Device::new(&gateway, 7).upload_one_by_one(&pictures[1]);
    Device::new(&gateway, 8).upload_at_once(&pictures[2]);
    let last = Device::new(&gateway, 9);
    last.upload_at_once(&pictures[3]);
    // The reply was lost, so it asks again.
    let end = [1, 9, 3, u8::try_from(pictures[3].len().div_ceil(LARGEST - HEADER)).expect("few")];
    assert_eq!(last.ask(&end, |reply| reply[2] == 3)[3], 0);
    // What was acknowledged is on the disk.
    gateway.restart();
    gateway.wait_ready();
    assert_eq!(stored(&gateway), pictures);
}

#[test]
fn nonsense_and_a_flood_of_requests_leave_everything_else_running() {
    let gateway = Setup::with_config(CONFIG).start_ready();
    let stranger = Device::new(&gateway, 1);
    for n in 0..2000u32 {
        let mut request = vec![1, n as u8, 1, 255];
        request.extend(60_000u32.to_be_bytes());
        let _ = stranger.socket.send(&request);
        let _ = stranger.socket.send(&n.to_be_bytes()[..(n % 5) as usize]);
    }
    let good = picture(5, 4000);
    Device::new(&gateway, 200).upload_one_by_one(&good);
    until("the picture to be stored", || (stored(&gateway) == [good.clone()]).then_some(()));
}
