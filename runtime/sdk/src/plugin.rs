//! The trait that a plugin implements.

use crate::{Error, Frame, Host};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Something wrong with a configuration, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The key, such as `limits.rate`; empty for the whole.
    pub path: String,
    /// A sentence that ends in the next step.
    pub message: String,
}

/// A plugin instance.
///
/// The runtime calls [`create`](Self::create), [`start`](Self::start), then the `on_…` methods, then
/// [`stop`](Self::stop), and drops the value. All of it happens on one thread that belongs to the instance.
pub trait Plugin: Sized + 'static {
    /// The plugin's own keys in `gantry.toml`. `#[serde(deny_unknown_fields)]` makes a misspelt key an error; the doc
    /// comments of the fields are what the operator reads.
    type Config: DeserializeOwned + JsonSchema;

    /// Looks for what the types of [`Config`](Self::Config) cannot say, without side effects.
    fn validate(config: &Self::Config) -> Vec<Finding> {
        let _ = config;
        Vec::new()
    }

    /// Makes an instance. It may ask the host for frames, topics and state, but opens nothing yet.
    fn create(host: Host, config: Self::Config) -> Result<Self, Error>;

    /// Begins to work: binds sockets, starts threads. After a failure the instance is dropped and tried again later.
    fn start(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Ends to work: says good-bye to clients, joins threads. Must return within 4 seconds.
    fn stop(&mut self) {}

    /// The newest frame of a watched stream; frames that came while the instance was busy are skipped.
    fn on_frame(&mut self, frame: Frame) {
        let _ = frame;
    }

    /// A message on a subscribed topic.
    fn on_message(&mut self, topic: &str, payload: &[u8]) {
        let _ = (topic, payload);
    }

    /// A watched state key has a new value (`null`: it was removed). Changes that came while the instance was busy are
    /// merged: the newest is seen.
    fn on_state(&mut self, key: &str, value: Value, revision: u64) {
        let _ = (key, value, revision);
    }

    /// The answer to [`Host::call`] with the same token.
    fn on_reply(&mut self, token: u64, reply: Result<Value, Error>) {
        let _ = (token, reply);
    }

    /// The time asked for by [`Host::wake_after`] has passed.
    fn on_wake(&mut self, token: u64) {
        let _ = token;
    }
}

/// Exports a [`Plugin`] under a name (`a-z`, `0-9`, `-`). The version is that of the crate.
#[macro_export]
macro_rules! export_plugin {
    ($plugin:ty, $name:literal) => {
        /// What the runtime looks for in this library.
        #[unsafe(no_mangle)]
        #[allow(non_upper_case_globals)]
        pub static gantry_plugin_v1: $crate::abi::Plugin =
            $crate::__table::<$plugin>($name, env!("CARGO_PKG_VERSION"));
    };
}
