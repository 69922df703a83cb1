//! Ctrl-C ends the film, and not the program: what was counted is told, and the annotated film is finished.

use gantry_media::FilmStop;
use tokio::signal::unix::{SignalKind, signal};

/// What a shell answers for a program that was ended by Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Stops the film at the first signal and ends the program at the second one.
pub(super) fn stops(film: FilmStop) {
    let waits = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            for n in 0..2 {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                film.stop();
                if n == 1 {
                    std::process::exit(INTERRUPTED);
                }
            }
        });
    };
    // Without it the signals end the program, as they do by default.
    let _ = std::thread::Builder::new().name("signals".into()).spawn(waits);
}
