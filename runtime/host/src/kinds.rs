//! Which kind each metric of plugins has. A name with two kinds would make `/metrics` unreadable for everything else.

use crate::lock;
use gantry_abi::{COUNTER, FULL, INVALID, Status};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// Names that plugins can define in one process. The recorder never forgets one, so neither is this list cleared.
const MAX_NAMES: usize = 1024;

static KINDS: Mutex<BTreeMap<String, u32>> = Mutex::new(BTreeMap::new());

/// Takes the name for this kind, for all plugins. Refused when it has another kind already or is the runtime's own.
pub(crate) fn agree(name: &str, kind: u32) -> Result<(), Status> {
    // `gantry_plugin_restarts_total` is counted by the supervisor.
    if name == "restarts_total" || !(COUNTER..=gantry_abi::HISTOGRAM).contains(&kind) {
        return Err(INVALID);
    }
    let mut kinds = lock(&KINDS);
    match kinds.get(name) {
        Some(known) if *known == kind => Ok(()),
        Some(_) => Err(INVALID),
        None if kinds.len() >= MAX_NAMES => Err(FULL),
        None => {
            kinds.insert(name.to_owned(), kind);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_abi::GAUGE;

    #[test]
    fn a_name_has_one_kind_for_all_plugins() {
        assert_eq!(agree("kinds_test", GAUGE), Ok(()));
        assert_eq!(agree("kinds_test", GAUGE), Ok(()));
        assert_eq!(agree("kinds_test", COUNTER), Err(INVALID));
        assert_eq!(agree("restarts_total", COUNTER), Err(INVALID));
        assert_eq!(agree("kinds_other", 9), Err(INVALID));
    }
}
