//! The C header in the tree is the one that these types give.

use std::path::Path;

/// Rust's links to its own items mean nothing to a reader of C: [`Host::log`](crate::Host::log) becomes `Host::log`.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("[`") {
        let Some((name, tail)) = after.split_once("`]") else { break };
        out.push_str(&format!("{before}`{name}`"));
        let link_end = tail.find(')').filter(|_| tail.starts_with('('));
        rest = link_end.map_or(tail, |end| &tail[end + 1..]);
    }
    out + rest
}

#[test]
fn the_header_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml");
    // The sources one after the other, in the order in which C wants them; cbindgen would ask cargo for a crate.
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in ["types", "frame", "host", "plugin", "lib"] {
        builder = builder.with_src(root.join("src").join(source).with_extension("rs"));
    }
    let mut text = Vec::new();
    builder.generate().expect("the header is generated").write(&mut text);
    let text = plain(&String::from_utf8(text).expect("UTF-8"));

    let path = root.join("include/gantry_plugin.h");
    if std::env::var_os("UPDATE_HEADER").is_some() {
        std::fs::write(&path, &text).expect("written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == text,
        "include/gantry_plugin.h is not what the sources give: run `make header` and commit it"
    );
}

#[test]
fn the_layout_is_that_of_1_1() {
    // Appending is allowed, moving is not: these offsets are what compiled plugins rely on.
    use gantry_abi::{Frame, Host, Plugin};
    use std::mem::offset_of;
    assert_eq!((size_of::<Plugin>(), size_of::<Host>(), size_of::<Frame>()), (144, 160, 88));
    assert_eq!(offset_of!(Plugin, size), 8);
    assert_eq!(offset_of!(Plugin, name), 24);
    assert_eq!(offset_of!(Plugin, create), 72);
    assert_eq!(offset_of!(Plugin, on_wake), 136);
    assert_eq!(offset_of!(Host, ctx), 16);
    assert_eq!(offset_of!(Host, frames), 80);
    assert_eq!(offset_of!(Host, get_extension), 144);
    assert_eq!(offset_of!(Host, call_with), 152);
    assert_eq!(offset_of!(Frame, stream), 48);
    assert_eq!(offset_of!(Frame, handle), 80);
}
