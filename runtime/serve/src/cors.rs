//! What web pages of other origins are answered.

use crate::Origins;
use crate::http::header::{self, HeaderMap, HeaderValue};
use crate::http::{Response, StatusCode};

/// What a request says of the page that it comes from. Made by [`Origins::cors`].
#[derive(Debug)]
pub struct Cors {
    origin: Option<HeaderValue>,
    asked: Option<HeaderValue>,
}

impl Origins {
    /// What a request with these headers says of its page; `None` when that page may not connect.
    #[must_use]
    pub fn cors(&self, headers: &HeaderMap) -> Option<Cors> {
        let origin = headers.get(header::ORIGIN).cloned();
        let asked = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        let may = self.allows(origin.as_ref().map(|origin| origin.to_str().unwrap_or("null")));
        may.then_some(Cors { origin, asked })
    }
}

impl Cors {
    /// The answer to what a browser asks (`OPTIONS`) before the page sends what is no simple request.
    #[must_use]
    pub fn preflight(&self) -> Response {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET,POST"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
        if let Some(asked) = &self.asked {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
        response
    }

    /// Lets the page read an answer.
    pub fn mark(self, response: &mut Response) {
        if let Some(origin) = self.origin {
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After"));
            headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        }
    }
}
