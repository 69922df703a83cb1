//! A running gateway in a folder of its own.

use crate::{http, root, until};
use serde_json::Value;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

/// The built binary.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn binary() -> PathBuf {
    let exe = std::env::current_exe().expect("a path");
    // target/PROFILE/deps/test -> target/PROFILE/gantry
    let path = exe.parent().and_then(Path::parent).expect("a target folder").join("gantry");
    assert!(
        path.exists(),
        "{} is not there: run `make test`, or `cargo build --workspace` first",
        path.display()
    );
    path
}

/// How a gateway is to be started.
pub struct Setup {
    dir: tempfile::TempDir,
    config: PathBuf,
    env: Vec<(String, String)>,
    args: Vec<String>,
}

impl Default for Setup {
    /// The default configuration on free ports.
    fn default() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let setup =
            Self { dir, config: root().join("config/gantry.toml"), env: Vec::new(), args: Vec::new() };
        setup
            .env("GANTRY_ADMIN__BIND", "127.0.0.1:0")
            .env("GANTRY_PLUGINS__ROBOCAR__BIND", "127.0.0.1:0")
            .env("GANTRY_PLUGINS__CPRO__BIND", "127.0.0.1:0")
            .env("GANTRY_PLUGINS__PEOPLE_COUNTER__BIND", "127.0.0.1:0")
            .env("RUST_BACKTRACE", "0")
    }
}

impl Setup {
    /// A configuration file of the test's own, which it can change. The state goes beside it.
    #[must_use]
    pub fn with_config(text: &str) -> Self {
        let mut setup = Self::default();
        setup.env.retain(|(key, _)| !key.starts_with("GANTRY_PLUGINS"));
        setup.config = setup.dir.path().join("gantry.toml");
        setup.write_config(text);
        setup
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Removes an environment variable, so that the file decides.
    pub fn unset(&mut self, key: &str) {
        self.env.retain(|(name, _)| name != key);
    }

    /// Adds an argument to `gantry run`.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// The folder of the gateway's state and of whatever the test puts there.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn write_config(&self, text: &str) {
        // As editors do: written beside and renamed.
        let partial = self.config.with_extension("new");
        fs::write(&partial, text).expect("written");
        fs::rename(&partial, &self.config).expect("moved");
    }

    fn command(&self, subcommand: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(subcommand).arg("--config").arg(&self.config).args(&self.args).current_dir(root());
        command.env("GANTRY_STATE_DIR", self.dir.path().join("state")).stdin(Stdio::null());
        command.envs(self.env.iter().map(|(k, v)| (k, v)));
        command
    }

    /// Runs a subcommand to its end.
    ///
    /// # Panics
    /// When it cannot be run.
    #[must_use]
    pub fn run(&self, subcommand: &[&str]) -> Output {
        self.command(subcommand).output().expect("it runs")
    }

    /// Adds a user, whose password is [`PASSWORD`](crate::cpro::PASSWORD).
    ///
    /// # Panics
    /// When that is refused.
    #[must_use]
    pub fn user(self, name: &str, role: &str) -> Self {
        let add = ["user", "add", name, "--role", role, "--password-stdin"];
        let output = self.run_with_input(&add, crate::cpro::PASSWORD);
        assert!(output.status.success(), "{output:?}");
        self
    }

    /// Runs a subcommand that is given `input` on its standard input, to its end.
    ///
    /// # Panics
    /// When it cannot be run.
    #[must_use]
    pub fn run_with_input(&self, subcommand: &[&str], input: &str) -> Output {
        let mut command = self.command(subcommand);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        // One that refuses without reading has closed it.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().expect("it ends")
    }

    /// Starts the gateway and waits until its admin listener answers.
    #[must_use]
    pub fn start(self) -> Gateway {
        let log = self.dir.path().join("log");
        let child = self.spawn(&log);
        let mut gateway = Gateway { setup: self, child, admin: String::new(), log };
        gateway.wait_admin();
        gateway
    }

    fn spawn(&self, log: &Path) -> Child {
        let out = File::create(log).expect("a log file");
        let mut command = self.command(&["run"]);
        command.stdout(out.try_clone().expect("a second handle")).stderr(out).spawn().expect("it starts")
    }

    /// Starts the gateway and waits until it says that it is ready.
    #[must_use]
    pub fn start_ready(self) -> Gateway {
        let gateway = self.start();
        gateway.wait_ready();
        gateway
    }
}

