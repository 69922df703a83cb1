//! ESP32-CAMs as the firmware in the field behaves, both generations, on a network that loses, repeats and reorders.

use crate::gateway::Gateway;
use crate::{PATIENCE, base64};
use serde_json::{Value, json};
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes before the data of a packet.
pub const HEADER: usize = 8;

/// How the firmware of a device works.
#[derive(Debug, Clone, Copy)]
pub struct Firmware {
    /// Sends everything and asks what is missing, instead of waiting for each acknowledgement.
    pub newer: bool,
    /// Announces one packet too many when the picture is an exact multiple, and does not send it.
    pub one_too_many: bool,
    /// Tells the picture's size.
    pub tells_size: bool,
    /// The largest datagram, with its header.
    pub largest: usize,
}

/// Waits for each acknowledgement.
pub const OLD: Firmware = Firmware { newer: false, one_too_many: false, tells_size: false, largest: 1024 };
/// Sends everything, then asks.
pub const NEWER: Firmware = Firmware { newer: true, ..OLD };

impl Firmware {
    /// Bytes of data in a packet.
    #[must_use]
    pub fn payload(&self) -> usize {
        self.largest - HEADER
    }
}

/// What the network does, in percent of the datagrams, each way.
#[derive(Debug, Clone, Copy, Default)]
pub struct Network {
    /// Datagrams that do not arrive.
    pub lost: u64,
    /// Datagrams that arrive twice.
    pub repeated: u64,
    /// Datagrams of the device that arrive after the next one.
    pub late: u64,
}

/// Where the gateway listens. It may change while devices send: a gateway that starts anew takes another port.
#[derive(Debug, Clone)]
pub struct Address(Arc<Mutex<SocketAddr>>);

impl Address {
    /// Where a gateway listens now.
    ///
    /// # Panics
    /// When it does not run the plugin.
    #[must_use]
    pub fn of(gateway: &Gateway) -> Self {
        Self(Arc::new(Mutex::new(listens(gateway))))
    }

