//! Answers requests.

use crate::config::Config;
use crate::feed::PATIENCE;
use crate::link::Link;
use crate::request::{Service, answer, read, refusal};
use crate::status::Status;
use crate::subject::Subjects;
use async_nats::{Message, Subject};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use gantry_plugin::calls::Calls;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Requests that are being answered at the same time.
const OPEN: usize = 32;
/// Of these, requests whose answers may be large.
const LARGE: usize = 4;

/// So many in a second, and as many at once.
struct Rate {
    per_second: f64,
    left: f64,
    at: Instant,
}

impl Rate {
    fn take(&mut self, now: Instant) -> bool {
        let gained = now.duration_since(self.at).as_secs_f64() * self.per_second;
        (self.left, self.at) = ((self.left + gained).min(self.per_second), now);
        let is_there = self.left >= 1.0;
        if is_there {
            self.left -= 1.0;
        }
        is_there
    }
}

/// Answers requests of one connection, for ever.
pub(crate) async fn run(
    link: &Link,
    config: &Config,
    subjects: &Subjects,
    calls: &Arc<Calls>,
    status: &Status,
) {
    let client = &link.client;
    let mut asked = loop {
        match client.subscribe(subjects.requests()).await {
            Ok(asked) => break asked,
            // The connection is gone, which is noticed elsewhere.
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    };
    let per_second = f64::from(config.requests_per_second);
    let mut rate = Rate { per_second, left: per_second, at: Instant::now() };
    let mut open = FuturesUnordered::new();
    let mut large = 0;
    loop {
        let (reply, text) = tokio::select! {
            Some((is_large, reply, text)) = open.next() => {
                large -= usize::from(is_large);
                (reply, text)
            }
            Some(message) = asked.next() => match take(message, config, subjects, status) {
                Taken::Ignored => continue,
                Taken::Refused(reply, why) => (reply, refusal(&why)),
                Taken::Asked(reply, service, _)
                    if open.len() >= OPEN
                        || (Service::is_large(service) && large >= LARGE)
                        || !rate.take(Instant::now()) =>
                {
                    status.meters.refused_requests.record(1.0);
                    (reply, refusal("too many ask: ask again in a moment"))
                }
                Taken::Asked(reply, service, request) => {
                    status.meters.requests.record(1.0);
                    let is_large = Service::is_large(service);
                    large += usize::from(is_large);
                    open.push(async move {
                        let told = tokio::time::timeout(PATIENCE, calls.ask(service, &request)).await;
                        let told = told.unwrap_or_else(|_| Err(format!("{service}: no answer: ask again later")));
                        (is_large, reply, answer(told, client.server_info().max_payload))
                    });
                    continue;
                }
            },
            else => return std::future::pending().await,
        };
        // Who does not get it asks again.
        let _ = client.publish(reply, text.into()).await;
    }
}

enum Taken {
    Asked(Subject, &'static str, serde_json::Value),
    Refused(Subject, String),
    Ignored,
}

fn take(message: Message, config: &Config, subjects: &Subjects, status: &Status) -> Taken {
    let reply = message.reply.filter(|reply| subjects.may_answer(reply, &config.reply_prefixes));
    let (Some(reply), Some(service)) = (reply, subjects.service(&message.subject)) else {
        status.meters.ignored_requests.record(1.0);
        return Taken::Ignored;
    };
    match read(service, &config.services, &message.payload) {
        Ok((service, request)) => Taken::Asked(reply, service, request),
        Err(why) => {
            status.meters.refused_requests.record(1.0);
            Taken::Refused(reply, why)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rate;
    use std::time::Duration;
    use tokio::time::Instant;

    #[test]
    fn so_many_in_a_second_and_no_more() {
        let begin = Instant::now();
        let mut rate = Rate { per_second: 10.0, left: 10.0, at: begin };
        assert_eq!((0..30).filter(|_| rate.take(begin)).count(), 10);
        let later = begin + Duration::from_millis(500);
        assert_eq!((0..30).filter(|_| rate.take(later)).count(), 5);
        assert_eq!((0..30).filter(|_| rate.take(begin + Duration::from_secs(60))).count(), 10);
    }
}
