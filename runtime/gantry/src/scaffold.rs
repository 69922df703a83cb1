//! `gantry plugin new`: a plugin that builds and passes its own test at once.

use anyhow::{Context, bail};
use std::path::Path;
use std::process::ExitCode;

/// The longest name, in bytes: it becomes part of file and thread names.
const MAX_NAME: usize = 40;

/// Writes the plugin's folder.
pub(crate) fn command(name: &str, path: &Path) -> anyhow::Result<ExitCode> {
    check_name(name)?;
    let folder = path.join(name);
    let files = [
        ("Cargo.toml", manifest(name)),
        ("src/lib.rs", fill(include_str!("scaffold/lib.rs.in"), name)),
        ("tests/border.rs", fill(include_str!("scaffold/border.rs.in"), name)),
        ("README.md", fill(include_str!("scaffold/README.md.in"), name)),
        (".gitignore", "/target\n".to_owned()),
    ];
    // Made and not merely found: nothing that is there already is touched.
    std::fs::create_dir(&folder)
        .with_context(|| format!("{} cannot be made: choose another name or --path", folder.display()))?;
    for (file, text) in files {
        let file = folder.join(file);
        let parent = file.parent().context("every file is in the folder")?;
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&file, text))
            .with_context(|| format!("{} cannot be written", file.display()))?;
    }
    println!(
        "{} is written. Next:\n  cd {} && cargo test && cargo build --release\nthen add it to the configuration as its README.md says.",
        folder.display(),
        folder.display()
    );
    Ok(ExitCode::SUCCESS)
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let begins = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    if !begins
        || name.len() > MAX_NAME
        || !name.bytes().all(good)
        || name.ends_with('-')
        || name.contains("--")
    {
        bail!(
            "`{name}` is no name for a plugin: begin with a letter and use a-z, 0-9 and single `-`, at most {MAX_NAME}"
        );
    }
    Ok(())
}

fn manifest(name: &str) -> String {
    // Where this program was built; in a source tree that is still there a new plugin uses its SDK.
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk");
    let sdk = match sdk.canonicalize() {
        Ok(path) => format!("{{ path = {:?} }}", path.display().to_string()),
        Err(_) => format!("{:?}", env!("CARGO_PKG_VERSION")),
    };
    fill(include_str!("scaffold/Cargo.toml.in"), name).replace("@SDK@", &sdk)
}

/// Puts the names in: `@NAME@` as it is, `@CRATE@` for Rust, `@TYPE@` for the type.
fn fill(template: &str, name: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    let type_name: String = name.split('-').filter(|word| !word.is_empty()).map(capital).collect();
    template.replace("@NAME@", name).replace("@CRATE@", &name.replace('-', "_")).replace("@TYPE@", &type_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["door", "door-bell", "cam2"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        let long = "x".repeat(MAX_NAME + 1);
        for bad in ["", "Door", "2cam", "door_bell", "../door", "-door", "door-", "a--b", "dör", &long] {
            let error = check_name(bad).expect_err(bad).to_string();
            assert!(error.contains("is no name for a plugin: begin with a letter"), "{error}");
        }
    }

    #[test]
    fn an_existing_folder_is_not_touched() {
        let folder = tempfile::tempdir().expect("a folder");
        let plugin = folder.path().join("door");
        std::fs::create_dir(&plugin).expect("made");
        assert!(command("door", folder.path()).is_err());
        assert_eq!(std::fs::read_dir(plugin).expect("there").count(), 0);
    }

    #[test]
    fn names_are_written_as_each_place_wants_them() {
        assert_eq!(fill("@NAME@ @CRATE@ @TYPE@", "door-bell2"), "door-bell2 door_bell2 DoorBell2");
    }
}
