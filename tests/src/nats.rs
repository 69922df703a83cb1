//! Real NATS servers, and a client of them that knows no more than the protocol.

use crate::{PATIENCE, root, until};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A port that nobody listens on at this moment, for what has to be known before it listens, or listens there again. The kernel
/// gives it to nobody: it is below those that connections get.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const PORTS: std::ops::Range<u32> = 12_000..32_000;
    // Each test is a process of its own: they begin at different places.
    let begin = std::process::id().wrapping_mul(2_654_435_761) >> 8;
    let mut all = std::iter::repeat_with(|| {
        let place = begin.wrapping_add(NEXT.fetch_add(1, Relaxed)) % (PORTS.end - PORTS.start);
        u16::try_from(PORTS.start + place).expect("a port")
    });
    let free = all.by_ref().take(20_000).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.expect("a port")
}

/// The text of one of `config/examples/nats`, with other ports and folders. Each of `changes` must be in it.
///
/// # Panics
/// When it is not, or the file is not there.
#[must_use]
pub fn example(file: &str, changes: &[(&str, &str)]) -> String {
    let path = root().join("config/examples/nats").join(file);
    let mut text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for (from, to) in changes {
        assert!(text.contains(from), "{file} has no `{from}` any more");
        text = text.replace(from, to);
    }
    text
}

/// Bytes as devices send them in JSON.
#[must_use]
pub fn as_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A running `nats-server`. Dropping it kills it.
pub struct Server {
    dir: tempfile::TempDir,
    child: Child,
    port: u16,
    env: Vec<(String, String)>,
}

impl Server {
    /// One with JetStream and nothing else, for everybody.
    #[must_use]
    pub fn plain() -> Self {
        Self::start("jetstream { store_dir: \"DIR/js\" }\n", &[])
    }

    /// One with a configuration, in which `DIR` stands for a folder of its own and `listen` is missing or says
    /// `127.0.0.1:PORT`, and what that takes from the environment.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(config: &str, env: &[(&str, &str)]) -> Self {
        Self::start_with(config, env, |_| {})
    }

    /// The same with files that are put into its folder before.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_with(config: &str, env: &[(&str, &str)], prepare: impl FnOnce(&std::path::Path)) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        prepare(dir.path());
        let port = free_port();
        let mut config = config.replace("DIR", &dir.path().display().to_string());
        if config.contains("listen: \"127.0.0.1:PORT\"") {
            config = config.replace("127.0.0.1:PORT", &format!("127.0.0.1:{port}"));
        } else {
            config = format!("listen: \"127.0.0.1:{port}\"\n{config}");
        }
        fs::write(dir.path().join("nats.conf"), config).expect("written");
        let env: Vec<_> = env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let child = spawn(&dir, &env);
        let mut server = Self { dir, child, port, env };
        server.wait();
        server
    }

    fn wait(&mut self) {
        until("nats-server to be ready", || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("nats-server ended with {status}:\n{}", self.log());
            }
            // A cluster has no leader yet, which is for those that ask to wait for.
            self.log().contains("Server is ready").then_some(())
        });
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its address as gateways want it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// What it has written.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// Kills it as a power cut does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again with what it left, on the same port.
    pub fn restart(&mut self) {
        self.kill();
        self.child = spawn(&self.dir, &self.env);
        self.wait();
    }

    /// A client without a login.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::connect(&self.address(), &json!({}))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let crash = log.lines().position(|l| l.starts_with("panic:") || l.starts_with("fatal error:"));
            let from = crash.unwrap_or(log.lines().count().saturating_sub(20));
            eprintln!("--- nats-server's last lines ---");
            log.lines().skip(from).take(40).for_each(|line| eprintln!("{line}"));
        }
    }
}

