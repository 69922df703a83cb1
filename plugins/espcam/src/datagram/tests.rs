use super::{Data, Datagram, Malformed, Nack, Refusal, Request, data_reply, end, end_reply, read};
use proptest::prelude::*;

#[test]
fn requests_are_read_with_a_size_of_any_length_and_without() {
    for (bytes, size) in [
        (&[1, 7, 1, 12, 0, 0, 5, 0xb4][..], &[][..]),
        (&[1, 7, 1, 12, 0, 0, 5, 0xb4, 9], &[9]),
        (&[1, 7, 1, 12, 0, 0, 5, 0xb4, 0, 0, 0x40, 0], &[0, 0, 0x40, 0]),
        (
            &[1, 7, 1, 12, 0, 0, 5, 0xb4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3],
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3],
        ),
    ] {
        let request = Request { device: 7, packets: 12, largest: 1460, size };
        assert_eq!(read(bytes), Ok(Datagram::Request(request)));
        assert_eq!(request.encode(), bytes);
    }
}

#[test]
fn data_and_end_are_read() {
    let data = Data { device: 255, index: 254, length: 3, bytes: b"abc" };
    assert_eq!(read(b"\x01\xff\x02\xfe\0\0\0\x03abc"), Ok(Datagram::Data(data)));
    assert_eq!(data.encode(), b"\x01\xff\x02\xfe\0\0\0\x03abc");
    // That it is not as long as it says is for whoever knows the transfer to answer.
    let short = Data { device: 0, index: 0, length: u32::MAX, bytes: b"" };
    assert_eq!(read(&[1, 0, 2, 0, 255, 255, 255, 255]), Ok(Datagram::Data(short)));
    assert_eq!(read(&[1, 9, 3, 255]), Ok(Datagram::End { device: 9, packets: 255 }));
    assert_eq!(read(&[1, 9, 3, 4, 0, 0]), Ok(Datagram::End { device: 9, packets: 4 }));
    assert_eq!(end(9, 255), [1, 9, 3, 255]);
}

#[test]
fn special_clients_and_confirmations_are_accepted_and_ignored() {
    for bytes in [&[0][..], &[0, 1, 2, 3], &[1, 7, 0], &[1, 7, 0, 1, 2, 3, 4, 5, 6]] {
        assert_eq!(read(bytes), Ok(Datagram::Ignored), "{bytes:?}");
    }
}

#[test]
fn what_is_malformed_is_answered_where_the_protocol_has_words_for_it() {
    for (bytes, reply) in [
        (&[][..], None),
        (&[1], None),
        (&[1, 7], None),
        (&[2, 7, 1, 1, 0, 0, 4, 0], None),
        (&[255], None),
        (&[1, 7, 4, 0], None),
        (&[1, 7, 255, 0, 0, 0, 0, 0], None),
        (&[1, 7, 3], None),
        (&[1, 7, 3, 0], None),
        (&[1, 7, 2], None),
        (&[1, 7, 1], Some(vec![1, 7, 1, 3, 0, 0, 0, 0, 0])),
        (&[1, 7, 1, 5, 0, 0, 4], Some(vec![1, 7, 1, 3, 5, 0, 0, 0, 0])),
        (&[1, 7, 2, 5], Some(vec![1, 7, 2, 5, 1, 0, 0, 0, 0])),
        (&[1, 7, 2, 5, 0, 0, 4], Some(vec![1, 7, 2, 5, 1, 0, 0, 0, 0])),
    ] {
        assert_eq!(read(bytes).map_err(|malformed| malformed.reply()), Err(reply), "{bytes:?}");
    }
}

#[test]
fn replies_are_byte_for_byte_those_of_the_table() {
    let request = Request { device: 7, packets: 12, largest: 0x0102_0304, size: &[0, 9, 8] };
    assert_eq!(request.reply(Ok(())), [1, 7, 1, 0, 12, 1, 2, 3, 4, 0, 9, 8]);
    assert_eq!(request.reply(Err(Refusal::Busy))[3], 1);
    assert_eq!(request.reply(Err(Refusal::TooLarge))[3], 2);
    assert_eq!(request.reply(Err(Refusal::Malformed)), [1, 7, 1, 3, 12, 1, 2, 3, 4, 0, 9, 8]);
    assert_eq!(Request { size: &[], ..request }.reply(Ok(())), [1, 7, 1, 0, 12, 1, 2, 3, 4]);
    assert_eq!(data_reply(7, 3, 1452, Ok(())), [1, 7, 2, 3, 0, 0, 0, 5, 0xac]);
    assert_eq!(data_reply(7, 3, 1452, Err(Nack::BadLength)), [1, 7, 2, 3, 1, 0, 0, 5, 0xac]);
    assert_eq!(data_reply(7, 3, 9, Err(Nack::Unknown)), [1, 7, 2, 3, 2, 0, 0, 0, 9]);
    assert_eq!(data_reply(7, 3, 9, Err(Nack::NotNow)), [1, 7, 2, 3, 3, 0, 0, 0, 9]);
    assert_eq!(end_reply(7, []), [1, 7, 3, 0]);
    assert_eq!(end_reply(7, [4, 9]), [1, 7, 3, 2, 4, 9]);
}

#[test]
fn an_end_reply_fits_the_firmwares_buffer_of_32_bytes() {
    let reply = end_reply(7, 0..255);
    assert_eq!((reply.len(), reply[3]), (32, 28));
    assert_eq!(reply[4..], (0..28).collect::<Vec<u8>>());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_and_what_is_read_is_what_was_sent(bytes in any::<Vec<u8>>()) {
        let whole = match read(&bytes) {
            Ok(Datagram::Request(request)) => Some(request.encode()),
            Ok(Datagram::Data(data)) => Some(data.encode()),
            Ok(Datagram::End { device, packets }) => {
                prop_assert!(bytes.starts_with(&end(device, packets)));
                None
            }
            Ok(Datagram::Ignored) => None,
            Err(malformed) => {
                // Nobody is answered with more than what a header has.
                prop_assert!(malformed.reply().is_none_or(|reply| reply.len() == 9));
                None
            }
        };
        prop_assert!(whole.is_none_or(|whole| whole == bytes));
    }

    #[test]
    fn whatever_begins_like_the_protocol_never_panics(kind in 0u8..5, rest in any::<Vec<u8>>()) {
        let mut bytes = vec![1, 7, kind];
        bytes.extend(&rest);
        let other = matches!(read(&bytes), Err(Malformed::Other));
        prop_assert!(!other || kind >= 2);
    }
}
