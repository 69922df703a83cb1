//! A thread with a tokio runtime of the plugin's own, for plugins that serve sockets.
//!
//! Thread-locals are per library, so a plugin cannot use the runtime's tokio; and one thread is enough to saturate a
//! gateway's network. The plugin's methods hand over to the worker by channels.

use crate::export::WORKER_PANICKED;
use crate::{Error, Health, Host, panic};
use std::future::Future;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;

/// Tells the worker's tasks that the instance stops. Cheap to clone.
#[derive(Clone)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Returns once the instance stops: time to say good-bye and to end.
    pub async fn wait(&mut self) {
        // An error means that the worker is gone, which is a stop as well.
        let _ = self.0.wait_for(|stopping| *stopping).await;
    }

    /// Whether the instance stops.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        *self.0.borrow()
    }
}

/// A running worker. Dropping it stops it and waits for it.
pub struct Worker {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts a thread (`name`: at most 15 bytes are seen by the system) with a current-thread tokio that runs `main` to
    /// its end. `main` should end soon after [`Stopping::wait`] returns; tasks that it leaves behind are dropped. A panic
    /// in `main` ends the instance like a panic in one of its methods; one in a task ends that task only and is logged.
    pub fn spawn<F, Fut>(host: Host, name: &str, main: F) -> Result<Self, Error>
    where
        F: FnOnce(Stopping) -> Fut + Send + 'static,
        Fut: Future<Output = ()>,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopping) = watch::channel(false);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            panic::tell(host);
            let result = panic::guard(|| runtime.block_on(main(Stopping(stopping))));
            // Also after a panic, and not by dropping it: that would wait for blocking tasks for ever.
            let rest = panic::guard(|| runtime.shutdown_timeout(Duration::from_millis(100)));
            if let Err(message) = result.and(rest) {
                host.health(Health::Failed, &format!("worker thread panicked: {message}"));
                let _ = host.wake_after(Duration::ZERO, WORKER_PANICKED);
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Asks the worker to stop and waits for it.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            // The thread guards itself, so there is no panic to learn of here.
            let _ = thread.join();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end();
    }
}
