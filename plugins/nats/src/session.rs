//! One connection after the other, and what is done over each.

use crate::answerer;
use crate::backoff::Backoff;
use crate::config::Config;
use crate::feed::Feed;
use crate::link::Link;
use crate::message::{Form, READ};
use crate::publisher::Publisher;
use crate::status::Status;
use crate::subject::Subjects;
use gantry_plugin::Host;
use gantry_plugin::calls::Calls;
use gantry_plugin::worker::Stopping;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How often it is looked how much waits.
const LOOK: Duration = Duration::from_secs(2);
/// So many times as long as counting what waits has taken it is not counted again.
const COUNT_SHARE: u32 = 20;
/// How long good-byes may take.
const FAREWELL: Duration = Duration::from_secs(3);
/// A connection that held for so long was a good one.
const GOOD: Duration = Duration::from_secs(30);

/// What the worker is given when it starts.
pub(crate) struct Parts {
    pub(crate) host: Host,
    pub(crate) config: Config,
    pub(crate) gateway: String,
    pub(crate) calls: Arc<Calls>,
    pub(crate) woken: Arc<Notify>,
}

/// Works until the plugin stops.
pub(crate) async fn run(parts: Parts, mut stopping: Stopping) {
    let Parts { host, config, gateway, calls, woken } = parts;
    let status = Arc::new(Status::new(host));
    let feed = Arc::new(Feed::new(calls.clone(), woken, &config));
    let form = Form {
        subjects: Subjects::new(&config.prefix, &gateway),
        pictures: config.pictures,
        bucket: config.bucket.clone().unwrap_or_else(|| bucket(&config.prefix, &gateway)),
        answers: config.requests && config.services.iter().any(|name| name == READ),
        gateway,
    };
    let in_time = {
        let mut stopping = stopping.clone();
        async move {
            stopping.wait().await;
            tokio::time::sleep(FAREWELL).await;
        }
    };
    tokio::select! {
        () = connections(&config, &form, &feed, &status, &calls, &mut stopping) => {}
        () = figures(&config, &feed, &status, &calls) => {}
        () = in_time => {}
    }
    // What is not running says nothing of itself.
    write(
        &config,
        &calls,
        &json!({ "connected": null, "backlog": null, "oldest_age_s": null, "last_error": null }),
    );
}

/// A bucket's name has no dots.
fn bucket(prefix: &str, gateway: &str) -> String {
    format!("{}-{gateway}", prefix.replace('.', "-"))
}

async fn connections(
    config: &Config,
    form: &Form,
    feed: &Arc<Feed>,
    status: &Arc<Status>,
    calls: &Arc<Calls>,
    stopping: &mut Stopping,
) {
    let mut publisher = Publisher::new(feed.clone(), status.clone(), form.clone(), config);
    let mut backoff = Backoff::default();
    // What waits is counted also while no server is there.
    while let Err(why) = feed.open().await {
        status.disconnected(&format!("the records cannot be read: {why}"));
        tokio::select! {
            () = tokio::time::sleep(backoff.wait()) => {}
            () = stopping.wait() => return,
        }
    }
    loop {
        let begin = Instant::now();
        let opened = tokio::select! {
            opened = Link::open(config, &form.gateway) => opened,
            () = stopping.wait() => return,
        };
        let why = match opened {
            Ok(link) => {
                status.connected(&server(&link));
                let answers = async {
                    if config.requests {
                        answerer::run(&link, config, &form.subjects, calls, status).await;
                    }
                    std::future::pending::<()>().await;
                };
                let lost = tokio::select! {
                    why = link.lost() => Some(why),
                    () = publisher.run(&link, config, stopping.clone()) => None,
                    () = answers => None,
                };
                let Some(why) = lost else {
                    let _ = link.client.flush().await;
                    return;
                };
                if begin.elapsed() > GOOD {
                    backoff.reset();
                }
                format!("{why}: it is made anew")
            }
            Err(why) => why,
        };
        status.disconnected(&why);
        tokio::select! {
            () = tokio::time::sleep(backoff.wait()) => {}
            () = stopping.wait() => return,
        }
    }
}

/// What is known of the server, none of it a secret.
fn server(link: &Link) -> String {
    let info = link.client.server_info();
    format!("{} (nats-server {})", info.server_name, info.version)
}

/// Tells how much waits.
async fn figures(config: &Config, feed: &Feed, status: &Status, calls: &Arc<Calls>) {
    let mut told = Value::Null;
    loop {
        let asked = Instant::now();
        let now = status.figures(feed.waiting().await.ok());
        let took = asked.elapsed();
        if now != told {
            write(config, calls, &now);
            told = now;
        }
        // Counting a long backlog takes the store a while: it is not kept busy with it.
        tokio::time::sleep(LOOK.max(took * COUNT_SHARE)).await;
    }
}

fn write(config: &Config, calls: &Calls, figures: &Value) {
    let values: Map<String, Value> = figures
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| (format!("{}/{key}", config.state), value.clone()))
        .collect();
    calls.tell("state.write", &json!({ "values": values }));
}

#[cfg(test)]
mod tests {
    use super::bucket;
    use crate::subject::is_token;

    #[test]
    fn the_bucket_of_any_gateway_has_a_good_name() {
        assert_eq!(bucket("gantry", "north-gate"), "gantry-north-gate");
        assert!(is_token(&bucket("site.a", "b")));
    }
}
