//! Our configuration, written from what a survey found, with a comment on where each part came from.
//!
//! Invariant: the text is a sound configuration, whatever the server's configuration held: paths and
//! definitions are written as TOML strings, and comments hold no line end.

use std::path::Path;

use super::findings::listed;
use super::model::{Layout, LogKind, Server, Shape};
use super::{Survey, Watched};
use crate::escape::{is_visible, visible};

/// Writes the configuration; the state is kept in `state`.
pub fn text(survey: &Survey, state: &Path) -> String {
    let mut out = String::new();
    head(survey, &mut out);
    for server in [Server::Nginx, Server::Apache, Server::Caddy, Server::System] {
        let logs: Vec<&Watched> =
            survey.logs.iter().filter(|one| one.log.server == server).collect();
        if logs.is_empty() {
            continue;
        }
        comment(&mut out, &format!("---- {} ----", server.name()));
        facts(survey, server, &mut out);
        out.push('\n');
        for watched in logs {
            source(watched, &mut out);
        }
    }
    journal(survey, &mut out);
    client(survey, &mut out);
    logins(survey, &mut out);
    rest(state, &mut out);
    out
}

fn head(survey: &Survey, out: &mut String) {
    let version = env!("CARGO_PKG_VERSION");
    comment(out, &format!("gatewatch: written by `gatewatch init` {version}."));
    for server in &survey.servers {
        let main = server.main.display();
        let files = match server.files {
            1 => "alone".to_owned(),
            files => format!("and what it includes, {files} files"),
        };
        comment(out, &format!("Read: {main} {files}."));
    }
    comment(
        out,
        "`gatewatch check -c FILE` tells whether it can be used. Other settings and their",
    );
    comment(out, "defaults are in gatewatch.toml of the documentation.");
    out.push('\n');
}

/// What is known about the sites of a server.
fn facts(survey: &Survey, server: Server, out: &mut String) {
    let known = survey.servers.iter().filter(|one| one.server == server);
    for site in known.flat_map(|one| &one.sites) {
        let name = if site.name().is_empty() { "a site without a name" } else { site.name() };
        let aliases = site.names.len().saturating_sub(1);
        let more = if aliases == 0 { String::new() } else { format!(" and {aliases} more names") };
        comment(out, &format!("{name}{more} ({})", site.place));
        for (path, place) in &site.protected {
            comment(out, &format!("    asks for a password: {path} ({place})"));
        }
        for (to, place) in &site.backends {
            comment(out, &format!("    passes requests on to {to} ({place})"));
        }
    }
}

fn source(watched: &Watched, out: &mut String) {
    let log = &watched.log;
    let what = match log.kind {
        LogKind::Access => "Requests",
        LogKind::Error => "Errors",
        LogKind::Login => "Log-ins over ssh, sudo and su",
    };
    let places: Vec<String> = log.places.iter().map(ToString::to_string).collect();
    let places: Vec<&str> = places.iter().map(String::as_str).collect();
    let named = match log.server {
        Server::System => String::new(),
        _ if places.is_empty() => ": the path that is built in".to_owned(),
        _ => format!(": {}", listed(&places)),
    };
    comment(out, &format!("{what}{named}"));
    let names = watched.names();
    if !names.is_empty() {
        comment(out, &format!("Written by {}", listed(&names)));
    } else if log.sites.is_empty() && log.kind == LogKind::Access {
        comment(out, "No site writes to it now: it is for sites without a log of their own.");
    }
    if let Some(filter) = &log.filter {
        comment(out, &format!("Only requests that fit {filter}"));
    }
    let is_there = !watched.files.is_empty();
    if !is_there {
        comment(out, "The file is not there yet; take the marks away when it is.");
    }
    let mut lines = vec!["[[source]]".to_owned(), format!("path = {}", toml_string(&log.path))];
    let shape = watched.shape();
    if log.layout.shape != shape {
        comment(out, "Its lines are not in the format that the server's configuration names.");
    } else if log.kind == LogKind::Access {
        comment(out, &origin_of(&log.layout));
    }
    match shape {
        Shape::Auto => (),
        Shape::Named(name) => lines.push(format!("format = \"{name}\"")),
        Shape::Written(text) => lines.push(format!("log_format = {}", toml_string(&text))),
    }
    let lacks_site = watched.missing.iter().any(|one| one.what == "the site");
    if let (true, [name]) = (lacks_site || log.kind == LogKind::Error, names.as_slice())
        && log.sites.len() == 1
    {
        lines.push(format!("site = {}", toml_string(name)));
    }
    for line in lines {
        if !is_there {
            out.push('#');
        }
        out.push_str(&line);
        out.push('\n');
    }
    out.push('\n');
}

/// The journal, where the log-ins are nowhere else.
fn journal(survey: &Survey, out: &mut String) {
    if !survey.only_journal {
        return;
    }
    comment(out, "---- the journal ----");
    comment(out, "Log-ins over ssh, sudo and su: there is no auth.log and no secure.");
    // That of another machine's tree is not this machine's.
    let mark = if survey.root == Path::new("/") { "" } else { "#" };
    let matches = "matches = [\"SYSLOG_FACILITY=4\", \"SYSLOG_FACILITY=10\"]";
    for line in ["[[source]]", "path = \"journal:\"", matches] {
        out.push_str(&format!("{mark}{line}\n"));
    }
    out.push('\n');
}

