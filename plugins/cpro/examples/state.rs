//! The plugin without a gateway: a few keys that anybody may write, for trying clients and for measuring.
//!
//! `cargo run --release -p gantry-cpro --example state -- PORT [MESSAGES_PER_SECOND]`; ends with its standard input.

use gantry_cpro::gantry_plugin_v1;
use gantry_plugin::test::{Host, Service};
use serde_json::{Map, Value, json};
use std::io::Read as _;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

/// The state, how often it has changed, and where changes are told.
struct Gateway {
    values: Map<String, Value>,
    sequence: u64,
    changes: mpsc::Sender<String>,
}

impl Gateway {
    fn describe(&mut self, _: &Value) -> Value {
        let rights = |key: &String| (key.clone(), json!({"read": true, "write": true}));
        let keys: Map<_, _> = self.values.keys().map(rights).collect();
        json!({"role": "anonymous", "keys": keys, "permissions": []})
    }

    fn write(&mut self, request: &Value) -> Value {
        let (mut accepted, mut rejected) = (Map::new(), Vec::new());
        for (key, value) in request["values"].as_object().into_iter().flatten() {
            match (self.values.contains_key(key), value.as_u64()) {
                (false, _) => rejected.push(json!({"error": "Unknown key", "key": key})),
                (true, Some(101..)) => {
                    let message = "Value must be between 0 and 100";
                    rejected.push(json!({"error": "Invalid value", "key": key, "message": message}));
                }
                (true, _) => drop(accepted.insert(key.clone(), value.clone())),
            }
        }
        if !accepted.is_empty() {
            self.sequence += 1;
            self.values.extend(accepted.clone());
            let read: Map<_, _> = accepted.keys().map(|key| (key.clone(), "anonymous".into())).collect();
            let change = json!({"sequence": self.sequence, "values": accepted, "read": read});
            let _ = self.changes.send(change.to_string());
        }
        json!({"sequence": self.sequence, "accepted": accepted, "rejected": rejected})
    }

    fn read(&mut self, request: &Value) -> Value {
        let wanted = |key: &str| request["keys"].as_array().is_none_or(|keys| keys.iter().any(|k| k == key));
        let values = self.values.iter().filter(|(key, _)| wanted(key));
        let values: Map<_, _> = values.map(|(key, value)| (key.clone(), value.clone())).collect();
        json!({"sequence": self.sequence, "values": values, "rejected": []})
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let port: u16 = args.next().map_or(Ok(8080), |port| port.parse())?;
    let rate: u32 = args.next().map_or(Ok(100), |rate| rate.parse())?;
    let values =
        json!({"brightness": 50, "fps": 30, "cam1-light": false, "record": false, "resolution": "1920x1080"});
    let Value::Object(values) = values else { unreachable!("it is one") };
    let (tell, changes) = mpsc::channel();
    let gateway = Arc::new(Mutex::new(Gateway { values, sequence: 0, changes: tell }));
    let limits = json!({"connections": 4096, "messages_per_second": rate});
    let config = json!({"bind": format!("127.0.0.1:{port}"), "limits": limits});
    let mut host = Host::start_with(&gantry_plugin_v1, config, |host| {
        let mut offer = |name: &str, f: fn(&mut Gateway, &Value) -> Value| {
            let gateway = gateway.clone();
            let service: Service = Box::new(move |request| {
                Ok(f(&mut gateway.lock().unwrap_or_else(PoisonError::into_inner), request))
            });
            host.offer(name, service);
        };
        let login =
            |_: &mut Gateway, _: &Value| json!({"authenticated": true, "token": "t", "role": "anonymous"});
        offer("gateway.info", |_, _| json!({"name": "gantry", "version": "0.1.0"}));
        offer("access.login", login);
        offer("access.resume", login);
        offer("access.end", |_, _| json!({}));
        offer("mapping.describe", Gateway::describe);
        offer("mapping.write", Gateway::write);
        offer("mapping.read", Gateway::read);
    })?;
    println!("{}", host.health().map(|(_, message)| message).unwrap_or_default());
    let (end, ended) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        drop(end);
    });
    while ended.try_recv() != Err(mpsc::TryRecvError::Disconnected) {
        // The runtime tells its plugins at once; here it is looked for often.
        if let Ok(change) = changes.recv_timeout(Duration::from_micros(500)) {
            host.message("mappings/cpro/changed", change.as_bytes());
        }
        host.poll();
    }
    Ok(())
}
