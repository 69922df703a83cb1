//! Services: what plugins can ask the runtime for, by name, with a JSON request and a JSON reply.
//!
//! New abilities of the runtime are new services, not new functions of the plugin border.

use crate::lock;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Why a service did not do what was asked. The message goes to the plugin as it is.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ServiceError(pub String);

/// Takes the answer, exactly once, from any thread.
pub type Reply = Box<dyn FnOnce(Result<Value, ServiceError>) + Send>;

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The instance's name in the configuration.
    pub plugin: Arc<str>,
}

/// Answers requests. Called on a thread of the caller and must not block: work that takes time is passed on together with
/// the [`Reply`].
pub type Handler = Arc<dyn Fn(&Caller, Value, Reply) + Send + Sync>;

/// All services by name.
#[derive(Default)]
pub struct Services {
    handlers: Mutex<BTreeMap<String, Handler>>,
}

impl Services {
    /// Offers a service. The same name again replaces it.
    pub fn offer(&self, name: &str, handler: Handler) {
        lock(&self.handlers).insert(name.to_owned(), handler);
    }

    /// Offers a service whose answer is there at once.
    pub fn offer_sync(
        &self,
        name: &str,
        handler: impl Fn(&Caller, Value) -> Result<Value, ServiceError> + Send + Sync + 'static,
    ) {
        self.offer(name, Arc::new(move |caller, request, reply| reply(handler(caller, request))));
    }

    /// All names.
    pub fn names(&self) -> Vec<String> {
        lock(&self.handlers).keys().cloned().collect()
    }

    /// The service of that name.
    pub fn get(&self, name: &str) -> Option<Handler> {
        lock(&self.handlers).get(name).cloned()
    }
}
