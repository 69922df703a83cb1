//! Records that the upstream refuses for good: kept in a collection of their own, with the reason, before they are
//! acknowledged.

use crate::message::stamp;
use gantry_plugin::calls::Calls;
use serde_json::{Value, json};

/// Their collection.
const COLLECTION: &str = "refused";

/// What a request to the runtime may have, with room for what is around it.
const MAX_REQUEST: usize = 1_000_000;

/// A record and why it is refused.
pub(crate) struct Refused {
    pub(crate) id: String,
    pub(crate) collection: String,
    pub(crate) reason: String,
    pub(crate) upstream: String,
    /// Two uplinks may refuse the same record.
    pub(crate) instance: String,
    pub(crate) now_ms: i64,
}

impl Refused {
    /// Keeps it, with all that it has. Once, however often this is asked.
    pub(crate) async fn keep(&self, calls: &Calls) -> Result<(), String> {
        let ask = json!({"collection": self.collection, "id": self.id, "blobs": true});
        let mut reply = calls.ask("records.query", &ask).await?;
        let mut record = reply["records"][0].take();
        let mut blobs = Vec::new();
        if let Value::Array(all) = record["blobs"].take() {
            for mut blob in all {
                if let (Value::String(name), Value::String(base64)) =
                    (blob["name"].take(), blob["data"].take())
                    && let Ok(bytes) = base64_simd::STANDARD.decode_to_vec(base64.into_bytes())
                {
                    blobs.push((name, bytes));
                }
            }
        }
        let refusal = self.append(calls, record["data"].take(), &blobs).await?;
        if refusal["refused"] == "bad" {
            // With what is around it, it is more than a record may have: it stays where it is, and is named.
            let again = self.append(calls, Value::Null, &[]).await?;
            return kept(&again);
        }
        kept(&refusal)
    }

    async fn append(&self, calls: &Calls, data: Value, blobs: &[(String, Vec<u8>)]) -> Result<Value, String> {
        let (names, bytes): (Vec<&str>, Vec<&[u8]>) =
            blobs.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).unzip();
        let request = json!({
            "collection": COLLECTION,
            "dedup_key": format!("{}:{}", self.instance, self.id),
            "blobs": names,
            "data": {
                "record_id": self.id,
                "collection": self.collection,
                "reason": self.reason,
                "upstream": self.upstream,
                "refused_at": stamp(self.now_ms),
                "record": data,
            },
        });
        if request.to_string().len() > MAX_REQUEST {
            return Ok(json!({ "refused": "bad", "message": "it is more than a request may have" }));
        }
        calls.ask_with("records.append", &request, &bytes).await
    }
}

fn kept(reply: &Value) -> Result<(), String> {
    if reply["id"].is_string() && reply["refused"].is_null() {
        return Ok(());
    }
    let why = reply["message"].as_str().unwrap_or("the gateway does not say why");
    Err(format!(
        "a refused record cannot be kept ({why}): make room on the gateway's disk, or look into its log"
    ))
}
