//! What the system knows of our sockets: how many datagrams it had no room for. Linux only.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// What the system calls these sockets, for [`drops`]; those that it does not tell of are left out.
pub(crate) fn inodes(sockets: &[UdpSocket]) -> Vec<String> {
    sockets.iter().filter_map(inode).collect()
}

/// Datagrams that came for the sockets of these names since they were opened and that the system dropped, as far as it tells.
pub(crate) fn drops(inodes: &[String]) -> u64 {
    let tables = ["udp", "udp6"].map(|table| std::fs::read_to_string(format!("/proc/self/net/{table}")));
    tables.iter().flatten().map(|table| drops_in(table, inodes)).sum()
}

fn inode(socket: &UdpSocket) -> Option<String> {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).ok()?;
    Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
}

/// The last column of the lines whose tenth is a number of ours.
fn drops_in(table: &str, inodes: &[String]) -> u64 {
    let ours = |line: &&str| {
        let inode = line.split_whitespace().nth(9);
        inode.is_some_and(|inode| inodes.iter().any(|ours| ours == inode))
    };
    let last = |line: &str| line.split_whitespace().next_back()?.parse::<u64>().ok();
    table.lines().filter(ours).filter_map(last).sum()
}

#[cfg(test)]
mod tests {
    use super::{drops, drops_in, inodes};
    use socket2::SockRef;
    use std::net::UdpSocket;

    const TABLE: &str = "\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  123: 0100007F:AD9C 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 81234 2 0000000000000000 3
  124: 00000000:AD9D 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 81235 2 0000000000000000 17
";

    #[test]
    fn the_lines_of_our_sockets_tell() {
        let of =
            |inodes: &[&str]| drops_in(TABLE, &inodes.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!((of(&["81235"]), of(&["81234", "81235"]), of(&["8123"])), (17, 20, 0));
        assert_eq!((drops_in("", &["1".to_owned()]), drops_in("a b", &["b".to_owned()])), (0, 0));
    }

    #[test]
    fn what_a_full_socket_drops_is_known() {
        let sockets = [UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap()];
        SockRef::from(&sockets[1]).set_recv_buffer_size(8192).unwrap();
        let inodes = inodes(&sockets);
        assert_eq!((inodes.len(), drops(&inodes)), (2, 0));
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..100 {
            sender.send_to(&[0; 1000], sockets[1].local_addr().unwrap()).unwrap();
        }
        assert!(drops(&inodes) > 0 && drops(&inodes[..1]) == 0);
    }
}
