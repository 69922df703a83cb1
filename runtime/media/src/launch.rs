//! From a pipeline file to GStreamer elements: placeholders, parsing, and everything that can be wrong without opening
//! the camera.

use crate::control::{self, Control, Setting};
use crate::packages::advice_for_element;
use crate::pipeline_file::PipelineFile;
use crate::{Source, redact, suggest};
use gantry_core::config;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

/// The element that the source's own settings go to.
pub(crate) const SOURCE: &str = "source";

const PLACEHOLDERS: [&str; 7] = ["width", "height", "fps", "quality", "device", "location", "uri"];

/// Builds the elements of a pipeline, in state NULL: no device is opened. Everything wrong is found at once.
pub(crate) fn launch(
    file: &PipelineFile,
    source: &Source,
    camera: &config::Camera,
) -> Result<gst::Pipeline, Vec<String>> {
    let text = expand(&file.pipeline, source, camera)?;
    let mut context = gst::ParseContext::new();
    let flags = gst::ParseFlags::FATAL_ERRORS;
    let pipeline = match gst::parse::launch_full(&text, Some(&mut context), flags) {
        Ok(element) => element.downcast::<gst::Pipeline>().map_err(|_| {
            vec![
                "pipeline: a single element is no pipeline: write at least `SOURCE ! appsink name=jpeg`"
                    .to_owned(),
            ]
        })?,
        Err(error) => {
            let missing = context.missing_elements();
            if missing.is_empty() {
                return Err(vec![format!(
                    "pipeline: {}: correct the text",
                    error.message().trim_end_matches('.')
                )]);
            }
            let sentence =
                |e: &String| format!("pipeline: there is no element `{e}` here: {}", advice_for_element(e));
            return Err(missing.iter().map(sentence).collect());
        }
    };
    let problems = check_elements(file, source, &pipeline);
    if problems.is_empty() { Ok(pipeline) } else { Err(problems) }
}

fn check_elements(file: &PipelineFile, source: &Source, pipeline: &gst::Pipeline) -> Vec<String> {
    let mut problems = Vec::new();
    let names: Vec<String> =
        pipeline.iterate_recurse().into_iter().flatten().map(|e| e.name().to_string()).collect();
    let find = |key: &str, name: &str, problems: &mut Vec<String>| {
        let element = pipeline.by_name(name);
        if element.is_none() {
            let hint = suggest(name, names.iter().map(String::as_str));
            problems.push(format!("{key}: the pipeline has no element named `{name}`{hint}"));
        }
        element
    };
    if let Some(element) = find("capture", &file.capture, &mut problems)
        && frames_pad(&element).is_none()
    {
        problems
            .push(format!("capture: element `{}` has no pad that frames pass: name another", file.capture));
    }
    for (name, stream) in &file.streams {
        let key = format!("streams.{name}.sink");
        if let Some(element) = find(&key, &stream.sink, &mut problems)
            && !element.is::<gst_app::AppSink>()
        {
            problems.push(format!("{key}: element `{}` is no appsink: name the appsink", stream.sink));
        }
        let key = format!("streams.{name}.gate");
        for gate in &stream.gate {
            if let Some(element) = find(&key, gate, &mut problems)
                && element.static_pad("sink").is_none()
            {
                problems.push(format!(
                    "{key}: element `{gate}` has no input to shut: name the encoder or a queue"
                ));
            }
        }
    }
    for (name, control) in &file.controls {
        if let (Some(element), Some(property)) = (&control.element, &control.property)
            && let Some(element) = find(&format!("controls.{name}.element"), element, &mut problems)
        {
            problems.extend(check_control(name, control, property, &element));
        }
    }
    if matches!(source, Source::Mix { .. })
        && let Some(element) = find("pipeline", SOURCE, &mut problems)
        && !element.is::<crate::mix::Mix>()
    {
        let mix = crate::mix::NAME;
        problems
            .push(format!("pipeline: element `{SOURCE}` is no {mix}: `mix:` needs `{mix} name={SOURCE}`"));
    }
    if matches!(source, Source::Demo { .. })
        && let Some(element) = find("pipeline", SOURCE, &mut problems)
        && !element.is::<gst_app::AppSrc>()
    {
        problems
            .push(format!("pipeline: element `{SOURCE}` is no appsrc: `demo:` needs `appsrc name={SOURCE}`"));
    }
    problems
}

