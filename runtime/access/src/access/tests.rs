use super::*;
use crate::sessions::MAX_OF_USER;
use crate::throttle::{FREE, LONGEST_WAIT};
use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

const NOW: u64 = 1_700_000_000_000;
const HOUR: u64 = 3_600_000;
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const GOOD: &str = "correct horse";

fn word(text: &str) -> Password {
    Password::new(text.to_owned())
}

fn open(dir: &Path, now: u64) -> Access {
    Access::open(Users::cheap(dir), Duration::from_millis(HOUR), now).unwrap()
}

/// A gateway with the administrator `ann` and the viewer `bob`.
fn gateway() -> (tempfile::TempDir, Access) {
    let dir = tempfile::tempdir().unwrap();
    let users = Users::cheap(dir.path());
    users.add("ann", Role::Administrator, &word(GOOD), NOW).unwrap();
    users.add("bob", Role::Viewer, &word(GOOD), NOW).unwrap();
    let access = open(dir.path(), NOW);
    (dir, access)
}

fn granted(login: Login) -> Session {
    match login {
        Login::Granted(session) => session,
        refused @ Login::Refused { .. } => panic!("{refused:?}"),
    }
}

fn login(access: &Access, name: &str, now: u64) -> Session {
    granted(access.login(name, &word(GOOD), HERE, now))
}

/// How long the refused one has to wait, in seconds.
fn refused(login: Login) -> Option<u64> {
    match login {
        Login::Refused { retry_after } => retry_after.map(|wait| wait.as_secs()),
        Login::Granted(session) => panic!("{} got in", session.user),
    }
}

fn role(access: &Access, session: &Session, now: u64) -> Option<Role> {
    access.who(session.token.reveal(), now).map(|who| who.role)
}

#[test]
fn the_right_password_gives_a_session_that_ends_by_itself() {
    let (_dir, access) = gateway();
    let session = login(&access, "ann", NOW);
    assert_eq!((&*session.user, session.role, session.expires), ("ann", Role::Administrator, NOW + HOUR));
    let who = access.who(session.token.reveal(), NOW + HOUR - 1).unwrap();
    assert_eq!(who, Who { user: "ann".into(), role: Role::Administrator });
    let again = granted(access.resume(session.token.reveal(), HERE, NOW + HOUR - 1));
    assert_eq!(
        (again.token, again.expires),
        (session.token.clone(), NOW + HOUR),
        "resuming does not prolong"
    );
    assert!(access.who(session.token.reveal(), NOW + HOUR).is_none());
    assert!(refused(access.resume(session.token.reveal(), HERE, NOW + HOUR)).is_none());
    assert!(access.reload_if_changed(NOW + HOUR), "it ended");
    assert!(!access.reload_if_changed(NOW + HOUR));
    assert_eq!(lock(&access.state).sessions.len(), 0);
}

#[test]
fn wrong_names_passwords_and_tokens_get_nobody_in() {
    let (_dir, access) = gateway();
    let token = login(&access, "ann", NOW).token;
    let long = "x".repeat(2000);
    for (name, password) in
        [("ann", ""), ("ann", "Correct horse"), ("Ann", GOOD), ("", GOOD), ("a\nb", GOOD), ("bob", &long)]
    {
        assert_eq!(refused(access.login(name, &word(password), HERE, NOW)), None, "{name}");
    }
    let other = token.reveal().chars().rev().collect::<String>();
    for token in ["", "x", &other, &token.reveal()[1..]] {
        assert!(access.who(token, NOW).is_none());
        assert!(refused(access.resume(token, HERE, NOW)).is_none());
        assert!(access.end(token, NOW).is_none());
    }
    assert!(access.who(token.reveal(), NOW).is_some());
}

