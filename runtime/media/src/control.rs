//! Controls: what an observable such as `brightness` is bound to, and how its values become those of the other side.

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The longest text that a value can have.
const MAX_TEXT: usize = 64;

/// Binds an observable to a property of an element, to a control of a V4L2 device, or to both: then the device's own
/// control is used when the device has it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Control {
    /// The element's name.
    #[serde(default)]
    pub element: Option<String>,
    /// The property's name.
    #[serde(default)]
    pub property: Option<String>,
    /// The observable's range, when it is a number.
    #[serde(default = "percent")]
    pub from: [f64; 2],
    /// The property's range: `from[0]` becomes `to[0]`, `from[1]` becomes `to[1]`, linear between.
    #[serde(default = "percent")]
    pub to: [f64; 2],
    /// The property's value for each value of the observable, when it is a choice or a switch (`true`, `false`).
    #[serde(default)]
    pub values: BTreeMap<String, toml::Value>,
    /// The property's value as text, with `{value}`, or `{width}` and `{height}` of a value such as `640x480`.
    #[serde(default)]
    pub text: Option<String>,
    /// The control of the V4L2 device that `source` opens.
    #[serde(default)]
    pub v4l2: Option<DeviceControl>,
}

fn percent() -> [f64; 2] {
    [0.0, 100.0]
}

/// A control of a V4L2 device.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "DeviceControlForm")]
pub struct DeviceControl {
    /// Its name as `v4l2-ctl --list-ctrls` shows it.
    pub name: String,
    /// Its value for each value of the observable; empty: the range `from` becomes the driver's own range.
    pub values: BTreeMap<String, i32>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "the name of a control, or a table with `name` and `values`")]
enum DeviceControlForm {
    Name(String),
    #[serde(rename_all = "lowercase")]
    Full {
        name: String,
        values: BTreeMap<String, i32>,
    },
}

impl From<DeviceControlForm> for DeviceControl {
    fn from(form: DeviceControlForm) -> Self {
        match form {
            DeviceControlForm::Name(name) => Self { name, values: BTreeMap::new() },
            DeviceControlForm::Full { name, values } => Self { name, values },
        }
    }
}

/// How a control acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlKind {
    /// On the running pipeline, from the next frame on.
    Live,
    /// On the camera itself.
    Device,
    /// The camera's pipeline is built anew, which takes it away for a moment.
    Rebuild,
}

/// What a control can do.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlInfo {
    /// How it acts.
    pub kind: ControlKind,
    /// The range of its values, when they are numbers.
    pub range: Option<[f64; 2]>,
    /// Its values, when they are a few that are known.
    pub choices: Vec<String>,
    /// The device's own range, when the device has the control.
    pub device_range: Option<[i32; 2]>,
}

/// Why a control cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// There is no such camera.
    #[error("there is no camera `{camera}`{hint}")]
    NoCamera {
        /// The name as given.
        camera: String,
        /// What was probably meant.
        hint: String,
    },
    /// This camera has no such control.
    #[error("camera `{camera}` has no control `{control}`: {why}")]
    NoControl {
        /// The camera.
        camera: String,
        /// The name as given.
        control: String,
        /// Why, and the next step.
        why: String,
    },
    /// The control cannot have this value.
    #[error("`{control}` of camera `{camera}` cannot be {value}: choose {expected}")]
    Value {
        /// The camera.
        camera: String,
        /// The control.
        control: String,
        /// The value as given.
        value: String,
        /// What it can be.
        expected: String,
    },
    /// The element refused.
    #[error("`{control}` of camera `{camera}` cannot be set: {reason}: correct its pipeline file")]
    Element {
        /// The camera.
        camera: String,
        /// The control.
        control: String,
        /// What is wrong.
        reason: String,
    },
}

/// A value for the other side.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Setting {
    Number(f64),
    Text(String),
}

impl Control {
    /// The property's value for a value of the observable, which is held within its range.
    #[must_use]
    pub fn map(&self, value: f64) -> f64 {
        let [low, high] = self.from;
        let part = ((value - low) / (high - low)).clamp(0.0, 1.0);
        self.to[0] + part * (self.to[1] - self.to[0])
    }

    /// Whether an element serves it.
    pub(crate) fn has_element(&self) -> bool {
        self.element.is_some()
    }

    /// Whether the element of this name serves it.
    pub(crate) fn is_of(&self, element: &str) -> bool {
        self.element.as_deref() == Some(element)
    }