fn check_control(name: &str, control: &Control, property: &str, element: &gst::Element) -> Option<String> {
    let specs = element.list_properties();
    let key = format!("controls.{name}.property");
    let kind = element.factory().map_or_else(String::new, |f| f.name().to_string());
    let Some(spec) = specs.iter().find(|s| s.name() == property) else {
        let hint = suggest(property, specs.iter().map(|s| s.name()));
        return Some(format!("{key}: {kind} has no property `{property}`{hint}"));
    };
    if !spec.flags().contains(gst::glib::ParamFlags::WRITABLE) {
        return Some(format!("{key}: `{property}` of {kind} cannot be written: name another"));
    }
    let is_choice = spec.is::<gst::glib::ParamSpecBoolean>() || spec.is::<gst::glib::ParamSpecEnum>();
    if let Some(template) = &control.text {
        // Any value will do to see whether the text is one that the property understands.
        let text =
            ["{width}", "{height}", "{value}"].iter().fold(template.clone(), |t, f| t.replace(f, "16"));
        let value = control::property_value(spec, &Setting::Text(text));
        value.err().map(|reason| format!("controls.{name}.text: {kind}: {reason}: correct it"))
    } else if !control.values.is_empty() {
        let settings = control.values.keys().filter_map(|k| control.setting(&k.as_str().into()).ok());
        let reason = settings.filter_map(|s| control::property_value(spec, &s).err()).next();
        reason.map(|reason| format!("controls.{name}.values: {kind}: {reason}: correct it"))
    } else if let Some((low, high)) = control::range_of(spec) {
        let inside = control.to.iter().all(|v| (low..=high).contains(v));
        (!inside).then(|| {
            format!("controls.{name}.to: `{property}` of {kind} goes from {low} to {high}: stay in it")
        })
    } else {
        (!is_choice).then(|| {
            format!("{key}: `{property}` of {kind} is no number, switch or choice: give `text` or `values`")
        })
    }
}

/// Where the frames of an element can be seen: behind it if it has one output, else before it.
pub(crate) fn frames_pad(element: &gst::Element) -> Option<gst::Pad> {
    element.static_pad("src").or_else(|| element.static_pad("sink"))
}

/// Replaces the placeholders. A placeholder is `{lower_case}`; other braces are lists of caps.
fn expand(text: &str, source: &Source, camera: &config::Camera) -> Result<String, Vec<String>> {
    let mut out = String::with_capacity(text.len() + 64);
    let mut problems = Vec::new();
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim_start().starts_with('#')).collect();
    let text = lines.join("\n");
    let mut rest = text.as_str();
    while let Some(open) = rest.find('{') {
        let (before, from) = rest.split_at(open);
        out.push_str(before);
        let name = from[1..].split('}').next().unwrap_or_default();
        let is_placeholder = !name.is_empty()
            && from.len() > name.len() + 1
            && name.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '-');
        if !is_placeholder {
            out.push('{');
            rest = &from[1..];
            continue;
        }
        match value_of(name, source, camera) {
            Ok(value) => out.push_str(&value),
            Err(problem) => problems.push(problem),
        }
        rest = &from[name.len() + 2..];
    }
    out.push_str(rest);
    if problems.is_empty() { Ok(out) } else { Err(problems) }
}

fn value_of(name: &str, source: &Source, camera: &config::Camera) -> Result<String, String> {
    let text = match (name, source) {
        ("width", _) => return Ok(camera.width.to_string()),
        ("height", _) => return Ok(camera.height.to_string()),
        ("fps", _) => return Ok(camera.fps.to_string()),
        ("quality", _) => return Ok(camera.jpeg_quality.to_string()),
        ("device", Source::V4l2 { device, .. }) => device.clone(),
        ("uri", Source::Rtsp { uri }) => uri.clone(),
        ("location", Source::File { path, .. }) => {
            let path = path.to_str().ok_or("the file's name is not UTF-8: rename it")?;
            // So that no path can begin with what GStreamer gives a meaning of its own, such as a quote.
            if path.starts_with('/') { path.to_owned() } else { format!("./{path}") }
        }
        (known, _) if PLACEHOLDERS.contains(&known) => {
            let scheme = match known {
                "device" => "v4l2",
                "uri" => "rtsp",
                _ => "file",
            };
            return Err(format!(
                "pipeline: {{{known}}} stands for a part of a `{scheme}:` source, and this source is another: change one"
            ));
        }
        (other, _) => {
            return Err(format!("pipeline: unknown placeholder {{{other}}}{}", suggest(other, PLACEHOLDERS)));
        }
    };
    // The language of gst-launch reads a backslash before a blank in two ways, and takes the longer one.
    if text.contains('\\') {
        return Err(format!(
            "`{}` has a backslash, which no pipeline text can hold: rename it",
            redact(&text)
        ));
    }
    Ok(escape(&text))
}