    /// Another start of the gateway listens elsewhere.
    pub fn moved(&self, gateway: &Gateway) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = listens(gateway);
    }

    /// As it is now.
    #[must_use]
    pub fn now(&self) -> SocketAddr {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn listens(gateway: &Gateway) -> SocketAddr {
    let url = gateway.url("espcam");
    url.rsplit('/').next().and_then(|address| address.parse().ok()).expect("an address")
}

/// A device. Its timeouts are those of the firmware divided by twenty.
pub struct Device {
    socket: UdpSocket,
    gateway: Address,
    id: u8,
    firmware: Firmware,
    network: Network,
    random: u64,
    /// A datagram that arrives after the next one.
    held: Option<Vec<u8>>,
    /// How long it waits for a reply: 5.5 s in the field.
    pub wait: Duration,
}

impl Device {
    /// A device on the loopback.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn new(gateway: &Address, id: u8, firmware: Firmware) -> Self {
        Self::from(gateway, id, firmware, SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// A device that sends from this address.
    ///
    /// # Panics
    /// When it is none of this machine.
    #[must_use]
    pub fn from(gateway: &Address, id: u8, firmware: Firmware, source: SocketAddr) -> Self {
        let socket = UdpSocket::bind(source).expect("an address of this machine");
        let random = u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
        let (gateway, network) = (gateway.clone(), Network::default());
        let wait = Duration::from_millis(275);
        Self { socket, gateway, id, firmware, network, random, held: None, wait }
    }

    /// The same on such a network.
    #[must_use]
    pub fn through(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % 100 < percent
    }

    /// Sends a datagram into the network.
    pub fn send(&mut self, datagram: &[u8]) {
        let Network { lost, repeated, late } = self.network;
        if self.chance(late) && self.held.is_none() {
            self.held = Some(datagram.to_vec());
            return;
        }
        let copies = if self.chance(lost) { 0 } else { 1 + u8::from(self.chance(repeated)) };
        let held = self.held.take();
        for datagram in (0..copies).map(|_| datagram).chain(held.as_deref()) {
            // While the gateway is gone, nobody is there.
            let _ = self.socket.send_to(datagram, self.gateway.now());
        }
    }

    /// The next reply that `read` makes something of, for so long.
    fn hear<T>(&mut self, wait: Duration, read: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        let end = Instant::now() + wait;
        let mut buffer = [0; 2048];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.socket.set_read_timeout(Some(left)).expect("more than nothing");
            let Ok((length, _)) = self.socket.recv_from(&mut buffer) else { continue };
            if self.chance(self.network.lost) {
                continue;
            }
            assert!(length <= 32 || buffer[2] == 1, "a reply of {length} bytes is more than it can receive");
            if buffer[1] == self.id
                && let Some(read) = read(&buffer[..length])
            {
                return Some(read);
            }
        }
    }

    /// How many packets a picture has.
    ///
    /// # Panics
    /// When they are more than 255.
    #[must_use]
    pub fn packets(&self, picture: &[u8]) -> u8 {
        u8::try_from(picture.len().div_ceil(self.firmware.payload())).expect("255 packets at most")
    }

    fn announced(&self, picture: &[u8]) -> u8 {
        let exact = picture.len().is_multiple_of(self.firmware.payload());
        let packets = self.packets(picture);
        packets + u8::from(exact && self.firmware.one_too_many && packets < 255)
    }

    /// A request to send a picture.
    #[must_use]
    pub fn request(&self, picture: &[u8]) -> Vec<u8> {
        let largest = u32::try_from(self.firmware.largest).expect("small").to_be_bytes();
        let mut request = [&[1, self.id, 1, self.announced(picture)][..], &largest].concat();
        if self.firmware.tells_size {
            request.extend(u32::try_from(picture.len()).expect("small").to_be_bytes());
        }
        request
    }

    /// A packet of a picture.
    #[must_use]
    pub fn packet(&self, picture: &[u8], index: u8) -> Vec<u8> {
        let data = picture.chunks(self.firmware.payload()).nth(index.into()).unwrap_or_default();
        let length = u32::try_from(data.len()).expect("small").to_be_bytes();
        [&[1, self.id, 2, index][..], &length, data].concat()
    }

    /// Sends a picture until the gateway says that it has it. How often it had to begin.
    ///
    /// # Panics
    /// When it is never done.
    pub fn upload(&mut self, picture: &[u8]) -> u32 {
        let end = Instant::now() + PATIENCE;
        let mut begun = 0;
        loop {
            assert!(Instant::now() < end, "device {} is not done after {PATIENCE:?}", self.id);
            self.send(&self.request(picture));
            let reply = self.hear(self.wait, |reply| (reply[2] == 1).then_some(reply[3]));
            match reply {
                Some(0) => {
                    begun += 1;
                    let is_done = if self.firmware.newer {
                        self.send_at_once(picture, end)
                    } else {
                        self.send_one_by_one(picture, end)
                    };
                    if is_done {
                        return begun;
                    }
                }
                // It does not know what a refusal is, and asks again later.
                Some(_) => std::thread::sleep(self.wait),
                None => {}
            }
        }
    }

    /// Each packet waits for its reply. `false`: the gateway knows nothing of it any more.
    fn send_one_by_one(&mut self, picture: &[u8], end: Instant) -> bool {
        for index in 0..self.packets(picture) {
            let mut unknown = 0;
            loop {
                assert!(Instant::now() < end, "device {} is not done after {PATIENCE:?}", self.id);
                self.send(&self.packet(picture, index));
                let read = |reply: &[u8]| (reply[2] == 2 && reply[3] == index).then(|| reply[4]);
                match self.hear(self.wait, read) {
                    Some(0) => break,
                    Some(code) => {
                        unknown += u32::from(code == 2);
                        if unknown == 5 {
                            return false;
                        }
                        std::thread::sleep(self.wait / 5);
                    }
                    None => {}
                }
            }
        }
        true
    }

    /// Everything, then what is missing until nothing is. `false` as above.
    fn send_at_once(&mut self, picture: &[u8], end: Instant) -> bool {
        let (sent, announced) = (self.packets(picture), self.announced(picture));
        let mut missing: Vec<u8> = (0..sent).collect();
        let mut lost_all = 0;
        loop {
            assert!(Instant::now() < end, "device {} is not done after {PATIENCE:?}", self.id);
            for index in missing.drain(..) {
                self.send(&self.packet(picture, index));
            }
            self.send(&[1, self.id, 3, announced]);
            let read = |reply: &[u8]| (reply[2] == 3).then(|| reply[4..4 + usize::from(reply[3])].to_vec());
            match self.hear(self.wait, read) {
                Some(none) if none.is_empty() => return true,
                Some(some) => {
                    lost_all = if some.len() == usize::from(announced).min(28) { lost_all + 1 } else { 0 };
                    if lost_all == 5 {
                        return false;
                    }
                    missing = some.into_iter().filter(|index| *index < sent).collect();
                }
                None => {}
            }
        }
    }
}

/// A picture with no marker inside, of so many bytes, and different for each seed.
///
/// # Panics
/// When it has fewer than 40 bytes.
#[must_use]
pub fn picture(bytes: usize, seed: u64) -> Vec<u8> {
    let head = b"\xff\xd8\xff\xc0\0\x0b\x08\x01\xe0\x02\x80\x01\x01\x11\0\xff\xda\0\x08\x01\x01\0\0\x3f\0";
    // 0xff would be a marker.
    let name = seed.to_be_bytes().map(|byte| byte & 0x7f);
    let rest = bytes.checked_sub(head.len() + name.len() + 2).expect("40 bytes or more");
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 57) as u8
    });
    [&head[..], &name].concat().into_iter().chain(noise.take(rest)).chain([0xff, 0xd9]).collect()
}

/// The records of pictures, the oldest first, with their pictures.
///
/// # Panics
/// When the gateway does not answer.
#[must_use]
pub fn records(gateway: &Gateway) -> Vec<(Value, Vec<u8>)> {
    let mut all = Vec::new();
    let mut after = Value::Null;
    loop {
        let mut request = json!({"collection": "pictures", "blobs": true, "order": "oldest", "limit": 1000});
        if after.is_string() {
            request["after"] = after.clone();
        }
        let done = gateway.run(&["call", "records.query", &request.to_string()]);
        let found: Value = serde_json::from_slice(&done.stdout).expect("JSON");
        let records = found["records"].as_array().expect("records");
        for record in records {
            let bytes = base64(record["blobs"][0]["data"].as_str().expect("a blob"));
            all.push((record["data"].clone(), bytes));
            after = record["id"].clone();
        }
        if found["more"] != true || records.is_empty() {
            return all;
        }
    }
}

/// The pictures that are stored, the oldest first.
#[must_use]
pub fn stored(gateway: &Gateway) -> Vec<Vec<u8>> {
    records(gateway).into_iter().map(|(_, bytes)| bytes).collect()
}
