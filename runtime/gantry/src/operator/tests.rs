#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

use super::*;
use std::os::unix::fs::MetadataExt;

fn services() -> Arc<Services> {
    let services = Arc::<Services>::default();
    services.offer_sync("echo", |caller, request| Ok(json!({ "as": &*caller.plugin, "request": request })));
    services
}

/// What somebody is told who asks for `echo`.
async fn ask_as(welcome: &[u32]) -> Value {
    let (mine, theirs) = UnixStream::pair().unwrap();
    let (services, tape) = (services(), Tape::default());
    let (read, mut write) = mine.into_split();
    let asked = async {
        // One who is sent away may be gone already.
        let _ = write.write_all(b"{\"call\": \"echo\", \"request\": 7}\n").await;
        drop(write);
        let mut line = String::new();
        BufReader::new(read).read_line(&mut line).await.unwrap();
        serde_json::from_str(&line).unwrap()
    };
    let (served, answer) = tokio::join!(serve(theirs, welcome, &services, &tape), asked);
    served.unwrap();
    answer
}

#[tokio::test]
async fn only_the_users_who_are_welcome_are_served() {
    let answer = ask_as(&welcome().unwrap()).await;
    assert_eq!(answer, json!({ "reply": { "as": CALLER, "request": 7 } }));
    // What a member of the group would meet who came before the file had its mode.
    let nobody_here = 4_000_000_000;
    let answer = ask_as(&[nobody_here]).await;
    assert!(answer["error"].as_str().is_some_and(|error| error.contains("ask as one of them")), "{answer}");
}

#[test]
fn root_and_the_own_user_are_welcome() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let own = tempfile::NamedTempFile::new().unwrap().as_file().metadata().unwrap().uid();
    assert_eq!(runtime.block_on(async { welcome().unwrap() }), [0, own]);
}

#[tokio::test]
async fn a_gateway_whose_door_cannot_be_made_goes_on_without() {
    let dir = tempfile::tempdir().unwrap();
    let door = Operator::open(dir.path(), services(), Arc::default());
    assert!(dir.path().join(NAME).exists());
    drop(door);
    // What `remove_file` cannot take away.
    std::fs::create_dir(dir.path().join(NAME)).unwrap();
    assert!(Operator::open(dir.path(), services(), Arc::default()).is_none());
    assert!(dir.path().join(NAME).is_dir());
}
