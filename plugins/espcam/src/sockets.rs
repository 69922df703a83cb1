//! The sockets on our port. Where the kernel gives one socket too little room, several share the port.
//!
//! Most systems give a socket room for less than 200 datagrams, and newer firmware sends 255 at once as soon as its request is
//! accepted. All of them have to find room until we have been woken. So data packets are spread over as many sockets as that
//! takes, by their index. Requests and ends have a socket of their own, and are read so that none overtakes the data that was
//! sent before it.

use crate::config::Config;
use crate::inbox::Inbox;
use crate::kernel;
use nix::libc::{self, sock_filter, sock_fprog};
use nix::sys::socket::{setsockopt, sockopt::AttachReusePortCbpf};
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::task::{Context, Poll};

/// The most sockets on the port.
const MOST: usize = 64;
/// Datagrams that are taken from the first socket before the others have their turn.
const TURN: usize = 256;
/// More than there can be in a socket: what is in there now is taken out, and not all that goes on to come.
const ALL: usize = 1 << 15;
/// Larger than any datagram, so that none is cut without notice.
const BUFFER: usize = 1 << 16;
/// Where a datagram says what it is, what a data packet says there, and where its index is.
const KIND: u32 = 2;
const DATA: u32 = 2;
const INDEX: u32 = 3;

/// The sockets on our port. The first is that of requests and ends, or of everything if it is alone.
pub(crate) struct Sockets {
    all: Vec<UdpSocket>,
    room: usize,
}

impl Sockets {
    /// Opens them.
    ///
    /// # Errors
    /// The address cannot be had.
    pub(crate) fn open(config: &Config) -> io::Result<Self> {
        let wanted = config.receive_buffer;
        // Alone, so that an address that somebody else has is an error: one that is shared is shared with anybody.
        let (first, room) = bind(config.bind, wanted, false)?;
        let count = match config.receive_sockets {
            0 if room >= wanted => 1,
            // One more, which data packets have no part in.
            0 => (wanted.div_ceil(room.max(1)) + 1).min(MOST),
            count => count.min(MOST),
        };
        if count == 1 {
            return Ok(Self { all: vec![first.into()], room });
        }
        let address = first.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        drop(first);
        let each = if config.receive_sockets == 0 { room } else { wanted.div_ceil(count) };
        let mut sockets = Vec::with_capacity(count);
        for _ in 0..count {
            sockets.push(bind(address, each, true)?);
        }
        let room = sockets.iter().map(|(_, room)| room).sum();
        let sockets: Vec<Socket> = sockets.into_iter().map(|(socket, _)| socket).collect();
        if let Err(error) = spread(&sockets) {
            // An old kernel: they share the port by the devices' addresses then, which is not as even.
            return Err(io::Error::other(format!(
                "several sockets cannot share it: {error}: set `receive_sockets = 1`"
            )));
        }
        Ok(Self { all: sockets.into_iter().map(UdpSocket::from).collect(), room })
    }

    /// Bytes of datagrams that may wait in the kernel.
    pub(crate) fn room(&self) -> usize {
        self.room
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    /// Where they are bound.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.all[0].local_addr()
    }

    /// The same sockets, for another thread.
    pub(crate) fn share(&self) -> io::Result<Self> {
        let all = self.all.iter().map(UdpSocket::try_clone).collect::<io::Result<_>>()?;
        Ok(Self { all, room: self.room })
    }

    /// Sends a reply. It is not waited for: one to an address that nobody has fills the kernel's memory for seconds.
    pub(crate) fn send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.all[0].send_to(datagram, to)
    }

    /// Datagrams that the kernel had no room for.
    pub(crate) fn lost(&self) -> u64 {
        kernel::drops(&self.all)
    }

    /// Makes them ready to be read from. Within a tokio runtime.
    pub(crate) fn reading(self) -> io::Result<Reading> {
        let all = self.all.into_iter().map(tokio::net::UdpSocket::from_std).collect::<io::Result<_>>()?;
        Ok(Reading { all, buffer: vec![0; BUFFER], held: Vec::new() })
    }
}

/// A socket, and how many bytes of datagrams may wait in it.
fn bind(address: SocketAddr, buffer: usize, shares: bool) -> io::Result<(Socket, usize)> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    // The kernel gives what it may, and says so by what it answers: twice as much as it was asked for, for its own use.
    let _ = socket.set_recv_buffer_size(buffer);
    let _ = socket.set_send_buffer_size(buffer);
    let room = socket.recv_buffer_size()? / 2;
    if shares {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    Ok((socket, room))
}

