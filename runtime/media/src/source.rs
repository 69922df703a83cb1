//! Where a camera's pictures come from: the URI in `cameras.NAME.source`.

use crate::suggest;
use gantry_core::spelling::nearest;
use percent_encoding::percent_decode_str;
use std::path::PathBuf;
use std::time::Duration;

/// What a source URI says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `demo:?seed=7&people=12`: a corridor that the runtime draws, see [`crate::demo`].
    Demo {
        /// Selects the timetable of the walkers.
        seed: u64,
        /// Groups of walkers per minute; 0 is an empty corridor.
        people: u32,
    },
    /// `file:///path.mp4?loop=true`, `file:relative.mp4`: a recording, in real time.
    File {
        /// The file, percent-decoded.
        path: PathBuf,
        /// Whether it starts again at its end.
        looping: bool,
    },
    /// `rtsp://…`, `rtsps://…`: a network camera. The whole URI, its query included, is the camera's.
    Rtsp {
        /// The URI as configured.
        uri: String,
    },
    /// `v4l2:///dev/video0?format=mjpeg`: a camera of this machine.
    V4l2 {
        /// The device node.
        device: String,
        /// What to ask it for.
        format: V4l2Format,
    },
    /// `libcamera:` or `libcamera:NAME`: the camera stack of the Raspberry Pi and others.
    Libcamera {
        /// The camera's name as `cam --list` shows it; `None` is the first.
        camera: Option<String>,
    },
    /// `mix:cam1,cam2`: other cameras of the gateway in one picture.
    Mix {
        /// Their names, two to four.
        cameras: Vec<String>,
    },
    /// `test:`: GStreamer's own test picture.
    Test,
}

/// What a V4L2 camera is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum V4l2Format {
    /// MJPEG when the camera offers it in the configured size, else raw pictures.
    #[default]
    Auto,
    /// Raw pictures, encoded here.
    Raw,
    /// The camera's own JPEG pictures, passed through.
    Mjpeg,
}

/// Why a source URI is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// There is no scheme.
    #[error("`{given}` is no source URI: {hint}")]
    NoScheme {
        /// The text, redacted.
        given: String,
        /// What was probably meant.
        hint: String,
    },
    /// The scheme is not one of ours.
    #[error("unknown source `{scheme}:`{hint}")]
    Scheme {
        /// The scheme as given.
        scheme: String,
        /// What was probably meant.
        hint: String,
    },
    /// A query parameter is not known.
    #[error("`{scheme}:` has no parameter `{key}`{hint}")]
    Parameter {
        /// The scheme.
        scheme: &'static str,
        /// The parameter as given.
        key: String,
        /// What was probably meant.
        hint: String,
    },
    /// A query parameter has a value it cannot have.
    #[error("`{key}={value}` in the source: {expected}")]
    Value {
        /// The parameter.
        key: String,
        /// Its value as given.
        value: String,
        /// What it can be.
        expected: &'static str,
    },
    /// The rest of the URI is not what the scheme needs.
    #[error("{0}")]
    Form(String),
}

const SCHEMES: [&str; 8] = ["demo", "file", "rtsp", "rtsps", "v4l2", "libcamera", "mix", "test"];

/// The longest source URI, in bytes.
const MAX_URI: usize = 4096;

impl Source {
    /// Reads a source URI.
    pub fn parse(uri: &str) -> Result<Self, SourceError> {
        if uri.len() > MAX_URI {
            return Err(SourceError::Form(format!("a source has at most {MAX_URI} bytes: shorten it")));
        }
        // Control characters could end a token of the pipeline text, and no log can show them.
        if uri.chars().any(char::is_control) {
            return Err(SourceError::Form("a source has no control characters: percent-encode them".into()));
        }
        let scheme = uri.split_once(':').filter(|(s, _)| {
            !s.is_empty() && s.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
        });
        let Some((scheme, rest)) = scheme else {
            return Err(SourceError::NoScheme { given: redact(uri), hint: scheme_hint(uri) });
        };
        match scheme.to_ascii_lowercase().as_str() {
            "demo" => demo(rest),
            "file" => file(rest),
            "rtsp" | "rtsps" => rtsp(uri, rest),
            "v4l2" => v4l2(rest),
            "libcamera" => libcamera(rest),
            "mix" => mix(rest),
            "test" if rest.is_empty() => Ok(Self::Test),
            "test" => Err(SourceError::Form("`test:` takes nothing behind it: write `test:`".into())),
            _ => Err(SourceError::Scheme { scheme: scheme.into(), hint: suggest(scheme, SCHEMES) }),
        }
    }

