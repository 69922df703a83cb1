//! Servers as they are set up: TLS and logins of each kind, and the shipped files of a leaf, a hub and a cluster.

use gantry_tests::fleet::{
    ask, config, detection, drained, ids, kept, picture, secret, seen_with_picture, send, wait_health,
};
use gantry_tests::gateway::{Gateway, Setup};
use gantry_tests::lpr::address;
use gantry_tests::nats::{Client, Server, example, free_port};
use gantry_tests::until;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn servers_with_tls_and_logins_of_each_kind_are_reached() {
    let pair = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    let (certificate, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
    let files = tempfile::tempdir().expect("a folder");
    let file = |name: &str| files.path().join(name).display().to_string();
    fs::write(file("ca.pem"), &certificate).expect("written");
    secret(&files.path().join("key.pem"), &key);
    secret(&files.path().join("password"), "hunter2-and-a-half\n");
    // A test vector of the nkeys themselves.
    secret(&files.path().join("seed"), "SUACH75SWCM5D2JMJM6EKLR2WDARVGZT4QC6LX3AGHSWOMVAKERABBBRWM\n");
    let creds = fs::read_to_string(gantry_tests::root().join("tests/fixtures/nats/north-gate.creds"))
        .expect("a file");
    secret(&files.path().join("creds"), &creds);
    let tls = format!("tls {{ cert_file: {:?}, key_file: {:?}, MORE }}\n", file("ca.pem"), file("key.pem"));
    let js = "jetstream { store_dir: \"DIR/js\" }\n";
    let operator =
        fs::read_to_string(gantry_tests::root().join("tests/fixtures/nats/operator.conf")).expect("a file");
    let ca = format!("tls = {{ ca_file = {:?} }}\n", file("ca.pem"));
    let mutual = format!(
        "tls = {{ ca_file = {0:?}, certificate = {0:?}, key = {1:?} }}\n",
        file("ca.pem"),
        file("key.pem")
    );
    let ways = [
        (
            format!(
                "{js}{}authorization {{ user: gw, password: \"hunter2-and-a-half\" }}\n",
                tls.replace(", MORE", "")
            ),
            format!("user = \"gw\"\npassword_file = {:?}\n{ca}", file("password")),
        ),
        (
            format!(
                "{js}{}authorization {{ token: \"hunter2-and-a-half\" }}\n",
                tls.replace("MORE", &format!("ca_file: {:?}, verify: true", file("ca.pem")))
            ),
            format!("token_file = {:?}\n{mutual}", file("password")),
        ),
        (
            format!(
                "{js}{}authorization {{ users: [ {{ nkey: UAFHG6FUD2UU4SDFVAFUL5LDFO2XM4WYM76UNXTPJYJK7EEMYRBHT2VE }} ] }}\n",
                tls.replace(", MORE", "")
            ),
            format!("nkey_seed_file = {:?}\n{ca}", file("seed")),
        ),
        (
            format!("{operator}{}", tls.replace(", MORE", "")),
            format!("credentials_file = {:?}\n{ca}", file("creds")),
        ),
    ];
    for (server, login) in ways {
        let server = Server::start(&server, &[]);
        let url = server.url().replace("nats://", "tls://");
        let gateway = Setup::with_config(&config(&url, &login)).start_ready();
        send(&address(&gateway), &detection(1));
        wait_health(&gateway, "connected to");
        until("something to be published", || {
            (gateway.metric("gantry_plugin_published", "nats") > 0.0).then_some(())
        });
    }
    // What is wrong is said, without any secret.
    let conf = format!(
        "{js}{}authorization {{ user: gw, password: \"something else\" }}\n",
        tls.replace(", MORE", "")
    );
    let server = Server::start(&conf, &[]);
    let url = server.url().replace("nats://", "tls://");
    let login = format!("user = \"gw\"\npassword_file = {:?}\n", file("password"));
    let gateway = Setup::with_config(&config(&url, &login)).start_ready();
    wait_health(&gateway, "tls.ca_file");
    gateway.write_config(&config(&url, &format!("{login}{ca}")));
    wait_health(&gateway, "correct user, password");
    fs::set_permissions(files.path().join("password"), fs::Permissions::from_mode(0o644))
        .expect("open to all");
    wait_health(&gateway, "chmod o=");
    assert!(!gateway.log().contains("hunter2"));
}

#[test]
fn a_leaf_beside_the_gateway_and_a_hub_work_with_the_shipped_files() {
    let leaf_port = free_port();
    let hub = example(
        "hub.conf",
        &[
            ("\"/var/lib/nats/hub\"", "\"DIR/js\""),
            ("\"0.0.0.0:4222\"", "\"127.0.0.1:PORT\""),
            ("\"0.0.0.0:7422\"", &format!("\"127.0.0.1:{leaf_port}\"")),
        ],
    );
    let passwords = [("OPERATOR_PASSWORD", "operator-secret"), ("NORTH_GATE_PASSWORD", "north-secret")];
    let mut hub = Server::start(&hub, &passwords);
    let leaf = example(
        "gateway-leaf.conf",
        &[("\"/var/lib/nats/north-gate\"", "\"DIR/js\""), ("\"127.0.0.1:4222\"", "\"127.0.0.1:PORT\"")],
    );
    let leaf = Server::start(
        &leaf,
        &[("HUB_URL", &format!("nats://north-gate:north-secret@127.0.0.1:{leaf_port}"))],
    );
    let shipped = example(
        "gantry.toml",
        &[(
            "gateway = \"north-gate\"\n\n",
            &format!("gateway = \"north-gate\"\nservers = [{:?}]\n\n", leaf.url()),
        )],
    );
    let gateway =
        Setup::with_config(&format!("{shipped}\n[plugins.lpr]\nbind = \"127.0.0.1:0\"\n")).start_ready();
    let at = address(&gateway);
    send(&at, &seen_with_picture(1));
    let login = json!({ "user": "operator", "pass": "operator-secret" });
    let connect = |hub: &Server| Client::connect(&hub.address(), &login);
    let mut client = connect(&hub);
    let kept_on_leaf = |gateway: &Gateway| {
        let mut client = leaf.client();
        ids(&drained(&mut client, gateway, "detections"))
    };
    assert_eq!(kept_on_leaf(&gateway), kept(&gateway, "detections"));
    for file in ["hub-stream.json", "hub-pictures.json"] {
        let stream: Value = serde_json::from_str(&example(file, &[])).expect("JSON");
        let name = stream["name"].as_str().expect("a name").to_owned();
        let made = client.jetstream("", &format!("STREAM.CREATE.{name}"), &stream);
        assert!(made["error"].is_null(), "{made}");
    }
    let arrived = |client: &mut Client, gateway: &Gateway| {
        let expected = kept(gateway, "detections");
        until("the hub to have everything", || {
            let found = ids(&client.all("", "FLEET", "gantry.north-gate.detections.>"));
            assert!(found.len() <= expected.len(), "{found:?}");
            (found == expected).then_some(())
        });
    };
    arrived(&mut client, &gateway);
    // Through the hub: requests, and pictures.
    assert_eq!(ask(&mut client, "gateway.info", &json!({}))["name"], "gantry");
    let told = client
        .get("", "FLEET", &json!({ "last_by_subj": "gantry.north-gate.detections.1" }))
        .expect("it")
        .json();
    let name = told["blobs"][0]["object"].as_str().expect("a name").to_owned();
    let mut beside = leaf.client();
    until("the hub to have the picture", || {
        let messages = |client: &mut Client| {
            let info = client.jetstream("", "STREAM.INFO.OBJ_gantry-north-gate", &json!({}));
            info["state"]["messages"].as_u64()
        };
        (messages(&mut client)? == messages(&mut beside)?).then_some(())
    });
    assert_eq!(client.object("", "gantry-north-gate", &name), picture());
    // The hub goes away, and comes back.
    drop(client);
    hub.kill();
    (10..40).for_each(|n| send(&at, &detection(n)));
    assert_eq!(kept_on_leaf(&gateway), kept(&gateway, "detections"));
    hub.restart();
    arrived(&mut connect(&hub), &gateway);
}

#[test]
fn a_central_cluster_works_with_the_shipped_file_and_lets_nobody_write_as_another() {
    let routes: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let route = |n: usize| format!("nats://cluster:cluster-secret@127.0.0.1:{}", routes[n % 3]);
    let nodes: Vec<Server> = (0..3)
        .map(|n| {
            let node = example(
                "cluster-node.conf",
                &[
                    ("\"nats-1\"", &format!("\"nats-{}\"", n + 1)),
                    ("\"/var/lib/nats/nats-1\"", "\"DIR/js\""),
                    ("\"0.0.0.0:4222\"", "\"127.0.0.1:PORT\""),
                    ("\"0.0.0.0:6222\"", &format!("\"127.0.0.1:{}\"", routes[n])),
                ],
            );
            let secrets = [
                ("CLUSTER_PASSWORD", "cluster-secret"),
                ("OPERATOR_PASSWORD", "operator-secret"),
                ("NORTH_GATE_PASSWORD", "north-secret"),
                ("ROUTE_TO_2", &route(n + 1)),
                ("ROUTE_TO_3", &route(n + 2)),
            ];
            Server::start(&node, &secrets)
        })
        .collect();
    let files = tempfile::tempdir().expect("a folder");
    let password = files.path().join("password");
    secret(&password, "north-secret");
    let servers: Vec<String> = nodes.iter().map(Server::url).collect();
    let config = format!(
        "[cameras.main]\nsource = \"demo:?people=0\"\n[plugins.lpr]\nbind = \"127.0.0.1:0\"\n[plugins.nats]\n\
         servers = {servers:?}\ngateway = \"north-gate\"\nuser = \"north-gate\"\npassword_file = {:?}\n\
         limits = {{ replicas = 3 }}\n",
        password.display().to_string(),
    );
    let gateway = Setup::with_config(&config).start_ready();
    let at = address(&gateway);
    send(&at, &seen_with_picture(1));
    (2..30).for_each(|n| send(&at, &detection(n)));
    let mut operator =
        Client::connect(&nodes[0].address(), &json!({ "user": "operator", "pass": "operator-secret" }));
    let expected = kept(&gateway, "detections");
    // Before, nobody may be there who could answer.
    until("the cluster to have something", || {
        (gateway.metric("gantry_plugin_published", "nats") >= 1.0).then_some(())
    });
    until("the cluster to have everything", || {
        (ids(&operator.all("", "GANTRY", "gantry.north-gate.detections.>")) == expected).then_some(())
    });
    let info = operator.jetstream("", "STREAM.INFO.GANTRY", &json!({}));
    assert_eq!(info["config"]["num_replicas"], 3, "{info}");
    assert_eq!(ask(&mut operator, "gateway.info", &json!({}))["name"], "gantry");
    let told = operator.all("", "GANTRY", "gantry.north-gate.detections.1")[0].json();
    let name = told["blobs"][0]["object"].as_str().expect("a name").to_owned();
    assert_eq!(operator.object("", "gantry-north-gate", &name), picture());
    // The gateway's login is good for nothing else.
    let mut north =
        Client::connect(&nodes[1].address(), &json!({ "user": "north-gate", "pass": "north-secret" }));
    for subject in
        ["gantry.south-gate.counts.main", "$JS.API.STREAM.DELETE.GANTRY", "$O.gantry-south-gate.M.x"]
    {
        north.publish(subject, "", &[], b"{}");
    }
    // An answer to something allowed comes after the complaints.
    north.call("$JS.API.STREAM.INFO.GANTRY", &json!({}));
    assert_eq!(north.errors.len(), 3, "{:?}", north.errors);
    // And what others are answered is not its to read.
    for subject in ["_INBOX.>", "_INBOX_south-gate.>", ">"] {
        north.subscribe(subject);
    }
    assert_eq!(north.errors.len(), 6, "{:?}", north.errors);
}