#[test]
fn sessions_survive_a_restart_and_the_disk_never_sees_their_tokens() {
    let (dir, access) = gateway();
    let (kept, ended) = (login(&access, "ann", NOW), login(&access, "ann", NOW));
    assert_eq!(access.end(ended.token.reveal(), NOW).unwrap().user, "ann".into());
    drop(access);
    for file in fs::read_dir(dir.path().join("access")).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600, "{}", path.display());
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(kept.token.reveal()) && !text.contains(GOOD), "{}", path.display());
    }
    let access = open(dir.path(), NOW + 1);
    assert_eq!(role(&access, &kept, NOW + 1), Some(Role::Administrator));
    assert_eq!(role(&access, &ended, NOW + 1), None);
    drop(access);
    assert_eq!(role(&open(dir.path(), NOW + HOUR), &kept, NOW + HOUR), None);
}

#[test]
fn ending_all_of_a_user_ends_nobody_elses() {
    let (_dir, access) = gateway();
    let sessions = [login(&access, "ann", NOW), login(&access, "ann", NOW), login(&access, "bob", NOW)];
    assert_eq!(access.end_all_of("ann"), 2);
    assert_eq!(access.end_all_of("ann"), 0);
    assert_eq!(sessions.map(|session| role(&access, &session, NOW)), [None, None, Some(Role::Viewer)]);
}

#[test]
fn the_sixty_fifth_login_ends_the_first() {
    let (_dir, access) = gateway();
    let first = login(&access, "ann", NOW);
    let second = login(&access, "ann", NOW + 1);
    for n in 2..=MAX_OF_USER as u64 {
        login(&access, "ann", NOW + n);
    }
    assert_eq!(role(&access, &first, NOW + 100), None);
    assert!(role(&access, &second, NOW + 100).is_some());
}

#[test]
fn what_another_process_edits_counts_at_once() {
    let (dir, access) = gateway();
    let (ann, bob) = (login(&access, "ann", NOW), login(&access, "bob", NOW));
    assert!(!access.reload_if_changed(NOW), "nothing was edited");

    let other = Users::cheap(dir.path());
    other.set_role("bob", Role::Operator, NOW).unwrap();
    assert!(access.reload_if_changed(NOW));
    assert_eq!(role(&access, &bob, NOW), Some(Role::Operator));

    other.add("zoe", Role::Viewer, &word(GOOD), NOW).unwrap();
    assert!(!access.reload_if_changed(NOW), "nobody's rights have changed");
    login(&access, "zoe", NOW);

    other.set_password("bob", &word("another horse"), NOW).unwrap();
    assert!(access.reload_if_changed(NOW));
    assert_eq!(role(&access, &bob, NOW), None);
    assert!(refused(access.login("bob", &word(GOOD), HERE, NOW)).is_none());
    granted(access.login("bob", &word("another horse"), HERE, NOW));

    other.remove("bob").unwrap();
    assert!(access.reload_if_changed(NOW));
    assert!(refused(access.login("bob", &word("another horse"), HERE, NOW)).is_none());
    assert_eq!(role(&access, &ann, NOW), Some(Role::Administrator));
}

#[test]
fn sessions_of_users_who_changed_while_the_gateway_was_down_are_over() {
    let (dir, access) = gateway();
    let (ann, bob) = (login(&access, "ann", NOW), login(&access, "bob", NOW));
    drop(access);
    let other = Users::cheap(dir.path());
    other.set_password("ann", &word(GOOD), NOW).unwrap();
    other.remove("bob").unwrap();
    other.add("bob", Role::Viewer, &word(GOOD), NOW).unwrap();
    let access = open(dir.path(), NOW);
    assert_eq!((role(&access, &ann, NOW), role(&access, &bob, NOW)), (None, None));
}

#[test]
fn a_damaged_users_file_lets_nobody_in_until_it_is_repaired() {
    let (dir, access) = gateway();
    let ann = login(&access, "ann", NOW);
    let path = access.users().path();
    let whole = fs::read(&path).unwrap();

    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(!access.reload_if_changed(NOW));
    assert!(refused(access.login("ann", &word(GOOD), HERE, NOW)).is_none());
    assert!(role(&access, &ann, NOW).is_some(), "who is in stays");
    let error = Access::open(Users::cheap(dir.path()), Duration::ZERO, NOW).err().unwrap().to_string();
    assert!(error.contains("users.json: EOF") && error.contains("repair it"), "{error}");

    fs::write(&path, &whole).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    access.reload_if_changed(NOW);
    assert!(refused(access.login("ann", &word(GOOD), HERE, NOW)).is_none());

    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    access.reload_if_changed(NOW);
    login(&access, "ann", NOW);
}

