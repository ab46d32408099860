//! Signatures: what a single event looks like, by lists and patterns of attacks.
//!
//! [`of`] gives the classes of an event; it is worked out when first asked for, and kept in the event.
//! Nothing is changed in the event: what is looked at are views of its fields (`view`).
//!
//! One file for each concern: `class` the classes, `view` the decoding, `payload`, `paths`, `agents`
//! and `cves` the lists, `matcher` the search, `request` the order of it all.

mod agents;
mod class;
mod cves;
mod matcher;
mod paths;
mod payload;
mod request;
mod view;

use std::cell::RefCell;

use crate::engine::batch::{Event, Field, Kind, Malformed, Module};

pub use self::class::{CLASSES, Class, ClassEntry, Classes};
pub use self::cves::{CVES, CveEntry};
pub use self::request::{Request, Scratch, Signs, examine};
pub use self::view::{Shape, View};

#[cfg(test)]
mod events;
#[cfg(test)]
mod tests;

thread_local! {
    /// Buffers only: nothing in them outlives an event.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// The signs of `event`.
pub fn of(event: &Event<'_>) -> Signs {
    *event
        .row()
        .signs
        .get_or_init(|| SCRATCH.with_borrow_mut(|scratch| examine(&request_of(event), scratch)))
}

/// `docs/detection.md`: the tables for people.
pub fn page() -> String {
    let mut page = include_str!("page_head.md").to_owned();
    for entry in CLASSES {
        page.push_str(&format!("| `{}` | {} |\n", entry.name, entry.summary));
    }
    page.push_str("\n## Agents of `scanner`\n\n");
    page.push_str(&format!("`{}`\n", agents::AGENTS.join("`, `")));
    page.push_str(
        "\n## Weaknesses of `cve`\n\n| weakness | method | its target holds |\n|---|---|---|\n",
    );
    for entry in CVES {
        let texts: Vec<String> = entry.texts.iter().map(|text| shown(text)).collect();
        page.push_str(&format!("| {} | {} | {} |\n", entry.id, entry.method, texts.join(", ")));
    }
    page
}

/// A text of a view in a cell of a table: marks of parameters as they are sent.
fn shown(text: &str) -> String {
    let text: String = text.replace('\u{1}', "&").replace('\u{2}', "=").replace('|', "\\|");
    format!("`{text}`")
}

/// The versions of HTTP, and none; the usual ones first.
const VERSIONS: &[&[u8]] = &[b"1.1", b"2", b"", b"1.0", b"3", b"0.9", b"1"];

fn request_of<'a>(event: &Event<'a>) -> Request<'a> {
    let row = event.row();
    let field = |field| event.field(field).unwrap_or_default();
    let is_origin =
        row.kind == Kind::Access && matches!(row.module, Module::Nginx | Module::Apache);
    let target = match event.field(Field::Target) {
        Some(target) => target,
        None => field(Field::Path),
    };
    // Health checks name their site in full; who names another one looks for a proxy.
    let named = event.field(Field::UrlDomain);
    let is_foreign = is_origin && named.is_some() && named != event.field(Field::Domain);
    let is_unsound = matches!(
        row.malformed,
        Some(Malformed::TlsBytes | Malformed::BadMethod | Malformed::Binary)
    );
    Request {
        method: field(Field::Method),
        target,
        referrer: field(Field::Referrer),
        agent: field(Field::UserAgent),
        user: field(Field::User),
        is_origin,
        is_broken: is_foreign || is_unsound || !VERSIONS.contains(&field(Field::HttpVersion)),
    }
}
