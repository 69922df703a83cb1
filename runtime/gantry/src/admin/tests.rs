use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[derive(Default)]
struct Fake {
    problems: Vec<Problem>,
    notes: Vec<Problem>,
}

impl Facts for Fake {
    fn problems(&self) -> Vec<Problem> {
        self.problems.clone()
    }
    fn notes(&self) -> Vec<Problem> {
        self.notes.clone()
    }
    fn metrics(&self) -> String {
        "up 1\n".into()
    }
    fn plugins(&self) -> Value {
        json!({"plugins": []})
    }
    fn cameras(&self) -> Value {
        json!({"cameras": []})
    }
}

fn problem(part: &str, message: &str) -> Problem {
    Problem { part: part.into(), message: message.into() }
}

/// Sends requests as they are and returns the whole answers.
fn ask(facts: Fake, requests: &[&str]) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let bind = "127.0.0.1:0".parse().expect("an address");
        let admin = Admin::bind(bind, Arc::new(facts)).await.expect("bound");
        let mut answers = Vec::new();
        for request in requests {
            let mut socket = TcpStream::connect(admin.address()).await.expect("connected");
            socket.write_all(request.as_bytes()).await.expect("sent");
            let mut answer = Vec::new();
            socket.read_to_end(&mut answer).await.expect("answered");
            answers.push(String::from_utf8(answer).expect("text"));
        }
        answers
    })
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:9600\r\n\r\n")
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

#[test]
fn every_path_of_the_list_is_there_and_others_get_the_list() {
    let requests: Vec<_> =
        PATHS.iter().map(|(path, _)| get(path)).chain([get("/"), get("/nothing")]).collect();
    let answers = ask(Fake::default(), &requests.iter().map(String::as_str).collect::<Vec<_>>());
    for (request, answer) in requests.iter().zip(&answers).take(PATHS.len() + 1) {
        assert!(answer.starts_with("HTTP/1.1 200 "), "{request}{answer}");
    }
    let last = &answers[PATHS.len() + 1];
    assert!(last.starts_with("HTTP/1.1 404 ") && last.contains("/readyz"), "{last}");
}

#[test]
fn readiness_is_said_in_lines_or_in_json() {
    let facts = || Fake {
        problems: vec![problem("camera/main", "no frames yet"), problem("plugin/robocar", "backoff")],
        notes: vec![problem("config", "not applied")],
    };
    let json = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n";
    let answers = ask(facts(), &[&get("/readyz"), json]);
    assert!(answers[0].starts_with("HTTP/1.1 503 "), "{}", answers[0]);
    assert_eq!(
        body(&answers[0]),
        "camera/main: no frames yet\nplugin/robocar: backoff\nconfig: not applied\n"
    );
    let value: Value = serde_json::from_str(body(&answers[1])).expect("JSON");
    assert_eq!(value["ready"], false);
    assert_eq!(value["problems"][1], json!({"part": "plugin/robocar", "message": "backoff"}));
    let answers =
        ask(Fake { notes: vec![problem("config", "not applied")], ..Fake::default() }, &[&get("/readyz")]);
    assert!(answers[0].starts_with("HTTP/1.1 200 "), "a refused file changes nothing: {}", answers[0]);
    assert_eq!(body(&answers[0]), "ready\nconfig: not applied\n");
}

#[test]
fn what_would_change_something_and_foreign_names_are_refused() {
    let post = "POST /readyz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    let head = "HEAD /healthz HTTP/1.1\r\nHost: [::1]:9600\r\n\r\n";
    let foreign = "GET /metrics HTTP/1.1\r\nHost: evil.example:9600\r\n\r\n";
    let nameless = "GET /metrics HTTP/1.1\r\n\r\n";
    let old = "GET /healthz HTTP/1.0\r\n\r\n";
    let answers = ask(Fake::default(), &[post, head, foreign, nameless, old]);
    assert!(
        answers[0].starts_with("HTTP/1.1 405 ") && answers[0].contains("allow: GET, HEAD"),
        "{}",
        answers[0]
    );
    assert!(answers[1].starts_with("HTTP/1.1 200 ") && body(&answers[1]).is_empty(), "{}", answers[1]);
    assert!(answers[2].starts_with("HTTP/1.1 421 "), "{}", answers[2]);
    assert!(answers[3].starts_with("HTTP/1.1 421 "), "{}", answers[3]);
    assert!(answers[4].starts_with("HTTP/1.0 200 "), "{}", answers[4]);
}

#[test]
fn a_host_is_ours_by_address_or_by_the_machines_own_name() {
    for ours in [
        "127.0.0.1",
        "127.0.0.1:9600",
        "[::1]:9600",
        "192.168.1.7:80",
        "LOCALHOST:1",
        "gate7",
        "gate7.local:9600",
    ] {
        assert!(is_own_name(ours, "gate7"), "{ours}");
    }
    for foreign in [
        "",
        ":80",
        "[",
        "evil.example",
        "gate7.evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
    ] {
        assert!(!is_own_name(foreign, "gate7"), "{foreign}");
    }
    assert!(!is_own_name("", ""), "a machine without a name");
}

#[test]
fn an_endless_head_is_not_kept() {
    let endless = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}", "x".repeat(2 * MAX_HEAD));
    let answers = ask(Fake::default(), &[&endless]);
    assert!(answers[0].starts_with("HTTP/1.1 431 "), "{}", answers[0]);
}
