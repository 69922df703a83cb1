//! Services: what plugins can ask the runtime for, by name, with a JSON request and a JSON reply.
//!
//! New abilities of the runtime are new services, not new functions of the plugin border.

use crate::lock;
use bytes::Bytes;
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

/// A [`Handler`] that also takes bytes beside the request, such as pictures.
pub type BlobHandler = Arc<dyn Fn(&Caller, Value, Vec<Bytes>, Reply) + Send + Sync>;

/// Who answers.
#[derive(Clone)]
enum Service {
    Plain(Handler),
    WithBlobs(BlobHandler),
}

/// All services by name.
#[derive(Default)]
pub struct Services {
    handlers: Mutex<BTreeMap<String, Service>>,
}

/// A call was not made; nobody answers to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uncalled {
    /// There is no such service.
    Unknown,
    /// The service takes no blobs.
    NoBlobs,
}

impl Services {
    /// Offers a service. The same name again replaces it.
    pub fn offer(&self, name: &str, handler: Handler) {
        lock(&self.handlers).insert(name.to_owned(), Service::Plain(handler));
    }

    /// Offers a service that takes blobs, also none.
    pub fn offer_with_blobs(&self, name: &str, handler: BlobHandler) {
        lock(&self.handlers).insert(name.to_owned(), Service::WithBlobs(handler));
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

    /// Whether there is such a service that takes so many blobs.
    pub fn check(&self, name: &str, blobs: usize) -> Result<(), Uncalled> {
        match lock(&self.handlers).get(name) {
            None => Err(Uncalled::Unknown),
            Some(Service::Plain(_)) if blobs > 0 => Err(Uncalled::NoBlobs),
            Some(_) => Ok(()),
        }
    }

    /// Asks a service.
    pub fn call(
        &self,
        caller: &Caller,
        name: &str,
        request: Value,
        blobs: Vec<Bytes>,
        reply: Reply,
    ) -> Result<(), Uncalled> {
        self.check(name, blobs.len())?;
        let service = lock(&self.handlers).get(name).cloned();
        match service.ok_or(Uncalled::Unknown)? {
            Service::Plain(handler) => handler(caller, request, reply),
            Service::WithBlobs(handler) => handler(caller, request, blobs, reply),
        }
        Ok(())
    }
}
