//! The Rhai engine with everything taken away that a script must not have.

use crate::actions;
use crate::effect::{Level, log_line};
use crate::session::{Session, Stop};
use crate::text;
use crate::value::Size;
use gantry_core::config;
use rhai::debugger::{DebuggerCommand, DebuggerEvent};
use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage,
    BasicMathPackage, BasicStringPackage, BitFieldPackage, LogicPackage, MoreStringPackage, Package,
};
use rhai::{Dynamic, Engine, Module, OptimizationLevel, Shared};
use std::rc::Rc;
use std::time::Duration;

/// How deep expressions may be nested, outside and inside of functions.
const MAX_EXPRESSION_DEPTH: usize = 32;
const MAX_VARIABLES: usize = 256;
const MAX_FUNCTIONS: usize = 256;

/// A library: its name, and its functions.
pub(crate) type Library = (String, Shared<Module>);

/// Two engines that are the same but for the debugger of the second, and the session that both share.
///
/// The engine does not say where a limit was passed. The second one finds it, by doing the same again step by
/// step.
pub(crate) struct Engines {
    pub(crate) plain: Engine,
    pub(crate) locating: Engine,
    pub(crate) session: Rc<Session>,
    pub(crate) size: Size,
    pub(crate) limits: config::Scripts,
}

impl Engines {
    pub(crate) fn new(limits: &config::Scripts, libraries: &[Library]) -> Self {
        let session = Session::new(limits.max_operations.max(1));
        let actions = Shared::new(actions::actions(&session));
        let log = Shared::new(actions::log(&session));
        let text = Shared::new(text::functions());
        let build = || {
            let mut engine = new_engine(limits, &session);
            engine.register_global_module(actions.clone());
            engine.register_global_module(text.clone());
            engine.register_static_module("log", log.clone());
            for (name, module) in libraries {
                engine.register_static_module(name, module.clone());
            }
            engine
        };
        let plain = build();
        let mut locating = build();
        let seen = session.clone();
        #[expect(deprecated, reason = "Rhai marks what may change between versions; ours is pinned")]
        locating.register_debugger(
            |_, debugger| debugger,
            move |_, event, _, source, position| {
                // The end of a function is not where it failed.
                if matches!(event, DebuggerEvent::Start | DebuggerEvent::Step) {
                    seen.at(source, position);
                }
                Ok(DebuggerCommand::StepInto)
            },
        );
        let size = Size { text: limits.max_string_bytes as usize, elements: limits.max_elements as usize };
        Self { plain, locating, session, size, limits: limits.clone() }
    }

    /// How long a call may take.
    pub(crate) fn deadline(&self) -> Duration {
        self.limits.deadline
    }
}

fn new_engine(limits: &config::Scripts, session: &Rc<Session>) -> Engine {
    let mut engine = Engine::new_raw();
    // Not the standard package: it has a clock and `sleep`. `LanguageCorePackage` is left out for `sleep` and
    // `exit`.
    ArithmeticPackage::new().register_into_engine(&mut engine);
    BasicStringPackage::new().register_into_engine(&mut engine);
    BasicIteratorPackage::new().register_into_engine(&mut engine);
    BasicFnPackage::new().register_into_engine(&mut engine);
    BitFieldPackage::new().register_into_engine(&mut engine);
    LogicPackage::new().register_into_engine(&mut engine);
    BasicMathPackage::new().register_into_engine(&mut engine);
    BasicArrayPackage::new().register_into_engine(&mut engine);
    BasicMapPackage::new().register_into_engine(&mut engine);
    MoreStringPackage::new().register_into_engine(&mut engine);

    // Unoptimised programs keep the places of all that they are made of. What folding constants would save is
    // less than a microsecond of a call.
    engine.set_optimization_level(OptimizationLevel::None);
    engine.set_strict_variables(true);
    engine.set_fail_on_invalid_map_property(true);
    engine.disable_symbol("eval");
    engine.disable_symbol("import");
    // Each of them has a default that differs between debug and release builds.
    // The session counts.
    engine.set_max_operations(0);
    engine.set_max_call_levels(limits.max_call_levels.clamp(1, 64) as usize);
    engine.set_max_expr_depths(MAX_EXPRESSION_DEPTH, MAX_EXPRESSION_DEPTH);
    engine.set_max_variables(MAX_VARIABLES);
    engine.set_max_functions(MAX_FUNCTIONS);
    engine.set_max_modules(0);
    engine.set_max_string_size(limits.max_string_bytes.max(1) as usize);
    engine.set_max_array_size(limits.max_elements.max(1) as usize);
    engine.set_max_map_size(limits.max_elements.max(1) as usize);

    let s = session.clone();
    engine.on_progress(move |_| {
        s.operation().map(|stop| {
            Dynamic::from(match stop {
                Stop::Operations => "operations",
                Stop::Deadline => "deadline",
            })
        })
    });
    let s = session.clone();
    engine.on_print(move |text| s.log(Level::Info, log_line(text)));
    let s = session.clone();
    engine.on_debug(move |text, _, position| {
        s.log(Level::Debug, log_line(&format!("{position:?}: {text}")));
    });
    let s = session.clone();
    #[expect(deprecated, reason = "Rhai marks what may change between versions; ours is pinned")]
    engine.on_var(move |name, offset, _| {
        // A variable with an offset is the script's own one of that name.
        Ok((name == "config" && offset == 0).then(|| s.config()))
    });
    engine
}
