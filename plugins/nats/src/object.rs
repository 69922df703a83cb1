//! Pictures as objects of a JetStream object store: messages with parts of the content, then one that describes it.

use crate::config::Limits;
use crate::jetstream::{self, JetStream};
use crate::trouble::Trouble;
use async_nats::jetstream::context::PublishAckFuture;
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

/// What one message carries of the content, as all clients of the object store do it.
const PART: usize = 128 * 1024;
/// Parts that are on their way at the same time.
const AHEAD: usize = 8;

/// An object store.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    name: String,
    stream: String,
    /// Another one in each process, so that its keys are no other's.
    process: u64,
}

impl Bucket {
    pub(crate) fn new(name: &str) -> Self {
        let process = RandomState::new().hash_one(std::process::id());
        Self { name: name.to_owned(), stream: format!("OBJ_{name}"), process }
    }

    /// Makes it, when it is missing and that is wanted. Returns the most bytes of one message.
    pub(crate) async fn open(
        &self,
        jetstream: &JetStream<'_>,
        limits: Option<&Limits>,
    ) -> Result<usize, Trouble> {
        let make = limits.map(|limits| self.make(limits));
        jetstream.stream(&self.stream, make).await.map(|info| info.most)
    }

    fn make(&self, limits: &Limits) -> Value {
        let subjects = [format!("$O.{}.C.>", self.name), format!("$O.{}.M.>", self.name)];
        let mut made = jetstream::make(&self.stream, &subjects, limits);
        // An object without some of its parts is none: what is full takes nothing more.
        made["discard"] = json!("new");
        made["allow_rollup_hdrs"] = json!(true);
        made
    }

    /// What the parts of one attempt are found by. Two tokens, so that all attempts at an object can be found as well: a
    /// gateway that died half-way knows what to remove.
    fn key(&self, name: &str, attempt: u32) -> String {
        format!("{}.{:x}-{attempt}", hash(name), self.process)
    }

    /// Puts an object there, unless it is there already. `attempt` is another number each time that this is begun anew: what
    /// is late of one before must not get in between.
    pub(crate) async fn put(
        &self,
        jetstream: &JetStream<'_>,
        name: &str,
        content: Bytes,
        most: usize,
        attempt: u32,
    ) -> Result<(), Trouble> {
        let described = format!("$O.{}.M.{}", self.name, base64_simd::URL_SAFE.encode_to_string(name));
        let digest = digest(&content);
        if let Some(found) = jetstream.last(&self.stream, &described).await? {
            let told: Value = serde_json::from_slice(&found.data).unwrap_or_default();
            if told["digest"] == digest && told["deleted"] != true {
                return Ok(());
            }
        }
        // What attempts that were cut off have left.
        jetstream.purge(&self.stream, &format!("$O.{}.C.{}.*", self.name, hash(name))).await?;
        let key = self.key(name, attempt);
        let parts = format!("$O.{}.C.{key}", self.name);
        let part = PART.min(most / 2).max(1);
        let mut sent = VecDeque::new();
        let mut count = 0;
        let mut rest = content.clone();
        while !rest.is_empty() {
            let next = rest.split_to(part.min(rest.len()));
            sent.push_back(jetstream.put(&self.stream, parts.clone(), next, false).await?);
            count += 1;
            self.wait(jetstream, &mut sent, AHEAD).await?;
        }
        self.wait(jetstream, &mut sent, 0).await?;
        let told = json!({
            "name": name, "bucket": self.name, "nuid": key, "size": content.len(), "chunks": count,
            "digest": digest, "options": { "max_chunk_size": part },
        });
        sent.push_back(jetstream.put(&self.stream, described, told.to_string().into(), true).await?);
        self.wait(jetstream, &mut sent, 0).await
    }

    async fn wait(
        &self,
        jetstream: &JetStream<'_>,
        sent: &mut VecDeque<PublishAckFuture>,
        most: usize,
    ) -> Result<(), Trouble> {
        while sent.len() > most
            && let Some(first) = sent.pop_front()
        {
            jetstream.arrived(&self.stream, first).await?;
        }
        Ok(())
    }
}

fn digest(content: &[u8]) -> String {
    format!("SHA-256={}", base64_simd::URL_SAFE.encode_to_string(Sha256::digest(content)))
}

/// A name as one token: the same for the same name, always.
fn hash(name: &str) -> String {
    base64_simd::URL_SAFE_NO_PAD.encode_to_string(&Sha256::digest(name)[..16])
}

#[cfg(test)]
mod tests {
    use super::{Bucket, digest, hash};
    use crate::subject::{escape, is_prefix};

    #[test]
    fn no_two_attempts_at_an_object_share_their_parts_and_all_of_them_are_found() {
        let (one, other) = (Bucket::new("b"), Bucket::new("b"));
        let keys = [one.key("a/b", 0), one.key("a/b", 1), other.key("a/b", 0), one.key("a/c", 0)];
        for (n, key) in keys.iter().enumerate() {
            assert!(is_prefix(key) && key.split('.').count() == 2, "{key}");
            assert!(!keys[..n].contains(key), "{keys:?}");
            assert_eq!(key.starts_with(&format!("{}.", hash("a/b"))), n < 3, "{key}");
        }
        assert_eq!((escape(&hash("a/b")), hash("a/b").len()), (hash("a/b"), 22));
    }

    #[test]
    fn the_digest_is_that_of_all_clients() {
        assert_eq!(digest(b""), "SHA-256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=");
    }
}
