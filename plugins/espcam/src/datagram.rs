//! The datagrams: what devices send, and what they are answered. All integers are big-endian.

/// Bytes before the data in a data packet, which the largest datagram of a request includes.
pub const HEADER: usize = 8;
/// The most bytes that a datagram can carry.
pub const MAX_DATAGRAM: u32 = 65_507;
/// The most missing packets that an end reply lists: the firmware's receive buffer has 32 bytes.
pub const MAX_LISTED: usize = 28;

const CAMERA: u8 = 1;
const SPECIAL: u8 = 0;
const CONFIRMATION: u8 = 0;
const REQUEST: u8 = 1;
const DATA: u8 = 2;
const END: u8 = 3;

/// What a device sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// It wants to send a picture.
    Request(Request<'a>),
    /// A part of the picture.
    Data(Data<'a>),
    /// It has sent everything, and asks what is missing.
    End {
        /// The device's id.
        device: u8,
        /// How many packets the picture has.
        packets: u8,
    },
    /// Allowed, and without meaning here: a special client, a confirmation.
    Ignored,
}

/// A device wants to send a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// The device's id.
    pub device: u8,
    /// How many packets the picture has.
    pub packets: u8,
    /// Bytes of the largest datagram, with its header.
    pub largest: u32,
    /// The picture's size as it was sent: any number of bytes, none when it was not.
    pub size: &'a [u8],
}

/// A part of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Data<'a> {
    /// The device's id.
    pub device: u8,
    /// Which part it is.
    pub index: u8,
    /// How many bytes it is said to have.
    pub length: u32,
    /// The bytes it has.
    pub bytes: &'a [u8],
}

/// A datagram that is none of the protocol's, and as much of it as an answer needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// A request that breaks off.
    Request {
        /// The device's id.
        device: u8,
        /// How many packets the picture has; 0 when that is missing too.
        packets: u8,
    },
    /// A data packet whose header breaks off.
    Data {
        /// The device's id.
        device: u8,
        /// Which part it is.
        index: u8,
    },
    /// Anything else: there is nothing to answer to.
    Other,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// There is no room at the moment.
    Busy = 1,
    /// The picture would be larger than pictures may be.
    TooLarge = 2,
    /// The numbers do not make sense.
    Malformed = 3,
}

/// Why a data packet is not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Nack {
    /// Not as long as it says or as this part is, or no part of this picture.
    BadLength = 1,
    /// The device has no transfer: it has to ask first.
    Unknown = 2,
    /// It cannot be kept at the moment: it is to be sent again.
    NotNow = 3,
}

/// Reads what a device has sent.
///
/// # Errors
/// What is no datagram of the protocol.
pub fn read(bytes: &[u8]) -> Result<Datagram<'_>, Malformed> {
    match *bytes {
        [SPECIAL, ..] | [CAMERA, _, CONFIRMATION, ..] => Ok(Datagram::Ignored),
        [CAMERA, device, REQUEST, packets, m0, m1, m2, m3, ref size @ ..] => {
            let largest = u32::from_be_bytes([m0, m1, m2, m3]);
            Ok(Datagram::Request(Request { device, packets, largest, size }))
        }
        [CAMERA, device, REQUEST, ref rest @ ..] => {
            Err(Malformed::Request { device, packets: rest.first().copied().unwrap_or(0) })
        }
        [CAMERA, device, DATA, index, l0, l1, l2, l3, ref bytes @ ..] => {
            let length = u32::from_be_bytes([l0, l1, l2, l3]);
            Ok(Datagram::Data(Data { device, index, length, bytes }))
        }
        [CAMERA, device, DATA, index, ..] => Err(Malformed::Data { device, index }),
        // A picture of no packets is never complete, and the answer could not say that.
        [CAMERA, _, END, 0, ..] => Err(Malformed::Other),
        [CAMERA, device, END, packets, ..] => Ok(Datagram::End { device, packets }),
        _ => Err(Malformed::Other),
    }
}

impl Malformed {
    /// The protocol's own words for it, where it has any.
    #[must_use]
    pub fn reply(&self) -> Option<Vec<u8>> {
        match *self {
            Self::Request { device, packets } => {
                let request = Request { device, packets, largest: 0, size: &[] };
                Some(request.reply(Err(Refusal::Malformed)))
            }
            Self::Data { device, index } => Some(data_reply(device, index, 0, Err(Nack::BadLength))),
            Self::Other => None,
        }
    }
}

impl Request<'_> {
    /// `01 ID 01 RR NB MMMMMMMM [SIZE…]`
    #[must_use]
    pub fn reply(&self, answer: Result<(), Refusal>) -> Vec<u8> {
        let code = answer.map_or_else(|refusal| refusal as u8, |()| 0);
        let mut reply = Vec::with_capacity(9 + self.size.len());
        reply.extend([CAMERA, self.device, REQUEST, code, self.packets]);
        reply.extend(self.largest.to_be_bytes());
        reply.extend(self.size);
        reply
    }

    /// As a device sends it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![CAMERA, self.device, REQUEST, self.packets];
        bytes.extend(self.largest.to_be_bytes());
        bytes.extend(self.size);
        bytes
    }
}

impl Data<'_> {
    /// As a device sends it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![CAMERA, self.device, DATA, self.index];
        bytes.extend(self.length.to_be_bytes());
        bytes.extend(self.bytes);
        bytes
    }
}

/// `01 ID 02 IDX AA LLLLLLLL`
#[must_use]
pub fn data_reply(device: u8, index: u8, length: u32, answer: Result<(), Nack>) -> Vec<u8> {
    let code = answer.map_or_else(|nack| nack as u8, |()| 0);
    let [l0, l1, l2, l3] = length.to_be_bytes();
    vec![CAMERA, device, DATA, index, code, l0, l1, l2, l3]
}

/// `01 ID 03 NB`, as a device sends it.
#[must_use]
pub fn end(device: u8, packets: u8) -> Vec<u8> {
    vec![CAMERA, device, END, packets]
}

/// `01 ID 03 K <K missing indices>`: the first of those that are missing. None: the picture is complete.
#[must_use]
pub fn end_reply(device: u8, missing: impl IntoIterator<Item = u8>) -> Vec<u8> {
    let mut reply = vec![CAMERA, device, END, 0];
    for index in missing.into_iter().take(MAX_LISTED) {
        reply.push(index);
        reply[3] += 1;
    }
    reply
}

#[cfg(test)]
mod tests;
