//! The table of encodings, and the page that is made from the tables of their keys.

use std::fs;
use std::path::PathBuf;

use super::fact::Pair;
use super::*;

#[test]
fn the_table_is_in_the_order_of_the_encodings_and_has_their_names() {
    for (index, entry) in ENCODINGS.iter().enumerate() {
        assert_eq!(index, entry.encoding as usize);
        assert_eq!(Some(entry.encoding), Encoding::from_name(entry.name));
        let name = serde_json::to_value(entry.encoding).expect("a name");
        assert_eq!(serde_json::json!(entry.name), name);
    }
}

#[test]
fn the_header_of_csv_has_the_columns_that_are_written() {
    let columns: Vec<&str> = csv::PAIRS.iter().map(|pair| pair.key).chain(["truncated"]).collect();
    assert_eq!(csv::HEADER, columns.join(","));
}

/// The encodings that are tables of keys.
const TABLES: &[(&str, &[Pair])] = &[
    ("cef", cef::PAIRS),
    ("leef", leef::PAIRS),
    ("gelf", gelf::PAIRS),
    ("text", text::PAIRS),
    ("csv", csv::PAIRS),
    ("otlp_json", otel::PAIRS),
];

/// The names of ECS in the order of the first table that has them.
fn names() -> Vec<&'static str> {
    let mut names = Vec::new();
    for (_, pairs) in [TABLES[2], TABLES[0], TABLES[1], TABLES[3], TABLES[4], TABLES[5]] {
        for pair in pairs {
            if !names.contains(&pair.fact.name()) {
                names.push(pair.fact.name());
            }
        }
    }
    names
}

/// The keys of `pairs` that carry the fact with that name.
fn keys(pairs: &[Pair], name: &str) -> String {
    let mut keys: Vec<String> = Vec::new();
    for pair in pairs.iter().filter(|pair| pair.fact.name() == name) {
        let key = match (pair.key, pair.label) {
            ("", _) => "(at the start)".to_owned(),
            (key, None) => format!("`{key}`"),
            (key, Some(label)) => format!("`{key}` ({label})"),
        };
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys.join(", ")
}

fn page() -> String {
    let mut page = include_str!("encodings_head.md").to_owned();
    page.push_str("\n## Names\n\n| | summary |\n|---|---|\n");
    for entry in ENCODINGS {
        page.push_str(&format!("| `{}` | {} |\n", entry.name, entry.summary));
    }
    page.push_str(
        "\n## Fields\n\nThe first column is the name in `ecs` and `ecs_compact`.\n\n| ecs |",
    );
    for (name, _) in TABLES {
        page.push_str(&format!(" {name} |"));
    }
    page.push_str(&format!("\n|{}\n", "---|".repeat(TABLES.len() + 1)));
    for name in names() {
        page.push_str(&format!("| `{name}` |"));
        for (_, pairs) in TABLES {
            page.push_str(&format!(" {} |", keys(pairs, name)));
        }
        page.push('\n');
    }
    page.replace("|  |", "| |").replace("|  |", "| |")
}

#[test]
fn the_page_of_encodings_is_made_from_the_tables() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/encodings.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| !value.is_empty()) {
        fs::write(&path, page()).expect("docs/encodings.md can be written");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == page(),
        "docs/encodings.md is old: UPDATE_GOLDEN=1 cargo test page_of_encodings"
    );
}