    /// The names of the pipeline files that belong to this kind of source; of several, the camera decides when it opens.
    pub fn pipelines(&self) -> &'static [&'static str] {
        match self {
            Self::Demo { .. } => &["demo"],
            Self::File { .. } => &["file"],
            Self::Rtsp { .. } => &["rtsp"],
            Self::V4l2 { format: V4l2Format::Auto, .. } => &["usb-mjpeg", "usb"],
            Self::V4l2 { format: V4l2Format::Mjpeg, .. } => &["usb-mjpeg"],
            Self::V4l2 { format: V4l2Format::Raw, .. } => &["usb"],
            Self::Libcamera { .. } => &["libcamera"],
            Self::Mix { .. } => &["mix"],
            Self::Test => &["test"],
        }
    }

    /// How long the first frame may take, whatever the stall timeout. A network camera connects, and may then wait for the
    /// next whole picture of its codec, which some send every ten seconds.
    pub(crate) fn grace(&self) -> Duration {
        Duration::from_secs(if matches!(self, Self::Rtsp { .. }) { 15 } else { 5 })
    }

    /// What to look at when this source gives nothing.
    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Self::Demo { .. } | Self::Test => "look at the load of this machine",
            Self::File { .. } => "look at the file and its permissions",
            Self::Rtsp { .. } => "look at the camera, its network and its credentials",
            Self::V4l2 { .. } => "look at the camera, its cable, and who else uses it",
            Self::Libcamera { .. } => "look at the camera and its ribbon cable",
            Self::Mix { .. } => "look at the cameras that it shows",
        }
    }
}

fn scheme_hint(uri: &str) -> String {
    if uri.starts_with("/dev/") {
        format!("for a camera of this machine write `v4l2://{uri}`")
    } else if uri.starts_with('/') {
        format!("for a recording write `file://{uri}`")
    } else if SCHEMES.contains(&uri) {
        format!("write `{uri}:`")
    } else {
        "write one like `demo:`, `file:///path.mp4?loop=true`, `rtsp://host/path` or `v4l2:///dev/video0`"
            .into()
    }
}

fn decode(text: &str) -> Result<String, SourceError> {
    let decoded = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| SourceError::Form(format!("`{text}` is not UTF-8 when percent-decoded: rename it")))?;
    if decoded.chars().any(char::is_control) {
        return Err(SourceError::Form(format!(
            "`{text}` has control characters when percent-decoded: rename it"
        )));
    }
    Ok(decoded.into_owned())
}

/// Splits off the query and gives each of its parameters to `take`, which returns `None` for a key it does not know.
fn query<'a>(
    rest: &'a str,
    scheme: &'static str,
    known: &'static [&'static str],
    mut take: impl FnMut(&str, &str) -> Result<(), &'static str>,
) -> Result<&'a str, SourceError> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !known.contains(&key) {
            return Err(SourceError::Parameter {
                scheme,
                key: key.into(),
                hint: suggest(key, known.iter().copied()),
            });
        }
        let value = decode(value)?;
        take(key, &value).map_err(|expected| SourceError::Value { key: key.into(), value, expected })?;
    }
    Ok(path)
}

fn mix(rest: &str) -> Result<Source, SourceError> {
    let cameras: Vec<String> = rest.split(',').map(|name| name.trim().to_owned()).collect();
    let good = |name: &String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        !name.is_empty() && name.chars().all(plain)
    };
    if !(2..=crate::mix::layout::MAX_CAMERAS).contains(&cameras.len()) || !cameras.iter().all(good) {
        return Err(SourceError::Form("a mix names two to four cameras: write `mix:cam1,cam2`".into()));
    }
    if let Some(twice) = cameras.iter().enumerate().find(|(n, name)| cameras[..*n].contains(name)) {
        return Err(SourceError::Form(format!("`{}` is in the mix twice: name each camera once", twice.1)));
    }
    Ok(Source::Mix { cameras })
}

fn demo(rest: &str) -> Result<Source, SourceError> {
    let (mut seed, mut people) = (crate::demo::DEFAULT_SEED, crate::demo::DEFAULT_PEOPLE);
    let path = query(rest, "demo", &["seed", "people"], |key, value| {
        match key {
            "seed" => seed = value.parse().map_err(|_| "a seed is a whole number from 0: choose one")?,
            _ => {
                people = value
                    .parse()
                    .ok()
                    .filter(|n| *n <= crate::demo::MAX_PEOPLE)
                    .ok_or("groups of walkers per minute, 0 to 30: choose a number between")?;
            }
        }
        Ok(())
    })?;
    if !path.trim_matches('/').is_empty() {
        return Err(SourceError::Form(format!(
            "`demo:` has no path `{path}`: write `demo:` or `demo:?seed=7`"
        )));
    }
    Ok(Source::Demo { seed, people })
}