    /// The property's value. The error says what the value can be.
    pub(crate) fn setting(&self, value: &Value) -> Result<Setting, String> {
        if let Some(template) = &self.text {
            return fill(template, value).map(Setting::Text);
        }
        if self.values.is_empty() {
            return number(value, self.from).map(|n| Setting::Number(self.map(n)));
        }
        let chosen = key_of(value).and_then(|key| self.values.get(&key));
        match chosen.ok_or_else(|| one_of(self.values.keys()))? {
            toml::Value::Boolean(b) => Ok(Setting::Number(f64::from(u8::from(*b)))),
            toml::Value::Integer(n) => Ok(Setting::Number(*n as f64)),
            toml::Value::Float(n) => Ok(Setting::Number(*n)),
            toml::Value::String(text) => Ok(Setting::Text(text.clone())),
            other => Ok(Setting::Text(other.to_string())),
        }
    }

    /// The value of the device's control. The error says what the value can be.
    pub(crate) fn device_value(&self, device: [i32; 2], value: &Value) -> Result<i32, String> {
        let [low, high] = device;
        let values = self.v4l2.as_ref().map(|v| &v.values).filter(|v| !v.is_empty());
        if let Some(values) = values {
            let chosen = key_of(value).and_then(|key| values.get(&key).copied());
            return chosen.map(|n| n.clamp(low, high)).ok_or_else(|| one_of(values.keys()));
        }
        let n = number(value, self.from)?;
        let part = (n - self.from[0]) / (self.from[1] - self.from[0]);
        let (low, high) = (f64::from(low), f64::from(high));
        Ok((low + part * (high - low)).round() as i32)
    }

    /// What its values can be, when it acts in this way.
    pub(crate) fn info(&self, kind: ControlKind, device_range: Option<[i32; 2]>) -> ControlInfo {
        let choices: Vec<String> = match (&self.v4l2, kind) {
            (Some(device), ControlKind::Device) => device.values.keys().cloned().collect(),
            _ => self.values.keys().cloned().collect(),
        };
        let is_number = choices.is_empty() && self.text.is_none();
        ControlInfo { kind, range: is_number.then_some(self.from), choices, device_range }
    }
}

fn number(value: &Value, [low, high]: [f64; 2]) -> Result<f64, String> {
    value
        .as_f64()
        .filter(|n| (low..=high).contains(n))
        .ok_or_else(|| format!("a number between {low} and {high}"))
}

/// A value as the key of a table: texts and switches.
fn key_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(b) => Some(b.to_string()),
        Value::Number(n) => Some(n.to_string()),
        _ => None,
    }
}

fn one_of<'a>(choices: impl Iterator<Item = &'a String>) -> String {
    format!("one of {}", choices.map(String::as_str).collect::<Vec<_>>().join(", "))
}

/// `640x480`.
pub(crate) fn size(value: &Value) -> Result<(u32, u32), String> {
    let side = |text: &str| {
        let is_plain = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|n: &u32| is_plain && (16..=8192).contains(n) && n.is_multiple_of(2))
    };
    let sides = value.as_str().and_then(|text| text.split_once('x'));
    sides
        .and_then(|(width, height)| Some((side(width)?, side(height)?)))
        .ok_or_else(|| "a size such as 640x480, of even numbers from 16 to 8192".into())
}

fn fill(template: &str, value: &Value) -> Result<String, String> {
    if template.contains("{width}") || template.contains("{height}") {
        let (width, height) = size(value)?;
        return Ok(template.replace("{width}", &width.to_string()).replace("{height}", &height.to_string()));
    }
    // What is plain cannot begin another field of caps or of a structure.
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let text = key_of(value).filter(|t| !t.is_empty() && t.len() <= MAX_TEXT && t.chars().all(plain));
    let text = text.ok_or_else(|| format!("letters, digits, `-`, `_` and `.`, at most {MAX_TEXT}"))?;
    Ok(template.replace("{value}", &text))
}

/// The range of a property, when it is a number.
pub(crate) fn range_of(spec: &glib::ParamSpec) -> Option<(f64, f64)> {
    macro_rules! range {
        ($($kind:ident),*) => {
            None$(.or_else(|| spec.downcast_ref::<glib::$kind>().map(|s| (s.minimum() as f64, s.maximum() as f64))))*
        };
    }
    range!(ParamSpecDouble, ParamSpecFloat, ParamSpecInt, ParamSpecUInt, ParamSpecInt64, ParamSpecUInt64)
}

