//! What `[counts]` may say.

use crate::common::config;
use gantry_core::config::Counts;
use gantry_counting::Settings;
use std::time::Duration;

fn findings(config: &Counts) -> Vec<String> {
    let found = Settings::from_config(config).expect_err("something is wrong with it");
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn the_default_is_good_and_windows_keep_the_names_of_the_configuration() {
    let config = Counts { time_zone: Some("UTC".into()), ..Counts::default() };
    let settings = Settings::from_config(&config).expect("the default is good");
    assert_eq!(settings.windows[1], ("5m".to_owned(), Duration::from_secs(300)));
    assert_eq!(settings.windows[5], ("1h".to_owned(), Duration::from_secs(3600)));
}

#[test]
fn without_a_time_zone_it_is_the_machines() {
    assert!(Settings::from_config(&Counts::default()).is_ok());
}

#[test]
fn a_bad_reset_time_is_found() {
    for bad in ["", "3", "24:00", "12:60", "-1:00", "+3:00", "3:00", "03:00:00", "03.00", "０３:00", "noon"]
    {
        let found = findings(&config(bad, "UTC", &[]));
        assert_eq!(
            found,
            [format!("reset: `{bad}` is no time of day: write hours and minutes, such as \"03:00\"")]
        );
    }
    for good in ["00:00", "23:59", "09:05"] {
        assert!(Settings::from_config(&config(good, "UTC", &[])).is_ok());
    }
}

#[test]
fn an_unknown_time_zone_is_found_with_what_to_do() {
    let found = findings(&config("03:00", "Europe/Bielefeld", &[]));
    assert_eq!(
        found,
        [
            "time_zone: `Europe/Bielefeld` is no time zone here: write one like `Europe/Berlin`, or install the package \
          tzdata"
        ]
    );
}

#[test]
fn all_bad_windows_are_found_with_their_places() {
    let found = findings(&config("03:00", "UTC", &["1m", "soon", "0s", "1500ms", "25h", "60s", "-5m"]));
    assert_eq!(
        found,
        [
            "windows[1]: `soon` is no length of time: write one like \"30s\", \"5m\" or \"1h\"",
            "windows[2]: `0s` is not a number of whole seconds: write one like \"30s\"",
            "windows[3]: `1500ms` is not a number of whole seconds: write one like \"30s\"",
            "windows[4]: `25h` is too long for a rolling sum: write \"24h\" or less",
            "windows[5]: `60s` is the same as `1m`: remove one",
            "windows[6]: `-5m` is no length of time: write one like \"30s\", \"5m\" or \"1h\"",
        ]
    );
}

#[test]
fn twelve_windows_of_up_to_a_day_are_good_and_thirteen_are_not() {
    let texts: Vec<String> = (1..=12).map(|n| format!("{}h", n * 2)).collect();
    let names: Vec<&str> = texts.iter().map(String::as_str).collect();
    assert_eq!(Settings::from_config(&config("03:00", "UTC", &names)).expect("it is good").windows.len(), 12);
    let found = findings(&config("03:00", "UTC", &[names, vec!["1m"]].concat()));
    assert_eq!(found, ["windows: there are 13 windows, at most 12 are summed: remove some"]);
}

#[test]
fn everything_wrong_is_found_at_once() {
    assert_eq!(findings(&config("25:00", "Nowhere", &["x"])).len(), 3);
}