fn file(rest: &str) -> Result<Source, SourceError> {
    let mut looping = false;
    let path = query(rest, "file", &["loop"], |_, value| {
        looping = match value {
            "true" | "1" | "yes" | "" => true,
            "false" | "0" | "no" => false,
            _ => return Err("write `true` or `false`"),
        };
        Ok(())
    })?;
    let path = path.strip_prefix("//").unwrap_or(path);
    let path = path.strip_prefix("localhost").filter(|p| p.starts_with('/')).unwrap_or(path);
    let path = decode(path)?;
    if path.is_empty() {
        return Err(SourceError::Form(
            "the file is missing: write `file:///path/to/video.mp4?loop=true`".into(),
        ));
    }
    Ok(Source::File { path: path.into(), looping })
}

fn rtsp(uri: &str, rest: &str) -> Result<Source, SourceError> {
    let host = rest.strip_prefix("//").map(|r| r.split(['/', '?', '#']).next().unwrap_or(""));
    let host = host.map(|authority| authority.rsplit_once('@').map_or(authority, |(_, host)| host));
    if host.is_none_or(|h| h.is_empty() || h.starts_with(':')) {
        return Err(SourceError::Form(
            "the host is missing: write `rtsp://user:password@host:554/path`".into(),
        ));
    }
    if uri.contains(char::is_whitespace) {
        return Err(SourceError::Form("an rtsp URI has no spaces: write %20".into()));
    }
    Ok(Source::Rtsp { uri: uri.into() })
}

fn v4l2(rest: &str) -> Result<Source, SourceError> {
    let mut format = V4l2Format::Auto;
    let path = query(rest, "v4l2", &["format"], |_, value| {
        format = match value {
            "auto" => V4l2Format::Auto,
            "raw" => V4l2Format::Raw,
            "mjpeg" => V4l2Format::Mjpeg,
            _ => return Err("write `auto`, `raw` or `mjpeg`"),
        };
        Ok(())
    })?;
    let device = decode(path.strip_prefix("//").unwrap_or(path))?;
    if !device.starts_with('/') {
        let hint = nearest(&device, ["video0", "dev/video0"])
            .map_or("/dev/video0".to_owned(), |_| format!("/dev/{}", device.trim_start_matches("dev/")));
        return Err(SourceError::Form(format!("`{device}` is no device: write `v4l2://{hint}`")));
    }
    Ok(Source::V4l2 { device, format })
}

fn libcamera(rest: &str) -> Result<Source, SourceError> {
    let camera = decode(rest.trim_start_matches("//"))?;
    Ok(Source::Libcamera { camera: Some(camera).filter(|c| !c.is_empty()) })
}

/// Where the user's name and password are in a URI of the form `scheme://user:password@host…`. A password may hold
/// unescaped `@` and `/`, as people type them: it ends at the last `@` before the query.
fn credentials(uri: &str) -> Option<std::ops::Range<usize>> {
    let start = uri.find("://")? + 3;
    let rest = &uri[start..];
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let before_query = &rest[..rest.find('?').unwrap_or(rest.len())];
    let end = before_query.rfind('@').filter(|end| *end < authority.len() || authority.contains(':'));
    let end = end.filter(|end| authority.contains('@') || before_query[..*end].contains(':'))?;
    Some(start..start + end)
}

/// The URI without its credentials, for logs, status and errors.
#[must_use]
pub fn redact(uri: &str) -> String {
    let mut shown = uri.to_owned();
    if let Some(secret) = credentials(uri).filter(|_| !uri.starts_with("file:")) {
        shown.replace_range(secret, "***");
    }
    let Some((path, query)) = shown.split_once('?') else { return shown };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((key, _)) if is_secret(key) => format!("{key}=***"),
        _ => pair.to_owned(),
    });
    format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
}

