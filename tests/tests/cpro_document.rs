//! The flows of the C Pro document, with the clients that it shows, as they are written there (`tests/clients/document`).

use gantry_tests::browser::Browser;
use gantry_tests::cpro::{self, PASSWORD};
use gantry_tests::websocket::{Client, KINDS, Kind};
use gantry_tests::{assets, root};
use serde_json::{Value, json};

#[test]
fn the_examples_are_those_of_the_document() {
    let Some(document) = assets::find("seeds/003_358a9918b0f10cdb.txt") else { return };
    let document = std::fs::read_to_string(document).expect("text");
    let mut count = 0;
    for entry in std::fs::read_dir(root().join("tests/clients/document")).expect("a folder").flatten() {
        let example = std::fs::read_to_string(entry.path()).expect("text");
        assert!(document.contains(example.trim_end()), "{} is not in the document", entry.path().display());
        count += 1;
    }
    assert_eq!(count, 8);
}

/// The settings that the document's usage makes, by whatever method they have there.
fn sees_the_document_s_settings(reader: &Client) {
    let mut seen = serde_json::Map::new();
    reader.find("all three settings", |message| {
        assert!(message["info"].is_null(), "{message}");
        seen.extend(message.as_object().expect("an object").clone());
        seen.contains_key("cam1-light") && seen.contains_key("brightness") && seen.contains_key("record")
    });
    assert_eq!(Value::from(seen), json!({ "cam1-light": true, "brightness": 75, "record": true }));
}

#[test]
fn the_clients_for_node_and_python_control_the_camera() {
    let folder = tempfile::tempdir().expect("a folder");
    for kind in KINDS {
        let gateway = cpro::start(&(cpro::one_camera() + &cpro::lights(folder.path())));
        let reader = cpro::anonymous(&gateway);
        let mut client = Client::example(kind, &cpro::url(&gateway), "admin", PASSWORD);
        // Their login is on its way, and nothing waits for it.
        let calls = match kind {
            Kind::Node => ["setLight", "setBrightness", "startRecording"],
            Kind::Python => ["set_light", "set_brightness", "start_recording"],
        };
        client.call(&[(calls[0], json!([1, true])), (calls[1], json!([75])), (calls[2], json!([]))]);
        sees_the_document_s_settings(&reader);
        client.find("the login", |message| message["authenticated"] == true);
        for key in ["cam1-light", "brightness", "record"] {
            client.find(key, |message| message["info"] == json!([key]));
        }
        if kind == Kind::Python {
            client.call(&[("stop_recording", json!([])), ("set_resolution", json!(["640x480"]))]);
            reader.find("the end of the recording", |message| message["record"] == false);
            reader.find("the new resolution", |message| message["resolution"] == "640x480");
            client.call(&[("take_snapshot", json!([]))]);
            reader.find("the snapshot to be over", |message| message["snap"] == false);
        }
    }
}

/// A page with the document's classes, and `api` and `password` for them.
fn page(gateway: &gantry_tests::gateway::Gateway, script: &str) -> String {
    let names = ["browser.js", "robust.js", "authenticated.js", "queued.js", "throttled.js", "hook.jsx"];
    let scripts: String =
        names.iter().map(|name| format!("<script src=\"/document/{name}\"></script>\n")).collect();
    let (api, password) = (cpro::url(gateway), PASSWORD);
    format!(
        "<!doctype html><title>C Pro</title><body><div id=root></div>\n{scripts}<script>
        const api = {api:?}, password = {password:?};
        {script}
        </script>"
    )
}

#[test]
fn the_class_for_browsers_controls_the_camera() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = cpro::start(&(cpro::one_camera() + &cpro::lights(folder.path())));
    let reader = cpro::anonymous(&gateway);
    let mut browser = Browser::open(&page(
        &gateway,
        "const client = new RotoclearWebSocketClient(api), changes = [];
        client.onBrightnessChange = (value) => changes.push(['brightness', value]);
        client.onRecordingChange = (state) => changes.push(['record', state]);
        client.connect('admin', password);",
    ));
    browser.wait("client.ws.readyState === WebSocket.OPEN");
    browser.evaluate("client.setLight(1, true), client.setBrightness(75), client.startRecording()");
    sees_the_document_s_settings(&reader);
    browser.wait("changes.some(([key, state]) => key === 'record' && state === true)");
    browser.evaluate("client.stopRecording(), client.takeSnapshot(), client.setResolution('160x120')");
    reader.find("the new resolution", |message| message["resolution"] == "160x120");
    browser.wait("changes.at(-1)[0] === 'record' && changes.at(-1)[1] === false");
    let changes = browser.evaluate("changes");
    assert_eq!(changes[0], json!(["brightness", 75]), "{changes}");
    // What somebody else changes arrives as well.
    let mut other = cpro::logged_in(&gateway, "admin");
    other.send(&json!({ "brightness": 12 }));
    browser.wait("changes.at(-1)[0] === 'brightness' && changes.at(-1)[1] === 12");
    let said: Vec<_> = browser.console().into_iter().filter(|line| line[0] == "error").collect();
    assert!(said.iter().all(|line| !line.to_string().contains("WebSocket")), "{said:?}");
    // Its first message was the answer to its login.
    let first = browser.console().into_iter().find(|line| line[1] == "Received:").expect("a message");
    assert_eq!(first[2]["authenticated"], true, "{first}");
}

