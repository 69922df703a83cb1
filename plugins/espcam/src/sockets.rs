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
use socket2::{Domain, SockFilter, Socket, Type};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::task::{Context, Poll};

/// The most sockets on the port.
pub(crate) const MOST: usize = 64;
/// Datagrams that are taken from the first socket before the others have their turn.
const TURN: usize = 256;
/// Bytes of a socket's room that a datagram takes at least, whatever is in it: the kernel's notes about it.
const LEAST: usize = 256;
/// Larger than any datagram, so that none is cut without notice.
const BUFFER: usize = 1 << 16;
/// Where a datagram says what it is, what a data packet says there, and where its index is.
const KIND: u32 = 2;
const DATA: u32 = 2;
const INDEX: u32 = 3;
/// Bytes of the UDP header, which a socket's filter sees before the datagram.
const UDP_HEADER: u32 = 8;

/// The sockets on our port. The first is that of requests and ends, or of everything if it is alone.
pub(crate) struct Sockets {
    all: Vec<UdpSocket>,
    room: usize,
    /// What the system calls them.
    inodes: Vec<String>,
    remedy: &'static str,
    trouble: Option<String>,
}

impl Sockets {
    /// Opens them.
    ///
    /// # Errors
    /// A sentence: the address cannot be had, or not by as many sockets as are asked for.
    pub(crate) fn open(config: &Config) -> Result<Self, String> {
        Self::open_with(config, several)
    }

    fn open_with(
        config: &Config,
        several: impl FnOnce(SocketAddr, usize, usize) -> io::Result<Vec<(Socket, usize)>>,
    ) -> Result<Self, String> {
        let failed = |error: io::Error| {
            let next = match error.kind() {
                io::ErrorKind::AddrInUse => "stop what uses it, or change `bind`",
                _ => "change `bind`",
            };
            format!("cannot listen on {} (UDP): {error}: {next}", config.bind)
        };
        let (wanted, is_automatic) = (config.receive_buffer, config.receive_sockets == 0);
        // Alone, so that an address that somebody else has is an error: one that is shared is shared with anybody.
        let (first, room) = bind(config.bind, wanted, 0, 1).map_err(failed)?;
        let count = match config.receive_sockets {
            0 if room >= wanted => 1,
            // One more, which data packets have no part in.
            0 => (wanted.div_ceil(room.max(1)) + 1).min(MOST),
            count => count.min(MOST),
        };
        if count == 1 {
            return Ok(Self::of(vec![(first, room)], config, None));
        }
        let address = first.local_addr().map_err(failed)?;
        let address = address.as_socket().ok_or_else(|| failed(io::ErrorKind::AddrNotAvailable.into()))?;
        drop(first);
        let each = if is_automatic { room } else { wanted.div_ceil(count) };
        match several(address, count, each) {
            Ok(sockets) => Ok(Self::of(sockets, config, None)),
            // Nobody asked for several: an old kernel, or too few handles, leave us with less room, and no more than that.
            Err(error) if is_automatic => {
                let alone = bind(address, wanted, 0, 1).map_err(failed)?;
                let trouble = format!("{count} sockets cannot share the port: {error}: one has to do");
                Ok(Self::of(vec![alone], config, Some(trouble)))
            }
            Err(error) => Err(format!(
                "cannot listen on {} (UDP) with {count} sockets: {error}: set `receive_sockets = 1`",
                config.bind
            )),
        }
    }

    fn of(sockets: Vec<(Socket, usize)>, config: &Config, trouble: Option<String>) -> Self {
        let room = sockets.iter().map(|(_, room)| room).sum();
        let is_short = room < config.receive_buffer;
        let remedy = match config.receive_sockets {
            _ if sockets.len() >= MOST => "raise net.core.rmem_max",
            0 if is_short => "raise net.core.rmem_max",
            _ if is_short => "raise net.core.rmem_max, or `receive_sockets`",
            _ => "raise `receive_buffer`",
        };
        let all: Vec<UdpSocket> = sockets.into_iter().map(|(socket, _)| socket.into()).collect();
        Self { inodes: kernel::inodes(&all), all, room, remedy, trouble }
    }

    /// Bytes of datagrams that may wait in the kernel.
    pub(crate) fn room(&self) -> usize {
        self.room
    }