/// A running gateway. Dropping it kills it.
pub struct Gateway {
    setup: Setup,
    child: Child,
    admin: String,
    log: PathBuf,
}

impl Gateway {
    fn wait_admin(&mut self) {
        let run = self.setup.dir.path().join("state/run.json");
        self.admin = until("the gateway to be up", || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the gateway ended with {status}:\n{}", self.log());
            }
            let run: Value = serde_json::from_slice(&fs::read(&run).ok()?).ok()?;
            // A gateway that was killed leaves its own.
            (run["pid"] == self.pid()).then_some(())?;
            Some(run["admin"].as_str()?.to_owned())
        });
    }

    /// Kills it as a power cut does, if it still runs, and starts it again with what it left, until it is ready. Its log
    /// begins anew.
    pub fn restart(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.child = self.setup.spawn(&self.log);
        self.wait_admin();
        self.wait_ready();
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The folder of its state and configuration.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.setup.dir()
    }

    /// Gets a path of the admin listener.
    #[must_use]
    pub fn admin(&self, path: &str) -> (u16, String) {
        http::get(&self.admin, path)
    }

    /// The address of the admin listener.
    #[must_use]
    pub fn admin_address(&self) -> &str {
        &self.admin
    }

    /// Gets a path of the admin listener that answers JSON.
    ///
    /// # Panics
    /// When it answers something else.
    #[must_use]
    pub fn admin_json(&self, path: &str) -> Value {
        let (status, body) = self.admin(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// Waits until `/readyz` answers 200.
    pub fn wait_ready(&self) {
        until("the gateway to be ready", || {
            let (status, _) = self.admin("/readyz");
            (status == 200).then_some(())
        });
    }

    /// The report of a plugin.
    #[must_use]
    pub fn plugin(&self, id: &str) -> Option<Value> {
        let all = self.admin_json("/plugins");
        all["plugins"].as_array()?.iter().find(|plugin| plugin["id"] == id).cloned()
    }

    /// The status of a camera.
    #[must_use]
    pub fn camera(&self, name: &str) -> Option<Value> {
        let all = self.admin_json("/cameras");
        all["cameras"].as_array()?.iter().find(|camera| camera["name"] == name).cloned()
    }

    /// Waits for a plugin to announce where it answers, and returns `http://HOST:PORT`.
    #[must_use]
    pub fn url(&self, plugin: &str) -> String {
        until(&format!("an endpoint of {plugin}"), || {
            let report = self.plugin(plugin)?;
            let url = report["endpoints"][0]["url"].as_str()?.to_owned();
            let end = url.match_indices('/').nth(2).map_or(url.len(), |(at, _)| at);
            Some(url[..end].to_owned())
        })
    }

    /// The value of a metric, summed over its labels that contain `label`; 0 while there is none of that name.
    #[must_use]
    pub fn metric(&self, name: &str, label: &str) -> f64 {
        self.exported(name, label).unwrap_or(0.0)
    }

    /// The same, and `None` while there is none of that name: for tests that expect 0.
    #[must_use]
    pub fn exported(&self, name: &str, label: &str) -> Option<f64> {
        let (_, text) = self.admin("/metrics");
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).reduce(|sum, value| sum + value)
    }

    /// Resident memory in bytes.
    #[must_use]
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        line.and_then(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) * 1024
    }

    /// Everything it has logged and printed.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for a text in the log.
    pub fn wait_log(&self, text: &str) {
        until(&format!("`{text}` in the log"), || self.log().contains(text).then_some(()));
    }

    /// Replaces the configuration file.
    pub fn write_config(&self, text: &str) {
        self.setup.write_config(text);
    }

    /// Sends a signal by name, such as `TERM`.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(status.expect("kill runs").success(), "the gateway is gone:\n{}", self.log());
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        until("the gateway to end", || self.child.try_wait().ok().flatten())
    }

    /// Runs another subcommand with the same configuration.
    #[must_use]
    pub fn run(&self, subcommand: &[&str]) -> Output {
        self.setup.run(subcommand)
    }

    /// Runs another subcommand that is given `input`, with the same configuration.
    #[must_use]
    pub fn run_with_input(&self, subcommand: &[&str], input: &str) -> Output {
        self.setup.run_with_input(subcommand, input)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(40).collect();
            eprintln!("--- the gateway's last lines ---");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}
