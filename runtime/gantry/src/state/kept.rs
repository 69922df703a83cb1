//! What outlives a restart of the observables and of the rules' own state.

use crate::statefile::StateFile;
use gantry_control::Kept;
use gantry_script::Scripts;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long the script thread may take to tell what rules remember, at the very end.
const LAST_WORD: Duration = Duration::from_secs(1);

/// A file and what it was last written with.
struct Saved<T> {
    file: StateFile<T>,
    content: T,
}

impl<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + Default> Saved<T> {
    fn open(dir: &Path, name: &'static str, instead: &str) -> Self {
        let (file, content) = StateFile::open(dir, name, instead);
        Self { file, content: content.unwrap_or_default() }
    }

    /// Saves, if anything is other than before.
    fn save(&mut self, now: T) -> std::io::Result<()> {
        // Nothing is declared yet at the very start.
        if now == self.content || now == T::default() {
            return Ok(());
        }
        self.file.save(&now)?;
        self.content = now;
        Ok(())
    }
}

/// Both files, and what they hold.
pub(crate) struct KeptState {
    observables: Saved<BTreeMap<String, Kept>>,
    rules: Saved<BTreeMap<String, Value>>,
    /// What rules remember, asked for and not answered yet.
    asked: Option<Receiver<BTreeMap<String, Value>>>,
}

impl KeptState {
    /// Reads the files. One that cannot be understood is set aside and told about.
    pub(crate) fn open(dir: &Path) -> Self {
        Self {
            observables: Saved::open(dir, "state", "the configured values hold"),
            rules: Saved::open(dir, "rules", "rules begin anew"),
            asked: None,
        }
    }

    /// The observables that were saved last.
    pub(crate) fn observables(&self) -> &BTreeMap<String, Kept> {
        &self.observables.content
    }

    /// What the rules remembered when it was saved last.
    pub(crate) fn rules(&self) -> &BTreeMap<String, Value> {
        &self.rules.content
    }

    pub(crate) fn save_observables(&mut self, now: BTreeMap<String, Kept>) -> std::io::Result<()> {
        self.observables.save(now)
    }

    /// Saves what rules remember, as far as they have told it, and asks again.
    pub(crate) fn save_rules(&mut self, scripts: &Scripts) -> std::io::Result<()> {
        let told = self.asked.as_ref().map(Receiver::try_recv);
        // A script thread that has much to do answers later.
        if matches!(told, Some(Err(std::sync::mpsc::TryRecvError::Empty))) {
            return Ok(());
        }
        self.ask(scripts);
        told.and_then(Result::ok).map_or(Ok(()), |states| self.rules.save(states))
    }

    /// The same at the end: waits for the answer, but not for long.
    pub(crate) fn save_rules_last(&mut self, scripts: &Scripts) -> std::io::Result<()> {
        self.ask(scripts);
        let told = self.asked.take().and_then(|asked| asked.recv_timeout(LAST_WORD).ok());
        told.map_or(Ok(()), |states| self.rules.save(states))
    }

    fn ask(&mut self, scripts: &Scripts) {
        let (tell, asked) = channel();
        // It fails when nobody waits any more.
        scripts.states(move |states| _ = tell.send(states));
        self.asked = Some(asked);
    }
}