    /// What an operator can do for more room.
    pub(crate) fn remedy(&self) -> &'static str {
        self.remedy
    }

    /// Why there is only one, though more were wanted.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
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
        let (inodes, trouble) = (self.inodes.clone(), self.trouble.clone());
        Ok(Self { all, room: self.room, inodes, remedy: self.remedy, trouble })
    }

    /// Sends a reply. It is not waited for: one to an address that nobody has fills the kernel's memory for seconds.
    pub(crate) fn send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.all[0].send_to(datagram, to)
    }

    /// Datagrams that the kernel had no room for.
    pub(crate) fn lost(&self) -> u64 {
        kernel::drops(&self.inodes)
    }

    /// Makes them ready to be read from. Within a tokio runtime.
    pub(crate) fn reading(self) -> io::Result<Reading> {
        let most = self.room / self.all.len() / LEAST + TURN;
        let all = self.all.into_iter().map(tokio::net::UdpSocket::from_std).collect::<io::Result<_>>()?;
        Ok(Reading { all, most, buffer: vec![0; BUFFER], held: Vec::new() })
    }
}

/// Socket number `own` of `count`, and how many bytes of datagrams may wait in it.
fn bind(address: SocketAddr, buffer: usize, own: usize, count: usize) -> io::Result<(Socket, usize)> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    // The kernel gives what it may, and says so by what it answers: twice as much as it was asked for, for its own use.
    let _ = socket.set_recv_buffer_size(buffer);
    if own == 0 {
        // Replies go out by the first.
        let _ = socket.set_send_buffer_size(buffer);
    }
    let room = socket.recv_buffer_size()? / 2;
    if count > 1 {
        socket.set_reuse_port(true)?;
        keep_to_its_own(&socket, own, count)?;
    }
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    Ok((socket, room))
}

/// So many sockets that share a port.
fn several(address: SocketAddr, count: usize, buffer: usize) -> io::Result<Vec<(Socket, usize)>> {
    let sockets = (0..count).map(|own| bind(address, buffer, own, count));
    let sockets = sockets.collect::<io::Result<Vec<_>>>()?;
    spread(&sockets[0].0, number(count - 1)?)?;
    Ok(sockets)
}

fn number(count: usize) -> io::Result<u32> {
    u32::try_from(count).map_err(io::Error::other)
}

/// Has the kernel give data packets to all sockets but the first, in turn by their index, and everything else to the first.
fn spread(first: &Socket, others: u32) -> io::Result<()> {
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
    setsockopt(first, AttachReusePortCbpf, &program).map_err(io::Error::from)
}

/// Has the kernel keep from a socket what is for another one: a broadcast goes to every socket on a port, and nobody spreads
/// anything before all are there.
fn keep_to_its_own(socket: &Socket, own: usize, count: usize) -> io::Result<()> {
    let others = number(count - 1)?;
    // The first takes no data: there is no such remainder.
    let mine = if own == 0 { others } else { number(own - 1)? };
    let step = |code: u32, jt: u8, jf: u8, k: u32| SockFilter::new(code as u16, jt, jf, k);
    // How many bytes of a datagram are let through.
    let (all, none) = (u32::MAX, 0);
    socket.attach_filter(&[
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_LEN, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 6, UDP_HEADER + INDEX + 1),
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, UDP_HEADER + KIND),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 4, DATA),
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, UDP_HEADER + INDEX),
        step(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, 0, 0, others),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 2, mine),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, all),
        // No data, or too short to tell.
        step(libc::BPF_RET | libc::BPF_K, 0, 0, if own == 0 { all } else { none }),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, none),
    ])
}

/// The sockets, for the thread that empties them.
pub(crate) struct Reading {
    all: Vec<tokio::net::UdpSocket>,
    /// More than there can be in one of them: what is in there now is taken out, and not all that goes on to come.
    most: usize,
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
        let Self { all, most, buffer, held } = self;
        let Some((first, others)) = all.split_first() else { return Ok(()) };
        if others.is_empty() {
            return take(first, TURN, buffer, |from, datagram| inbox.put(from, datagram));
        }
        // First what was said, then the data, which may have come before it; then what was said is passed on.
        let said = take(first, TURN, buffer, |from, datagram| held.push((from, datagram.to_vec())));
        let data = others
            .iter()
            .map(|socket| take(socket, *most, buffer, |from, datagram| inbox.put(from, datagram)));
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
mod tests;
