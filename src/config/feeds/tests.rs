//! Files of each kind, as operators have them.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::engine::feed::Kind;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn put(folder: &TempDir, name: &str, text: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).expect("a file");
    path
}

/// The entries of each kind that there are any of.
fn counts(path: &Path) -> String {
    let feed = read_feed(&FeedConfig::of_file(path), 7).expect("a list");
    let counts = feed.counts().filter(|(_, count)| *count != 0);
    counts.map(|(kind, count)| format!("{} {count}", kind.name())).collect::<Vec<_>>().join(", ")
}

fn complaint(path: &Path) -> String {
    read_feed(&FeedConfig::of_file(path), 7).expect_err("a complaint").to_string()
}

const BUNDLE: &str = r#"{"type":"bundle","objects":[{"type":"indicator","id":"indicator--1",
    "pattern":"[ipv4-addr:value = '203.0.113.7']","valid_from":"2026-11-18T00:00:00Z"}]}"#;

const EVENT: &str = r#"{"Event":{"info":"x","Attribute":[
    {"type":"domain|ip","to_ids":true,"value":"evil.example|203.0.113.7"}]}}"#;

#[test]
fn the_format_is_found_out() {
    let folder = folder();
    let plain = put(&folder, "plain.txt", b"# one\n203.0.113.7\n203.0.113.0/24\nevil.example");
    assert_eq!("ipv4 1, cidr 1, domain 1", counts(&plain));
    let csv = put(&folder, "list.csv", b"ip,comment\n203.0.113.7,x\n2001:db8::1,y\n");
    assert_eq!("ipv4 1, ipv6 1", counts(&csv));
    assert_eq!("ipv4 1", counts(&put(&folder, "bundle.json", BUNDLE.as_bytes())));
    assert_eq!("ipv4 1, domain 1", counts(&put(&folder, "event.json", EVENT.as_bytes())));
    // An address in brackets is no list of JSON.
    assert_eq!("ipv6 1", counts(&put(&folder, "v6.txt", b"[2001:db8::1]:443\n")));
}

#[test]
fn a_compressed_list_is_read() {
    let folder = folder();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(b"203.0.113.7\n/shell.php\n").expect("memory");
    let path = put(&folder, "list.txt.gz", &gz.finish().expect("memory"));
    assert_eq!("ipv4 1, url_path 1", counts(&path));
    assert_eq!("list", FeedConfig::of_file(&path).id());
}

#[test]
fn a_folder_of_misp_is_read_without_its_manifest() {
    let folder = folder();
    put(&folder, "manifest.json", b"{\"uuid\":{}}");
    put(&folder, "hashes.csv", b"x");
    put(&folder, "a.json", EVENT.as_bytes());
    put(&folder, "b.json", EVENT.replace("evil.", "bad.").as_bytes());
    assert_eq!("ipv4 1, domain 2", counts(folder.path()));
    let mut settings = FeedConfig::of_file(folder.path());
    settings.format = FeedFormat::Stix;
    let error = read_feed(&settings, 7).expect_err("a folder");
    assert_eq!("it is a folder, and only a feed of MISP may be one", error.to_string());
}

#[test]
fn what_cannot_be_used_is_told_with_its_file_and_the_reason() {
    let folder = folder();
    let missing = folder.path().join("missing.txt");
    assert!(
        complaint(&missing)
            .ends_with("cannot be read: No such file or directory (os error 2); check the path")
    );
    let cut = put(&folder, "cut.json", &BUNDLE.as_bytes()[..120]);
    let told = complaint(&cut);
    assert!(told.starts_with("it is no STIX: ") && told.contains("EOF while parsing"), "{told}");
    let csv = put(&folder, "a.csv", b"203.0.113.7,x\n");
    assert!(complaint(&csv).starts_with("it is no CSV: no line names its columns"));
    assert_eq!(
        "no event (*.json) is in the folder",
        complaint(tempfile::tempdir().expect("a folder").path())
    );
}

#[test]
fn a_list_has_a_bound() {
    let folder = folder();
    let large = put(&folder, "large.txt", b"");
    let file = fs::OpenOptions::new().write(true).open(&large).expect("the file");
    file.set_len(BYTES_MAX + 1).expect("a file with a hole");
    assert!(complaint(&large).ends_with("it is larger than 200 MiB; split it"));
}

#[test]
fn a_list_of_the_most_entries_is_read_and_one_more_is_refused() {
    let folder = folder();
    let path = folder.path().join("many.txt");
    let mut file = io::BufWriter::new(fs::File::create(&path).expect("a file"));
    let address = |at: u32| std::net::Ipv4Addr::from(0x2000_0000 + at);
    for at in 0..5_000_000 {
        writeln!(file, "{}", address(at)).expect("the disk");
    }
    file.flush().expect("the disk");
    let feed = read_feed(&FeedConfig::of_file(&path), 7).expect("a list");
    let (kind, count) = feed.counts().next().expect("the first kind");
    assert_eq!((Kind::Ipv4, 5_000_000), (kind, count));
    assert!(feed.bytes() < 41_000_000, "{}", feed.bytes());
    drop(feed);
    writeln!(file, "{}", address(5_000_000)).expect("the disk");
    file.flush().expect("the disk");
    assert!(complaint(&path).starts_with("it holds more than 5000000 entries"));
}