/// Text without a backslash as one word of the gst-launch language, whatever else it contains: every ASCII character that
/// is not plain is escaped. Control characters are refused by [`Source::parse`].
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        if c.is_ascii() && !c.is_ascii_alphanumeric() {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(pipeline: &str) -> PipelineFile {
        let toml = format!("pipeline = '''{pipeline}'''\ncapture = 'capture'\n[streams.jpeg]\nsink = 'out'");
        PipelineFile::parse(&toml).expect("a good file")
    }

    fn problems(file: &PipelineFile, uri: &str) -> String {
        gst::init().expect("GStreamer");
        let source = Source::parse(uri).expect("a good source");
        launch(file, &source, &config::Camera::default()).expect_err("a problem").join("\n")
    }

    #[test]
    fn no_path_can_inject_launch_syntax() {
        gst::init().expect("GStreamer");
        let file = file("filesrc name=source location={location} ! identity name=capture ! appsink name=out");
        for path in [
            "/a b.mp4",
            "/a ! filesink location=b",
            "/a\" ! fakesink name=\"x",
            "/it's",
            "/{width}{device}",
            "/täglich/видео.mp4",
            "\"quoted\"",
            "/a#b;c,d(e)[f]=g",
        ] {
            let source = Source::File { path: path.into(), looping: false };
            let pipeline = launch(&file, &source, &config::Camera::default()).expect(path);
            assert_eq!(pipeline.iterate_elements().into_iter().count(), 3, "{path}");
            let location: String = pipeline.by_name(SOURCE).expect("source").property("location");
            assert_eq!(location.trim_start_matches("./"), path);
        }
        let mut nasty = String::from("/");
        nasty.extend((0x20u8..0x7f).map(char::from).filter(|c| *c != '\\'));
        let source = Source::File { path: (&nasty).into(), looping: false };
        let pipeline = launch(&file, &source, &config::Camera::default()).expect("every printable character");
        assert_eq!(pipeline.by_name(SOURCE).expect("source").property::<String>("location"), nasty);
        let source = Source::File { path: "/trailing\\".into(), looping: false };
        let problems = launch(&file, &source, &config::Camera::default()).expect_err("a backslash");
        assert!(problems[0].contains("rename it"), "{problems:?}");
    }

    #[test]
    fn all_missing_elements_are_named_with_their_packages() {
        let message =
            problems(&file("nosuchsrc ! jpgenc ! identity name=capture ! appsink name=out"), "test:");
        assert!(message.contains("nosuchsrc") && message.contains("did you mean `jpegenc`"), "{message}");
    }

    #[test]
    fn wrong_names_are_answered_with_the_nearest_right_one() {
        let mut file =
            file("videotestsrc ! videobalance name=balance ! identity name=captured ! appsink name=outs");
        for (name, property) in [("brightness", "brightnes"), ("contrast", "contrast")] {
            let toml = format!("element = 'balance'\nproperty = '{property}'\nto = [-1.0, 1.0]");
            file.controls.insert(name.into(), toml::from_str(&toml).expect("a control"));
        }
        let message = problems(&file, "test:");
        for says in
            ["did you mean `captured`", "did you mean `outs`", "did you mean `brightness`", "from 0 to 2"]
        {
            assert!(message.contains(says), "{says}: {message}");
        }
    }

    #[test]
    fn values_that_a_property_does_not_take_are_found_before_the_camera_opens() {
        let control = |control: &str| {
            let mut file = file(
                "videotestsrc ! jpegenc name=encoder ! capsfilter name=size ! identity name=capture ! appsink name=out",
            );
            file.controls.insert("it".into(), toml::from_str(control).expect(control));
            gst::init().expect("GStreamer");
            launch(&file, &Source::Test, &config::Camera::default()).map(drop).map_err(|e| e.join("\n"))
        };
        for good in [
            "element = 'encoder'\nproperty = 'quality'\nvalues = { low = 10, high = '90' }",
            "element = 'encoder'\nproperty = 'idct-method'\nvalues = { fast = 'ifast', slow = 0 }",
            "element = 'encoder'\nproperty = 'quality'\ntext = '{value}'",
            "element = 'size'\nproperty = 'caps'\ntext = 'image/jpeg,width={width}'",
        ] {
            control(good).expect(good);
        }
        for (bad, says) in [
            ("element = 'encoder'\nproperty = 'quality'\nvalues = { low = 10, high = 900 }", "from 0 to 100"),
            ("element = 'encoder'\nproperty = 'idct-method'\nvalues = { fast = 'nofast' }", "`nofast`"),
            ("element = 'encoder'\nproperty = 'quality'\ntext = 'about {value}'", "about 16"),
            (
                "element = 'size'\nproperty = 'caps'\ntext = 'image/jpeg,width=(bits){width}'",
                "controls.it.text",
            ),
            ("element = 'size'\nproperty = 'caps'", "give `text` or `values`"),
        ] {
            let problem = control(bad).expect_err(bad);
            assert!(problem.contains(says), "{problem}");
        }
    }

    #[test]
    fn placeholders_are_checked_and_lists_of_caps_are_left_alone() {
        let bad = file("videotestsrc ! video/x-raw,width={widht} ! identity name=capture ! appsink name=out");
        assert!(problems(&bad, "test:").contains("did you mean `width`"));
        let other = file("v4l2src device={device} ! identity name=capture ! appsink name=out");
        assert!(problems(&other, "test:").contains("`v4l2:` source"));
        let list = file(
            "# a comment with {nonsense}\nvideotestsrc ! video/x-raw,format={I420,NV12},width={width} ! identity name=capture ! appsink name=out",
        );
        gst::init().expect("GStreamer");
        launch(&list, &Source::Test, &config::Camera::default()).expect("a list of caps");
    }

    #[test]
    fn a_text_that_does_not_parse_says_so() {
        for text in ["videotestsrc !", "videotestsrc name=capture", "( videotestsrc ! appsink name=out"] {
            assert!(problems(&file(text), "test:").contains("pipeline"), "{text}");
        }
    }
}