/// A setting as a value that the property takes. Any other would end the process: GLib takes it for a fault of ours.
pub(crate) fn property_value(spec: &glib::ParamSpec, setting: &Setting) -> Result<glib::Value, String> {
    let name = spec.name();
    let range = range_of(spec);
    let text = match setting {
        Setting::Text(text) => text.clone(),
        Setting::Number(n) if [f64::static_type(), f32::static_type()].contains(&spec.value_type()) => {
            n.to_string()
        }
        Setting::Number(n) if spec.value_type() == bool::static_type() => (*n >= 0.5).to_string(),
        Setting::Number(n) => (n.round() as i64).to_string(),
    };
    if let Some((low, high)) = range
        && !text.parse().is_ok_and(|n: f64| (low..=high).contains(&n))
    {
        return Err(format!("`{name}` goes from {low} to {high} and cannot be `{text}`"));
    }
    glib::Value::deserialize_with_pspec(&text, spec).map_err(|_| format!("`{name}` does not take `{text}`"))
}

/// Sets a property, whatever its type.
pub(crate) fn write(element: &gst::Element, property: &str, setting: &Setting) -> Result<(), String> {
    element.set_property_from_value(property, &checked(element, property, setting)?);
    Ok(())
}

/// Whether [`write`] would take it.
pub(crate) fn check(element: &gst::Element, property: &str, setting: &Setting) -> Result<(), String> {
    checked(element, property, setting).map(|_| ())
}

fn checked(element: &gst::Element, property: &str, setting: &Setting) -> Result<glib::Value, String> {
    let spec = element
        .find_property(property)
        .filter(|spec| spec.flags().contains(glib::ParamFlags::WRITABLE))
        .ok_or_else(|| format!("`{property}` of {} cannot be written", element.name()))?;
    property_value(&spec, setting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn control(toml: &str) -> Control {
        toml::from_str(toml).expect(toml)
    }

    #[test]
    fn a_number_is_mapped_linearly_and_held_in_range() {
        let control = control("element = 'b'\nproperty = 'p'\nto = [-1.0, 1.0]");
        assert_eq!([0.0, 50.0, 75.0, 200.0].map(|v| control.map(v)), [-1.0, 0.0, 0.5, 1.0]);
        assert_eq!(control.setting(&json!(75)), Ok(Setting::Number(0.5)));
        for wrong in [json!(101), json!(-1), json!("75"), json!(null), json!([1])] {
            assert_eq!(control.setting(&wrong), Err("a number between 0 and 100".into()), "{wrong}");
        }
        assert_eq!(control.device_value([-64, 64], &json!(75)), Ok(32));
    }

    #[test]
    fn a_choice_is_looked_up_by_text_or_switch() {
        let control = control("values = { auto = true, manual = false, true = true, low = 3, name = 'x' }");
        for (value, setting) in [
            (json!("auto"), Setting::Number(1.0)),
            (json!("manual"), Setting::Number(0.0)),
            (json!(true), Setting::Number(1.0)),
            (json!("low"), Setting::Number(3.0)),
            (json!("name"), Setting::Text("x".into())),
        ] {
            assert_eq!(control.setting(&value), Ok(setting), "{value}");
        }
        let expected = control.setting(&json!("aut")).expect_err("no such choice");
        assert!(expected.contains("auto, low, manual"), "{expected}");
    }

    #[test]
    fn a_template_takes_sizes_and_plain_words_and_nothing_that_means_more() {
        let sized = control("text = 'video/x-raw,width={width},height={height}'");
        assert_eq!(
            sized.setting(&json!("1920x1080")),
            Ok(Setting::Text("video/x-raw,width=1920,height=1080".into()))
        );
        for wrong in
            ["1920", "1920x", "x1080", "+640x480", "641x480", "640x481", "8x8", "640x480,a=b", "99999x480"]
        {
            assert!(sized.setting(&json!(wrong)).is_err(), "{wrong}");
        }
        let word = control("text = 'a,b={value}'");
        assert_eq!(word.setting(&json!(7)), Ok(Setting::Text("a,b=7".into())));
        assert!(word.setting(&json!("7,c=d")).is_err());
    }

    #[test]
    fn a_devices_control_is_a_name_or_a_table() {
        assert_eq!(control("v4l2 = 'gain'").v4l2.expect("a device's control").name, "gain");
        let full = control("v4l2 = { name = 'white_balance_automatic', values = { auto = 1, manual = 0 } }");
        assert_eq!(full.device_value([0, 1], &json!("auto")), Ok(1));
        assert!(full.device_value([0, 1], &json!("daylight")).expect_err("no").contains("auto, manual"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_none_brings_a_field_of_its_own(text: String) {
            let value = json!(text);
            let sized = control("text = 'video/x-raw,width={width},height={height}'");
            let word = control("text = 'a,b={value}'");
            for (control, commas) in [(sized, 2), (word, 1)] {
                if let Ok(Setting::Text(filled)) = control.setting(&value) {
                    proptest::prop_assert_eq!(filled.matches(',').count(), commas);
                    proptest::prop_assert!(!filled.contains(['(', ')', ';', '"', ' ', '{', '}']), "{}", filled);
                }
            }
        }
    }
}
