use super::*;
use proptest::prelude::*;
use std::fs;

fn password(text: &str) -> Password {
    Password::new(text.to_owned())
}

fn names(users: &Users) -> Vec<String> {
    users.list().unwrap().into_iter().map(|user| user.name).collect()
}

#[test]
fn two_processes_edit_the_same_users() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (Users::cheap(dir.path()), Users::cheap(dir.path()));
    one.add("ann", Role::Administrator, &password("long enough"), 1_000).unwrap();
    other.add("bob", Role::Viewer, &password("long enough"), 2_000).unwrap();
    one.set_role("bob", Role::Operator, 3_000).unwrap();
    assert_eq!(names(&other), ["ann", "bob"]);
    let bob = other.list().unwrap().remove(1);
    assert_eq!((bob.role, bob.changed.as_millisecond()), (Role::Operator, 3_000));
    other.remove("bob").unwrap();
    assert_eq!(names(&one), ["ann"]);
}

#[test]
fn edits_at_the_same_time_all_count() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let users = Users::cheap(dir.path());
            scope.spawn(move || {
                users.add(&format!("u{n}"), Role::Viewer, &password("long enough"), 0).unwrap()
            });
        }
    });
    assert_eq!(names(&Users::cheap(dir.path())).len(), 8);
}

#[test]
fn the_file_tells_no_password_and_what_changes_it_changes_the_stamp() {
    let dir = tempfile::tempdir().unwrap();
    let users = Users::cheap(dir.path());
    users.add("ann", Role::Administrator, &password("long enough"), 0).unwrap();
    let before = users.read().unwrap().remove("ann").unwrap();
    users.set_role("ann", Role::Administrator, 0).unwrap();
    assert_eq!(users.read().unwrap()["ann"].stamp, before.stamp);
    users.set_password("ann", &password("long enough"), 0).unwrap();
    let after = users.read().unwrap().remove("ann").unwrap();
    assert_ne!(after.stamp, before.stamp);
    assert_ne!(after.hash, before.hash);
    assert!(!fs::read_to_string(users.path()).unwrap().contains("long enough"));
}

#[test]
fn a_rehash_keeps_the_stamp_and_never_undoes_a_new_password() {
    let dir = tempfile::tempdir().unwrap();
    let users = Users::cheap(dir.path());
    users.add("ann", Role::Administrator, &password("long enough"), 0).unwrap();
    let before = users.read().unwrap().remove("ann").unwrap();
    assert!(users.rehash("ann", &before.hash, &password("long enough")).unwrap());
    let after = users.read().unwrap().remove("ann").unwrap();
    assert_ne!(after.hash, before.hash);
    assert_eq!(after.stamp, before.stamp);
    assert!(!users.rehash("ann", &before.hash, &password("long enough")).unwrap());
    let edit = users.folder.edit().unwrap();
    assert!(!users.rehash("ann", &after.hash, &password("long enough")).unwrap(), "somebody edits");
    drop(edit);
}

#[test]
fn the_last_administrator_stays_one() {
    let dir = tempfile::tempdir().unwrap();
    let users = Users::cheap(dir.path());
    users.add("ann", Role::Administrator, &password("long enough"), 0).unwrap();
    users.add("bob", Role::Operator, &password("long enough"), 0).unwrap();
    for error in [users.remove("ann").unwrap_err(), users.set_role("ann", Role::Viewer, 0).unwrap_err()] {
        assert!(error.to_string().starts_with("`ann` is the only administrator: make another"), "{error}");
    }
    users.set_role("bob", Role::Administrator, 0).unwrap();
    users.remove("ann").unwrap();
}

#[test]
fn the_first_start_makes_an_admin_once() {
    let dir = tempfile::tempdir().unwrap();
    let users = Users::cheap(dir.path());
    let initial = users.first_start(0).unwrap().expect("nobody is there");
    assert!(password::verify(&initial.password, &users.read().unwrap()["admin"].hash));
    assert_eq!(users.list().unwrap()[0].role, Role::Administrator);
    assert!(!format!("{initial:?}").contains(initial.password.reveal()));
    assert!(users.first_start(0).unwrap().is_none());
}

#[test]
fn a_damaged_file_is_an_error_that_names_it_and_is_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let users = Users::cheap(dir.path());
    users.add("ann", Role::Administrator, &password("long enough"), 0).unwrap();
    let whole = fs::read_to_string(users.path()).unwrap();
    let damaged = [
        (String::new(), "EOF while parsing a value at line 1"),
        (whole[..whole.len() / 2].to_owned(), "EOF"),
        (whole.replace("\"version\": 1", "\"version\": 7"), "version 7"),
        (whole.replace("administrator", "god"), "unknown variant `god`"),
        (whole.replace("administrator", "anonymous"), "cannot be anonymous"),
        (whole.replace("\"ann\"", "\"a n n\""), "`a n n` cannot be the name"),
        (whole.replace("stamp", "stomp"), "unknown field `stomp`"),
    ];
    for (text, part) in damaged {
        fs::write(users.path(), &text).unwrap();
        let error = users.first_start(0).unwrap_err().to_string();
        assert!(error.starts_with(&users.path().display().to_string()), "{error}");
        assert!(error.contains(part) && error.contains("repair it"), "{error}");
        assert!(users.add("bob", Role::Viewer, &password("long enough"), 0).is_err());
        assert_eq!(fs::read_to_string(users.path()).unwrap(), text);
    }
}

#[test]
fn what_cannot_be_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let users = Users::cheap(dir.path());
    users.add("operator", Role::Administrator, &password("long enough"), 0).unwrap();
    let cases = [
        (users.add("operator", Role::Viewer, &password("long enough"), 0), "gantry user passwd operator"),
        (users.add("a b", Role::Viewer, &password("long enough"), 0), "take 1 to 64 of"),
        (users.add("", Role::Viewer, &password("long enough"), 0), "take 1 to 64 of"),
        (users.add("x", Role::Anonymous, &password("long enough"), 0), "take administrator"),
        (users.add("x", Role::Viewer, &password("short"), 0), "at least 8"),
        (users.set_password("operater", &password("long enough"), 0), "did you mean `operator`?"),
        (users.set_role("zoe", Role::Viewer, 0), "`gantry user list` shows"),
        (users.remove("zoe"), "`gantry user list` shows"),
    ];
    for (result, part) in cases {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(names(&users), ["operator"]);
}

proptest! {
    #[test]
    fn names_are_what_they_are_said_to_be(name in "\\PC{0,70}") {
        let good = !name.is_empty() && name.len() <= 64
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@'));
        prop_assert_eq!(check_name(&name).is_ok(), good);
    }
}