#[test]
fn a_users_file_that_is_gone_ends_all_sessions() {
    let (_dir, access) = gateway();
    let ann = login(&access, "ann", NOW);
    fs::remove_file(access.users().path()).unwrap();
    assert!(access.reload_if_changed(NOW));
    assert_eq!(role(&access, &ann, NOW), None);
    assert!(refused(access.login("ann", &word(GOOD), HERE, NOW)).is_none());
}

#[test]
fn damaged_sessions_and_throttle_are_begun_anew() {
    let (dir, access) = gateway();
    let ann = login(&access, "ann", NOW);
    drop(access);
    for name in [SESSIONS, THROTTLE] {
        fs::write(dir.path().join("access").join(name), "[{").unwrap();
    }
    let access = open(dir.path(), NOW);
    assert_eq!(role(&access, &ann, NOW), None);
    login(&access, "ann", NOW);
}

#[test]
fn wrong_passwords_have_to_wait_even_across_a_restart_and_then_the_right_one_too() {
    let (dir, access) = gateway();
    for n in 1..=FREE {
        let wait = refused(access.login("ann", &word("wrong horse"), HERE, NOW));
        assert_eq!(wait, (n == FREE).then_some(1), "attempt {n}");
    }
    assert_eq!(refused(access.login("ann", &word(GOOD), HERE, NOW)), Some(1), "not even looked at");
    access.save_if_dirty(NOW);
    // As a crash would end it.
    std::mem::forget(access);
    let access = open(dir.path(), NOW);
    assert_eq!(refused(access.login("ann", &word(GOOD), HERE, NOW)), Some(1));
    assert_eq!(refused(access.login("ann", &word("wrong horse"), HERE, NOW + 1_000)), Some(2));
    login(&access, "ann", NOW + 3_000);
    let elsewhere = Ipv4Addr::new(192, 0, 2, 1).into();
    assert_eq!(refused(access.login("ann", &word("wrong horse"), elsewhere, NOW + 3_000)), None);
    assert_eq!(refused(access.login("zoe", &word("wrong horse"), HERE, NOW + 5_000)), Some(4), "the address");
}

#[test]
fn a_name_that_does_not_exist_is_answered_like_one_that_does() {
    let (_dir, access) = gateway();
    let from = |n: u8| IpAddr::from([192, 0, 2, n]);
    let attempts = |name: &str, base: u8| -> Vec<Option<u64>> {
        (0..8).map(|n| refused(access.login(name, &word("wrong horse"), from(base + n), NOW))).collect()
    };
    assert_eq!(attempts("ann", 0), attempts("nobody", 100));
}

#[test]
fn a_new_password_lets_in_who_was_locked_out() {
    let (dir, access) = gateway();
    for n in 0..FREE {
        let from = Ipv4Addr::from_bits(0x0a00_0000 + n).into();
        refused(access.login("ann", &word("wrong horse"), from, NOW));
    }
    assert!(access.wait("ann", HERE, NOW).is_some());
    assert!(access.wait("ann", HERE, NOW + LONGEST_WAIT).is_none());
    Users::cheap(dir.path()).set_password("ann", &word(GOOD), NOW).unwrap();
    access.reload_if_changed(NOW);
    login(&access, "ann", NOW);
}

#[test]
fn a_weak_hash_is_made_stronger_at_the_next_login_and_the_session_lives() {
    let (dir, access) = gateway();
    drop(access);
    let hash = |access: &Access| access.users().read().unwrap()["ann"].hash.clone();
    let users = Users::open(dir.path()).unwrap();
    let access = Access::open(users, Duration::from_millis(HOUR), NOW).unwrap();
    assert!(hash(&access).contains("m=8,t=1,p=1"));
    let session = login(&access, "ann", NOW);
    assert!(hash(&access).contains("m=19456,t=2,p=1"));
    assert!(!access.reload_if_changed(NOW), "nobody's rights have changed");
    assert!(role(&access, &session, NOW).is_some());
    login(&access, "ann", NOW);
}