fn spawn(dir: &tempfile::TempDir, env: &[(String, String)]) -> Child {
    let log = File::create(dir.path().join("log")).expect("a log file");
    let mut command = Command::new("nats-server");
    command.arg("-c").arg(dir.path().join("nats.conf")).stdin(Stdio::null());
    command.stdout(log.try_clone().expect("a second handle")).stderr(log);
    command.envs(env.iter().map(|(key, value)| (key, value)));
    // Debian keeps servers where not everybody's path leads.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin"));
    command.spawn().expect("nats-server: run `make test`, which installs it")
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its subject.
    pub subject: String,
    /// Its headers, as they were sent.
    pub headers: String,
    /// What it says.
    pub data: Vec<u8>,
    /// Where an answer goes.
    pub reply: Option<String>,
    /// Its place in the stream it was read from.
    pub place: u64,
}

impl Message {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// What it says, as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.data).unwrap_or_else(|error| panic!("{self:?}: {error}"))
    }
}

/// A client.
pub struct Client {
    writer: TcpStream,
    reader: BufReader<TcpStream>,
    inbox: String,
    asked: u64,
    /// What the server complained of.
    pub errors: Vec<String>,
}

impl Client {
    /// Connects with what `login` has: `user` and `pass`.
    ///
    /// # Panics
    /// When that is refused.
    #[must_use]
    pub fn connect(address: &str, login: &Value) -> Self {
        let writer = TcpStream::connect(address).expect("a server");
        writer.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let reader = BufReader::new(writer.try_clone().expect("a second handle"));
        // Each user has a place of his own for answers.
        let user = login["user"].as_str().map_or_else(String::new, |user| format!("_{user}"));
        let inbox = format!(
            "_INBOX{user}.t{:?}{}",
            std::thread::current().id(),
            writer.local_addr().expect("an address").port()
        );
        let inbox = inbox.replace(['(', ')'], "");
        let mut client = Self { writer, reader, inbox, asked: 0, errors: Vec::new() };
        assert!(client.line().starts_with("INFO "));
        let mut options = json!({ "verbose": false, "headers": true, "no_responders": true });
        for (key, value) in login.as_object().expect("an object") {
            options[key] = value.clone();
        }
        client.write(format!("CONNECT {options}\r\nPING\r\n").as_bytes());
        assert_eq!(client.line(), "PONG", "the login is refused");
        let inbox = client.inbox.clone();
        client.subscribe(&format!("{inbox}.*"));
        client
    }

