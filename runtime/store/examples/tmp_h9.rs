use gantry_store::*;
use std::time::Instant;
fn main() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Settings { min_free: 0, ..Settings::default() }).unwrap();
    let (tx, rx) = std::sync::mpsc::channel();
    for n in 0..10_000u64 {
        let d = Draft { collection: "faces".into(), json: format!("{{\"face_id\":{n}}}"), dedup_key: Some(n.to_string()), blobs: vec![("f".into(), n.to_le_bytes().repeat(500).into())], blobs_as_files: true, ..Draft::default() };
        let tx = tx.clone();
        store.append(d, Box::new(move |r| { r.unwrap(); let _ = tx.send(()); }));
        if n % 1000 == 999 { for _ in 0..1000 { rx.recv().unwrap(); } }
    }
    let t = Instant::now();
    let ids: Vec<_> = (0..1000u64).flat_map(|n| store.read().query(&Query { dedup: Some((n*7).to_string()), limit: 1, ..Query::collection("faces") }).unwrap()).map(|r| r.id).collect();
    println!("1000 lookups {:?} found {}", t.elapsed(), ids.len());
    let t = Instant::now();
    println!("{} removed {:?}", store.remove(&ids).unwrap(), t.elapsed());
    let t = Instant::now();
    println!("{} removed all {:?}", store.remove_all("faces").unwrap(), t.elapsed());
    let t = Instant::now();
    let f = FieldEquals { path: vec!["face_id".into()], value: 5.into() };
    let _ = store.read().query(&Query { fields: vec![f], ..Query::collection("faces") });
    println!("{:?}", t.elapsed());
}