#[test]
fn a_user_whose_hash_is_damaged_cannot_log_in_until_there_is_a_new_password() {
    let (_dir, access) = gateway();
    let text = fs::read_to_string(access.users().path()).unwrap();
    fs::write(access.users().path(), text.replace("$argon2id$", "$argon2xd$$")).unwrap();
    access.reload_if_changed(NOW);
    assert!(refused(access.login("ann", &word(GOOD), HERE, NOW)).is_none());
    access.users().set_password("ann", &word(GOOD), NOW).unwrap();
    access.reload_if_changed(NOW);
    login(&access, "ann", NOW);
}

#[test]
fn a_session_is_granted_though_it_cannot_be_saved_and_is_saved_when_it_can() {
    let (dir, access) = gateway();
    // In the way of the file, also for root.
    let path = dir.path().join("access").join(SESSIONS);
    fs::create_dir(&path).unwrap();
    let session = login(&access, "ann", NOW);
    assert!(role(&access, &session, NOW).is_some());
    fs::remove_dir(&path).unwrap();
    access.save_if_dirty(NOW);
    drop(access);
    assert!(role(&open(dir.path(), NOW), &session, NOW).is_some());
}

#[test]
fn nothing_is_written_when_nothing_has_changed() {
    let (dir, access) = gateway();
    login(&access, "ann", NOW);
    access.save_if_dirty(NOW);
    for name in [SESSIONS, THROTTLE] {
        fs::remove_file(dir.path().join("access").join(name)).unwrap();
    }
    access.save_if_dirty(NOW + HOUR / 2);
    for name in [SESSIONS, THROTTLE] {
        assert!(!dir.path().join("access").join(name).exists(), "{name}");
    }
}

#[test]
fn failures_are_written_every_five_seconds_at_most_and_at_the_end() {
    let (dir, access) = gateway();
    let path = dir.path().join("access").join(THROTTLE);
    let written = |after: u64| {
        refused(access.login("ann", &word("wrong horse"), HERE, NOW + after));
        access.save_if_dirty(NOW + after);
        fs::remove_file(&path).is_ok()
    };
    assert_eq!([0, 1_000, 4_999, 5_000, 6_000].map(written), [true, false, false, true, false]);
    access.save_if_dirty(NOW - HOUR);
    assert!(fs::remove_file(&path).is_ok(), "the clock was set back");
    refused(access.login("bob", &word("wrong horse"), Ipv4Addr::BROADCAST.into(), NOW));
    drop(access);
    assert!(path.exists());
}

#[test]
fn another_lifetime_counts_for_the_next_session() {
    let (_dir, access) = gateway();
    access.set_lifetime(Duration::from_secs(5));
    assert_eq!(login(&access, "ann", NOW).expires, NOW + 5_000);
    access.set_lifetime(Duration::MAX);
    assert_eq!(login(&access, "ann", NOW).expires, u64::MAX);
}

#[test]
fn debug_shows_no_token() {
    let (_dir, access) = gateway();
    let login = access.login("ann", &word(GOOD), HERE, NOW);
    let shown = format!("{login:?}");
    let token = granted(login).token;
    assert!(shown.contains("ann") && !shown.contains(token.reveal()), "{shown}");
}

#[test]
fn a_password_that_changed_while_it_was_checked_lets_nobody_in() {
    let (dir, access) = gateway();
    let stamp = lock(&access.state).users["ann"].stamp.clone();
    let attempt = lock(&access.state).throttle.admit(Name::Known("ann"), HERE, NOW).unwrap();
    Users::cheap(dir.path()).set_password("ann", &word("another horse"), NOW).unwrap();
    access.reload_if_changed(NOW);
    assert!(access.begin("ann", &stamp, Token::random().unwrap(), attempt, NOW).is_none());
    assert_eq!(lock(&access.state).sessions.len(), 0);
}