/// Where a format is defined, in a comment.
fn origin_of(layout: &Layout) -> String {
    let name = layout.name.as_str();
    match (&layout.complaint, &layout.place) {
        (Some(complaint), _) => format!("Its format {name} cannot be used: {complaint}"),
        (None, Some(place)) if name.is_empty() => {
            format!("Its format is written out there: {place}")
        }
        (None, Some(place)) => format!("Format {name}: {place}"),
        (None, None) if name.is_empty() => "Its format is found out from its lines".to_owned(),
        (None, None) => format!("Format {name}, as it is built in"),
    }
}

fn client(survey: &Survey, out: &mut String) {
    let trusted = survey.trusted_proxies();
    if trusted.is_empty() {
        return;
    }
    comment(out, "---- Proxies ----");
    let resolves = survey.servers.iter().any(|server| server.proxies.header.is_some());
    if resolves {
        comment(
            out,
            "The server itself looks behind these proxies, so the client it logs is the client. The",
        );
        comment(out, "list is for lines that show the proxy and have X-Forwarded-For in a column.");
    }
    out.push_str("[client]\ntrusted_proxies = [\n");
    for (net, place) in trusted {
        let place = visible(&place.to_string());
        out.push_str(&format!("    \"{net}\", # {place}\n"));
    }
    out.push_str("]\n\n");
}

/// Paths that ask for a password; active only where a name below them cannot be a mere claim.
fn logins(survey: &Survey, out: &mut String) {
    let paths = survey.checked_paths();
    if paths.is_empty() {
        return;
    }
    comment(out, "---- Log-ins ----");
    let list = |paths: Vec<&String>| {
        let paths: Vec<String> = paths.into_iter().map(|path| toml_string(path)).collect();
        format!("protected = [{}]\n\n", paths.join(", "))
    };
    let is_sure = paths.iter().all(|(_, everywhere)| *everywhere);
    let all = list(paths.iter().map(|(path, _)| path).collect());
    if is_sure {
        comment(
            out,
            "Every site of nginx asks for a password there: a name with a success was let in.",
        );
        out.push_str(&format!("[logins]\n{all}"));
    } else {
        comment(
            out,
            "nginx asks for a password there, but not in every site, and it logs any name that a",
        );
        comment(out, "client claims. Take the marks away if the other sites refuse these paths.");
        out.push_str(&format!("#[logins]\n#{all}"));
    }
}

fn rest(state: &Path, out: &mut String) {
    comment(out, "---- What is kept, and who is told ----");
    comment(out, "Positions, lines that wait, and alerts. Made with mode 0700.");
    out.push_str(&format!("[store]\npath = {}\n\n", toml_string(&state.to_string_lossy())));
    comment(out, "Without this block alerts are only in alerts.jsonl in that folder.");
    for line in [
        "[mail]",
        "smtp = \"smtps://alerts@mail.example.org:465\"",
        "password_file = \"/etc/gatewatch/smtp.pass\"",
        "from = \"gatewatch <alerts@example.org>\"",
        "to = [\"analyst@example.org\"]",
    ] {
        out.push_str(&format!("#{line}\n"));
    }
}

/// A comment of one line, whatever `text` holds.
fn comment(out: &mut String, text: &str) {
    out.push_str("# ");
    out.push_str(&visible(text));
    out.push('\n');
}

/// `text` as a TOML string of one line, safe to look at: as it is where no character needs an escape.
pub fn toml_string(text: &str) -> String {
    let is_plain = text.chars().all(is_visible);
    if is_plain && !text.contains(['"', '\\']) {
        format!("\"{text}\"")
    } else if is_plain && !text.contains('\'') {
        format!("'{text}'")
    } else if is_plain && !text.contains("'''") && !text.ends_with('\'') {
        format!("'''{text}'''")
    } else {
        let mut out = "\"".to_owned();
        for character in text.chars() {
            match character {
                '"' | '\\' => out.extend(['\\', character]),
                _ if is_visible(character) => out.push(character),
                _ => out.push_str(&format!("\\U{:08X}", u32::from(character))),
            }
        }
        out.push('"');
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(expected, toml_string(text));
    }

    #[test]
    fn a_definition_stays_readable() {
        check("/var/log/a.log", "\"/var/log/a.log\"");
        check("%h \"%r\"", "'%h \"%r\"'");
        check("it's \"so\"", "'''it's \"so\"'''");
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in "[a-z'\"\\\\\\n\\t\\x00]{0,12}|.{0,12}") {
            let read: toml::Table = toml::from_str(&format!("a = {}", toml_string(&text)))
                .expect("a sound string");
            prop_assert_eq!(Some(text.as_str()), read["a"].as_str());
            prop_assert!(toml_string(&text).chars().all(is_visible));
        }
    }
}