/// Has the kernel give data packets to all sockets but the first, in turn by their index, and everything else to the first.
fn spread(sockets: &[Socket]) -> io::Result<()> {
    let others = u32::try_from(sockets.len() - 1).map_err(io::Error::other)?;
    let step = |code: u32, jt: u8, jf: u8, k: u32| sock_filter { code: code as u16, jt, jf, k };
    // A datagram that is too short for what is asked of it goes to the first.
    let mut program = [
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, KIND),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 4, DATA),
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, INDEX),
        step(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, 0, 0, others),
        step(libc::BPF_ALU | libc::BPF_ADD | libc::BPF_K, 0, 0, 1),
        step(libc::BPF_RET | libc::BPF_A, 0, 0, 0),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
    ];
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = sock_fprog { len: length, filter: program.as_mut_ptr() };
    setsockopt(&sockets[0], AttachReusePortCbpf, &program).map_err(io::Error::from)
}

/// The sockets, for the thread that empties them.
pub(crate) struct Reading {
    all: Vec<tokio::net::UdpSocket>,
    buffer: Vec<u8>,
    /// Requests and ends that wait until the data is read that came before them.
    held: Vec<(SocketAddr, Vec<u8>)>,
}

impl Reading {
    /// Waits until something has come.
    pub(crate) async fn ready(&self) -> io::Result<()> {
        std::future::poll_fn(|context| self.poll_ready(context)).await
    }

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut ready = Poll::Pending;
        // All of them are asked, or those behind the first that is ready would wake nobody.
        for socket in &self.all {
            if let Poll::Ready(result) = socket.poll_recv_ready(context) {
                result?;
                ready = Poll::Ready(Ok(()));
            }
        }
        ready
    }

    /// Takes what has come.
    ///
    /// # Errors
    /// What a socket says that is in trouble. It may be asked again.
    pub(crate) fn empty(&mut self, inbox: &Inbox) -> io::Result<()> {
        let Self { all, buffer, held } = self;
        let Some((first, others)) = all.split_first() else { return Ok(()) };
        if others.is_empty() {
            return take(first, TURN, buffer, |from, datagram| inbox.put(from, datagram));
        }
        // First what was said, then the data, which may have come before it; then what was said is passed on.
        let said = take(first, TURN, buffer, |from, datagram| held.push((from, datagram.to_vec())));
        let data =
            others.iter().map(|socket| take(socket, ALL, buffer, |from, datagram| inbox.put(from, datagram)));
        let data: io::Result<()> = data.collect();
        for (from, datagram) in held.drain(..) {
            inbox.put(from, &datagram);
        }
        said.and(data)
    }
}

/// Takes what has come to a socket, at most so many.
fn take(
    socket: &tokio::net::UdpSocket,
    most: usize,
    buffer: &mut [u8],
    mut put: impl FnMut(SocketAddr, &[u8]),
) -> io::Result<()> {
    for _ in 0..most {
        match socket.try_recv_from(buffer) {
            Ok((length, from)) => put(from, &buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Sockets;
    use crate::config::Config;
    use crate::inbox::{Batch, Inbox};
    use std::net::UdpSocket;

    fn open(receive_sockets: usize, receive_buffer: usize) -> Sockets {
        let bind = "127.0.0.1:0".parse().unwrap();
        Sockets::open(&Config { bind, receive_sockets, receive_buffer, ..Config::default() }).unwrap()
    }

    /// Everything that has come.
    fn read(sockets: Sockets) -> Vec<Vec<u8>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut reading, inbox) = (sockets.reading().unwrap(), Inbox::new(64 << 20));
            let mut all = Vec::new();
            reading.ready().await.unwrap();
            // Once to learn from the kernel that there is something, and until there is nothing.
            for _ in 0..100 {
                tokio::task::yield_now().await;
                reading.empty(&inbox).unwrap();
            }
            inbox.put("1.1.1.1:1".parse().unwrap(), b"the last");
            let mut batch = Batch::default();
            inbox.fill(&mut batch).await;
            while let Some((_, datagram)) = batch.next() {
                all.push(datagram.to_vec());
            }
            assert_eq!(all.pop().unwrap(), b"the last");
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
            let came = read(sockets).len();
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
        let mut came = read(sockets);
        assert_eq!(came.split_off(800), [&b""[..], &[1], &[1, 7, 2], &[1, 7, 3, 40]]);
        came.sort();
        sent.sort();
        assert_eq!(came, sent);
    }

    #[test]
    fn an_address_that_is_in_use_is_not_shared_with_who_has_it() {
        let first = open(4, 1 << 20);
        let bind = first.address().unwrap();
        for receive_sockets in [1, 4] {
            let again = Sockets::open(&Config { bind, receive_sockets, ..Config::default() });
            assert_eq!(again.err().map(|error| error.kind()), Some(std::io::ErrorKind::AddrInUse));
        }
    }
}