/// A text of somebody else, such as GStreamer, without the credentials of this URI.
pub(crate) fn hide(text: &str, uri: &str) -> String {
    let text = text.replace(uri, &redact(uri));
    match credentials(uri) {
        Some(secret) if !secret.is_empty() => text.replace(&uri[secret], "***"),
        _ => text,
    }
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["pass", "pwd", "user", "token", "auth", "secret", "key"].iter().any(|s| key.contains(s))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(uri: &str) -> Source {
        Source::parse(uri).unwrap_or_else(|e| panic!("{uri}: {e}"))
    }

    fn error(uri: &str) -> String {
        Source::parse(uri).expect_err(uri).to_string()
    }

    #[test]
    fn each_kind_of_source_is_read() {
        assert_eq!(ok("demo:?seed=7&people=3"), Source::Demo { seed: 7, people: 3 });
        let file = |path: &str, looping| Source::File { path: path.into(), looping };
        assert_eq!(ok("file:///a%20b/c.mp4?loop=true"), file("/a b/c.mp4", true));
        assert_eq!(ok("file://localhost/c.mp4"), file("/c.mp4", false));
        assert_eq!(ok("file:video.mp4?loop=false"), file("video.mp4", false));
        assert_eq!(ok("file://rel/video.mp4"), file("rel/video.mp4", false));
        assert_eq!(ok("file:/a%3Fb.mp4"), file("/a?b.mp4", false));
        let rtsp = "rtsp://u:p@10.0.0.2:554/s?channel=1&loop=true";
        assert_eq!(ok(rtsp), Source::Rtsp { uri: rtsp.into() });
        let v4l2 = |format| Source::V4l2 { device: "/dev/video0".into(), format };
        assert_eq!(ok("v4l2:///dev/video0"), v4l2(V4l2Format::Auto));
        assert_eq!(ok("V4L2:/dev/video0?format=mjpeg"), v4l2(V4l2Format::Mjpeg));
        assert_eq!(ok("libcamera:"), Source::Libcamera { camera: None });
        assert_eq!(ok("test:"), Source::Test);
    }

    #[test]
    fn a_bad_source_is_answered_with_the_next_step() {
        for (uri, says) in [
            ("/dev/video2", "write `v4l2:///dev/video2`"),
            ("/home/me/a.mp4", "write `file:///home/me/a.mp4`"),
            ("demo", "write `demo:`"),
            ("", "write one like"),
            ("rstp://host/", "did you mean `rtsp`?"),
            ("http://host/", "known are demo, file"),
            ("file:///a.mp4?lop=true", "did you mean `loop`?"),
            ("file:///a.mp4?loop=maybe", "write `true` or `false`"),
            ("file:", "the file is missing"),
            ("rtsp:///path", "the host is missing"),
            ("v4l2:video0", "write `v4l2:///dev/video0`"),
            ("v4l2:///dev/video0?format=h264", "write `auto`, `raw` or `mjpeg`"),
            ("demo:?people=999", "0 to 30"),
            ("mix:", "two to four"),
            ("mix:a", "two to four"),
            ("mix:a,b,c,d,e", "two to four"),
            ("mix:a,b/c", "two to four"),
            ("mix:a,b,a", "twice"),
            ("file:///a\nb", "control characters"),
            ("file:///a%0ab", "control characters"),
        ] {
            let message = error(uri);
            assert!(message.contains(says), "{uri}: {message}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_no_password_shows(text in ".*", password in "[a-zA-Z0-9:/@#%]{6,20}") {
            let _ = (Source::parse(&text), Source::parse(&format!("rtsp://{text}")), redact(&text));
            let uri = format!("rtsp://admin:{password}@camera/stream?channel=1");
            proptest::prop_assert_eq!(redact(&uri), "rtsp://***@camera/stream?channel=1");
        }
    }

    #[test]
    fn credentials_never_show() {
        for (uri, shown) in [
            ("rtsp://admin:s3cret@10.0.0.2/x", "rtsp://***@10.0.0.2/x"),
            ("rtsp://admin:s3/cr@t@10.0.0.2/x", "rtsp://***@10.0.0.2/x"),
            ("rtsp://admin:p@ss@10.0.0.2:554", "rtsp://***@10.0.0.2:554"),
            (
                "rtsp://10.0.0.2/x?user=admin&password=s3cret&channel=1",
                "rtsp://10.0.0.2/x?user=***&password=***&channel=1",
            ),
            ("rtsp://10.0.0.2/x?channel=1", "rtsp://10.0.0.2/x?channel=1"),
            ("demo:?seed=7", "demo:?seed=7"),
            ("file:///a:b@c.mp4", "file:///a:b@c.mp4"),
            ("rtsp://10.0.0.2:554/x@y", "rtsp://***@y"),
            ("rtsp://u:p@10.0.0.2/x?mail=a@b", "rtsp://***@10.0.0.2/x?mail=a@b"),
        ] {
            assert_eq!(redact(uri), shown);
        }
        let uri = "rtsp://admin:s3cret@10.0.0.2/x";
        assert_eq!(
            hide("cannot open rtsp://admin:s3cret@10.0.0.2/x!", uri),
            "cannot open rtsp://***@10.0.0.2/x!"
        );
        assert_eq!(hide("admin:s3cret is refused", uri), "*** is refused");
    }
}