#[test]
fn the_react_hook_shows_and_sets_the_state() {
    let gateway = cpro::start(&cpro::one_camera());
    let mut browser = Browser::open(&page(
        &gateway,
        "// The component of the document has an address of its own in it, so its hook is used as it uses it.
        function Panel() {
            const { connected, state, send } = useRotoclearWebSocket(api, 'admin', password);
            const e = React.createElement;
            return e('div', null,
                e('p', null, 'Connected: ', connected ? 'Yes' : 'No'),
                e('p', null, 'Brightness: ', state.brightness),
                e('button', { onClick: () => send({ brightness: 75 }) }, 'Set Brightness 75%'));
        }
        createRoot(document.getElementById('root')).render(React.createElement(Panel));",
    ));
    let shows = |text: &str| format!("document.body.innerText.includes({text:?})");
    browser.wait(&shows("Connected: Yes"));
    browser.evaluate("document.querySelector('button').click()");
    browser.wait(&shows("Brightness: 75"));
    let mut other = cpro::logged_in(&gateway, "admin");
    other.send(&json!({ "brightness": 20 }));
    browser.wait(&shows("Brightness: 20"));
    assert_eq!(other.get("brightness"), 20);
}

#[test]
fn a_slider_that_is_dragged_ends_where_it_was_let_go() {
    let gateway = cpro::start(&cpro::one_camera());
    let reader = cpro::anonymous(&gateway);
    // The document's throttle and queue are parts of clients: the rest is as in its other examples.
    let mut browser = Browser::open(&page(
        &gateway,
        "const slider = new ThrottledClient(api, 20), confirmed = [];
        slider.ws = new WebSocket(api);
        slider.ws.onopen = () => slider.ws.send(JSON.stringify({ username: 'admin', password }));
        slider.ws.onmessage = ({ data }) => {
            const message = JSON.parse(data);
            if (message.info) confirmed.push(message);
        };
        async function drag() {
            for (let value = 0; value <= 90; value++) {
                slider.send({ brightness: value });
                slider.send({ contrast: 100 - value });
                if (value % 30 === 0) await new Promise((resolve) => setTimeout(resolve, 60));
            }
        }",
    ));
    browser.wait("slider.ws.readyState === WebSocket.OPEN");
    browser.evaluate("drag()");
    let last = reader.find("the end of the slider", |message| message["brightness"] == 90);
    assert_eq!(last, json!({ "brightness": 90, "contrast": 10 }));
    browser.wait("confirmed.some((message) => message.brightness === 90)");
    let confirmed = browser.evaluate("confirmed");
    let confirmed = confirmed.as_array().expect("messages");
    assert!(confirmed.len() < 91, "what was merged came as one: {}", confirmed.len());
    let both = json!(["brightness", "contrast"]);
    assert!(confirmed.iter().all(|message| message["info"] == both), "{confirmed:?}");
}

#[test]
fn the_other_practices_of_the_document_hold() {
    let gateway = cpro::start(&cpro::one_camera());
    let mut browser = Browser::open(&page(
        &gateway,
        "const ready = [];
        const user = new AuthenticatedClient(api, { username: 'admin', password });
        user.onReady = () => {
            ready.push('user');
            user.ws.send(JSON.stringify({ gain: 61 }));
        };
        user.connect();
        const queue = new QueuedWebSocketClient(api);
        queue.send({ username: 'admin', password });
        queue.send({ saturation: 62 });
        queue.ws = new WebSocket(api);
        queue.ws.onopen = () => {
            queue.connected = true;
            queue.onConnect();
        };
        const robust = new RobustWebSocketClient(api);
        robust.reconnectDelay = 10;
        robust.connect();",
    ));
    browser.wait("ready.length === 1");
    let mut client = cpro::anonymous(&gateway);
    gantry_tests::until("the writes to arrive", || {
        (client.get("gain") == 61 && client.get("saturation") == 62).then_some(())
    });
    browser.wait("robust.ws.readyState === WebSocket.OPEN");
    // It is sent away and comes again by itself.
    browser.evaluate("void (window.before = robust.ws, robust.reconnectDelay = 10, robust.ws.close())");
    browser.wait("robust.ws !== before && robust.ws.readyState === WebSocket.OPEN");
}

#[test]
fn the_page_of_the_gateway_works_without_the_internet() {
    let gateway = cpro::start(&cpro::one_camera());
    let (status, page) = gantry_tests::http::get(&cpro::address(&gateway), "/");
    assert_eq!(status, 200);
    assert!(page.to_lowercase().starts_with("<!doctype html>"), "{page}");
    assert!(!page.contains("https://") && !page.contains("//cdn"), "{page}");
}
