//! The plugin without a gateway, and many devices that send to it at once over loopback: what a datagram costs, how many the
//! system had no room for, and whether any picture is lost.
//!
//! `cargo run --release -p gantry-espcam --example cameras -- DEVICES PICTURES BYTES LARGEST old|newer SOCKETS`. Linux only: the
//! CPU time of the plugin's threads and the sockets' drops are read from /proc. Each of the SOCKETS has the buffer that the
//! default of `net.core.rmem_max` allows.

use gantry_espcam::datagram::{Data, HEADER, Request, end};
use gantry_espcam::gantry_plugin_v1;
use gantry_plugin::test::{BlobService, Host};
use serde_json::json;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

struct Device {
    socket: UdpSocket,
    id: u8,
    left: usize,
    /// The packet whose acknowledgement is awaited; `None`: the reply to a request.
    waits: Option<u8>,
    since: Instant,
}

fn cpu_ms() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let stats = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    let ours = stats.filter(|stat| stat.contains("(espcam"));
    let ticks = |stat: String| -> u64 {
        stat.split(' ').skip(13).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
    };
    ours.map(ticks).sum::<u64>() * 10
}

/// Datagrams that the system dropped before the plugin could take them.
fn drops(address: &str) -> u64 {
    let port = address.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).unwrap_or_default();
    let table = std::fs::read_to_string("/proc/self/net/udp").unwrap_or_default();
    let ours =
        |line: &&str| line.split_whitespace().nth(1).is_some_and(|at| at.ends_with(&format!(":{port:04X}")));
    let last = |line: &str| line.split_whitespace().next_back()?.parse::<u64>().ok();
    table.lines().filter(ours).filter_map(last).sum()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let number = |i: usize, default: usize| args.get(i).map_or(Ok(default), |arg| arg.parse());
    let (count, pictures, bytes, largest) =
        (number(1, 200)?, number(2, 5)?, number(3, 60_000)?, number(4, 1460)?);
    let sockets = number(6, 20)?;
    let newer = args.get(5).is_some_and(|kind| kind == "newer");
    let stored = Arc::new(AtomicUsize::new(0));
    let shelf = stored.clone();
    let append: BlobService = Box::new(move |_, _| {
        Ok(json!({"id": format!("r{}", shelf.fetch_add(1, Relaxed)), "duplicate": false}))
    });
    let mut host = Host::start_with(
        &gantry_plugin_v1,
        json!({"bind": "127.0.0.1:0", "receive_sockets": sockets, "receive_buffer": sockets * 212_992}),
        |host| {
            host.offer_with_blobs("records.append", append);
            host.offer("endpoints.announce", Box::new(|_| Ok(json!({}))));
        },
    )?;
    let said = host.health().map(|(_, message)| message).unwrap_or_default();
    let address = said.trim_start_matches("listening on ").to_owned();
    let mut picture = vec![7; bytes.max(4)];
    picture[..2].copy_from_slice(&[0xff, 0xd8]);
    let tail = picture.len() - 2;
    picture[tail..].copy_from_slice(&[0xff, 0xd9]);
    let packets: Vec<&[u8]> = picture.chunks(largest - HEADER).collect();
    let total = u8::try_from(packets.len())?;
    let mut devices = Vec::new();
    for number in 0..count {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(&address)?;
        socket.set_nonblocking(true)?;
        let id = u8::try_from(number % 256)?;
        devices.push(Device {
            socket,
            id,
            left: pictures,
            waits: None,
            since: Instant::now() - Duration::from_secs(60),
        });
    }
    let data = |device: u8, index: u8| {
        let bytes = packets[usize::from(index)];
        Data { device, index, length: u32::try_from(bytes.len()).unwrap_or(0), bytes }.encode()
    };
    let request = |device| Request { device, packets: total, largest: largest as u32, size: &[] }.encode();
    let (start, cpu, mut resent, mut buffer) = (Instant::now(), cpu_ms(), 0, [0; 64]);
    while devices.iter().any(|device| device.left > 0) {
        for device in &mut devices {
            if device.left == 0 {
                continue;
            }
            let all = |device: &mut Device, indices: &[u8]| {
                for index in indices {
                    let _ = device.socket.send(&data(device.id, *index));
                }
                let _ = device.socket.send(&end(device.id, total));
                (device.waits, device.since) = (Some(0), Instant::now());
            };
            if device.since.elapsed() > Duration::from_millis(5500) {
                resent += usize::from(device.since.elapsed() < Duration::from_secs(50));
                match device.waits {
                    None => drop(device.socket.send(&request(device.id))),
                    Some(_) if newer => all(device, &[]),
                    Some(index) => drop(device.socket.send(&data(device.id, index))),
                }
                device.since = Instant::now();
            }
            while let Ok(length) = device.socket.recv(&mut buffer) {
                let next = match (&buffer[..length], device.waits) {
                    ([_, _, 1, 0, ..], None) if newer => {
                        all(device, &(0..total).collect::<Vec<_>>());
                        continue;
                    }
                    ([_, _, 1, 0, ..], None) => 0,
                    ([_, _, 3, 0], Some(_)) if newer => total,
                    ([_, _, 3, _, missing @ ..], Some(_)) if newer => {
                        resent += missing.len();
                        all(device, missing);
                        continue;
                    }
                    ([_, _, 2, index, 0, ..], Some(waits)) if !newer && *index == waits => waits + 1,
                    _ => continue,
                };
                device.since = Instant::now();
                if next == total {
                    (device.left, device.waits) = (device.left - 1, None);
                    if device.left > 0 {
                        let _ = device.socket.send(&request(device.id));
                    }
                    break;
                }
                device.waits = Some(next);
                let _ = device.socket.send(&data(device.id, next));
            }
        }
        host.poll();
    }
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_ms() - cpu);
    std::thread::sleep(Duration::from_millis(1500));
    let datagrams = host.metric("datagrams").unwrap_or_default();
    println!(
        "{count} devices, {pictures} pictures of {bytes} bytes in {total} packets each: {} stored in {seconds:.2} s, \
         {datagrams} datagrams, {:.0} a second, {:.2} µs CPU of the plugin each, {resent} sent again, {} without room in \
         the system",
        stored.load(Relaxed),
        datagrams / seconds,
        cpu as f64 * 1000.0 / datagrams.max(1.0),
        drops(&address),
    );
    Ok(())
}
