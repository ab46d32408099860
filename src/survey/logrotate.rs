//! logrotate: what happens to each log when it is rotated.
//!
//! Only what decides about losing lines is kept. The parser is pure; it passes over scripts and
//! over whatever it does not know.

use std::path::Path;

use super::model::Place;
use super::tree::{MAX_INCLUDES, Tree, below, folder_of};
use crate::source::glob::Pattern;

/// The main file.
const MAIN: &str = "/etc/logrotate.conf";

/// How some logs are rotated.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rotation {
    /// Where the stanza begins.
    pub place: Place,
    /// Patterns of its logs, as the stanza writes them.
    pub patterns: Vec<String>,
    /// The log is copied and then emptied, instead of renamed.
    pub copytruncate: bool,
    /// Where that is said.
    pub copytruncate_at: Option<Place>,
    /// Rotated files are compressed.
    pub compress: bool,
    /// But not the newest of them.
    pub delaycompress: bool,
    /// How many rotated files are kept.
    pub keep: Option<i64>,
    /// Mode, owner and group of the new file.
    pub create: Option<(u32, String, String)>,
}

impl Rotation {
    /// It rotates the file that configurations call `path`.
    pub fn covers(&self, path: &str) -> bool {
        self.patterns
            .iter()
            .filter_map(|pattern| Pattern::new(pattern).ok())
            .any(|pattern| pattern.matches(Path::new(path)))
    }
}

/// A stanza, or settings for the stanzas behind them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Part {
    line: usize,
    /// Empty for settings outside of stanzas.
    patterns: Vec<String>,
    settings: Vec<(usize, Vec<String>)>,
}

/// Every stanza; `None` where logrotate is not set up.
pub(super) fn survey(tree: &mut Tree) -> Option<Vec<Rotation>> {
    if !tree.has(MAIN) {
        return None;
    }
    let mut rotations = Vec::new();
    let place = Place { file: tree.here(MAIN), line: 0 };
    read(MAIN, &place, tree, &mut Rotation::default(), &mut rotations, 0);
    Some(rotations)
}

fn read(
    path: &str,
    asked_by: &Place,
    tree: &mut Tree,
    defaults: &mut Rotation,
    rotations: &mut Vec<Rotation>,
    depth: usize,
) {
    if MAX_INCLUDES <= depth {
        return;
    }
    let Some(text) = tree.read(path, asked_by) else { return };
    let file = tree.here(path);
    for part in parse(&String::from_utf8_lossy(&text)) {
        let at = |line: usize| Place { file: file.clone(), line };
        if !part.patterns.is_empty() {
            let mut rotation = defaults.clone();
            (rotation.place, rotation.patterns) = (at(part.line), part.patterns);
            for (line, words) in &part.settings {
                set(&mut rotation, words, at(*line));
            }
            rotations.push(rotation);
            continue;
        }
        for (line, words) in &part.settings {
            match words.as_slice() {
                [name, asked, ..] if name == "include" => {
                    let asked = below(folder_of(path), asked);
                    let files = match tree.has_directory(&asked) {
                        true => tree.all_in(&asked),
                        false => vec![asked],
                    };
                    // logrotate leaves out what package managers and editors leave behind.
                    let skipped =
                        [".dpkg-old", ".dpkg-dist", ".rpmsave", ".rpmnew", ".disabled", "~"];
                    for file in files {
                        if !skipped.iter().any(|end| file.ends_with(end)) {
                            read(&file, &at(*line), tree, defaults, rotations, depth + 1);
                        }
                    }
                }
                _ => set(defaults, words, at(*line)),
            }
        }
    }
}

fn set(rotation: &mut Rotation, words: &[String], place: Place) {
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    match word(0) {
        "copytruncate" => {
            (rotation.copytruncate, rotation.copytruncate_at) = (true, Some(place));
        }
        "nocopytruncate" => rotation.copytruncate = false,
        "compress" => rotation.compress = true,
        "nocompress" => rotation.compress = false,
        "delaycompress" => rotation.delaycompress = true,
        "nodelaycompress" => rotation.delaycompress = false,
        "rotate" => rotation.keep = word(1).parse().ok(),
        "create" => {
            let mode = u32::from_str_radix(word(1), 8).ok();
            rotation.create = mode.map(|mode| (mode, word(2).to_owned(), word(3).to_owned()));
        }
        "nocreate" => rotation.create = None,
        _ => (),
    }
}