    fn write(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).expect("sent");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count + 2];
        self.reader.read_exact(&mut bytes).expect("a payload");
        bytes.truncate(count);
        bytes
    }

    /// Subscribes, and waits until the server has it.
    pub fn subscribe(&mut self, subject: &str) {
        self.write(format!("SUB {subject} 7\r\nPING\r\n").as_bytes());
        loop {
            match self.line().as_str() {
                "PONG" => return,
                line if line.starts_with("-ERR") => self.errors.push(line.to_owned()),
                _ => {}
            }
        }
    }

    /// Publishes.
    pub fn publish(&mut self, subject: &str, reply: &str, headers: &[(&str, &str)], payload: &[u8]) {
        let mut head = "NATS/1.0\r\n".to_owned();
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        let (head_len, all) = (head.len(), head.len() + payload.len());
        let line = format!("HPUB {subject} {reply} {head_len} {all}\r\n{head}");
        self.write(&[line.as_bytes(), payload, b"\r\n"].concat());
    }

    /// The next message of any subscription.
    ///
    /// # Panics
    /// When none comes.
    pub fn message(&mut self) -> Message {
        loop {
            let line = self.line();
            let words: Vec<&str> = line.split(' ').collect();
            let size =
                |word: Option<&&str>| word.and_then(|word| word.parse::<usize>().ok()).expect("a size");
            match words[0] {
                "PING" => self.write(b"PONG\r\n"),
                "MSG" => {
                    let reply = (words.len() == 5).then(|| words[3].to_owned());
                    let (subject, data) = (words[1].to_owned(), self.bytes(size(words.last())));
                    return Message { subject, headers: String::new(), data, reply, place: 0 };
                }
                "HMSG" => {
                    let reply = (words.len() == 6).then(|| words[3].to_owned());
                    let (subject, head) = (words[1].to_owned(), size(words.get(words.len() - 2)));
                    let all = self.bytes(size(words.last()));
                    let headers = String::from_utf8_lossy(&all[..head]).into_owned();
                    return Message { subject, headers, data: all[head..].to_vec(), reply, place: 0 };
                }
                "-ERR" => self.errors.push(line),
                "PONG" | "+OK" | "INFO" => {}
                "" => panic!("the server has closed"),
                _ => panic!("{line}"),
            }
        }
    }

    /// Asks, and waits for the answer.
    pub fn ask(&mut self, subject: &str, payload: &[u8]) -> Message {
        self.asked += 1;
        let inbox = format!("{}.{}", self.inbox, self.asked);
        self.publish(subject, &inbox, &[], payload);
        loop {
            let message = self.message();
            if message.subject == inbox {
                return message;
            }
        }
    }

    /// Asks in JSON.
    pub fn call(&mut self, subject: &str, request: &Value) -> Value {
        self.ask(subject, request.to_string().as_bytes()).json()
    }

    /// Asks JetStream, of a domain, if one is given.
    pub fn jetstream(&mut self, domain: &str, what: &str, request: &Value) -> Value {
        let prefix = if domain.is_empty() { "$JS.API".to_owned() } else { format!("$JS.{domain}.API") };
        self.try_call(&format!("{prefix}.{what}"), request).expect("JetStream")
    }

    /// Asks in JSON; nothing, when nobody listens there.
    pub fn try_call(&mut self, subject: &str, request: &Value) -> Option<Value> {
        let answer = self.ask(subject, request.to_string().as_bytes());
        (!answer.data.is_empty()).then(|| answer.json())
    }

    /// A message of a stream.
    pub fn get(&mut self, domain: &str, stream: &str, which: &Value) -> Option<Message> {
        let answer = self.jetstream(domain, &format!("STREAM.MSG.GET.{stream}"), which);
        let message = answer.get("message")?;
        let bytes = |key: &str| STANDARD.decode(message[key].as_str().unwrap_or_default()).expect("base64");
        Some(Message {
            subject: message["subject"].as_str()?.to_owned(),
            headers: String::from_utf8_lossy(&bytes("hdrs")).into_owned(),
            data: bytes("data"),
            reply: None,
            place: message["seq"].as_u64()?,
        })
    }

    /// All messages of a stream under a subject, in their order.
    pub fn all(&mut self, domain: &str, stream: &str, subject: &str) -> Vec<Message> {
        let info = self.jetstream(domain, &format!("STREAM.INFO.{stream}"), &json!({}));
        let place = |key: &str| info["state"][key].as_u64().unwrap_or_default();
        // One by one: a question with wildcards, asked while something comes in, can crash server 2.9.10.
        let places = place("first_seq").max(1)..=place("last_seq");
        let found = places.filter_map(|place| self.get(domain, stream, &json!({ "seq": place })));
        found.filter(|message| matches(subject, &message.subject)).collect()
    }

    /// The content of an object of an object store.
    ///
    /// # Panics
    /// When it is not there, or not whole.
    pub fn object(&mut self, domain: &str, bucket: &str, name: &str) -> Vec<u8> {
        let stream = format!("OBJ_{bucket}");
        let subject = format!("$O.{bucket}.M.{}", base64::engine::general_purpose::URL_SAFE.encode(name));
        let described =
            self.get(domain, &stream, &json!({ "last_by_subj": subject })).expect("an object").json();
        assert_eq!((&described["name"], &described["bucket"]), (&json!(name), &json!(bucket)));
        let parts = format!("$O.{bucket}.C.{}", described["nuid"].as_str().expect("a key of its parts"));
        let parts = self.all(domain, &stream, &parts);
        assert_eq!(described["chunks"], parts.len());
        let content: Vec<u8> = parts.into_iter().flat_map(|part| part.data).collect();
        assert_eq!(described["size"], content.len());
        content
    }
}

/// Whether a subject is one of those that a pattern with wildcards means.
fn matches(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in pattern.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}
