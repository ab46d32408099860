//! logrotate with every way of compressing: whatever it does while the daemon is dead, each line is
//! read once.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use super::support::{Place, Running, clf, each_once, now, open_log};
use super::{output, peer};

/// The directives of a rotation, and the programs it needs.
const WAYS: &[(&str, &[&str])] = &[
    ("compress", &["gzip"]),
    ("compress\ndelaycompress", &["gzip"]),
    ("compress\ndateext", &["gzip"]),
    ("compress\ndateext\nextension .log", &["gzip"]),
    ("compress\ncopytruncate", &["gzip"]),
    ("compress\ncompresscmd /usr/bin/zstd\ncompressext .zst\ncompressoptions --rm", &["zstd"]),
    ("compress\ncompresscmd /usr/bin/bzip2\ncompressext .bz2", &["bzip2"]),
];

struct Site {
    place: Place,
    directives: &'static str,
    written: u32,
    rotations: u32,
}

impl Site {
    fn new(directives: &'static str) -> Self {
        let place = Place::new();
        let log = place.log("access.log");
        place.configure(&format!("[[source]]\nname = \"site\"\npath = {log:?}\n"));
        Self { place, directives, written: 0, rotations: 0 }
    }

    fn configure_rotation(&self) {
        let (log, directives) = (self.place.log("access.log"), self.directives);
        let create = if directives.contains("copytruncate") { "" } else { "create" };
        // A day has one rotation, but for this test.
        let date = format!("dateformat -%Y%m%d.{}", self.rotations);
        let rotation = format!("{log:?} {{\nrotate 9\n{create}\n{directives}\n{date}\n}}\n");
        let config = self.place.path().join("logrotate.conf");
        fs::write(config, rotation).expect("logrotate.conf is written");
    }

    fn write(&mut self, requests: u32) {
        let time = clf(now());
        let line = |n| format!("192.0.2.8 - - [{time}] \"GET /{n} HTTP/1.1\" 200 9 \"-\" \"-\"\n");
        let lines: String = (self.written..self.written + requests).map(line).collect();
        self.written += requests;
        let mut log = open_log(&self.place.log("access.log"));
        log.write_all(lines.as_bytes()).expect("the log is written");
    }

    fn rotate(&mut self) {
        self.rotations += 1;
        self.configure_rotation();
        let state = self.place.path().join("logrotate.state");
        let config = self.place.path().join("logrotate.conf");
        output(Command::new("logrotate").arg("-f").arg("-s").arg(state).arg(config));
    }

    fn run(&self) -> Running {
        let daemon = self.place.run(&[]);
        self.place.until_delivered(u64::from(self.written));
        daemon
    }

    #[track_caller]
    fn check(&self, directives: &str) {
        let events = self.place.sunk();
        let paths = events.iter().map(|event| event["url"]["path"].as_str().expect("a path"));
        let found = each_once(directives, paths);
        let missing = (0..self.written).find(|n| !found.contains_key(format!("/{n}").as_str()));
        assert_eq!((None, self.written as usize), (missing, found.len()), "{directives}");
    }
}

#[test]
fn each_line_is_read_once_however_logrotate_compresses() {
    if peer("logrotate").is_none() {
        return;
    }
    for (directives, programs) in WAYS {
        if programs.iter().any(|program| peer(program).is_none()) {
            continue;
        }
        let mut site = Site::new(directives);
        site.write(300);
        let mut daemon = site.run();
        // Dead over a rotation of a log that was not read to its end.
        daemon.kill();
        site.write(300);
        site.rotate();
        site.write(300);
        let mut daemon = site.run();
        // Rotated right after the lines were written, under the eyes of the daemon.
        site.write(300);
        site.rotate();
        site.write(300);
        site.place.until_delivered(u64::from(site.written));
        daemon.kill();
        let (status, _, errors) = site.place.ask(&["run"], &["--once"]);
        assert!(status.success() && errors.contains("\n0 lines read"), "{directives}: {errors}");
        site.check(directives);
        let names = fs::read_dir(site.place.path().join("logs")).expect("a directory");
        let names: Vec<_> = names.map(|entry| entry.expect("an entry").file_name()).collect();
        assert_eq!(site.rotations as usize + 1, names.len(), "{directives}: {names:?}");
    }
}