/// Cuts a file into its stanzas and the settings between them.
fn parse(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut stanza: Option<Part> = None;
    let mut patterns: Vec<String> = Vec::new();
    let mut is_script = false;
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        let line = line.trim();
        if is_script {
            is_script = line != "endscript";
            continue;
        }
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        if let Some(open) = &mut stanza {
            if line.starts_with('}') {
                parts.extend(stanza.take());
                continue;
            }
            let (line, ends) = match line.strip_suffix('}') {
                Some(line) => (line, true),
                None => (line, false),
            };
            let words = words(line);
            is_script = words.first().is_some_and(|word| is_script_name(word));
            open.settings.push((line_number, words));
            if ends {
                parts.extend(stanza.take());
            }
            continue;
        }
        let (head, body) = match line.split_once('{') {
            Some((head, body)) => (head, Some(body)),
            None => (line, None),
        };
        let is_path = head.starts_with(['/', '"', '\'', '~']);
        if is_path || (!patterns.is_empty() && body.is_some()) {
            patterns.extend(words(head));
        } else if body.is_none() {
            let settings = vec![(line_number, words(head))];
            parts.push(Part { line: line_number, patterns: Vec::new(), settings });
        }
        if let Some(body) = body {
            let mut part = Part {
                line: line_number,
                patterns: std::mem::take(&mut patterns),
                settings: Vec::new(),
            };
            let inside = body.split('}').next().unwrap_or_default();
            if !inside.trim().is_empty() {
                part.settings.push((line_number, words(inside)));
            }
            if body.contains('}') {
                parts.push(part);
            } else {
                stanza = Some(part);
            }
        }
    }
    parts.extend(stanza);
    parts
}

fn is_script_name(word: &str) -> bool {
    matches!(word, "prerotate" | "postrotate" | "firstaction" | "lastaction" | "preremove")
}

/// Words apart by blanks or `=`; quotes join.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '"' | '\'' => rest[1..].split_once(first).unwrap_or_else(|| (&rest[1..], "")),
            _ => {
                let end = rest.find(|char: char| char.is_whitespace() || char == '=');
                rest.split_at(end.unwrap_or(rest.len()))
            }
        };
        if !word.is_empty() {
            words.push(word.to_owned());
        }
        rest = after.trim_start_matches(|char: char| char.is_whitespace() || char == '=');
    }
    words
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn rotations(main: &str, other: &str) -> Vec<Rotation> {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("etc/logrotate.d")).expect("made");
        fs::write(folder.path().join("etc/logrotate.conf"), main).expect("written");
        fs::write(folder.path().join("etc/logrotate.d/web"), other).expect("written");
        survey(&mut Tree::new(folder.path())).expect("it is there")
    }

    #[test]
    fn a_stanza_inherits_what_stands_before_it() {
        let main =
            "rotate 4\ncompress\ninclude /etc/logrotate.d\ncopytruncate\n/var/log/own.log {\n}\n";
        let web = "/var/log/nginx/*.log \"/srv/a b/*.log\" {\n  daily\n  delaycompress\n  rotate 14\n  \
                   create 0640 www-data adm\n  postrotate\n    copytruncate }\n  endscript\n}\n";
        let all = rotations(main, web);
        let [web, own] = all.as_slice() else { panic!("{all:#?}") };
        assert!(web.covers("/var/log/nginx/access.log") && web.covers("/srv/a b/x.log"));
        assert!(!web.covers("/var/log/nginx/old/access.log"));
        assert_eq!((true, true, false), (web.compress, web.delaycompress, web.copytruncate));
        assert_eq!(Some(14), web.keep);
        assert_eq!(Some((0o640, "www-data".into(), "adm".into())), web.create);
        assert_eq!((true, Some(4)), (own.copytruncate, own.keep));
        assert_eq!(4, own.copytruncate_at.as_ref().expect("a place").line);
    }

    #[test]
    fn paths_on_lines_of_their_own_and_stanzas_on_one_line() {
        let all = rotations("/a.log\n/b.log {\nrotate=0\n}\n/c.log { copytruncate }\n", "");
        let read = rotations("include /etc/logrotate.d", "/d.log {\n copytruncate }\n");
        assert!(all[0].covers("/a.log") && all[0].covers("/b.log"));
        assert_eq!(Some(0), all[0].keep);
        assert!(all[1].copytruncate && all[1].covers("/c.log"));
        assert!(read[0].copytruncate);
    }

    proptest! {
        #[test]
        fn whatever_the_text_is_it_is_read(text in "[a-z/{}#\"'= \\n]{0,120}|.{0,80}") {
            parse(&text);
        }
    }
}
